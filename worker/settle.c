/*
 * Stations 8 and 9: a result, what follows from it, and the message, settled as one. See settle.h.
 */
#include "settle.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "canvas.h"
#include "clock.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "row.h"

#define LOOK_PATIENCE  (5 * USEC_PER_SEC)
#define OUTAGE_POLL_MS 100 /* how soon the return of a backend is seen */

void settle_release(struct request *r)
{
	state_count(&r->worker->state, COUNT_REQUEUED);
	log_info("Task %s[%s] goes back to its queue", r->name, r->id);
	request_settle(r, SETTLE_REQUEUE, NULL, NULL, NULL);
}

static bool ignores_result(const struct request *r)
{
	if (r->message->ignore_result >= 0)
		return r->message->ignore_result == 1;
	return r->options->ignore_result == TASK_YES;
}

/* A compressed result hides from the scripts that it is a SUCCESS: Celery's own look, before. */
static bool succeeded_before(struct request *r)
{
	_cleanup_json_ json_t *meta = NULL;
	const char *status;
	struct err err = {0};

	if (!backend_compresses(r->worker->backend) ||
	    backend_load(r->worker->backend, r->id, clock_deadline(LOOK_PATIENCE), &meta, &err) < 0)
		return false;
	status = json_member_str(meta, "status");
	return status != NULL && strcmp(status, "SUCCESS") == 0;
}

bool settle_encode(struct request *r, enum task_state state, const json_t *result,
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
				 .queue = r->delivery.queue,
				 .stamped_headers = r->message->stamped_headers,
				 .stamps = r->message->stamps};
	bool keep_anyway =
		state == TASK_FAILURE && r->options->store_errors_even_if_ignored == TASK_YES;

	if (backend_is_disabled(w->backend) || (ignores_result(r) && !keep_anyway) ||
	    succeeded_before(r))
		return false;
	if (backend_encode(w->backend, &meta, ret, err) == 0)
		return true;
	log_error("Task %s[%s]: %s", r->name, r->id, err->msg);
	return false;
}

void settle_started(struct request *r)
{
	struct backend_write write = {0};
	struct err err = {0};
	_cleanup_json_ json_t *who = json_pack("{s:i, s:s}", "pid", (int)getpid(), "hostname",
					       r->worker->settings.worker_hostname);

	if (r->options->track_started == TASK_YES &&
	    settle_encode(r, TASK_STARTED, who, NULL, NULL, &write, &err))
		backend_store(r->worker->backend, &write, NULL, NULL);
}

/* The follow-ups of an ending. A backend that is away is waited for; false when the worker stops
 * meanwhile. `err` is set when they can never be followed. */
static bool follow(struct request *r, enum task_state state, const json_t *result,
		   const char *traceback, struct canvas *ret, struct err *err)
{
	for (;;) {
		struct err step = {0};

		if (canvas_continue(r, state, result, traceback, ret, &step) == 0)
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

void settle_result(struct request *r, enum task_state state, const json_t *result,
		   const char *traceback)
{
	_cleanup_json_ json_t *exception = NULL;
	struct backend_write write = {0};
	struct canvas canvas = {0};
	struct err err = {0}, second = {0};
	bool keep;

	if (!follow(r, state, result, traceback, &canvas, &err)) {
		settle_release(r);
		return;
	}
	keep = err.code == 0 &&
	       settle_encode(r, state, result, traceback, canvas.children, &write, &err);
	if (!keep && err.code != 0) {
		/* what cannot be written or followed is a failure that can */
		exception = json_pack("{s:s, s:[s], s:s}", "exc_type", "EncodeError", "exc_message",
				      err.msg, "exc_module", "kombu.exceptions");
		canvas_done(&canvas);
		if (state == TASK_SUCCESS &&
		    !follow(r, TASK_FAILURE, exception, NULL, &canvas, &second)) {
			settle_release(r);
			return;
		}
		keep = settle_encode(r, TASK_FAILURE, exception, NULL, NULL, &write, &second);
	}
	request_settle(r, SETTLE_ACK, NULL, keep ? &write : NULL, &canvas.steps);
	canvas_done(&canvas);
}
