/*
 * celeriac.xsum: sum(numbers), from the left, as Python sums.
 */
#include "json.h"
#include "mem.h"
#include "number.h"
#include "tasks.h"

static const char *kind_name(const struct number *n)
{
	return n->kind == NUMBER_REAL ? "float" : "int";
}

static int add_item(struct task_ctx *ctx, struct number *sum, const json_t *item, struct err *err)
{
	_cleanup_(number_done) struct number x = {0};
	int rc = number_read(item, &x, err);

	if (rc == -ERR_INVALID)
		return raise_type_error(ctx, err,
					"unsupported operand type(s) for +: '%s' and '%s'",
					kind_name(sum), json_type_name(item));
	if (rc == 0)
		rc = number_add(sum, &x, err);
	return rc < 0 ? raise_number_error(ctx, rc, err) : 0;
}

static int run_xsum(struct task_ctx *ctx, json_t *const *values, json_t **ret_result,
		    struct err *err)
{
	_cleanup_(number_done) struct number sum = {0};
	const json_t *item;
	size_t i;
	int rc;

	json_array_foreach(values[0], i, item)
	{
		rc = add_item(ctx, &sum, item, err);
		if (rc < 0)
			return rc;
	}
	rc = number_write(&sum, ret_result, err);
	return rc < 0 ? raise_number_error(ctx, rc, err) : 0;
}

static const struct task_param params[] = {
	{"numbers", PARAM_LIST, true},
};

const struct task task_celeriac_xsum = {
	.name = "celeriac.xsum",
	.run = run_xsum,
	.params = params,
	.param_count = ARRAY_LEN(params),
	.flags = TASK_ACKS_LATE,
	.help = "returns the sum of numbers",
};
