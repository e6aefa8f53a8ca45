/*
 * A task that asked to be run again. See outcome.h.
 */
#include "outcome.h"

#include "bounds.h"
#include "clock.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "settle.h"

/* Encodes the message that runs it again, in the queue it came from. */
static int encode_retry(struct task_ctx *ctx, struct settle_steps *steps, struct err *err)
{
	struct request *r = ctx->request;
	_cleanup_buf_ struct buf envelope = BUF_INIT(BOUND_MESSAGE_BYTES);
	_cleanup_json_ json_t *headers = NULL;
	struct message_out out;
	char *data;
	size_t len;
	usec_t eta = ctx->countdown > 0 ? clock_wall() + ctx->countdown : 0;
	int rc = message_retry(r->message, r->message->retries + 1, eta, &headers, &out, err);

	if (rc == 0)
		rc = message_encode(&out, &envelope, err);
	if (rc == 0)
		rc = buf_take(&envelope, &data, &len, err);
	if (rc == 0)
		broker_step_push(r->worker->broker, steps, r->delivery.queue, out.priority, data,
				 len);
	return rc;
}

void outcome_retry(struct task_ctx *ctx)
{
	struct request *r = ctx->request;
	int64_t most = r->options->max_retries;
	_cleanup_free_ char *text =
		xasprintf("Retry in %gs", (double)ctx->countdown / (double)USEC_PER_SEC);
	_cleanup_free_ char *traceback = outcome_traceback(r, "celery.exceptions", "Retry", text);
	struct backend_write write = {0};
	struct settle_steps steps = {0};
	struct err err = {0};
	bool keep;

	if (most >= 0 && r->message->retries >= most) {
		task_ctx_set_exception(ctx, "celery.exceptions", "MaxRetriesExceededError",
				       r->name);
		outcome_failure(ctx);
		return;
	}
	if (encode_retry(ctx, &steps, &err) < 0) {
		task_ctx_set_exception(ctx, "kombu.exceptions", "EncodeError", err.msg);
		outcome_failure(ctx);
		return;
	}
	log_info("Task %s[%s] retry: %s", r->shown, r->id, text);
	/* Celery tells the exception that made the task ask, and ours have none */
	events_task_retried(r, "None", traceback);
	keep = settle_encode(r, TASK_RETRY, NULL, traceback, NULL, &write, &err);
	request_settle(r, SETTLE_ACK, NULL, keep ? &write : NULL, &steps);
}
