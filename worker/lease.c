/*
 * The lease of our node's name: taken before anything else, renewed by the keeper, let go of at the
 * end. It is kept with what the deployment shares; where messages are in another Redis, what is one
 * step with them asks there who is alive, so the lease is shown there too.
 */
#include <poll.h>
#include <signal.h>

#include "clock.h"
#include "daemon.h"
#include "log.h"
#include "shutdown.h"
#include "worker.h"

#define JOIN_PATIENCE  (2 * USEC_PER_SEC) /* one try, before the log says so */
#define LEAVE_PATIENCE (2 * USEC_PER_SEC)
#define RETRY_MS       1000

/* True when a signal that came meanwhile ends us. */
static bool is_told_to_end(int signals)
{
	int signum;

	while ((signum = daemon_next_signal(signals)) != 0) {
		if (signum != SIGHUP && signum != SIGUSR1)
			return true;
	}
	return false;
}

static int take(struct worker *w, const struct redis_address *at, struct err *err)
{
	struct redis *r = NULL;
	int rc = redis_open(at, "celeriac-join", JOIN_PATIENCE, &r, err);

	if (rc == 0)
		drift_look(&w->drift, r, at->safe);
	if (rc == 0 && daemon_restarted())
		presence_reclaim(r, at->key_prefix, w->settings.instance, w->settings.node);
	if (rc == 0)
		rc = presence_join(r, at->key_prefix, w->settings.instance, w->settings.node,
				   clock_deadline(2 * PRESENCE_TTL), &w->presence, err);
	redis_close(r);
	return rc;
}

static int show(struct worker *w, const struct redis_address *at, struct err *err)
{
	struct redis *r = NULL;
	int rc;

	if (w->at_broker == NULL)
		w->at_broker = presence_elsewhere(w->presence, at->key_prefix);
	rc = redis_open(at, "celeriac-join", JOIN_PATIENCE, &r, err);
	if (rc == 0)
		rc = presence_show(w->at_broker, r, err);
	redis_close(r);
	return rc;
}

/* Messages are in another Redis: what is one step with them asks there who is alive. */
static bool is_shown(const struct worker *w)
{
	return shared_state_apart(w->shared) && broker_address(w->broker) != NULL;
}

static int try_join(struct worker *w, const char **ret_where, struct err *err)
{
	const struct redis_address *at = shared_state_address(w->shared);
	char detail[64];

	*ret_where = at->safe;
	if (w->presence == NULL && shared_state_link(w->shared) == NULL)
		w->presence = presence_alone(w->settings.instance, w->settings.node);
	if (w->presence == NULL) {
		int rc = take(w, at, err);

		if (rc < 0)
			return rc;
	}
	*ret_where = broker_where(w->broker);
	if (is_shown(w))
		return show(w, broker_address(w->broker), err);
	w->at_broker = w->presence;
	return broker_reach(w->broker, clock_deadline(JOIN_PATIENCE), detail, err);
}

int lease_join(struct worker *w, int signals, struct err *err)
{
	bool said = false;

	for (int64_t tries = 1;; tries++) {
		const char *at;
		int rc = try_join(w, &at, err);

		if (rc == 0 || !err_is_transient(err))
			return rc;
		if (!said)
			log_error("consumer: Cannot connect to %s: %s. Trying again.", at,
				  err->msg);
		said = true;
		if (!worker_may_retry(w, true, tries))
			return rc;
		struct pollfd fd = {.fd = signals, .events = POLLIN};

		poll(&fd, 1, RETRY_MS);
		if (is_told_to_end(signals))
			return err_set(err, ERR_CANCELLED, "stopped before Redis answered");
	}
}

void lease_renew(struct worker *w)
{
	if (shared_state_link(w->shared) != NULL && shared_state_ready(w->shared))
		presence_renew(w->presence, shared_state_link(w->shared));
	if (w->at_broker != w->presence && broker_ready(w->broker))
		presence_renew(w->at_broker, broker_link(w->broker));
}

/* A renewal that is on its way would take the lease again: it is waited for. */
static void leave(struct presence *p, struct redis_link *link, const struct redis_address *at)
{
	struct redis *r = NULL;
	struct err err = {0};

	presence_retire(p);
	if (redis_link_up(link) &&
	    redis_link_do(link, clock_deadline(LEAVE_PATIENCE), NULL, &err, "PING") < 0)
		log_debug("before the node lease is let go of: %s", err.msg);
	if (redis_open(at, "celeriac-leave", LEAVE_PATIENCE, &r, &err) == 0)
		presence_leave(p, r);
	redis_close(r);
}

void worker_leave(struct worker *w)
{
	if (w->presence == NULL)
		return;
	if (w->at_broker != NULL && w->at_broker != w->presence)
		leave(w->at_broker, broker_link(w->broker), broker_address(w->broker));
	if (shared_state_link(w->shared) != NULL)
		leave(w->presence, shared_state_link(w->shared), shared_state_address(w->shared));
}

void lease_forget_dead(struct worker *w, bool own_only)
{
	_cleanup_(presence_owners_done) struct presence_owners dead = {0};
	struct redis_link *link = shared_state_link(w->shared);
	struct err err = {0};
	int rc = 0;

	if (w->at_broker == w->presence || !shared_state_ready(w->shared))
		return;
	rc = presence_find_dead(w->presence, link, own_only, &dead, &err);
	for (size_t i = 0; rc == 0 && i < dead.count; i++)
		rc = presence_forget(w->presence, link, dead.items[i], &err);
	if (rc < 0)
		log_warning("workers that died: %s", err.msg);
}

void lease_free(struct worker *w)
{
	if (w->at_broker != w->presence)
		presence_free(w->at_broker);
	presence_free(w->presence);
}
