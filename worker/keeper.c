/*
 * The keeper thread: everything that must be said to Redis again and again so that others know that
 * we live and what we hold. It talks to nothing slow, so that a hung engine can never cost the
 * lease.
 */
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "timelimit.h"
#include "worker.h"

#define TICK	       (500 * USEC_PER_MSEC)
#define RENEWALS_AHEAD 2

struct due {
	usec_t renew_lease, renew_messages;
	bool shared_up, broker_up;
	bool renewing; /* the messages: not all were sent */
};

void keeper_set_aside(struct worker *w, struct request *r, usec_t again_at)
{
	struct keeper *k = &w->keeper;

	mutex_lock(&k->lock);
	request_transition(r, REQUEST_ASIDE);
	r->again_at = again_at;
	r->next = k->aside;
	k->aside = r;
	atomic_fetch_add(&k->aside_count, 1);
	if (again_at < k->wake_at)
		cond_signal(&k->changed);
	mutex_unlock(&k->lock);
}

static struct request *take_due_locked(struct keeper *k, usec_t now) REQUIRES(k->lock);
static struct request *take_due_locked(struct keeper *k, usec_t now)
{
	struct request *due = NULL, **p;

	for (p = &k->aside; *p != NULL;) {
		struct request *r = *p;

		if (r->again_at > now) {
			p = &r->next;
			continue;
		}
		*p = r->next;
		r->next = due;
		due = r;
		atomic_fetch_sub(&k->aside_count, 1);
	}
	return due;
}

struct request *keeper_drain(struct worker *w)
{
	struct keeper *k = &w->keeper;
	struct request *all;

	mutex_lock(&k->lock);
	while (k->dispatching) {
		cond_wait(&k->changed, &k->lock);
	}
	all = take_due_locked(k, USEC_NEVER);
	mutex_unlock(&k->lock);
	return all;
}

void keeper_hurry(struct worker *w, const char *task_id)
{
	struct keeper *k = &w->keeper;

	mutex_lock(&k->lock);
	for (struct request *r = k->aside; r != NULL; r = r->next) {
		if (strcmp(r->id, task_id) == 0)
			r->again_at = 0;
	}
	cond_signal(&k->changed);
	mutex_unlock(&k->lock);
}

static void dispatch_due(struct worker *w, usec_t now)
{
	struct keeper *k = &w->keeper;
	struct request *r, *next;

	mutex_lock(&k->lock);
	r = atomic_load(&w->stopping) ? NULL : take_due_locked(k, now);
	k->dispatching = r != NULL;
	mutex_unlock(&k->lock);
	if (r == NULL)
		return;
	for (; r != NULL; r = next) {
		next = r->next;
		consumer_dispatch(r);
	}
	mutex_lock(&k->lock);
	k->dispatching = false;
	cond_broadcast(&k->changed);
	mutex_unlock(&k->lock);
}

/* ---- renewals: everything held, a chunk after the other ---- */

static void renewed(void *arg)
{
	struct keeper *k = arg;

	mutex_lock(&k->lock);
	k->renewals--;
	cond_signal(&k->changed);
	mutex_unlock(&k->lock);
}

static bool may_renew_more(struct keeper *k)
{
	bool may;

	mutex_lock(&k->lock);
	may = k->renewals < RENEWALS_AHEAD;
	k->renewals += may;
	mutex_unlock(&k->lock);
	return may;
}

/* Few chunks are on their way at a time, so that settlements and control are not behind all of
 * them. */
static void renew_some(struct worker *w, struct due *due)
{
	struct delivery_ref refs[BOUND_CLAIM_BATCH];

	while (due->renewing && may_renew_more(&w->keeper)) {
		size_t count = state_walk(&w->state, refs, BOUND_CLAIM_BATCH);

		if (count == 0)
			count = schedule_walk(&w->schedule, refs, BOUND_CLAIM_BATCH);
		if (count == 0) {
			due->renewing = false;
			renewed(&w->keeper);
			return;
		}
		atomic_fetch_add(&w->state.counters[COUNT_RENEWED], count);
		broker_renew(w->broker, refs, count, renewed, &w->keeper);
	}
}

static void begin_renewing(struct worker *w, struct due *due)
{
	state_rewind(&w->state);
	schedule_rewind(&w->schedule);
	due->renewing = true;
}

/* The lease, wherever somebody asks for it; what is there again is told at once. */
static void tick_lease(struct worker *w, struct due *due, usec_t now)
{
	bool shared = shared_state_link(w->shared) != NULL && shared_state_ready(w->shared);

	if (shared && !due->shared_up) {
		w->drift.again_at = 0; /* it may be another server */
		due->renew_lease = now;
	}
	due->shared_up = shared;
	if (now >= due->renew_lease) {
		lease_renew(w);
		due->renew_lease = now + PRESENCE_RENEW;
	}
	if (shared)
		drift_watch(&w->drift, shared_state_link(w->shared),
			    shared_state_address(w->shared)->safe);
}

static void tick_messages(struct worker *w, struct due *due, usec_t now)
{
	if (!due->broker_up)
		return;
	if (now >= due->renew_messages && !due->renewing) {
		begin_renewing(w, due);
		due->renew_messages = now + broker_renew_interval(w->broker);
	}
	renew_some(w, due);
}

static void tick(struct worker *w, struct due *due)
{
	usec_t now = clock_mono();
	bool up = broker_ready(w->broker);

	dispatch_due(w, now);
	if (up != due->broker_up) {
		due->broker_up = up;
		due->renewing = false;
		due->renew_messages = due->renew_lease = now;
	}
	tick_lease(w, due, now);
	tick_messages(w, due, now);
}

/* The soonest of a tick and the next request set aside. */
static usec_t next_wake(const struct keeper *k)
{
	usec_t at = clock_deadline(TICK);

	if (k->limit_at < at)
		at = k->limit_at;
	for (const struct request *r = k->aside; r != NULL; r = r->next) {
		if (r->again_at < at)
			at = r->again_at;
	}
	return at;
}

static void *keeper_thread(void *arg)
{
	struct worker *w = arg;
	struct keeper *k = &w->keeper;
	struct due due = {0};

	mutex_lock(&k->lock);
	while (!k->stopping) {
		usec_t limit_at;

		k->limit_at = USEC_NEVER;
		mutex_unlock(&k->lock);
		limit_at = timelimit_enforce(w, clock_mono());
		tick(w, &due);
		mutex_lock(&k->lock);
		if (limit_at < k->limit_at)
			k->limit_at = limit_at;
		k->wake_at = next_wake(k);
		if (!k->stopping && !(due.renewing && k->renewals < RENEWALS_AHEAD))
			cond_wait_until(&k->changed, &k->lock, k->wake_at);
	}
	mutex_unlock(&k->lock);
	return NULL;
}

int keeper_start(struct worker *w, struct err *err)
{
	struct keeper *k = &w->keeper;
	int rc = thread_start(&k->thread, "keeper", keeper_thread, w, err);

	k->started = rc == 0;
	return rc;
}

void keeper_stop(struct worker *w)
{
	struct keeper *k = &w->keeper;

	if (!k->started)
		return;
	mutex_lock(&k->lock);
	k->stopping = true;
	cond_signal(&k->changed);
	mutex_unlock(&k->lock);
	pthread_join(k->thread, NULL);
	k->started = false;
}
