/*
 * sandbox.close: removes a conversation's container.
 */
#include "tasks.h"

static int run_close(struct task_ctx *ctx, json_t *const *values, json_t **ret_result,
		     struct err *err)
{
	const char *conversation = json_string_value(values[0]);
	struct sandbox *s = NULL;
	bool removed = false;
	int rc = require_sandbox(ctx, &s, err);

	if (rc < 0)
		return rc;
	rc = sandbox_close(s, conversation, &removed, err);
	if (rc < 0)
		return raise_sandbox_error(ctx, conversation, err);
	task_ctx_record(ctx)->finish.status = "ok";
	*ret_result = json_pack("{s:b}", "removed", removed);
	return 0;
}

static const struct task_param params[] = {
	{"conversation_id", PARAM_ID, true},
};

const struct task task_sandbox_close = {
	.name = "sandbox.close",
	.run = run_close,
	.params = params,
	.param_count = ARRAY_LEN(params),
	.flags = TASK_ACKS_LATE | TASK_SANDBOX | TASK_STORED,
	.lane = "conversation_id",
	.kind = "sandbox",
	.help = "removes the conversation's sandbox",
};
