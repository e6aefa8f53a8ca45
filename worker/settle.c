/*
 * Stations 8 and 9: a result, what follows from it, and the message, settled as one. See settle.h.
 */
#include "settle.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "canvas.h"
#include "clock.h"
#include "confirm.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"
#include "row.h"

#define LOOK_PATIENCE  (5 * USEC_PER_SEC)
#define OUTAGE_POLL_MS 100 /* how soon the return of a backend is seen */

void settle_release(struct request *r)
{
	if (atomic_load(&r->acknowledged)) {
		log_error("Task %s[%s] is lost: it was acknowledged before it ran", r->shown,
			  r->id);
	} else {
		state_count(&r->worker->state, COUNT_REQUEUED);
		log_info("Task %s[%s] goes back to its queue", r->shown, r->id);
	}
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

/* Fills in what is the same for every meta of the request. */
static int encode(struct request *r, struct task_meta *meta, struct backend_write *ret,
		  struct err *err)
{
	_cleanup_json_ json_t *args = row_shown_args(r->task, r->message->args);
	_cleanup_json_ json_t *kwargs = row_shown_kwargs(r->task, r->message->kwargs);
	int rc;

	meta->task_id = r->id;
	if (meta->children == NULL)
		meta->children = r->children;
	meta->parent_id = r->message->parent_id;
	meta->group_id = r->message->group;
	meta->reply_to = r->message->reply_to;
	meta->correlation_id = json_member_str(r->message->properties, "correlation_id");
	meta->name = r->name;
	meta->args = args;
	meta->kwargs = kwargs;
	meta->worker = r->worker->settings.worker_hostname;
	meta->retries = r->message->retries;
	/* As Celery: the routing key, which is the queue's name only where nothing else was said.
	 */
	meta->queue = r->message->routing_key[0] != '\0' ? r->message->routing_key : NULL;
	meta->stamped_headers = r->message->stamped_headers;
	meta->stamps = r->message->stamps;
	rc = backend_encode(r->worker->backend, meta, ret, err);
	if (rc < 0) { /* what result_extended adds is worth no result */
		meta->args = meta->kwargs = json_null();
		meta->stamps = NULL;
		rc = backend_encode(r->worker->backend, meta, ret, err);
	}
	return rc;
}

bool settle_encode(struct request *r, enum task_state state, const json_t *result,
		   const char *traceback, const json_t *children, struct backend_write *ret,
		   struct err *err)
{
	struct task_meta meta = {
		.state = state, .result = result, .traceback = traceback, .children = children};
	bool keep_anyway =
		state == TASK_FAILURE && r->options->store_errors_even_if_ignored == TASK_YES;

	if (backend_is_disabled(r->worker->backend) || (ignores_result(r) && !keep_anyway) ||
	    succeeded_before(r))
		return false;
	if (encode(r, &meta, ret, err) == 0)
		return true;
	log_error("Task %s[%s]: %s", r->shown, r->id, err->msg);
	return false;
}

bool settle_refused(struct request *r, const char *type, const char *reason,
		    struct backend_write *ret)
{
	_cleanup_json_ json_t *exception =
		json_pack("{s:s, s:[s], s:s}", "exc_type", type, "exc_message", reason,
			  "exc_module", "kombu.exceptions");
	struct task_meta meta = {.state = TASK_FAILURE, .result = exception};
	struct err err = {0};

	if (backend_is_disabled(r->worker->backend) || ignores_result(r))
		return false;
	return encode(r, &meta, ret, &err) == 0;
}

int settle_own_state(struct request *r, const char *state, const json_t *result, struct err *err)
{
	struct task_meta meta = {.own_state = state, .result = result};
	struct backend_write write = {0};
	struct confirm confirm;
	int rc;

	if (backend_is_disabled(r->worker->backend))
		return 0;
	rc = encode(r, &meta, &write, err);
	if (rc < 0)
		return rc;
	confirm_init(&confirm);
	backend_store(r->worker->backend, &write, confirm_answer, &confirm);
	return confirm_wait(&confirm, err);
}

static bool encode_started(struct request *r, struct backend_write *ret)
{
	struct err err = {0};
	_cleanup_json_ json_t *who = json_pack("{s:i, s:s}", "pid", (int)getpid(), "hostname",
					       r->worker->settings.worker_hostname);

	return settle_encode(r, TASK_STARTED, who, NULL, NULL, ret, &err);
}

/* A result that is refused for good does not keep the task from running. */
static bool acknowledge(struct request *r)
{
	struct backend_write write = {0};
	struct err err = {0};
	int rc = request_acknowledge(r, encode_started(r, &write) ? &write : NULL, &err);

	if (rc < 0 && !err_is_transient(&err) && err.code != ERR_CANCELLED) {
		log_error("Task %s[%s]: STARTED was not stored: %s", r->shown, r->id, err.msg);
		rc = request_acknowledge(r, NULL, &err);
	}
	if (rc < 0)
		settle_release(r);
	return rc == 0;
}

bool settle_accept(struct request *r)
{
	struct backend_write write = {0};

	if (r->options->acks_late != TASK_YES)
		return acknowledge(r);
	if (!broker_holds(r->worker->broker, &r->delivery.ref)) {
		settle_release(r); /* somebody else has it, or will */
		return false;
	}
	if (r->options->track_started == TASK_YES && encode_started(r, &write))
		backend_store(r->worker->backend, &write, NULL, NULL);
	return true;
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
			log_error("Task %s[%s]: its follow-ups are lost: %s", r->shown, r->id,
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
	metric_count(METRIC_TASKS, r->task->name[0] ? r->task->name : "unregistered",
		     task_state_name(state));
	request_settle(r, SETTLE_ACK, NULL, keep ? &write : NULL, &canvas.steps);
	canvas_done(&canvas);
}
