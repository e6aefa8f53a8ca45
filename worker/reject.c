/*
 * Tasks that reject their message or want no result (Reject and Ignore in celery/exceptions.py).
 * See outcome.h.
 */
#include "outcome.h"

#include <string.h>

#include "bounds.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "settle.h"

void outcome_ignore(struct task_ctx *ctx)
{
	struct request *r = ctx->request;

	log_info("Task %s[%s] ignored", r->shown, r->id);
	request_settle(r, SETTLE_ACK, NULL, NULL, NULL);
}

/* Back to its queue. What was acknowledged early is no longer the broker's to give back: it is
 * published again, as the task asked to be run again and not to be dropped. */
static void give_back(struct task_ctx *ctx)
{
	struct request *r = ctx->request;

	state_count(&r->worker->state, COUNT_REQUEUED);
	if (atomic_load(&r->acknowledged)) {
		outcome_republish(ctx);
		return;
	}
	events_task_rejected(r, true);
	request_settle(r, SETTLE_REJECT, NULL, NULL, NULL);
}

/* It will never run again: a FAILURE. */
static void drop(struct task_ctx *ctx, const char *text)
{
	struct request *r = ctx->request;
	_cleanup_json_ json_t *reason = ctx->reason ? json_incref(ctx->reason) : json_null();
	_cleanup_json_ json_t *exception =
		json_pack("{s:s, s:[O, b], s:s}", "exc_type", "Reject", "exc_message", reason, 0,
			  "exc_module", "celery.exceptions");

	state_count(&r->worker->state, COUNT_FAILED);
	events_task_failed(r, text, text);
	if (!atomic_load(&r->acknowledged)) {
		state_count(&r->worker->state, COUNT_REJECTED);
		r->dead_reason = xstrdup(text);
		events_task_rejected(r, false);
	}
	settle_result(r, TASK_FAILURE, exception, text);
}

void outcome_reject(struct task_ctx *ctx)
{
	struct request *r = ctx->request;
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_ERROR_TEXT);

	buf_appendf(&text, "reject requeue=%s: ", ctx->requeue ? "True" : "False");
	if (ctx->reason != NULL)
		json_text_append(ctx->reason, &text);
	else
		buf_append_str(&text, "None");
	log_warning("Task %s[%s] %s", r->shown, r->id, text.data);
	if (ctx->requeue)
		give_back(ctx);
	else
		drop(ctx, text.data);
}
