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
#include "json.h"
#include "log.h"
#include "mem.h"
#include "worker.h"

#define IDLE_WAIT	(1 * USEC_PER_SEC)
#define NOT_READY_WAIT	(100 * USEC_PER_MSEC)
#define BACKOFF_FIRST	(100 * USEC_PER_MSEC)
#define BACKOFF_MOST	(2 * USEC_PER_SEC)
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
	r->parked = true;
	keeper_set_aside(r->worker, r, turn);
	return false;
}

void consumer_dispatch(struct request *r)
{
	struct worker *w = r->worker;

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

static void receive(struct worker *w, struct delivery *d)
{
	char id[BOUND_TASK_NAME_BYTES + 1], name[BOUND_TASK_NAME_BYTES + 1];
	struct message *m = NULL;
	const struct task *t;
	struct request *r;
	struct err err = {0};

	state_count(&w->state, COUNT_RECEIVED);
	switch (message_decode(d->data, d->len, &w->settings.accept_content, &m, id, name, &err)) {
	case MESSAGE_OK:
		break;
	case MESSAGE_UNDECODABLE:
		log_error("Can't decode message body: %s (from %s, %zu bytes)", err.msg, d->queue,
			  d->len);
		bury(w, d, err.msg);
		return;
	case MESSAGE_DISALLOWED:
		log_error("Refusing to deserialize disabled content: %s (task %s[%s])", err.msg,
			  name, id);
		bury(w, d, err.msg);
		return;
	case MESSAGE_INVALID:
		log_error("Received invalid task message: %s (task %s[%s])", err.msg, name, id);
		bury(w, d, err.msg);
		return;
	}
	t = worker_find_task(w, m->task);
	if (t == NULL) {
		log_error(
			"Received unregistered task of type '%s'. The message has been ignored and "
			"discarded. id=%s",
			m->task, m->id);
		consumer_dispatch(request_new(w, d, m, &discard_unregistered));
		return;
	}
	log_info("Task %s[%s] received", m->task, m->id);
	r = request_new(w, d, m, t);
	if (discard_request(r))
		return;
	events_task_received(r);
	if (m->eta > clock_wall())
		keeper_set_aside(w, r, clock_deadline(m->eta - clock_wall()));
	else
		consumer_dispatch(r);
}

/* Until a slot is free, something changes, or the deadline. */
static void wait_for_wake(struct worker *w, usec_t after)
{
	struct pollfd fd = {.fd = w->state.wake_fd, .events = POLLIN};

	poll(&fd, 1, clock_left_ms(clock_deadline(after)));
}

static void drain_wake(struct worker *w)
{
	uint64_t count;
	ssize_t n = read(w->state.wake_fd, &count, sizeof(count));

	(void)n;
}

/* What waits for its time or for its conversation takes no slot, or a few could keep all others
 * out; but only so many may wait. */
size_t worker_slots_taken(const struct worker *w)
{
	size_t held = atomic_load(&w->state.held_count),
	       aside = atomic_load(&w->keeper.aside_count),
	       parked = atomic_load(&w->keeper.parked_count),
	       waiting = atomic_load(&w->lanes.waiting);

	if (parked > BOUND_PARKED)
		aside -= parked - BOUND_PARKED < aside ? parked - BOUND_PARKED : aside;
	aside += waiting < BOUND_WAITING ? waiting : BOUND_WAITING;
	return held > aside ? held - aside : 0;
}

void worker_set_prefetch(struct worker *w, size_t threads)
{
	int64_t multiplier = w->settings.worker_prefetch_multiplier;

	atomic_store(&w->prefetch_count,
		     multiplier > 0 ? threads * (size_t)multiplier : SIZE_MAX / 2);
	state_wake_consumer(&w->state);
}

static size_t room(struct worker *w)
{
	size_t taken = worker_slots_taken(w), most = atomic_load(&w->prefetch_count);

	if (atomic_load(&w->state.held_bytes) >= BOUND_HELD_BYTES)
		return 0;
	return taken < most ? most - taken : 0;
}

/* Takes what there is and room for; then sleeps until there may be more. */
static int consume_once(struct worker *w, struct delivery *batch, struct err *err)
{
	size_t max, count = 0;
	int rc;

	drain_wake(w);
	atomic_store(&w->state.consumer_waits, true);
	max = room(w);
	if (max == 0) {
		wait_for_wake(w, IDLE_WAIT);
		return 0;
	}
	atomic_store(&w->state.consumer_waits, false);
	state_count(&w->state, COUNT_CLAIMS);
	rc = broker_claim(w->broker, max, batch, &count, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < count; i++) {
		receive(w, &batch[i]);
	}
	return count > 0 ? 0
			 : broker_wait(w->broker, w->state.wake_fd, clock_deadline(IDLE_WAIT), err);
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

static void restore_lost(struct worker *w, struct doubt *d)
{
	size_t count;
	char **tags;
	struct err err = {0};
	int64_t restored = 0;
	int rc;

	if (d->looks == 0 || clock_mono() < d->look_at)
		return;
	tags = state_tags(&w->state, &count);
	rc = broker_restore_lost(w->broker, w->presence, tags, count, &restored, &err);
	for (size_t i = 0; i < count; i++)
		free(tags[i]);
	free(tags);
	if (rc < 0) {
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

static int consume(struct worker *w, struct delivery *batch, struct doubt *doubt, struct err *err)
{
	struct readiness ready;
	int rc = broker_connect(w->broker, w->presence, err);

	if (rc < 0)
		return rc;
	atomic_store(&w->consuming, true);
	while (rc == 0 && !atomic_load(&w->stopping)) {
		rc = consumer_obey(w, err);
		if (rc < 0)
			break;
		if (worker_readiness(w, &ready)) {
			restore_lost(w, doubt);
			rc = consume_once(w, batch, err);
		} else {
			drain_wake(w);
			wait_for_wake(w, NOT_READY_WAIT);
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

	while (!atomic_load(&w->stopping)) {
		struct err err = {0};
		bool was_up;

		if (consume(w, batch, &doubt, &err) == 0)
			continue;
		doubt = (struct doubt){.looks = LOST_LOOKS};
		was_up = atomic_exchange(&w->consuming, false);
		if (was_up || backoff == BACKOFF_FIRST)
			log_error("consumer: Cannot connect to %s: %s. Trying again.",
				  broker_address(w->broker)->safe, err.msg);
		backoff = was_up ? BACKOFF_FIRST : backoff * 2;
		if (backoff > BACKOFF_MOST)
			backoff = BACKOFF_MOST;
		drain_wake(w);
		wait_for_wake(w, backoff);
	}
	return NULL;
}
