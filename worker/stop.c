/*
 * The parts of the worker are stopped in reverse. See shutdown.h.
 */
#include <signal.h>
#include <stdlib.h>
#include <utlist.h>

#include "audit.h"
#include "canvas.h"
#include "clock.h"
#include "daemon.h"
#include "log.h"
#include "login.h"
#include "outlived.h"
#include "pages.h"
#include "route.h"
#include "settle.h"
#include "shutdown.h"
#include "quota.h"

#define COLD_PATIENCE	(5 * USEC_PER_SEC) /* for cancelled tasks to end */
#define SETTLE_PATIENCE (5 * USEC_PER_SEC) /* for the broker to confirm what was handed over */
#define LOOK		(100 * USEC_PER_MSEC)

static int newest_first(const struct request *a, const struct request *b)
{
	return a->number < b->number ? 1 : -1;
}

/* Each goes to the front of its queue: the newest first, so that they come again in their order. */
static void release_all(struct request *list)
{
	struct request *next;

	LL_SORT(list, newest_first);
	for (; list != NULL; list = next) {
		next = list->next;
		settle_release(list);
	}
}

static bool is_consumer_gone(struct worker *w, usec_t deadline)
{
	bool ended;

	mutex_lock(&w->consumer_lock);
	while (!w->consumer_ended &&
	       cond_wait_until(&w->consumer_gone, &w->consumer_lock, deadline))
		;
	ended = w->consumer_ended;
	mutex_unlock(&w->consumer_lock);
	return ended;
}

/* A consumer that hangs must not keep us from hearing that somebody is impatient. */
static bool join_consumer(struct worker *w, int signals, struct shutdown *s)
{
	state_wake_consumer(&w->state);
	while (!is_consumer_gone(w, clock_deadline(LOOK))) {
		shutdown_signal(s, daemon_next_signal(signals));
		if (s->stage == SHUTDOWN_FORCED)
			return false;
	}
	pthread_join(w->consumer, NULL);
	return true;
}

/* Nothing more is claimed; what has not begun goes back. */
static void return_reserved(struct worker *w, usec_t deadline)
{
	struct request *aside, *in_lanes, *queued;

	aside = keeper_drain(w);
	in_lanes = lanes_drain(&w->lanes);
	queued = pool_stop(&w->pool);
	LL_CONCAT(queued, in_lanes);
	LL_CONCAT(queued, aside);
	/* before what was to run now, so that it comes behind it */
	due_release_all(w, deadline);
	release_all(queued);
	route_hand_over(w);
}

static bool wants_soft(struct worker *w)
{
	const struct settings *s = &w->settings;

	return s->worker_soft_shutdown_timeout > 0 &&
	       (s->worker_enable_soft_shutdown_on_idle || atomic_load(&w->state.active_count) > 0);
}

/* Says what begins; returns until when it may last. */
static usec_t enter(struct worker *w, struct shutdown *s)
{
	usec_t soft = w->settings.worker_soft_shutdown_timeout;

	switch (s->stage) {
	case SHUTDOWN_NONE:
		break;
	case SHUTDOWN_WARM:
		if (s->interrupted)
			log_warning("worker: Hitting Ctrl+C again will initiate cold shutdown, "
				    "terminating all running tasks!");
		log_warning("worker: Warm shutdown (MainProcess)");
		return clock_deadline(w->settings.worker_grace_time);
	case SHUTDOWN_SOFT:
		log_warning("worker: Hitting Ctrl+C again will terminate all running tasks!");
		if (wants_soft(w)) {
			log_warning("Initiating Soft Shutdown, terminating in %g seconds",
				    (double)soft / (double)USEC_PER_SEC);
			return clock_deadline(soft);
		}
		s->stage = SHUTDOWN_COLD;
		return enter(w, s);
	case SHUTDOWN_LAST:
		log_warning("Waiting gracefully for cold shutdown to complete...");
		__attribute__((fallthrough));
	case SHUTDOWN_COLD:
		log_warning("worker: Cold shutdown (MainProcess)");
		atomic_store(&w->releasing, true);
		state_cancel_all(&w->state);
		return clock_deadline(COLD_PATIENCE);
	case SHUTDOWN_FORCED:
		break;
	}
	return clock_mono();
}

static bool is_finished(struct worker *w, const struct shutdown *s, usec_t deadline)
{
	if (s->stage == SHUTDOWN_FORCED)
		return true;
	if (!state_wait_empty(&w->state, clock_deadline(LOOK)))
		return false;
	/* an idle worker that was told to wait waits */
	return s->stage != SHUTDOWN_SOFT || !w->settings.worker_enable_soft_shutdown_on_idle ||
	       clock_mono() >= deadline;
}

/* Waits for what runs, for as long as the stage allows; signals and time move it on. */
static void finish(struct worker *w, int signals, struct shutdown *s, usec_t deadline)
{
	while (!is_finished(w, s, deadline)) {
		int signum = daemon_next_signal(signals);

		release_all(keeper_drain(w));
		if (signum != 0 && shutdown_signal(s, signum)) {
			deadline = enter(w, s);
		} else if (signum == SIGINT) {
			log_warning("worker: Hitting Ctrl+C again will initiate cold shutdown, "
				    "terminating all running tasks!");
		} else if (clock_mono() >= deadline) {
			shutdown_late(s);
			deadline = enter(w, s);
		}
	}
}

/* What still runs is left to itself. */
static void abandon(struct worker *w)
{
	log_error("%zu task(s) did not end; their messages are restored by the next worker",
		  atomic_load(&w->state.held_count));
	events_stop(w);
	fanout_close(w->fanout, clock_deadline(SETTLE_PATIENCE));
}

/* Nothing is held any more: the parts go in the reverse of their order. */
static void close_parts(struct worker *w)
{
	pool_join(&w->pool);
	modules_stop(&w->modules);
	keeper_stop(w);
	route_leave(w, NULL, 0);
	mcp_sessions_free(w->mcp);
	fleet_close(w->fleet);
	way_out_close(&w->way_out);
	seal_keys_wipe(&w->seal_keys);
	plugin_index_close(w->plugins);
	if (w->store != NULL) /* it was opened */
		policy_watch_close(&w->policy);
	worker_leave(w);
	backend_close(w->backend, clock_deadline(SETTLE_PATIENCE));
	shared_state_close(w->shared, clock_deadline(SETTLE_PATIENCE));
	broker_close(w->broker, clock_deadline(SETTLE_PATIENCE));
	events_stop(w); /* the last events come with the broker's last confirmations */
	fanout_close(w->fanout, clock_deadline(SETTLE_PATIENCE));
	revoked_done(&w->revoked);
	limits_done(&w->limits);
	orders_done(&w->orders);
	outlived_done(&w->outlived);
	modules_done(&w->modules);
	registry_done(&w->registry);
	login_on_refused(NULL, NULL);
	audit_close(w->audit, clock_deadline(SETTLE_PATIENCE));
	store_close(w->store);
	lanes_done(&w->lanes);
	schedule_done(&w->schedule);
	state_done(&w->state);
	quota_free(w->quota);
	lease_free(w);
	timezone_close(w->zone);
}

bool worker_stop(struct worker *w, int signals, struct shutdown *s)
{
	enum shutdown_stage entered;
	usec_t deadline;

	broadcast_stop(w);
	atomic_store(&w->stopping, true); /* before anything goes back: it is not ours again */
	deadline = enter(w, s);
	entered = s->stage;
	if (join_consumer(w, signals, s)) {
		broker_end_claims(w->broker);
		return_reserved(w, deadline);
		if (s->stage != entered)
			deadline = enter(w, s);
		finish(w, signals, s, deadline);
	}
	if (s->by_force) {
		log_critical("worker: ended by force, %zu message(s) are restored by the next "
			     "worker",
			     atomic_load(&w->state.held_count));
		return false;
	}
	panel_stop(w);
	services_stop(w);
	chord_sweep_stop(w);
	restorer_stop(w);
	pages_stop(w->pages);
	if (atomic_load(&w->state.held_count) > 0) {
		abandon(w);
		return false;
	}
	close_parts(w);
	return true;
}
