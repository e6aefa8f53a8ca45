/*
 * What the worker writes into the audit, beside the calls themselves.
 */
#include "record.h"

#include <string.h>

#include "audit.h"
#include "codec.h"
#include "json.h"
#include "login.h"
#include "mem.h"
#include "task_house.h"

static const char *or_null(const char *text)
{
	return text && *text ? text : NULL;
}

void record_event(const struct task_ctx *ctx, const char *decision, const char *kind,
		  const char *target, const char *reason, usec_t duration, const json_t *detail)
{
	const struct request *r = ctx->request;
	const struct audit_event event = {.decision = decision,
					  .kind = kind,
					  .tool = ctx->task->name,
					  .target = target,
					  .conversation = ctx->conversation,
					  .project = ctx->project,
					  .task = r->id,
					  .actor = r->worker->settings.worker_hostname,
					  .reason = reason,
					  .duration = duration,
					  .detail = detail};

	audit_write(r->worker->audit, &event);
}

/* An answer that says that our credentials are not enough. */
static bool is_login(const char *kind, const json_t *detail)
{
	json_int_t status = json_integer_value(json_object_get(detail, "status"));

	return strcmp(kind, "http") == 0 && (status == 401 || status == 403);
}

void task_ctx_audit(struct task_ctx *ctx, const char *decision, const char *kind,
		    const char *target, const char *reason, usec_t duration, const json_t *detail)
{
	record_event(ctx, decision, kind, target, reason, duration, detail);
	if (is_login(kind, detail))
		record_event(ctx, "deny", "login", target, "the service did not let us in",
			     USEC_NEVER, detail);
}

void record_arguments(const struct task_ctx *ctx, const char *why)
{
	if (ctx->task->flags & TASK_STORED)
		record_event(ctx, "error", "schema", NULL, why, USEC_NEVER, NULL);
}

void record_exec(const struct task_ctx *ctx, const char *container, bool again)
{
	const struct sandbox_run *run = ctx->run;
	_cleanup_json_ json_t *detail = NULL;
	char digest[SHA256_HEX_SIZE];
	size_t packages = 0;

	sha256_hex(run->code.data, run->code.len, digest);
	while (run->packages && run->packages[packages])
		packages++;
	detail = json_pack("{s:s, s:s, s:I, s:I, s:b, s:b}", "language", run->language,
			   "code_sha256", digest, "packages", (json_int_t)packages, "files",
			   (json_int_t)run->file_count, "again", again, "followed",
			   run->begun && !again);
	record_event(ctx, "allow", "exec", container, NULL, USEC_NEVER, detail);
}

void record_container(void *worker, const struct engine_event *e)
{
	const struct worker *w = worker;
	_cleanup_json_ json_t *detail =
		json_pack("{s:s, s:s*, s:s*, s:s*}", "action", e->action, "image", e->image, "role",
			  or_null(e->role), "why", e->why);
	const struct audit_event event = {.decision = e->error ? "error" : "allow",
					  .kind = "container",
					  .target = e->id ? e->id : e->image,
					  .conversation = or_null(e->conversation),
					  .project = or_null(e->project),
					  .task = or_null(e->task),
					  .actor = w->settings.worker_hostname,
					  .reason = e->error,
					  .duration = e->duration,
					  .detail = detail};

	audit_write(w->audit, &event);
}

void record_login(void *worker, const char *service, const char *where, const char *reason,
		  uint64_t times)
{
	const struct worker *w = worker;
	_cleanup_free_ char *target = xasprintf("%s %s", service, where);
	_cleanup_json_ json_t *detail = json_pack("{s:I}", "times", (json_int_t)times);
	const struct audit_event event = {.decision = "deny",
					  .kind = "login",
					  .target = target,
					  .actor = w->settings.worker_hostname,
					  .reason = reason,
					  .duration = USEC_NEVER,
					  .detail = detail};

	audit_write(w->audit, &event);
}

void record_refused(struct worker *w, const char *from, const char *id, const char *task,
		    const char *why)
{
	const struct audit_event event = {.decision = "deny",
					  .kind = "message",
					  .tool = or_null(task),
					  .target = from,
					  .task = or_null(id),
					  .actor = w->settings.worker_hostname,
					  .reason = why,
					  .duration = USEC_NEVER};

	audit_write(w->audit, &event);
}
