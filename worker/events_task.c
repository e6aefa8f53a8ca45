/*
 * What happens to tasks, as events (celery/worker/request.py, strategy.py).
 */
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "event.h"
#include "events.h"
#include "info.h"
#include "json.h"
#include "mem.h"
#include "worker.h"

#define TEXT 4096 /* bytes of an exception or traceback */

/* False when nobody wants it; else `json` has its first fields. */
static bool begin(struct request *r, const char *type, struct buf *json)
{
	struct worker *w = r->worker;

	if (!w->events.started || !atomic_load_explicit(&w->events.tasks, memory_order_relaxed))
		return false;
	event_begin(json, type, w->settings.worker_hostname, lamport_forward(&w->clock));
	event_add_str(json, "uuid", r->id);
	return true;
}

static void end(struct request *r, const char *type, struct buf *json)
{
	event_end(json);
	events_queue(r->worker, events_item(r->worker, type, json));
}

/* One of the last of this request. */
static void end_later(struct request *r, const char *type, struct buf *json)
{
	event_end(json);
	events_append(&r->last_events, events_item(r->worker, type, json));
}

void events_release(struct request *r)
{
	events_queue(r->worker, TAKE(r->last_events));
}

static void add_date(const struct worker *w, struct buf *json, const char *key, usec_t wall)
{
	char text[CLOCK_ISO_SIZE];

	if (wall == 0) {
		event_add_null(json, key);
		return;
	}
	timezone_iso(w->zone, wall, text);
	event_add_str(json, key, text);
}

void events_task_received(struct request *r)
{
	_cleanup_buf_ struct buf json = BUF_INIT(BOUND_EVENT_BYTES);
	_cleanup_buf_ struct buf args = BUF_INIT(BOUND_EVENT_BYTES);
	_cleanup_buf_ struct buf kwargs = BUF_INIT(BOUND_EVENT_BYTES);

	if (!begin(r, "task-received", &json))
		return;
	info_args_repr(r, &args);
	info_kwargs_repr(r, &kwargs);
	event_add_str(&json, "name", r->shown);
	event_add_text(&json, "args", (struct slice){args.data, args.len});
	event_add_text(&json, "kwargs", (struct slice){kwargs.data, kwargs.len});
	event_add_str(&json, "root_id", r->message->root_id);
	event_add_str(&json, "parent_id", r->message->parent_id);
	event_add_int(&json, "retries", r->message->retries);
	add_date(r->worker, &json, "eta", r->message->eta);
	add_date(r->worker, &json, "expires", r->message->expires);
	end(r, "task-received", &json);
}

void events_task_started(struct request *r)
{
	_cleanup_buf_ struct buf json = BUF_INIT(BOUND_EVENT_BYTES);

	if (begin(r, "task-started", &json))
		end(r, "task-started", &json);
}

void events_task_succeeded(struct request *r, const json_t *result, usec_t runtime)
{
	_cleanup_buf_ struct buf json = BUF_INIT(BOUND_EVENT_BYTES);
	_cleanup_buf_ struct buf repr = BUF_INIT(BOUND_REPR_BYTES + 64);

	if (!begin(r, "task-succeeded", &json))
		return;
	json_repr(result, BOUND_REPR_BYTES, &repr);
	event_add_text(&json, "result", (struct slice){repr.data, repr.len});
	event_add_double(&json, "runtime", (double)runtime / (double)USEC_PER_SEC);
	end_later(r, "task-succeeded", &json);
}

static void send_exception(struct request *r, const char *type, const char *exception,
			   const char *traceback)
{
	_cleanup_buf_ struct buf json = BUF_INIT(BOUND_EVENT_BYTES);

	if (!begin(r, type, &json))
		return;
	event_add_text(&json, "exception", (struct slice){exception, strnlen(exception, TEXT)});
	if (traceback != NULL)
		event_add_text(&json, "traceback",
			       (struct slice){traceback, strnlen(traceback, TEXT)});
	else
		event_add_null(&json, "traceback");
	end_later(r, type, &json);
}

void events_task_failed(struct request *r, const char *exception, const char *traceback)
{
	send_exception(r, "task-failed", exception, traceback);
}

void events_task_unknown(struct request *r)
{
	_cleanup_buf_ struct buf json = BUF_INIT(BOUND_EVENT_BYTES);
	_cleanup_free_ char *exception = xasprintf("NotRegistered('%s')", r->name);

	if (!begin(r, "task-failed", &json))
		return;
	event_add_str(&json, "exception", exception);
	end_later(r, "task-failed", &json);
}

void events_task_retried(struct request *r, const char *exception, const char *traceback)
{
	send_exception(r, "task-retried", exception, traceback);
}

void events_task_revoked(struct request *r, bool terminated, int signum, bool expired)
{
	_cleanup_buf_ struct buf json = BUF_INIT(BOUND_EVENT_BYTES);

	if (!begin(r, "task-revoked", &json))
		return;
	event_add_bool(&json, "terminated", terminated);
	if (signum != 0)
		event_add_int(&json, "signum", signum);
	else
		event_add_null(&json, "signum");
	event_add_bool(&json, "expired", expired);
	end_later(r, "task-revoked", &json);
}

void events_task_rejected(struct request *r, bool requeue)
{
	_cleanup_buf_ struct buf json = BUF_INIT(BOUND_EVENT_BYTES);

	if (!begin(r, "task-rejected", &json))
		return;
	event_add_bool(&json, "requeue", requeue);
	end_later(r, "task-rejected", &json);
}
