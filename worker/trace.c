/*
 * Stations 5 to 9 for one request: bind, begin its row, run, finish its row, encode the result,
 * settle. Nobody else calls a task.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bounds.h"
#include "canvas.h"
#include "clock.h"
#include "ctx.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "row.h"
#include "timelimit.h"

#define ASIDE_INTERVAL	(2 * USEC_PER_SEC)
#define RETRIES_DEFAULT 3 /* Task.max_retries */
#define OUTAGE_POLL_MS	100

void trace_release(struct request *r)
{
	state_count(&r->worker->state, COUNT_REQUEUED);
	log_info("Task %s[%s] goes back to its queue", r->name, r->id);
	request_settle(r, SETTLE_REQUEUE, NULL, NULL, NULL);
}

static bool ignores_result(const struct request *r)
{
	if (r->message->ignore_result >= 0)
		return r->message->ignore_result == 1;
	return r->worker->settings.task_ignore_result;
}

/* The meta for `state`; false (and nothing to store) when results are off or ignored. */
static bool encode_meta(struct request *r, enum task_state state, const json_t *result,
			const char *traceback, const json_t *children, struct backend_write *ret,
			struct err *err)
{
	struct worker *w = r->worker;
	_cleanup_json_ json_t *args = row_shown_args(r->task, r->message->args);
	_cleanup_json_ json_t *kwargs = row_shown_kwargs(r->task, r->message->kwargs);
	struct task_meta meta = {.task_id = r->id,
				 .state = state,
				 .result = result,
				 .traceback = traceback,
				 .children = children,
				 .parent_id = r->message->parent_id,
				 .group_id = r->message->group,
				 .name = r->name,
				 .args = args,
				 .kwargs = kwargs,
				 .worker = w->settings.worker_hostname,
				 .retries = r->message->retries,
				 .queue = r->delivery.queue};
	bool keep_anyway = state == TASK_FAILURE && w->settings.task_store_errors_even_if_ignored;

	if (backend_is_disabled(w->backend) || (ignores_result(r) && !keep_anyway))
		return false;
	if (backend_encode(w->backend, &meta, ret, err) == 0)
		return true;
	log_error("Task %s[%s]: %s", r->name, r->id, err->msg);
	return false;
}

/* The follow-ups of an ending. A backend that is away is waited for; false when the worker stops
 * meanwhile. `err` is set when they can never be followed. */
static bool follow(struct request *r, enum task_state state, const json_t *result,
		   struct canvas *ret, struct err *err)
{
	for (;;) {
		struct err step = {0};

		if (canvas_continue(r, state, result, ret, &step) == 0)
			return true;
		if (!err_is_transient(&step)) {
			log_error("Task %s[%s]: its follow-ups are lost: %s", r->name, r->id,
				  step.msg);
			*err = step;
			return true;
		}
		if (atomic_load(&r->worker->releasing))
			return false;
		poll(NULL, 0, OUTAGE_POLL_MS);
	}
}

static void settle_result(struct request *r, enum task_state state, const json_t *result,
			  const char *traceback)
{
	_cleanup_json_ json_t *exception = NULL;
	struct backend_write write = {0};
	struct canvas canvas = {0};
	struct err err = {0}, second = {0};
	bool keep;

	if (!follow(r, state, result, &canvas, &err)) {
		trace_release(r);
		return;
	}
	keep = err.code == 0 &&
	       encode_meta(r, state, result, traceback, canvas.children, &write, &err);
	if (!keep && err.code != 0) {
		/* what cannot be written or followed is a failure that can */
		exception = json_pack("{s:s, s:[s], s:s}", "exc_type", "EncodeError", "exc_message",
				      err.msg, "exc_module", "kombu.exceptions");
		canvas_done(&canvas);
		if (state == TASK_SUCCESS &&
		    !follow(r, TASK_FAILURE, exception, &canvas, &second)) {
			trace_release(r);
			return;
		}
		keep = encode_meta(r, TASK_FAILURE, exception, NULL, NULL, &write, &second);
	}
	request_settle(r, SETTLE_ACK, NULL, keep ? &write : NULL, &canvas.steps);
	canvas_done(&canvas);
}

static void log_success(const struct request *r, usec_t runtime, const json_t *result)
{
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_REPR_BYTES + 64);

	if (!log_enabled(LOG_LEVEL_INFO))
		return;
	json_repr(result, BOUND_REPR_BYTES, &text);
	log_info("Task %s[%s] succeeded in %.6fs: %s", r->name, r->id,
		 (double)runtime / (double)USEC_PER_SEC, text.data);
}

static void succeed(struct task_ctx *ctx, usec_t runtime, const json_t *result)
{
	struct request *r = ctx->request;

	state_count(&r->worker->state, COUNT_SUCCEEDED);
	log_success(r, runtime, result);
	events_task_succeeded(r, result, runtime);
	settle_result(r, TASK_SUCCESS, result, NULL);
}

/* One line that reads like the end of a Python traceback: clients print it. */
static char *make_traceback(const struct task_ctx *ctx)
{
	const char *text = json_string_value(json_array_get(ctx->exc_message, 0));

	return xasprintf("Traceback (most recent call last):\n  Task \"%s\", in celeriac\n%s: %s\n",
			 ctx->request->name, ctx->exc_type, text ? text : "");
}

static void fail(struct task_ctx *ctx)
{
	struct request *r = ctx->request;
	_cleanup_json_ json_t *exception = task_ctx_exception(ctx);
	_cleanup_free_ char *traceback = make_traceback(ctx);
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_REPR_BYTES * 2);

	state_count(&r->worker->state, COUNT_FAILED);
	buf_appendf(&text, "%s(", ctx->exc_type);
	if (json_array_size(ctx->exc_message) > 0)
		json_repr(json_array_get(ctx->exc_message, 0), BOUND_REPR_BYTES, &text);
	buf_append_char(&text, ')');
	log_error("Task %s[%s] raised unexpected: %s", r->name, r->id, text.data);
	events_task_failed(r, text.data, traceback);
	settle_result(r, TASK_FAILURE, exception, traceback);
}

/* The database will never take the row: the task is a FAILURE. */
static void refuse(struct task_ctx *ctx, const struct err *err)
{
	log_error("Task %s[%s]: its row was refused: %s", ctx->request->name, ctx->request->id,
		  err->msg);
	task_ctx_set_exception(ctx, "celeriac", "StoreError", err->msg);
	fail(ctx);
}

/* The row is written before the result, so that a result implies a row. False: the message went
 * back or was dropped. */
static bool keep_row(struct task_ctx *ctx, const json_t *result, bool failed)
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
			    r->name, r->id);
		request_settle(r, SETTLE_ACK, NULL, NULL, NULL);
		return false;
	case ROW_UNKEPT:
		break;
	}
	if (row_is_refused(&err))
		refuse(ctx, &err);
	else
		trace_release(r);
	return false;
}

/* REVOKED, for the reason that Celery's clients know. */
static void settle_revoked(struct request *r, const char *reason, int signum)
{
	_cleanup_json_ json_t *exception =
		json_pack("{s:s, s:[s], s:s}", "exc_type", "TaskRevokedError", "exc_message",
			  reason, "exc_module", "celery.exceptions");
	bool expired = strcmp(reason, "expired") == 0;

	state_count(&r->worker->state, expired ? COUNT_EXPIRED : COUNT_REVOKED);
	events_task_revoked(r, signum != 0, signum, expired);
	settle_result(r, TASK_REVOKED, exception, NULL);
}

bool trace_discard(struct request *r)
{
	struct revoked *revoked = &r->worker->revoked;
	bool expired = r->message->expires != 0 && r->message->expires <= clock_wall();

	if (!expired && !revoked_has(revoked, r->id) &&
	    !revoked_has_stamp(revoked, r->message->headers))
		return false;
	log_info("Discarding revoked task: %s[%s]", r->name, r->id);
	settle_revoked(r, expired ? "expired" : "revoked", 0);
	return true;
}

/* Ended by remote control, whatever it still returned. */
static void terminate(struct task_ctx *ctx)
{
	struct request *r = ctx->request;
	int signum = atomic_load(&r->terminated);
	_cleanup_json_ json_t *row =
		json_pack("{s:s, s:[s], s:s}", "exc_type", "Terminated", "exc_message",
			  "terminated", "exc_module", "billiard.exceptions");

	ctx->record.finish.error = "terminated";
	if (!keep_row(ctx, row, true))
		return;
	log_error("Task %s[%s] terminated (signal %d)", r->name, r->id, signum);
	settle_revoked(r, "terminated", signum);
}

/* An error that the task did not turn into an exception itself. */
static void name_exception(struct task_ctx *ctx, const struct err *err)
{
	if (ctx->exc_type != NULL)
		return;
	if (err->code == ERR_INVALID || err->code == ERR_TOOBIG)
		task_ctx_set_exception(ctx, "builtins", "ValueError", err->msg);
	else if (ctx->request->task->flags & TASK_SANDBOX)
		task_ctx_set_exception(ctx, "celeriac", "SandboxError", err->msg);
	else
		task_ctx_set_exception(ctx, "builtins", "RuntimeError", err->msg);
}

/*
 * Runs it, again and again while the engine is away, while Redis does not know whose the
 * conversation is, or while no container is free: as with the database, what was claimed waits
 * here.
 */
static int run_through_outage(struct task_ctx *ctx, json_t *const *values, json_t **ret_result,
			      struct err *err)
{
	struct request *r = ctx->request;
	struct sandbox *s = r->worker->sandbox;
	bool said = false;

	for (;;) {
		int rc = r->task->run(ctx, values, ret_result, err);

		if (rc >= 0 || !(r->task->flags & TASK_SANDBOX) || ctx->exc_type != NULL ||
		    !err_is_transient(err) || s == NULL)
			return rc;
		sandbox_look(s);
		if (sandbox_ready(s) && err->code != ERR_UNAVAILABLE)
			return rc;
		if (!said)
			log_warning("Task %s[%s]: %swaiting: %s", r->name, r->id,
				    sandbox_ready(s) ? "" : "the container engine is away, ",
				    err->msg);
		said = true;
		do {
			if (atomic_load(&r->cancel))
				return rc;
			poll(NULL, 0, OUTAGE_POLL_MS);
		} while (!sandbox_ready(s));
		*err = (struct err){0};
	}
}

static void fail_finally(struct task_ctx *ctx)
{
	_cleanup_json_ json_t *exception = task_ctx_exception(ctx);

	ctx->record.finish.error = json_string_value(json_array_get(ctx->exc_message, 0));
	if (keep_row(ctx, exception, true))
		fail(ctx);
}

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

/* Published again with every header and option kept, then RETRY, then acked: one step. */
static void retry(struct task_ctx *ctx)
{
	struct request *r = ctx->request;
	int64_t most = r->task->max_retries == 0 ? RETRIES_DEFAULT : r->task->max_retries;
	_cleanup_free_ char *text =
		xasprintf("Retry in %gs", (double)ctx->countdown / (double)USEC_PER_SEC);
	_cleanup_json_ json_t *exception =
		json_pack("{s:s, s:[s], s:s}", "exc_type", "Retry", "exc_message", text,
			  "exc_module", "celery.exceptions");
	struct backend_write write = {0};
	struct settle_steps steps = {0};
	struct err err = {0};
	bool keep;

	if (most >= 0 && r->message->retries >= most) {
		task_ctx_set_exception(ctx, "celery.exceptions", "MaxRetriesExceededError",
				       r->name);
		fail_finally(ctx);
		return;
	}
	if (encode_retry(ctx, &steps, &err) < 0) {
		task_ctx_set_exception(ctx, "kombu.exceptions", "EncodeError", err.msg);
		fail_finally(ctx);
		return;
	}
	log_info("Task %s[%s] retry: %s", r->name, r->id, text);
	events_task_retried(r, text, NULL);
	keep = encode_meta(r, TASK_RETRY, exception, NULL, NULL, &write, &err);
	request_settle(r, SETTLE_ACK, NULL, keep ? &write : NULL, &steps);
}

static void run_task(struct task_ctx *ctx, json_t *const *values)
{
	struct request *r = ctx->request;
	_cleanup_json_ json_t *result = NULL;
	struct err err = {0};
	usec_t began = clock_mono();
	int rc;

	timelimit_start(r);
	rc = run_through_outage(ctx, values, &result, &err);

	if (atomic_load(&r->terminated) != 0) {
		terminate(ctx);
		return;
	}
	if (atomic_load(&r->cancel) && atomic_load(&r->worker->releasing)) {
		trace_release(r); /* it did not end by itself: another worker runs it again */
		return;
	}
	if (timelimit_raise(ctx)) {
		fail_finally(ctx);
		return;
	}
	if (rc == -ERR_RETRY && (r->task->flags & TASK_STORED) == 0) {
		retry(ctx);
		return;
	}
	if (rc < 0) {
		name_exception(ctx, &err);
		fail_finally(ctx);
		return;
	}
	if (keep_row(ctx, result, false))
		succeed(ctx, clock_mono() - began, result);
}

/* What a finished row says is what the client gets, again. */
static void repeat_result(struct request *r, const json_t *result, bool failed)
{
	log_info("Task %s[%s] ran before: its result is sent again", r->name, r->id);
	settle_result(r, failed ? TASK_FAILURE : TASK_SUCCESS, result, NULL);
}

/* False when the request is somewhere else now. */
static bool begin(struct task_ctx *ctx, json_t *const *values)
{
	struct request *r = ctx->request;
	_cleanup_json_ json_t *result = NULL;
	struct err err = {0};
	bool failed = false;

	if ((r->task->flags & TASK_STORED) == 0)
		return true;
	switch (row_begin(ctx, values, &result, &failed, &err)) {
	case ROW_RUN:
		return true;
	case ROW_FINISHED:
		repeat_result(r, result, failed);
		return false;
	case ROW_ASIDE:
		keeper_set_aside(r->worker, r, clock_deadline(ASIDE_INTERVAL));
		return false;
	case ROW_REFUSED:
		refuse(ctx, &err);
		return false;
	case ROW_ABANDONED:
		trace_release(r);
		return false;
	}
	return false;
}

static void store_started(struct request *r)
{
	struct backend_write write = {0};
	struct err err = {0};
	_cleanup_json_ json_t *who = json_pack("{s:i, s:s}", "pid", (int)getpid(), "hostname",
					       r->worker->settings.worker_hostname);

	if (r->worker->settings.task_track_started &&
	    encode_meta(r, TASK_STARTED, who, NULL, NULL, &write, &err))
		backend_store(r->worker->backend, &write, NULL, NULL);
}

const struct task trace_unregistered = {.name = ""};

/* Celery drops a task of unknown name and stores why. */
static void drop_unknown(struct request *r)
{
	state_count(&r->worker->state, COUNT_UNKNOWN);
	_cleanup_json_ json_t *exception =
		json_pack("{s:s, s:[s], s:s}", "exc_type", "NotRegistered", "exc_message", r->name,
			  "exc_module", "celery.exceptions");

	events_task_unknown(r);
	settle_result(r, TASK_FAILURE, exception, NULL);
}

void trace_task(struct request *r)
{
	struct task_ctx ctx = {.worker = r->worker, .request = r};
	_cleanup_free_ json_t **values = xcalloc(r->task->param_count + 1, sizeof(json_t *));
	struct err err = {0};

	if (atomic_load(&r->worker->releasing)) {
		trace_release(r);
		return;
	}
	if (r->task == &trace_unregistered) {
		drop_unknown(r);
		return;
	}
	if (trace_discard(r))
		return;
	state_count_accepted(&r->worker->state, r);
	log_scope_begin(r->id, r->name);
	if (task_bind(r->task, r->message->args, r->message->kwargs, values, &err) < 0) {
		task_ctx_set_exception(&ctx, "builtins",
				       err.code == ERR_INVALID ? "TypeError" : "ValueError",
				       err.msg);
		fail(&ctx);
	} else if (begin(&ctx, values)) {
		store_started(r);
		events_task_started(r);
		run_task(&ctx, values);
	}
	log_scope_end();
	task_ctx_done(&ctx);
}
