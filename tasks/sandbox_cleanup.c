/*
 * sandbox.cleanup: one sweep over idle and orphaned sandboxes, sent by beat.
 */
#include "tasks.h"

static int run_cleanup(struct task_ctx *ctx, unused_arg json_t *const *values, json_t **ret_result,
		       struct err *err)
{
	struct sandbox_report report = {0};
	struct sandbox *s = NULL;
	int rc = require_sandbox(ctx, &s, err);

	if (rc < 0)
		return rc;
	rc = sandbox_cleanup(s, &report, err);
	if (rc < 0)
		return raise_sandbox_error(ctx, "", err);
	task_ctx_record(ctx)->finish.status = "ok";
	*ret_result = json_pack("{s:I, s:I, s:I, s:I}", "idle", (json_int_t)report.idle, "orphans",
				(json_int_t)report.orphans, "kept", (json_int_t)report.kept,
				"failed", (json_int_t)report.failed);
	return 0;
}

const struct task task_sandbox_cleanup = {
	.name = "sandbox.cleanup",
	.run = run_cleanup,
	.params = NULL,
	.param_count = 0,
	.flags = TASK_ACKS_LATE | TASK_SANDBOX | TASK_STORED,
	.kind = "sandbox",
	.help = "removes idle and orphaned sandboxes",
};
