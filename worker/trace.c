/*
 * Stations 5 to 7 for one request: bind, begin its row, run. How it ends is outcome.c, retry.c,
 * discard.c; stations 8 and 9 are settle.c. Nobody else calls a task.
 */
#include <poll.h>
#include <stdlib.h>

#include "clock.h"
#include "ctx.h"
#include "discard.h"
#include "dispatch.h"
#include "gate.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"
#include "outcome.h"
#include "place.h"
#include "record.h"
#include "redelivery.h"
#include "row.h"
#include "settle.h"
#include "timelimit.h"

#define ASIDE_INTERVAL (2 * USEC_PER_SEC)
#define OUTAGE_POLL_MS 100 /* how soon the return of an engine is seen */

/* An error that the task did not turn into an exception itself. */
static void name_exception(struct task_ctx *ctx, const struct err *err)
{
	if (ctx->exc_type != NULL)
		return;
	if (err->code == ERR_INVALID || err->code == ERR_TOOBIG)
		task_ctx_set_exception(ctx, "builtins", "ValueError", err->msg);
	else if (ctx->task->flags & TASK_SANDBOX)
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
	bool said = false;

	for (;;) {
		struct sandbox *s;
		int rc;

		place_choose(ctx);
		s = ctx->sandbox;
		rc = ctx->task->run(ctx, values, ret_result, err);
		if (rc >= 0 || !(ctx->task->flags & TASK_SANDBOX) || ctx->exc_type != NULL ||
		    !err_is_transient(err) || s == NULL)
			return rc;
		sandbox_look(s);
		if (sandbox_ready(s) && err->code != ERR_UNAVAILABLE)
			return rc;
		if (!said)
			log_warning("Task %s[%s]: %swaiting: %s", r->shown, r->id,
				    sandbox_ready(s) ? "" : "the container engine is away, ",
				    err->msg);
		said = true;
		do {
			if (atomic_load(&r->cancel))
				return rc;
			poll(NULL, 0, OUTAGE_POLL_MS);
		} while (!sandbox_ready(s) && !fleet_is_lost(r->worker->fleet, s));
		*err = (struct err){0};
	}
}

/*
 * The worker ends, and the task did not end by itself: another worker runs it again. What was
 * acknowledged early is nobody's any more; a task of it that gave up is a FAILURE. False: it goes
 * on as ever.
 */
static bool end_with_worker(struct task_ctx *ctx, int rc)
{
	struct request *r = ctx->request;

	if (!atomic_load(&r->acknowledged)) {
		settle_release(r);
		return true;
	}
	if (rc < 0 && !task_ctx_is_signal(rc) && ctx->exc_type == NULL)
		task_ctx_set_exception(ctx, "billiard.exceptions", "WorkerLostError",
				       "The worker was shut down before the task ended, and it was "
				       "acknowledged before it ran.");
	return false;
}

static void fail(struct task_ctx *ctx)
{
	if (!outcome_autoretry(ctx))
		outcome_failure(ctx);
}

static void obey(struct task_ctx *ctx, int rc)
{
	if (rc == -ERR_RETRY)
		outcome_retry(ctx);
	else if (rc == -ERR_REJECT)
		outcome_reject(ctx);
	else
		outcome_ignore(ctx);
}

static void run_task(struct task_ctx *ctx, json_t *const *values)
{
	struct request *r = ctx->request;
	_cleanup_json_ json_t *result = NULL;
	struct err err = {0};
	usec_t began = clock_mono();
	int rc;

	metric_observe(metric_series(METRIC_TASK_WAIT, r->task->name, NULL), began - r->received);
	timelimit_start(r);
	task_ctx_show(ctx);
	rc = run_through_outage(ctx, values, &result, &err);

	ctx->ran = clock_mono() - began;
	metric_observe(metric_series(METRIC_TASK_RUNTIME, r->task->name, NULL), ctx->ran);
	gate_record(ctx, rc < 0, ctx->ran);
	gate_leave(ctx); /* before anybody hears that it has ended */
	if (atomic_load(&r->terminated) != 0) {
		discard_terminated(ctx);
		return;
	}
	if (atomic_load(&r->cancel) && atomic_load(&r->worker->releasing) &&
	    end_with_worker(ctx, rc))
		return;
	if (timelimit_raise(ctx, rc)) {
		fail(ctx);
	} else if (task_ctx_is_signal(rc) && (r->task->flags & TASK_STORED) == 0) {
		obey(ctx, rc);
	} else if (rc < 0) {
		name_exception(ctx, &err);
		fail(ctx);
	} else if (outcome_keep_row(ctx, result, false)) {
		outcome_success(ctx, clock_mono() - began, result);
	}
}

/* What a finished row says is what the client gets, again. */
static void repeat_result(struct request *r, const json_t *result, bool failed)
{
	log_info("Task %s[%s] ran before: its result is sent again", r->shown, r->id);
	settle_result(r, failed ? TASK_FAILURE : TASK_SUCCESS, result, NULL);
}

/* False when the request is somewhere else now. */
static bool begin(struct task_ctx *ctx, json_t *const *values)
{
	struct request *r = ctx->request;
	_cleanup_json_ json_t *result = NULL;
	struct err err = {0};
	bool failed = false;

	if ((ctx->task->flags & TASK_STORED) == 0)
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
		outcome_refused(ctx, &err);
		return false;
	case ROW_ABANDONED:
		settle_release(r);
		return false;
	}
	return false;
}

static void tell_denied(struct task_ctx *ctx)
{
	if (ctx->denied)
		outcome_success(ctx, 0, ctx->denied);
	else
		outcome_failure_unrecorded(ctx);
}

/* A call that the policy lets pass, as far as its project's quota does. */
static void enter(struct task_ctx *ctx, json_t *const *values)
{
	struct request *r = ctx->request;

	switch (gate_enter(ctx)) {
	case GATE_CLOSED:
		tell_denied(ctx);
		return;
	case GATE_ABANDONED:
		settle_release(r);
		return;
	case GATE_OPEN:
		break;
	}
	if (place_call(ctx) && begin(ctx, values) && redelivery_begin(ctx) && settle_accept(r)) {
		events_task_started(r);
		run_task(ctx, values);
	}
	gate_leave(ctx);
}

static void go_on(struct task_ctx *ctx, json_t ***values)
{
	switch (dispatch_call(ctx, values)) {
	case DISPATCH_GO:
		enter(ctx, *values);
		break;
	case DISPATCH_REFUSED:
		tell_denied(ctx);
		break;
	case DISPATCH_ABANDONED:
		settle_release(ctx->request);
		break;
	}
}

void trace_task(struct request *r)
{
	struct task_ctx ctx = {.worker = r->worker, .request = r, .task = r->task};
	_cleanup_free_ json_t **values = xcalloc(r->task->param_count + 1, sizeof(json_t *));
	struct err err = {0};

	if (atomic_load(&r->worker->releasing)) {
		settle_release(r);
		return;
	}
	if (r->task == &discard_unregistered) {
		discard_unknown(r);
		return;
	}
	if (discard_request(r))
		return;
	state_count_accepted(&r->worker->state, r);
	log_scope_begin(r->id, r->name, r->message->traceparent);
	if (task_bind(r->task, r->message->args, r->message->kwargs, values, &err) < 0) {
		task_ctx_set_exception(&ctx, "builtins",
				       err.code == ERR_INVALID ? "TypeError" : "ValueError",
				       err.msg);
		record_arguments(&ctx, err.msg);
		outcome_failure_unrecorded(&ctx);
	} else if (!gate_pass(&ctx, values)) {
		tell_denied(&ctx);
	} else {
		go_on(&ctx, &values);
	}
	log_scope_end();
	task_ctx_done(&ctx);
}
