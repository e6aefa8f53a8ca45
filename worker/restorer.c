/*
 * The restorer thread: puts back what workers that died held, and makes room among the dead
 * letters. It may wait for Redis and go through many messages, which the keeper must not.
 */
#include "clock.h"
#include "log.h"
#include "worker.h"

#define INTERVAL (10 * USEC_PER_SEC)
#define AWAY	 (100 * USEC_PER_MSEC) /* between two looks whether Redis is there */

static void told(struct worker *w, int64_t restored, const char *whose)
{
	for (int64_t i = 0; i < restored; i++) {
		state_count(&w->state, COUNT_RESTORED);
	}
	if (restored == 0)
		return;
	log_warning("Restored %lld message(s) of %s", (long long)restored, whose);
	state_wake_consumer(&w->state);
}

/*
 * Our own earlier lives are over for certain; others are given the time to renew their leases and
 * what they hold, which they could not while Redis was away.
 */
static void look(struct worker *w, bool own_only)
{
	struct err err = {0};
	int64_t restored = 0;
	int rc = broker_restore_dead(w->broker, w->at_broker, own_only, &restored, &err);

	told(w, restored, "workers that died");
	if (rc > 0) {
		atomic_store(&w->somebody_died, true);
		rc = 0;
	}
	if (rc == 0) {
		restored = 0;
		rc = broker_restore_stale(w->broker, w->at_broker, own_only, &restored, &err);
		told(w, restored, "others, held longer than the visibility timeout");
	}
	if (rc < 0)
		log_warning("%s", err.msg);
	lease_forget_dead(w, own_only);
}

/* What died is kept for somebody to look at, but not without end. */
static void make_room(struct worker *w)
{
	int64_t dropped = 0, left = 0;
	struct err err = {0};

	if (broker_trim_dead(w->broker, w->settings.dead_max, &dropped, &left, &err) < 0)
		log_warning("%s", err.msg);
	else
		atomic_store(&w->state.dead_letters, left);
	for (int64_t i = 0; i < dropped; i++) {
		state_count(&w->state, COUNT_FORGOTTEN);
	}
	if (dropped > 0)
		log_error("celeriac:dead is full: the %lld oldest message(s) in it are dropped "
			  "(CELERIAC_DEAD_MAX)",
			  (long long)dropped);
}

static void *restorer_thread(void *arg)
{
	struct worker *w = arg;
	struct services *r = &w->restorer;
	usec_t up_since = 0; /* 0 = away */

	mutex_lock(&r->lock);
	while (!r->stopping) {
		usec_t now = clock_mono(), wait = AWAY;

		mutex_unlock(&r->lock);
		if (!broker_ready(w->broker)) {
			up_since = 0;
		} else {
			up_since = up_since == 0 ? now : up_since;
			look(w, now - up_since < PRESENCE_TTL);
			make_room(w);
			wait = INTERVAL;
		}
		mutex_lock(&r->lock);
		if (!r->stopping)
			cond_wait_until(&r->changed, &r->lock, clock_deadline(wait));
	}
	mutex_unlock(&r->lock);
	return NULL;
}

int restorer_start(struct worker *w, struct err *err)
{
	int rc = thread_start(&w->restorer.thread, "restorer", restorer_thread, w, err);

	w->restorer.started = rc == 0;
	return rc;
}

void restorer_stop(struct worker *w)
{
	struct services *r = &w->restorer;

	if (!r->started)
		return;
	mutex_lock(&r->lock);
	r->stopping = true;
	cond_signal(&r->changed);
	mutex_unlock(&r->lock);
	pthread_join(r->thread, NULL);
	r->started = false;
}
