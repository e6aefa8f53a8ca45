/*
 * A task that asked to be run again, or is because it failed (celery/app/task.py, autoretry.py).
 * See outcome.h.
 */
#include "outcome.h"

#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "codec.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"
#include "row.h"
#include "settle.h"

/* Encodes the message that runs it again, in the queue it came from. */
static int encode_again(struct task_ctx *ctx, int64_t retries, usec_t eta,
			struct settle_steps *steps, struct err *err)
{
	struct request *r = ctx->request;
	_cleanup_buf_ struct buf envelope = BUF_INIT(BOUND_MESSAGE_BYTES);
	_cleanup_json_ json_t *headers = NULL;
	struct message_out out;
	char *data;
	size_t len;
	int rc = message_retry(r->message, retries, eta, &headers, &out, err);

	if (rc == 0)
		rc = message_encode(&out, &envelope, err);
	if (rc == 0)
		rc = buf_take(&envelope, &data, &len, err);
	if (rc == 0)
		broker_step_push(r->worker->broker, steps, r->delivery.queue, out.priority, data,
				 len);
	return rc;
}

static void fail_encoding(struct task_ctx *ctx, const struct err *err)
{
	task_ctx_set_exception(ctx, "kombu.exceptions", "EncodeError", err->msg);
	outcome_failure(ctx);
}

/* Once more than max_retries: what the task raised, else Celery's exception in Celery's words. */
static void give_up(struct task_ctx *ctx)
{
	struct request *r = ctx->request;
	_cleanup_json_ json_t *args = row_shown_args(r->task, r->message->args);
	_cleanup_json_ json_t *kwargs = row_shown_kwargs(r->task, r->message->kwargs);
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_ERROR_TEXT);

	if (ctx->exc_type == NULL) {
		buf_appendf(&text, "Can't retry %s[%s] args:", r->name, r->id);
		json_repr(args, BOUND_REPR_BYTES, &text);
		buf_append_str(&text, " kwargs:");
		json_repr(kwargs, BOUND_REPR_BYTES, &text);
		task_ctx_set_exception(ctx, "celery.exceptions", "MaxRetriesExceededError",
				       text.data);
	}
	outcome_failure(ctx);
}

/* "Retry in 3s: ValueError('no')", "Retry at 2026-11-28 10:00:00+00:00" */
static void describe(const struct task_ctx *ctx, struct buf *out)
{
	char when[CLOCK_ISO_SIZE];

	if (ctx->eta != 0) {
		clock_iso(ctx->eta, when);
		when[strcspn(when, "T")] = ' ';
		buf_appendf(out, "Retry at %s", when);
	} else {
		buf_appendf(out, "Retry in %.15gs", (double)ctx->countdown / (double)USEC_PER_SEC);
	}
	if (ctx->exc_type != NULL) {
		buf_append_str(out, ": ");
		task_ctx_repr(ctx, out);
	}
}

/* -1: without end. */
static int64_t most_retries(const struct task_ctx *ctx)
{
	if (ctx->max_retries == 0)
		return ctx->request->options->max_retries;
	return ctx->max_retries == TASK_RETRIES_NONE ? 0 : ctx->max_retries;
}

static usec_t when_again(const struct task_ctx *ctx)
{
	if (ctx->eta != 0)
		return ctx->eta;
	return ctx->countdown > 0 ? clock_wall() + ctx->countdown : 0;
}

void outcome_retry(struct task_ctx *ctx)
{
	struct request *r = ctx->request;
	int64_t most = most_retries(ctx);
	usec_t eta = when_again(ctx);
	bool raised = ctx->exc_type != NULL;
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_ERROR_TEXT * 2);
	_cleanup_buf_ struct buf repr = BUF_INIT(BOUND_ERROR_TEXT * 2);
	_cleanup_json_ json_t *exception = raised ? task_ctx_exception(ctx) : NULL;
	_cleanup_free_ char *traceback = NULL;
	struct backend_write write = {0};
	struct settle_steps steps = {0};
	struct err err = {0};
	bool keep;

	if (most >= 0 && r->message->retries >= most) {
		give_up(ctx);
		return;
	}
	if (encode_again(ctx, r->message->retries + 1, eta, &steps, &err) < 0) {
		fail_encoding(ctx, &err);
		return;
	}
	metric_count(METRIC_TASKS, r->task->name, task_state_name(TASK_RETRY));
	describe(ctx, &text);
	traceback = outcome_traceback(r, "celery.exceptions", "Retry", text.data);
	log_info("Task %s[%s] retry: %s", r->shown, r->id, text.data);
	if (raised)
		task_ctx_repr(ctx, &repr);
	else
		buf_append_str(&repr, "None");
	events_task_retried(r, repr.data, traceback);
	r->runs_again = true;
	keep = settle_encode(r, TASK_RETRY, exception, traceback, NULL, &write, &err);
	request_settle(r, SETTLE_ACK, NULL, keep ? &write : NULL, &steps);
}

void outcome_republish(struct task_ctx *ctx)
{
	struct request *r = ctx->request;
	struct settle_steps steps = {0};
	struct err err = {0};

	if (encode_again(ctx, r->message->retries, 0, &steps, &err) < 0)
		fail_encoding(ctx, &err);
	else
		request_settle(r, SETTLE_ACK, NULL, NULL, &steps);
}

/* ---- automatic retries ---- */

static bool names(const char *const *list, const struct task_ctx *ctx)
{
	_cleanup_free_ char *whole = xasprintf("%s.%s", ctx->exc_module, ctx->exc_type);

	for (; list != NULL && *list != NULL; list++) {
		if (strcmp(*list, ctx->exc_type) == 0 || strcmp(*list, whole) == 0 ||
		    strcmp(*list, "Exception") == 0)
			return true;
	}
	return false;
}

/* Whole seconds between 0 and `most`, both included. */
static int64_t random_seconds(int64_t most)
{
	uint64_t n;

	random_bytes(&n, sizeof(n));
	return (int64_t)(n % ((uint64_t)most + 1));
}

usec_t retry_countdown(const struct task_options *o, int64_t retries)
{
	int64_t most = o->retry_backoff_max / USEC_PER_SEC;
	int64_t seconds = o->retry_backoff / USEC_PER_SEC;

	if (o->retry_backoff == 0)
		return o->default_retry_delay;
	if (seconds < 1)
		seconds = 1;
	for (int64_t i = 0; i < retries && seconds < most; i++)
		seconds *= 2;
	if (seconds > most)
		seconds = most;
	return (o->retry_jitter == TASK_YES ? random_seconds(seconds) : seconds) * USEC_PER_SEC;
}

bool outcome_autoretry(struct task_ctx *ctx)
{
	const struct request *r = ctx->request;
	const struct task_options *o = r->options;

	if ((r->task->flags & TASK_STORED) || ctx->timed_out || !names(o->autoretry_for, ctx) ||
	    names(o->dont_autoretry_for, ctx))
		return false;
	ctx->eta = 0;
	ctx->max_retries = 0;
	ctx->countdown = retry_countdown(o, r->message->retries);
	outcome_retry(ctx);
	return true;
}
