/*
 * From the name of a tool to the task behind it.
 */
#include "dispatch.h"

#include <stdlib.h>

#include "gate.h"
#include "json.h"
#include "mem.h"
#include "task_house.h"

static int bind(struct task_ctx *ctx, const struct task *target, json_t ***values, struct err *err)
{
	_cleanup_json_ json_t *none = json_array();
	_cleanup_free_ json_t **bound = xcalloc(target->param_count + 1, sizeof(json_t *));
	int rc = task_bind(target, none, ctx->resolved, bound, err);

	if (rc < 0) {
		task_ctx_set_exception(ctx, "builtins",
				       rc == -ERR_INVALID ? "TypeError" : "ValueError", err->msg);
		return rc;
	}
	free(*values);
	*values = TAKE(bound);
	ctx->task = target;
	return 0;
}

bool dispatch_call(struct task_ctx *ctx, json_t ***values)
{
	const struct task *target = NULL;
	struct err err = {0};
	int rc;

	if (ctx->task->resolve == NULL)
		return true;
	rc = ctx->task->resolve(ctx, *values, &target, &ctx->resolved, &err);
	if (rc == 0)
		rc = bind(ctx, target, values, &err);
	if (rc == 0)
		return gate_pass(ctx, *values);
	gate_record(ctx, true, USEC_NEVER);
	return false;
}
