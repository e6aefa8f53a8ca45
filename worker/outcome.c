/*
 * How a task that ran ends: log, event, row, result. See outcome.h.
 */
#include "outcome.h"

#include <string.h>

#include "bounds.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "row.h"
#include "settle.h"

static void log_success(const struct request *r, usec_t runtime, const json_t *result)
{
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_REPR_BYTES + 64);

	if (!log_enabled(LOG_LEVEL_INFO))
		return;
	json_repr(result, BOUND_REPR_BYTES, &text);
	log_info("Task %s[%s] succeeded in %.6fs: %s", r->shown, r->id,
		 (double)runtime / (double)USEC_PER_SEC, text.data);
}

void outcome_success(struct task_ctx *ctx, usec_t runtime, const json_t *result)
{
	struct request *r = ctx->request;

	state_count(&r->worker->state, COUNT_SUCCEEDED);
	log_success(r, runtime, result);
	events_task_succeeded(r, result, runtime);
	settle_result(r, TASK_SUCCESS, result, NULL);
}

char *outcome_traceback(const struct request *r, const char *module, const char *type,
			const char *text)
{
	bool builtin = strcmp(module, "builtins") == 0;

	return xasprintf(
		"Traceback (most recent call last):\n  Task \"%s\", in celeriac\n%s%s%s%s%s\n",
		r->name, builtin ? "" : module, builtin ? "" : ".", type, *text != '\0' ? ": " : "",
		text);
}

char *outcome_exception_traceback(const struct task_ctx *ctx)
{
	_cleanup_buf_ struct buf repr = BUF_INIT(BOUND_REPR_BYTES * 2);
	const json_t *first = json_array_get(ctx->exc_message, 0);
	const char *text = json_string_value(first);

	if (text == NULL && first != NULL) {
		json_repr(first, BOUND_REPR_BYTES, &repr);
		text = repr.data;
	}
	return outcome_traceback(ctx->request, ctx->exc_module, ctx->exc_type, text ? text : "");
}

/*
 * What becomes of the message of a task that failed (on_failure and on_timeout in
 * celery/worker/request.py). A task with a row keeps its first verdict: to deliver it again would
 * bring the same result.
 */
static void choose_ack(struct task_ctx *ctx, const char *exception)
{
	struct request *r = ctx->request;
	const struct task_options *o = r->options;
	bool stored = (r->task->flags & TASK_STORED) != 0;

	if (atomic_load(&r->acknowledged) || r->dead_reason != NULL)
		return;
	if (ctx->timed_out && o->acks_on_timeout == TASK_NO && !stored) {
		r->reject = true;
		state_count(&r->worker->state, COUNT_REQUEUED);
		events_task_rejected(r, true);
	} else if (!ctx->timed_out && o->acks_on_failure == TASK_NO) {
		r->dead_reason = xstrdup(exception);
		state_count(&r->worker->state, COUNT_REJECTED);
		events_task_rejected(r, false);
	}
}

void outcome_failure_unrecorded(struct task_ctx *ctx)
{
	struct request *r = ctx->request;
	_cleanup_json_ json_t *exception = task_ctx_exception(ctx);
	_cleanup_free_ char *traceback = outcome_exception_traceback(ctx);
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_REPR_BYTES * 4);

	state_count(&r->worker->state, COUNT_FAILED);
	task_ctx_repr(ctx, &text);
	log_error("Task %s[%s] raised unexpected: %s", r->shown, r->id, text.data);
	choose_ack(ctx, text.data);
	events_task_failed(r, text.data, traceback);
	settle_result(r, TASK_FAILURE, exception, traceback);
}

void outcome_refused(struct task_ctx *ctx, const struct err *err)
{
	log_error("Task %s[%s]: its row was refused: %s", ctx->request->shown, ctx->request->id,
		  err->msg);
	task_ctx_set_exception(ctx, "celeriac", "StoreError", err->msg);
	outcome_failure_unrecorded(ctx);
}

bool outcome_keep_row(struct task_ctx *ctx, const json_t *result, bool failed)
{
	struct request *r = ctx->request;
	struct err err = {0};

	if ((r->task->flags & TASK_STORED) == 0)
		return true;
	switch (row_finish(ctx, result, failed, &err)) {
	case ROW_WRITTEN:
		return true;
	case ROW_LOST:
		log_warning("Task %s[%s]: another worker has taken it over, this result is dropped",
			    r->shown, r->id);
		request_settle(r, SETTLE_ACK, NULL, NULL, NULL);
		return false;
	case ROW_UNKEPT:
		break;
	}
	if (row_is_refused(&err))
		outcome_refused(ctx, &err);
	else
		settle_release(r);
	return false;
}

void outcome_failure(struct task_ctx *ctx)
{
	_cleanup_json_ json_t *exception = task_ctx_exception(ctx);

	ctx->record.finish.error = json_string_value(json_array_get(ctx->exc_message, 0));
	if (outcome_keep_row(ctx, exception, true))
		outcome_failure_unrecorded(ctx);
}
