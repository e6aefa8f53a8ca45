/*
 * What sandboxes may reach outside.
 */
#include "way_out.h"

#include <stdlib.h>
#include <string.h>

#include "audit.h"
#include "ctx.h"
#include "json.h"
#include "mem.h"
#include "task_house.h"

int way_out_open(const struct settings *s, struct way_out *ret, struct err *err)
{
	struct way_out w = {0};
	int rc = 0;

	if (s->sandbox_callback_url && *s->sandbox_callback_url) {
		rc = callback_parse(s->sandbox_callback_url,
				    s->sandbox_callback_secret ? s->sandbox_callback_secret : "",
				    &w.callback, err);
		w.has_callback = rc == 0;
	}
	if (rc == 0)
		rc = outbound_open(s, &w.outbound, err);
	if (rc < 0) {
		way_out_close(&w);
		return rc;
	}
	*ret = w;
	return 0;
}

void way_out_close(struct way_out *w)
{
	outbound_close(w->outbound);
	if (w->has_callback)
		callback_done(&w->callback);
	*w = (struct way_out){0};
}

/* One line of audit for a connection. */
static void record(void *arg, const struct sandbox_egress_event *e)
{
	const struct task_ctx *ctx = arg;
	_cleanup_free_ char *target = e->port ? xasprintf("%s:%u", e->host, e->port) : NULL;
	_cleanup_json_ json_t *detail = json_pack(
		"{s:s, s:s, s:I, s:I}", "method", e->method, "address", e->address, "bytes_up",
		(json_int_t)e->up_bytes, "bytes_down", (json_int_t)e->down_bytes);
	const struct audit_event event = {
		.decision = e->decision,
		.kind = "egress",
		.tool = ctx->task->name,
		.target = target,
		.conversation = ctx->egress.conversation,
		.project = ctx->egress.project,
		.task = ctx->request->id,
		.actor = ctx->worker->settings.worker_hostname,
		.reason = e->reason,
		.duration = e->duration,
		.detail = detail,
	};

	audit_write(ctx->worker->audit, &event);
}

static bool allows(void *arg, const char *scheme, const struct outbound_host *host, uint16_t port,
		   const char *path, const char **ret_reason)
{
	const struct task_ctx *ctx = arg;
	struct policy_answer answer;

	policy_ask_url(ctx->policy, ctx->egress.project, scheme, host, port, path, &answer);
	*ret_reason = answer.note && *answer.note ? answer.note
		      : answer.pattern		  ? answer.pattern
						  : "no rule allows it";
	return answer.allow;
}

static void bind(struct task_ctx *ctx, enum outbound_scope scope, const char *conversation,
		 const char *project)
{
	const struct settings *s = &ctx->worker->settings;

	ctx->egress = (struct sandbox_egress){
		.outbound = ctx->worker->way_out.outbound,
		.scope = scope,
		.max_bytes = s->egress_max_bytes,
		.max_connections = s->egress_max_connections,
		.rate = s->egress_rate,
		.allows = ctx->policy ? allows : NULL,
		.allows_arg = ctx,
		.names_count = ctx->policy && policy_has_url_rules(ctx->policy, project),
		.task = ctx->request->id,
		.conversation = conversation,
		.project = project,
		.record = record,
		.record_arg = ctx,
	};
}

void way_out_bind(struct task_ctx *ctx, struct sandbox_run *run)
{
	const struct settings *s = &ctx->worker->settings;
	const struct way_out *w = &ctx->worker->way_out;

	if (strcmp(s->sandbox_network, "egress") != 0 || !ctx->terms.network)
		return;
	bind(ctx, OUTBOUND_SANDBOX, run->conversation, run->project);
	ctx->egress.callback = w->has_callback ? &w->callback : NULL;
	run->egress = &ctx->egress;
}

const struct sandbox_egress *task_ctx_way_out(struct task_ctx *ctx, const char *project)
{
	bind(ctx, OUTBOUND_MCP, NULL, project);
	return &ctx->egress;
}
