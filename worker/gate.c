/*
 * The gate before every call.
 */
#include "gate.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit.h"
#include "clock.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "quota.h"
#include "record.h"
#include "terms.h"

#define QUOTA_PATIENCE (5 * USEC_PER_SEC)
#define RETRY_MS       250

static const char *value_of(const struct task *t, json_t *const *values, const char *name)
{
	for (size_t i = 0; i < t->param_count; i++)
		if (strcmp(t->params[i].name, name) == 0)
			return json_string_value(values[i]);
	return NULL;
}

static const char *or_null(const char *text)
{
	return text && *text ? text : NULL;
}

static void record(const struct task_ctx *ctx, const char *decision, const char *reason,
		   usec_t duration)
{
	const char *container = ctx->record.finish.container;
	const char *target = ctx->target ? ctx->target : or_null(container);

	record_event(ctx, decision, ctx->task->kind, target, reason, duration, ctx->record.detail);
}

static const char *reason_of(const struct policy_answer *a)
{
	return a->note && *a->note ? a->note : a->pattern;
}

/* Tools have a result that says it; for anything else it is an exception. */
static bool is_tool(const struct task *t)
{
	return strncmp(t->name, "tools.", 6) == 0 || strncmp(t->name, "mcp.", 4) == 0;
}

static void refuse(struct task_ctx *ctx, const char *text)
{
	struct err err;

	if (is_tool(ctx->request->task))
		ctx->denied = tool_result("denied", NULL, NULL, true, text, 0);
	else
		task_raise(ctx, &err, "builtins", "PermissionError", "%s", text);
}

static void deny(struct task_ctx *ctx, const char *name, const char *reason, const char *note)
{
	char text[512];

	record(ctx, "deny", reason, USEC_NEVER);
	snprintf(text, sizeof(text), "%.255s is denied by the policy%s%s", name,
		 note && *note ? ": " : "", note ? note : "");
	refuse(ctx, text);
}

/* Task and tool are names of one kind: a rule about either counts. */
static bool is_allowed(struct task_ctx *ctx, const char *name)
{
	struct policy_answer answer;

	policy_ask(ctx->policy, POLICY_TOOL, ctx->project, name, policy_kind_default(POLICY_TOOL),
		   &answer);
	if (!answer.allow)
		deny(ctx, name, reason_of(&answer), answer.note);
	return answer.allow;
}

/* False, recorded and told, unless it is allowed. */
static bool tell(struct task_ctx *ctx, enum policy_kind kind, const char *subject,
		 const struct policy_answer *a, char reason[TASK_REASON_SIZE])
{
	const char *why = reason_of(a);

	if (a->allow)
		return true;
	snprintf(reason, TASK_REASON_SIZE, "%s %.120s is denied by the policy%s%.100s",
		 policy_kind_name(kind), subject, why ? ": " : ", as no rule allows it",
		 why ? why : "");
	record_event(ctx, "deny", policy_kind_name(kind), subject, why ? why : "no rule allows it",
		     USEC_NEVER, NULL);
	return false;
}

bool task_ctx_may(struct task_ctx *ctx, enum policy_kind kind, const char *subject, bool otherwise,
		  char reason[TASK_REASON_SIZE])
{
	struct policy_answer answer;

	policy_ask(ctx->policy, kind, ctx->project, subject, otherwise, &answer);
	return tell(ctx, kind, subject, &answer, reason);
}

bool task_ctx_may_run(struct task_ctx *ctx, const char *const *argv, char reason[TASK_REASON_SIZE])
{
	struct policy_answer answer;

	policy_ask_command(ctx->policy, ctx->project, argv, &answer);
	return tell(ctx, POLICY_COMMAND, argv[0], &answer, reason);
}

bool task_ctx_may_reach(struct task_ctx *ctx, bool tls, const struct outbound_host *host,
			uint16_t port, const char *path, char reason[TASK_REASON_SIZE])
{
	struct policy_answer answer;
	_cleanup_free_ char *target = xasprintf("%s:%u", host->name, port);

	policy_ask_url(ctx->policy, ctx->project, tls ? "https" : "http", host, port, path,
		       &answer);
	return tell(ctx, POLICY_URL, target, &answer, reason);
}

struct store *task_ctx_store(struct task_ctx *ctx)
{
	return ctx->worker->store;
}

struct outbound *task_ctx_outbound(struct task_ctx *ctx)
{
	return ctx->worker->way_out.outbound;
}

struct mcp_sessions *task_ctx_mcp(struct task_ctx *ctx)
{
	return ctx->worker->mcp;
}

const struct seal_keys *task_ctx_seal_keys(const struct task_ctx *ctx)
{
	return &ctx->worker->seal_keys;
}

const struct plugin_index *task_ctx_plugins(const struct task_ctx *ctx)
{
	return ctx->worker->plugins;
}

/* False: recorded and told. */
static bool has_terms(struct task_ctx *ctx)
{
	struct err err;
	int rc = terms_read(ctx, &err);

	if (rc == 0)
		return true;
	if (rc == -ERR_DENIED) {
		refuse(ctx, err.msg);
		return false;
	}
	record(ctx, "error", err.msg, USEC_NEVER);
	task_ctx_set_exception(ctx, "builtins", "RuntimeError", err.msg);
	return false;
}

bool gate_pass(struct task_ctx *ctx, json_t *const *values)
{
	const struct task *t = ctx->task;
	struct err err;

	if ((t->flags & TASK_STORED) == 0)
		return true;
	ctx->conversation = value_of(t, values, "conversation_id");
	ctx->project = value_of(t, values, "project_id");
	ctx->target = t->target ? value_of(t, values, t->target) : NULL;
	if (ctx->policy == NULL)
		ctx->policy = policy_watch_get(&ctx->worker->policy);
	if (ctx->policy == NULL) {
		/* nothing is claimed before the policy is there; what is not known is not allowed
		 */
		record(ctx, "deny", "the policy is not known yet", USEC_NEVER);
		task_raise(ctx, &err, "builtins", "PermissionError",
			   "%s: the policy is not known yet", t->name);
		return false;
	}
	return is_allowed(ctx, t->name) && (!ctx->target || is_allowed(ctx, ctx->target)) &&
	       has_terms(ctx);
}

void gate_record(struct task_ctx *ctx, bool failed, usec_t duration)
{
	if ((ctx->task->flags & TASK_STORED) == 0)
		return;
	record(ctx, failed ? "error" : "allow", failed ? ctx->exc_type : NULL, duration);
}

/* ---- quotas ---- */
enum gate_quota gate_enter(struct task_ctx *ctx)
{
	static const struct project_quota none = {-1, -1, -1};
	const struct request *r = ctx->request;
	const struct project_quota *limits =
		ctx->policy ? policy_quota(ctx->policy, ctx->project) : NULL;
	bool said = false;

	if (limits == NULL || (ctx->task->flags & TASK_STORED) == 0)
		return GATE_OPEN;
	/* what was let in once, by somebody who may be dead, stays so */
	if (r->message->redelivered)
		limits = &none;
	for (;;) {
		struct err err = {0};
		int rc = quota_enter(r->worker->quota, ctx->project, limits, r->id,
				     clock_deadline(QUOTA_PATIENCE), &err);

		if (rc == 0) {
			ctx->entered = xstrdup(r->id);
			ctx->entered_project = xstrdup(ctx->project);
			return GATE_OPEN;
		}
		if (rc == -ERR_DENIED) {
			record(ctx, "deny", err.msg, USEC_NEVER);
			refuse(ctx, err.msg);
			return GATE_CLOSED;
		}
		if (!said)
			log_warning(
				"Task %s[%s]: its project's quota cannot be counted, waiting: %s",
				r->shown, r->id, err.msg);
		said = true;
		if (atomic_load(&r->worker->releasing))
			return GATE_ABANDONED;
		poll(NULL, 0, RETRY_MS);
	}
}

void gate_leave(struct task_ctx *ctx)
{
	bool sandboxed = (ctx->task->flags & TASK_SANDBOX) != 0;

	if (ctx->entered == NULL)
		return;
	quota_leave(ctx->worker->quota, ctx->entered_project, ctx->entered,
		    sandboxed ? ctx->ran : 0);
	free(ctx->entered);
	free(ctx->entered_project);
	ctx->entered = ctx->entered_project = NULL;
}
