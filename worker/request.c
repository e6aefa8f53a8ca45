/*
 * The request and its states. See request.h.
 */
#include "request.h"

#include <stdlib.h>
#include <string.h>

#include "canvas.h"
#include "clock.h"
#include "confirm.h"
#include "log.h"
#include "mem.h"
#include "outlived.h"
#include "settle.h"
#include "timelimit.h"
#include "worker.h"

#define FROM(state) (1u << (state))
static const unsigned allowed[] = {
	[REQUEST_RECEIVED] = FROM(REQUEST_WAITING) | FROM(REQUEST_ASIDE) | FROM(REQUEST_RESERVED) |
			     FROM(REQUEST_SETTLING),
	[REQUEST_WAITING] = FROM(REQUEST_RESERVED) | FROM(REQUEST_SETTLING),
	[REQUEST_ASIDE] = FROM(REQUEST_ASIDE) | FROM(REQUEST_WAITING) | FROM(REQUEST_RESERVED) |
			  FROM(REQUEST_SETTLING),
	[REQUEST_RESERVED] = FROM(REQUEST_ACTIVE) | FROM(REQUEST_SETTLING),
	[REQUEST_ACTIVE] = FROM(REQUEST_ASIDE) | FROM(REQUEST_SETTLING),
	[REQUEST_SETTLING] = 0,
};

static void take_lane(struct request *r)
{
	const struct task *t = r->task;
	const json_t *value;

	if (t->lane == NULL)
		return;
	value = json_object_get(r->message->kwargs, t->lane);
	for (size_t i = 0; value == NULL && i < t->param_count; i++) {
		if (strcmp(t->params[i].name, t->lane) == 0)
			value = json_array_get(r->message->args, i);
	}
	if (json_is_string(value))
		r->lane = xstrndup(json_string_value(value), json_string_length(value));
}

struct request *request_new(struct worker *w, struct delivery *delivery, struct message *message,
			    const struct task *task)
{
	struct request *r = xcalloc(1, sizeof(*r));

	r->worker = w;
	r->delivery = *delivery;
	r->bytes = delivery->len;
	free(TAKE(r->delivery.data)); /* decoded: the broker has the bytes */
	*delivery = (struct delivery){0};
	r->message = message;
	r->task = task;
	r->options = registry_options(&w->registry, task);
	r->id = message->id;
	r->name = message->task;
	r->shown = message_shown_name(message);
	r->state = REQUEST_RECEIVED;
	r->received = clock_mono();
	take_lane(r);
	state_hold(&w->state, r);
	return r;
}

void request_transition(struct request *r, enum request_state to)
{
	if ((allowed[r->state] & FROM(to)) == 0)
		BUG("request %s: state %d to %d", r->id, r->state, to);
	r->state = to;
}

static void free_request(struct request *r)
{
	message_free(r->message);
	settle_steps_done(&r->applied);
	json_decref(r->children);
	free(r->lane);
	free(r->dead_reason);
	free(r);
}

void request_forget(struct request *r)
{
	if (r->state != REQUEST_RECEIVED)
		BUG("request %s is forgotten in state %d", r->id, r->state);
	state_release(&r->worker->state, r);
	consumer_hurry(r->worker);
	free_request(r);
}

static void confirmed(void *arg, const struct err *err)
{
	struct request *r = arg;

	if (err != NULL && err->code != ERR_CANCELLED)
		log_error("Task %s[%s]: the broker did not confirm: %s", r->name, r->id, err->msg);
	events_release(r);
	outlived_ended(r, err);
	state_release(&r->worker->state, r);
	consumer_hurry(r->worker);
	free_request(r);
}

/*
 * What becomes of a message whose result was refused. For want of room: it is run again, or its row
 * gives the result again. For good, by a key of another type for instance: as Celery, which drops
 * such a result.
 */
static void settle_without_result(struct request *r, const struct err *err)
{
	struct settlement s = {.tag = r->delivery.tag,
			       .queue = r->delivery.queue,
			       .outcome = err_is_transient(err) ? SETTLE_REQUEUE : SETTLE_ACK};

	log_error("Task %s[%s]: the result was not stored: %s", r->name, r->id, err->msg);
	r->outlived &= s.outcome == SETTLE_ACK;
	if (atomic_load(&r->acknowledged))
		confirmed(r, NULL);
	else
		broker_settle(r->worker->broker, &s, confirmed, r);
}

/* The result is stored elsewhere already, or there is none: a message whose follow-ups are refused
 * for good is kept among the dead. */
static void rest_confirmed(void *arg, const struct err *err)
{
	struct request *r = arg;
	struct settlement s = {
		.tag = r->delivery.tag, .queue = r->delivery.queue, .outcome = SETTLE_DEAD};

	if (err == NULL || err->code == ERR_CANCELLED || err_is_transient(err) ||
	    atomic_load(&r->acknowledged)) {
		confirmed(r, err);
		return;
	}
	log_error("Task %s[%s]: what follows from it is refused: %s", r->name, r->id, err->msg);
	s.reason = err->msg;
	broker_settle(r->worker->broker, &s, confirmed, r);
}

/* Result and ack were one step, perhaps with what follows. A queue that is none refuses all of it:
 * then the task is a failure that says so, as in Celery, where sending raises. */
static void both_confirmed(void *arg, const struct err *err)
{
	struct request *r = arg;
	struct backend_write failure = {0};
	struct settlement s = {.tag = r->delivery.tag,
			       .queue = r->delivery.queue,
			       .outcome = atomic_load(&r->acknowledged) ? SETTLE_NONE : SETTLE_ACK};

	if (err == NULL || err->code == ERR_CANCELLED) {
		confirmed(r, err);
	} else if (err_is_transient(err) || r->refused) {
		settle_without_result(r, err);
	} else if (!settle_refused(r, "OperationalError", err->msg, &failure)) {
		rest_confirmed(r, err);
	} else {
		r->refused = true;
		log_error("Task %s[%s]: what follows from it is refused: %s", r->name, r->id,
			  err->msg);
		s.result = &failure;
		broker_settle(r->worker->broker, &s, both_confirmed, r);
	}
}

/* What the broker is told once the result is stored elsewhere: what follows goes out together with
 * the ack. */
struct acking {
	struct request *request;
	enum settle_outcome outcome;
	const char *reason;
	struct settle_steps steps;
	size_t kept; /* how many of them do not follow from the result: they come first */
};

static struct settle_steps take_steps(struct settle_steps *steps)
{
	struct settle_steps taken = {0};

	if (steps == NULL)
		return taken;
	taken = *steps;
	*steps = (struct settle_steps){0};
	return taken;
}

/* `more` (taken, or NULL) after `first`. */
static struct settle_steps join_steps(struct settle_steps first, struct settle_steps *more)
{
	struct settle_steps second = take_steps(more);

	if (first.count == 0)
		return second;
	if (second.count > 0) {
		first.items =
			xrealloc(first.items, (first.count + second.count) * sizeof(*first.items));
		memcpy(first.items + first.count, second.items,
		       second.count * sizeof(*second.items));
		first.count += second.count;
		first.bytes += second.bytes;
	}
	free(second.items);
	return first;
}

/* Nothing is left to be told to the broker. */
static bool is_all(const struct settlement *s)
{
	return s->outcome == SETTLE_NONE && s->steps.count == 0 && s->result == NULL;
}

static bool goes_back(const struct settlement *s)
{
	return s->outcome == SETTLE_REQUEUE || s->outcome == SETTLE_REJECT;
}

/* What was noted of this delivery in Redis: forgotten when the task is done or was given back. One
 * that ran into its time limit and comes again counts, or it would do so for ever. */
static void forget_begun(struct request *r, struct settlement *s)
{
	bool again = goes_back(s);

	if (r->begun && (!again || atomic_load(&r->limit_hit) == LIMIT_NONE))
		broker_step_begun(r->worker->broker, &s->steps, r->id,
				  again ? r->delivery.tag : NULL);
}

/* A result that is longer than its server takes is stored as a failure that says so, and what would
 * have followed from it does not. False when there is nothing to be stored for it. */
static bool store_instead(struct acking *acking, const struct err *err,
			  void (*done)(void *arg, const struct err *err))
{
	struct request *r = acking->request;
	struct backend_write failure = {0};
	struct settlement kept = {.outcome = acking->outcome};

	if (err->code != ERR_TOOBIG || r->refused ||
	    !settle_refused(r, "EncodeError", err->msg, &failure))
		return false;
	r->refused = true;
	log_error("Task %s[%s]: the result was not stored: %s", r->name, r->id, err->msg);
	canvas_truncate(&acking->steps, acking->kept);
	kept.steps = take_steps(&acking->steps);
	forget_begun(r, &kept);
	acking->steps = kept.steps;
	backend_store(r->worker->backend, &failure, done, acking);
	return true;
}

/* The result went to another server, before the ack. */
static void ack_after_result(void *arg, const struct err *err)
{
	struct acking *acking = arg;
	struct request *r = acking->request;
	struct settlement s = {.tag = r->delivery.tag,
			       .queue = r->delivery.queue,
			       .outcome = acking->outcome,
			       .reason = acking->reason};

	if (err != NULL && err->code == ERR_TOOBIG && r->runs_again) {
		log_error("Task %s[%s]: RETRY was not stored: %s", r->name, r->id, err->msg);
		err = NULL; /* as in Celery, whose message is on its way by then */
	}
	if (err != NULL && store_instead(acking, err, ack_after_result))
		return;
	s.steps = take_steps(&acking->steps);
	if (err == NULL && is_all(&s)) {
		confirmed(r, NULL);
	} else if (err == NULL) {
		broker_settle(r->worker->broker, &s, rest_confirmed, r);
	} else {
		settle_steps_done(&s.steps);
		if (err->code != ERR_CANCELLED)
			settle_without_result(r, err);
		else
			confirmed(r, err); /* the worker ends: the message comes again */
	}
	free(acking);
}

int request_acknowledge(struct request *r, struct backend_write *started, struct err *err)
{
	struct worker *w = r->worker;
	struct settlement s = {
		.tag = r->delivery.tag, .queue = r->delivery.queue, .outcome = SETTLE_ACK};
	struct confirm confirm;
	int rc;

	if (started != NULL && !backend_shares_broker(w->backend)) {
		confirm_init(&confirm);
		backend_store(w->backend, started, confirm_answer, &confirm);
		rc = confirm_wait(&confirm, err);
		if (rc < 0)
			return rc;
	} else {
		s.result = started;
	}
	confirm_init(&confirm);
	broker_settle(w->broker, &s, confirm_answer, &confirm);
	rc = confirm_wait(&confirm, err);
	if (rc == 0)
		atomic_store(&r->acknowledged, true);
	return rc;
}

int request_publish(struct request *r, unsigned number, struct settle_steps *steps, struct err *err)
{
	struct broker *b = r->worker->broker;
	_cleanup_free_ char *what = xasprintf("%s:%u", r->delivery.tag, number);
	struct settlement s = {.tag = r->delivery.tag,
			       .queue = r->delivery.queue,
			       .outcome = SETTLE_NONE,
			       .steps = take_steps(steps)};
	struct confirm confirm;

	broker_step_once(b, &s.steps, what);
	confirm_init(&confirm);
	broker_settle(b, &s, confirm_answer, &confirm);
	return confirm_wait(&confirm, err);
}

/* What really becomes of the message. */
static void choose_outcome(const struct request *r, struct settlement *s)
{
	if (atomic_load(&r->acknowledged)) {
		s->outcome = SETTLE_NONE;
	} else if (s->outcome == SETTLE_ACK && r->dead_reason != NULL) {
		s->outcome = SETTLE_DEAD;
		s->reason = r->dead_reason;
	} else if (s->outcome == SETTLE_ACK && r->reject) {
		s->outcome = SETTLE_REJECT;
	}
}

static void leave_lane(struct request *r)
{
	struct worker *w = r->worker;
	struct request *next = r->lane_held ? lanes_leave(&w->lanes, r) : NULL;

	if (next == NULL)
		return;
	request_transition(next, REQUEST_RESERVED);
	pool_apply(&w->pool, next);
}

void request_settle(struct request *r, enum settle_outcome outcome, const char *reason,
		    struct backend_write *result, struct settle_steps *steps)
{
	struct worker *w = r->worker;
	struct settlement s = {.tag = r->delivery.tag,
			       .queue = r->delivery.queue,
			       .outcome = outcome,
			       .reason = reason};
	size_t kept;

	request_transition(r, REQUEST_SETTLING);
	state_settling(&w->state);
	leave_lane(r);
	consumer_hurry(w);
	if (result != NULL && outcome == SETTLE_REQUEUE)
		BUG("request %s: a result of what is not done", r->id);
	choose_outcome(r, &s);
	if (s.outcome == SETTLE_ACK || s.outcome == SETTLE_DEAD)
		outlived_ending(r);
	kept = goes_back(&s) ? 0 : r->applied.count;
	s.steps = goes_back(&s) ? take_steps(steps) : join_steps(take_steps(&r->applied), steps);
	r->follows = s.steps.count > 0 || s.outcome == SETTLE_DEAD;
	forget_begun(r, &s);
	if (s.outcome == SETTLE_NONE && s.steps.count > 0) {
		broker_step_once(w->broker, &s.steps, r->delivery.tag); /* becomes the first */
		kept++;
	}
	if (result != NULL && !backend_shares_broker(w->backend)) {
		struct acking *acking = xcalloc(1, sizeof(*acking));

		*acking = (struct acking){r, s.outcome, s.reason, s.steps, kept};
		backend_store(w->backend, result, ack_after_result, acking);
		return;
	}
	s.result = result;
	if (is_all(&s))
		confirmed(r, NULL);
	else
		broker_settle(w->broker, &s,
			      result != NULL || s.steps.count > 0 ? both_confirmed : confirmed, r);
}
