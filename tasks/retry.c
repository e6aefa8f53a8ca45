/*
 * celeriac.retry: asks to be run again until it has been so `times` times, then returns that
 * number.
 */
#include <math.h>

#include "mem.h"
#include "number.h"
#include "tasks.h"

static int run_retry(struct task_ctx *ctx, json_t *const *values, json_t **ret_result,
		     struct err *err)
{
	json_int_t times = json_integer_value(values[0]);
	double countdown = values[1] ? json_number_value(values[1]) : 0;

	if (!(countdown >= 0 && countdown < 1e9))
		return task_raise(ctx, err, "builtins", "ValueError",
				  "countdown must be between 0 and 1e9 seconds");
	if (task_ctx_retries(ctx) < times)
		return task_retry(ctx, (usec_t)(countdown * (double)USEC_PER_SEC), err);
	*ret_result = json_integer(task_ctx_retries(ctx));
	return 0;
}

static const struct task_param params[] = {
	{"times", PARAM_INT, true},
	{"countdown", PARAM_NUMBER, false},
};

const struct task task_celeriac_retry = {
	.name = "celeriac.retry",
	.run = run_retry,
	.params = params,
	.param_count = ARRAY_LEN(params),
	.flags = TASK_ACKS_LATE,
	.options = {.max_retries = TASK_RETRIES_WITHOUT_END},
	.help = "asks to be retried so many times, then returns their number",
};
