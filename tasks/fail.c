/*
 * celeriac.fail: raises RuntimeError(message).
 */
#include "mem.h"
#include "tasks.h"

static int run_fail(struct task_ctx *ctx, json_t *const *values, unused_arg json_t **ret_result,
		    struct err *err)
{
	return task_raise_value(ctx, err, "builtins", "RuntimeError", values[0]);
}

static const struct task_param params[] = {
	{"message", PARAM_STR, true},
};

const struct task task_celeriac_fail = {
	.name = "celeriac.fail",
	.run = run_fail,
	.params = params,
	.param_count = ARRAY_LEN(params),
	.flags = TASK_ACKS_LATE,
	.help = "raises RuntimeError(message)",
};
