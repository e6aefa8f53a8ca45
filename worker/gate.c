/*
 * The gate before every call.
 */
#include "gate.h"

#include <string.h>

#include "audit.h"

static const char *value_of(const struct task *t, json_t *const *values, const char *name)
{
	for (size_t i = 0; i < t->param_count; i++)
		if (strcmp(t->params[i].name, name) == 0)
			return json_string_value(values[i]);
	return NULL;
}

static void record(const struct task_ctx *ctx, const char *decision, const char *reason,
		   usec_t duration)
{
	const struct request *r = ctx->request;
	const struct audit_event event = {.decision = decision,
					  .kind = r->task->kind,
					  .tool = r->task->name,
					  .target = ctx->target,
					  .conversation = ctx->conversation,
					  .project = ctx->project,
					  .task = r->id,
					  .actor = r->worker->settings.worker_hostname,
					  .reason = reason,
					  .duration = duration};

	audit_write(r->worker->audit, &event);
}

static const char *reason_of(const struct policy_answer *a)
{
	return a->note && *a->note ? a->note : a->pattern;
}

/* Task and tool are names of one kind: a rule about either counts. */
static bool is_allowed(struct task_ctx *ctx, const char *name)
{
	struct policy_answer answer;
	struct err err;

	policy_ask(ctx->policy, POLICY_TOOL, ctx->project, name, policy_kind_default(POLICY_TOOL),
		   &answer);
	if (answer.allow)
		return true;
	record(ctx, "deny", reason_of(&answer), USEC_NEVER);
	task_raise(ctx, &err, "builtins", "PermissionError", "%s is denied by the policy%s%s", name,
		   answer.note && *answer.note ? ": " : "", answer.note ? answer.note : "");
	return false;
}

bool gate_pass(struct task_ctx *ctx, json_t *const *values)
{
	const struct task *t = ctx->request->task;
	struct err err;

	if ((t->flags & TASK_STORED) == 0)
		return true;
	ctx->conversation = value_of(t, values, "conversation_id");
	ctx->project = value_of(t, values, "project_id");
	ctx->target = t->target ? value_of(t, values, t->target) : NULL;
	ctx->policy = policy_watch_get(&ctx->worker->policy);
	if (ctx->policy == NULL) {
		/* nothing is claimed before the policy is there; what is not known is not allowed
		 */
		record(ctx, "deny", "the policy is not known yet", USEC_NEVER);
		task_raise(ctx, &err, "builtins", "PermissionError",
			   "%s: the policy is not known yet", t->name);
		return false;
	}
	return is_allowed(ctx, t->name) && (!ctx->target || is_allowed(ctx, ctx->target));
}

void gate_record(struct task_ctx *ctx, bool failed, usec_t duration)
{
	if ((ctx->request->task->flags & TASK_STORED) == 0)
		return;
	record(ctx, failed ? "error" : "allow", failed ? ctx->exc_type : NULL, duration);
}
