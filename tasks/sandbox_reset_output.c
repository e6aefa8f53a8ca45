/*
 * sandbox.reset_output: empties a conversation's output directory; its container and other files
 * stay.
 */
#include "tasks.h"

static int run_reset_output(struct task_ctx *ctx, json_t *const *values, json_t **ret_result,
			    struct err *err)
{
	const char *conversation = json_string_value(values[0]);
	struct sandbox *s = NULL;
	int64_t removed = 0;
	int rc = require_sandbox(ctx, &s, err);

	if (rc < 0)
		return rc;
	rc = sandbox_reset_output(s, conversation, &removed, err);
	if (rc < 0)
		return raise_sandbox_error(ctx, conversation, err);
	task_ctx_record(ctx)->finish.status = "ok";
	*ret_result = json_pack("{s:I}", "removed", (json_int_t)removed);
	return 0;
}

static const struct task_param params[] = {
	{"conversation_id", PARAM_ID, true},
};

const struct task task_sandbox_reset_output = {
	.name = "sandbox.reset_output",
	.run = run_reset_output,
	.params = params,
	.param_count = ARRAY_LEN(params),
	.flags = TASK_ACKS_LATE | TASK_SANDBOX | TASK_STORED,
	.lane = "conversation_id",
	.kind = "sandbox",
	.help = "empties the conversation's output directory",
};
