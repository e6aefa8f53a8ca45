/*
 * The consumer thread: stations 1 to 4. Claims only as much as there is room for, decodes, and
 * sends each request to its lane or the pool.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bounds.h"
#include "clock.h"
#include "discard.h"
#include "fault.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "outlived.h"
#include "record.h"
#include "route.h"
#include "worker.h"

#define IDLE_WAIT	(1 * USEC_PER_SEC)
#define FEW_SLOTS_WAIT	(5 * USEC_PER_MSEC) /* for more of them */
#define NOT_READY_WAIT	(100 * USEC_PER_MSEC)
#define BACKOFF_FIRST	(100 * USEC_PER_MSEC)
#define BACKOFF_MOST	(1 * USEC_PER_SEC)
#define LOST_LOOKS	2
#define LOST_RETRY	(1 * USEC_PER_SEC)
#define LOST_LOOK_AGAIN (30 * USEC_PER_SEC)

/* False when its task's rate limit makes it wait for its turn. */
static bool take_turn(struct request *r)
{
	usec_t now = clock_mono(), turn;

	if (r->has_turn)
		return true;
	r->has_turn = true;
	turn = limits_take_turn(&r->worker->limits, r->task->name, now);
	if (turn <= now)
		return true;
	due_park(r, HOLD_TURN, turn);
	return false;
}

void consumer_dispatch(struct request *r)
{
	struct worker *w = r->worker;

	if (!r->lane_held && outlived_defer(r))
		return;
	if (!r->lane_held && !take_turn(r))
		return;
	if (!r->lane_held && !lanes_enter(&w->lanes, r))
		return;
	request_transition(r, REQUEST_RESERVED);
	pool_apply(&w->pool, r);
}

/* A message that will never run: to the dead letters, with the reason. */
static void bury(struct worker *w, struct delivery *d, const char *reason)
{
	struct settlement s = {
		.tag = d->tag, .queue = d->queue, .outcome = SETTLE_DEAD, .reason = reason};

	broker_settle(w->broker, &s, NULL, NULL);
	free(TAKE(d->data));
	state_count(&w->state, COUNT_REJECTED);
}

struct request *consumer_decode(struct worker *w, struct delivery *d)
{
	char id[BOUND_TASK_NAME_BYTES + 1], name[BOUND_TASK_NAME_BYTES + 1];
	struct message *m = NULL;
	const struct task *t;
	struct err err = {0};

	switch (message_decode(d->data, d->len, &w->settings.accept_content, &m, id, name, &err)) {
	case MESSAGE_OK:
		m->redelivered |= d->mark[0] != '\0';
		if (m->redelivered)
			state_count(&w->state, COUNT_REDELIVERED);
		t = worker_find_task(w, m->task);
		return request_new(w, d, m, t ? t : &discard_unregistered);
	case MESSAGE_UNDECODABLE:
		log_error("Can't decode message body: %s (from %s, %zu bytes)", err.msg, d->queue,
			  d->len);
		break;
	case MESSAGE_DISALLOWED:
		log_error("Refusing to deserialize disabled content: %s (task %s[%s])", err.msg,
			  name, id);
		record_refused(w, d->queue, id, name, err.msg);
		break;
	case MESSAGE_UNTRUSTED:
		log_error("Refusing a message that is not trusted: %s (task %s[%s])", err.msg, name,
			  id);
		record_refused(w, d->queue, id, name, err.msg);
		break;
	case MESSAGE_INVALID:
		log_error("Received invalid task message: %s (task %s[%s])", err.msg, name, id);
		break;
	}
	bury(w, d, err.msg);
	return NULL;
}

/* A broker that wants everything back in time gets what is due much later. False when it stays. */
static bool goes_away(struct request *r)
{
	struct worker *w = r->worker;
	struct err err = {0};

	if (broker_amqp(w->broker) == NULL || r->message->eta < clock_wall() + BROKER_HOLD_MOST)
		return false;
	pool_let_go(&w->pool);
	if (broker_delay(w->broker, &r->delivery.ref, r->message->eta, &err) < 0) {
		log_warning("Task %s[%s] is held here until it is due: %s", r->shown, r->id,
			    err.msg);
		return false;
	}
	request_forget(r);
	return true;
}

void consumer_schedule(struct request *r)
{
	if (goes_away(r))
		return;
	if (r->message->eta > clock_wall())
		due_park(r, HOLD_ETA, r->message->eta);
	else
		consumer_dispatch(r);
}

/* It is to be run here. */
static void arrive(struct request *r)
{
	if (r->task == &discard_unregistered) {
		log_error(
			"Received unregistered task of type '%s'. The message has been ignored and "
			"discarded. id=%s",
			r->name, r->id);
		consumer_dispatch(r);
		return;
	}
	log_scope_begin(r->id, r->name, r->message->traceparent);
	log_info("Task %s[%s] received", r->shown, r->id);
	log_scope_end();
	if (discard_request(r))
		return;
	events_task_received(r);
	consumer_schedule(r);
}

/* The calls of conversations among them come last: whose they are is asked for all of them. */
static void receive_all(struct worker *w, struct delivery *batch, size_t count)
{
	_cleanup_free_ struct request **calls = xcalloc(count + 1, sizeof(*calls));
	size_t n = 0;

	pool_gather(&w->pool);
	for (size_t i = 0; i < count; i++) {
		char mark[BROKER_MARK_SIZE];
		struct request *r;

		memcpy(mark, batch[i].mark, sizeof(mark));
		state_count(&w->state, COUNT_RECEIVED);
		r = consumer_decode(w, &batch[i]);
		if (r != NULL && route_wants(r))
			calls[n++] = r;
		else if (r != NULL)
			arrive(r);
		broker_received(w->broker, mark);
	}
	pool_gathered(&w->pool);
	if (count > 0)
		n = route_calls(w, calls, n);
	for (size_t i = 0; i < n; i++)
		arrive(calls[i]);
}

/* Until a slot is free, something changes, or the deadline (then false). */
static bool wait_for_wake(struct worker *w, usec_t deadline)
{
	struct pollfd fd = {.fd = w->state.wake_fd, .events = POLLIN};

	return poll(&fd, 1, clock_left_ms(deadline)) > 0;
}

static void drain_wake(struct worker *w)
{
	uint64_t count;
	ssize_t n = read(w->state.wake_fd, &count, sizeof(count));

	(void)n;
}

static usec_t sooner(usec_t a, usec_t b)
{
	return a < b ? a : b;
}

/* No room: until there is some, or something to give back. */
static int wait_for_room(struct worker *w, struct err *err)
{
	int rc = due_yield(w, err);

	if (rc == 0) {
		broker_full(w->broker);
		wait_for_wake(w, sooner(clock_deadline(IDLE_WAIT), due_wake_at(w, false)));
	}
	return rc;
}

/* Whether more is asked for before `batch` is received: there is more, there will be room, and
 * nothing comes before it. What was delivered before is received first: should it end this process,
 * nothing else is suspected. */
static bool may_claim_ahead(struct worker *w, const struct delivery *batch, size_t count,
			    size_t *ret_max)
{
	size_t room = consumer_room(w);
	struct readiness ready;

	for (size_t i = 0; i < count; i++) {
		if (batch[i].mark[0] != '\0')
			return false;
	}
	room = room > count ? room - count : 0;
	*ret_max = room < BOUND_CLAIM_BATCH ? room : BOUND_CLAIM_BATCH;
	return consumer_is_worth_a_claim(w, room) && !atomic_load(&w->stopping) &&
	       !consumer_is_ordered(w) && worker_readiness(w, &ready) &&
	       due_wake_at(w, true) > clock_mono() &&
	       atomic_load(&w->schedule.bytes) < BOUND_SCHEDULE_BYTES;
}

/* As long as each claim gives all that was asked for, the next one is on its way while its messages
 * are received. */
static int claim_and_receive(struct worker *w, size_t max, struct delivery *batch,
			     size_t *ret_count, struct err *err)
{
	int rc;

	max = max < BOUND_CLAIM_BATCH ? max : BOUND_CLAIM_BATCH;
	rc = broker_claim(w->broker, max, batch, ret_count, err);
	state_count(&w->state, COUNT_CLAIMS);
	while (rc == 0) {
		size_t count = *ret_count;
		bool ahead = count > 0 && count >= max && may_claim_ahead(w, batch, count, &max);

		if (ahead)
			rc = broker_claim_ahead(w->broker, max, err);
		FAULT_POINT("claim.received");
		receive_all(w, batch, count);
		if (!ahead || rc <= 0)
			break;
		watchdog_progress(&w->watchdog);
		state_count(&w->state, COUNT_CLAIMS);
		rc = broker_claim_answer(w->broker, batch, ret_count, err);
	}
	return rc;
}

/* Takes what is due and what there is, as far as there is room; then sleeps until there may be
 * more. */
static int consume_once(struct worker *w, struct delivery *batch, struct err *err)
{
	size_t max, count = 0, served = 0;
	usec_t until;
	int rc;

	drain_wake(w);
	atomic_store(&w->state.consumer_waits, true);
	max = consumer_room(w);
	rc = due_serve(w, max, &served, err);
	if (rc < 0)
		return rc;
	if (max == 0)
		return wait_for_room(w, err);
	if (served == 0 && !consumer_is_worth_a_claim(w, max)) {
		if (wait_for_wake(w, sooner(clock_deadline(FEW_SLOTS_WAIT), due_wake_at(w, true))))
			return 0;
		max = consumer_room(w);
		if (max == 0)
			return 0;
	}
	atomic_store(&w->state.consumer_waits, false);
	if (served > 0 && due_wake_at(w, true) <= clock_mono())
		return 0; /* they come before what waits in the queues */
	if (served > 0 && max <= served)
		return 0;
	until = sooner(clock_deadline(IDLE_WAIT), due_wake_at(w, true));
	if (atomic_load(&w->schedule.bytes) >= BOUND_SCHEDULE_BYTES) {
		wait_for_wake(w, until);
		return 0;
	}
	if (served > 0 || !broker_is_dry(w->broker)) {
		rc = claim_and_receive(w, max - served, batch, &count, err);
		if (rc < 0 || count > 0 || served > 0)
			return rc;
	}
	return broker_wait(w->broker, w->state.wake_fd, until, err);
}

/*
 * After a broken connection: a claim may have been made though its answer never came. What it took
 * is recorded as ours and nobody knows of it. Looked for at once, and once more for what the server
 * still had in its buffers.
 */
struct doubt {
	int looks;	/* to come */
	usec_t look_at; /* monotonic */
};

/* The numbers of everything held. Given. [consumer, which alone adds to them] */
static uint64_t *held_numbers(struct worker *w, size_t *ret_count)
{
	size_t size = atomic_load(&w->state.held_count) + schedule_count(&w->schedule) + 64;
	uint64_t *numbers = xcalloc(size, sizeof(*numbers));
	size_t count = 0;

	mutex_lock(&w->state.lock);
	for (const struct request *r = w->state.held; r != NULL && count < size; r = r->held_next) {
		numbers[count++] = r->delivery.ref.number;
	}
	mutex_unlock(&w->state.lock);
	count += schedule_numbers(&w->schedule, numbers + count, size - count);
	*ret_count = count;
	return numbers;
}

static void restore_lost(struct worker *w, struct doubt *d)
{
	_cleanup_free_ uint64_t *held = NULL;
	size_t count;
	struct err err = {0};
	int64_t restored = 0;

	if (d->looks == 0 || clock_mono() < d->look_at)
		return;
	held = held_numbers(w, &count);
	if (broker_restore_lost(w->broker, w->at_broker, held, count, &restored, &err) < 0) {
		log_debug("%s", err.msg);
		d->look_at = clock_deadline(LOST_RETRY);
		return;
	}
	for (int64_t i = 0; i < restored; i++)
		state_count(&w->state, COUNT_RESTORED);
	if (restored > 0)
		log_warning("Restored %lld message(s) of a claim without an answer",
			    (long long)restored);
	d->looks--;
	d->look_at = clock_deadline(LOST_LOOK_AGAIN);
}

/* Something that tasks need is away: others may run what is due. */
static int consume_nothing(struct worker *w, struct err *err)
{
	int rc = broker_ready(w->broker) ? due_yield(w, err) : 0;

	drain_wake(w);
	if (rc == 0)
		wait_for_wake(w, clock_deadline(NOT_READY_WAIT));
	return rc;
}

static int consume(struct worker *w, struct delivery *batch, struct doubt *doubt, struct err *err)
{
	struct readiness ready;
	int rc = broker_connect(w->broker, w->at_broker, err);

	if (rc < 0)
		return rc;
	if (!w->settings.worker_enable_remote_control)
		control_declare_queues(w); /* else its thread does */
	atomic_store(&w->consuming, true);
	while (rc == 0 && !atomic_load(&w->stopping)) {
		watchdog_progress(&w->watchdog);
		rc = consumer_obey(w, err);
		if (rc < 0)
			break;
		drain_look(w);
		if (worker_readiness(w, &ready)) {
			restore_lost(w, doubt);
			rc = consume_once(w, batch, err);
		} else {
			rc = consume_nothing(w, err);
		}
	}
	return rc;
}

void *consumer_thread(void *arg)
{
	struct worker *w = arg;
	_cleanup_free_ struct delivery *batch = xcalloc(BOUND_CLAIM_BATCH, sizeof(*batch));
	usec_t backoff = BACKOFF_FIRST;
	struct doubt doubt = {0};
	int64_t tries = 0;
	bool said = false;

	while (!atomic_load(&w->stopping)) {
		struct err err = {0};
		usec_t began = clock_mono();
		bool was_up, stayed;

		watchdog_progress(&w->watchdog);
		if (consume(w, batch, &doubt, &err) == 0)
			continue;
		doubt = (struct doubt){.looks = LOST_LOOKS};
		was_up = atomic_exchange(&w->consuming, false);
		stayed = was_up && clock_mono() - began > BACKOFF_MOST;
		/* one that comes and goes is still the same trouble */
		if (stayed || !said)
			log_error("consumer: Cannot connect to %s: %s. Trying again.",
				  broker_where(w->broker), err.msg);
		said = true;
		tries = was_up ? 1 : tries + 1;
		if (!worker_may_retry(w, false, tries)) {
			worker_give_up(w);
			break;
		}
		backoff = stayed ? BACKOFF_FIRST : backoff * 2;
		if (backoff > BACKOFF_MOST)
			backoff = BACKOFF_MOST;
		drain_wake(w);
		wait_for_wake(w, clock_deadline(backoff));
	}
	mutex_lock(&w->consumer_lock);
	w->consumer_ended = true;
	cond_signal(&w->consumer_gone);
	mutex_unlock(&w->consumer_lock);
	return NULL;
}
