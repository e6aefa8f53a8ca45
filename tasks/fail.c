/*
 * celeriac.fail: raises RuntimeError(message).
 */
#include "bounds.h"
#include "json.h"
#include "mem.h"
#include "tasks.h"

static int run_fail(struct task_ctx *ctx, json_t *const *values, unused_arg json_t **ret_result,
		    struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_MESSAGE_BYTES);

	json_text_append(values[0], &text);
	return task_raise(ctx, err, "builtins", "RuntimeError", "%.*s", BOUND_ERROR_TEXT - 1,
			  text.data);
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
