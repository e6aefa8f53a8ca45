/*
 * celeriac.echo: returns what it is given, unchanged.
 */
#include "tasks.h"

static int run_echo(unused_arg struct task_ctx *ctx, json_t *const *values, json_t **ret_result,
		    unused_arg struct err *err)
{
	*ret_result = values[0] ? json_incref(values[0]) : json_null();
	return 0;
}

static const struct task_param params[] = {
	{"value", PARAM_ANY, true},
};

const struct task task_celeriac_echo = {
	.name = "celeriac.echo",
	.run = run_echo,
	.params = params,
	.param_count = ARRAY_LEN(params),
	.flags = TASK_ACKS_LATE,
	.help = "returns value",
};
