/*
 * drift.h: what to do when this machine's clock is not that of the others.
 *
 * Eta, expires and the scores of `unacked_index` are compared by whoever has the message, so all
 * workers must read one clock. It is their own as long as it agrees with that of Redis, the one
 * that they have in common; when it is further off than Celery's own tolerance, Redis's is used in
 * its stead (clock_correct), and the log says so once.
 */
#ifndef CELERIAC_WORKER_DRIFT_H
#define CELERIAC_WORKER_DRIFT_H

#include "base.h"
#include "err.h"

struct redis;
struct redis_link;

#define DRIFT_MAX (16 * USEC_PER_SEC) /* HEARTBEAT_DRIFT_MAX */

struct drift {
	usec_t told;	 /* what the log knows */
	usec_t again_at; /* monotonic: next look; the keeper's */
	usec_t soon_at;	 /* the same, for a clock that was set */
};

/* Given what the machine's clock is ahead of Redis's: the correction to use, and in *ret_tell
 * whether it is news. Pure but for `d`. */
usec_t drift_judge(struct drift *d, usec_t ahead, bool *ret_tell);

/* Looks, before the first message is taken, over a connection of the caller's. [init] */
void drift_look(struct drift *d, struct redis *r, const char *server);
/* The same now and then, and soon after the machine's clock was set, over the link. [keeper] */
void drift_watch(struct drift *d, struct redis_link *link, const char *server);

#endif
