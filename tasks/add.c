/*
 * celeriac.add: x + y, as Python adds.
 */
#include "mem.h"
#include "number.h"
#include "tasks.h"

static int run_add(struct task_ctx *ctx, json_t *const *values, json_t **ret_result,
		   struct err *err)
{
	_cleanup_(number_done) struct number sum = {0}, y = {0};
	int rc = number_read(values[0], &sum, err);

	if (rc == 0)
		rc = number_read(values[1], &y, err);
	if (rc == 0)
		rc = number_add(&sum, &y, err);
	if (rc == 0)
		rc = number_write(&sum, ret_result, err);
	return rc < 0 ? raise_number_error(ctx, rc, err) : 0;
}

static const struct task_param params[] = {
	{"x", PARAM_NUMBER, true},
	{"y", PARAM_NUMBER, true},
};

const struct task task_celeriac_add = {
	.name = "celeriac.add",
	.run = run_add,
	.params = params,
	.param_count = ARRAY_LEN(params),
	.flags = TASK_ACKS_LATE,
	.help = "returns x + y",
};
