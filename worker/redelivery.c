/*
 * Messages that were delivered before. See redelivery.h.
 */
#include "redelivery.h"

#include <poll.h>
#include <string.h>

#include "clock.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "outcome.h"
#include "settle.h"

#define PATIENCE       (2 * USEC_PER_SEC) /* for one answer of Redis */
#define OUTAGE_POLL_MS 100

/* Asks until there is an answer. False when the worker stops before: the request was given back. */
static bool ask(struct request *r, int (*question)(struct request *r, void *ret, struct err *err),
		void *ret)
{
	for (;;) {
		struct err err = {0};

		if (question(r, ret, &err) == 0)
			return true;
		if (!err_is_transient(&err)) {
			log_error("Task %s[%s]: %s", r->shown, r->id, err.msg);
			return true;
		}
		if (atomic_load(&r->worker->releasing)) {
			settle_release(r);
			return false;
		}
		poll(NULL, 0, OUTAGE_POLL_MS);
	}
}

static int load_meta(struct request *r, void *ret, struct err *err)
{
	return backend_load(r->worker->backend, r->id, clock_deadline(PATIENCE), ret, err);
}

static int note_begin(struct request *r, void *ret, struct err *err)
{
	return broker_begin(r->worker->broker, r->delivery.tag, r->id, clock_deadline(PATIENCE),
			    ret, err);
}

static bool has_followups(const struct message *m)
{
	return json_array_size(json_object_get(m->embed, "callbacks")) > 0 ||
	       json_array_size(json_object_get(m->embed, "chain")) > 0;
}

/*
 * What ran before to its end is settled without running. Where result and ack are one step, its
 * follow-ups are out unless the result tells of none, as Celery sees it. Elsewhere the result may
 * have been stored without them: they go out again, under the same ids.
 */
static void settle_again(struct request *r, const json_t *meta)
{
	bool told = json_array_size(json_object_get(meta, "children")) > 0;

	log_info("Task %s[%s] ignored: Task already completed successfully.", r->shown, r->id);
	if (!backend_shares_broker(r->worker->backend) || (has_followups(r->message) && !told))
		settle_result(r, TASK_SUCCESS, json_object_get(meta, "result"), NULL);
	else
		request_settle(r, SETTLE_ACK, NULL, NULL, NULL);
}

/* True when it is settled, and gone. */
static bool is_done(struct request *r)
{
	_cleanup_json_ json_t *meta = NULL;
	const char *status;

	if (!r->worker->settings.worker_deduplicate_successful_tasks ||
	    (r->task->flags & TASK_STORED) != 0)
		return false;
	if (!ask(r, load_meta, &meta))
		return true;
	status = json_member_str(meta, "status");
	if (status == NULL || strcmp(status, "SUCCESS") != 0 ||
	    json_object_get(meta, "result") == NULL)
		return false; /* nor when nobody can say what it returned */
	settle_again(r, meta);
	return true;
}

static void bury(struct task_ctx *ctx, int64_t limit)
{
	struct request *r = ctx->request;
	_cleanup_free_ char *reason = xasprintf(
		"Worker exited prematurely: the task was delivered again more than %lld time(s) "
		"and never came to an end.",
		(long long)limit);

	log_critical("Task %s[%s] kills whoever runs it, or is never given the time: kept in "
		     "celeriac:dead after %lld redeliveries",
		     r->shown, r->id, (long long)limit);
	state_count(&r->worker->state, COUNT_REJECTED);
	r->dead_reason = xasprintf("WorkerLostError: %s", reason);
	task_ctx_set_exception(ctx, "billiard.exceptions", "WorkerLostError", reason);
	outcome_failure(ctx);
}

/* Celery's reject_on_worker_lost, false: what a lost worker ran is not run again. */
static bool runs_once(const struct request *r)
{
	return r->options->reject_on_worker_lost == TASK_NO && r->options->acks_late == TASK_YES;
}

static void lose(struct task_ctx *ctx)
{
	struct request *r = ctx->request;

	log_error("Task %s[%s] was running when its worker was lost", r->shown, r->id);
	task_ctx_set_exception(ctx, "billiard.exceptions", "WorkerLostError",
			       "Worker exited prematurely.");
	outcome_failure(ctx);
}

bool redelivery_begin(struct task_ctx *ctx)
{
	struct request *r = ctx->request;
	int64_t limit = r->worker->settings.redelivery_limit, begun = 0;
	bool once = runs_once(r);

	if (r->message->redelivered && is_done(r))
		return false;
	if (!once && (!r->message->redelivered || limit == 0))
		return true;
	r->begun = true;
	if (!ask(r, note_begin, &begun))
		return false;
	if (begun < 0) {
		log_warning("Task %s[%s] was taken from us before it began: left to others",
			    r->shown, r->id);
		request_settle(r, SETTLE_ACK, NULL, NULL, NULL);
		return false;
	}
	if (begun <= (once ? 1 : limit))
		return true;
	if (once)
		lose(ctx);
	else
		bury(ctx, limit);
	return false;
}
