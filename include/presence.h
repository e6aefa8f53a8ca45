/*
 * presence.h: who is alive. A worker holds a lease in Redis under its node name and counts its
 * lives there (epoch), so that others can tell whether the owner of a message, a row or a container
 * still exists.
 *
 * Keys: celeriac:<instance>:node:<node> = "<epoch> <boot> <pidns> <pid> <start>", expires after
 * PRESENCE_TTL; celeriac:<instance>:epoch:<node> = counter; celeriac:<instance>:owners = set of the
 * owners that live or left something behind. An owner is written "<node>@<epoch>".
 */
#ifndef CELERIAC_PRESENCE_H
#define CELERIAC_PRESENCE_H

#include "err.h"
#include "redis.h"

#define PRESENCE_TTL	    (15 * USEC_PER_SEC)
#define PRESENCE_RENEW	    (5 * USEC_PER_SEC)
#define PRESENCE_OWNER_SIZE 160

struct presence; /* this process' own life; const after presence_join */

/*
 * Takes the lease for `node`, or, when another live process of this name has it, for "<node>-2" and
 * so on. A lease left by a process of this machine that is gone is taken over at once, any other
 * when it expires. Blocks until `deadline`. ERR_UNAVAILABLE. [init]
 */
int presence_join(struct redis *r, const char *key_prefix, const char *instance, const char *node,
		  usec_t deadline, struct presence **ret, struct err *err) must_check;
/* A life without a lease, where there is no Redis: whoever else has the name is not known, and
 * epochs are the time. [init] */
struct presence *presence_alone(const char *instance, const char *node);
/* Lets go of a lease that this very process took before it became what it is now (daemon_restart).
 * To be called before presence_join; what fails is left to that. [init] */
void presence_reclaim(struct redis *r, const char *key_prefix, const char *instance,
		      const char *node);
/* Borrowed, as long as `p` lives. [any] */
const char *presence_node(const struct presence *p);
int64_t presence_epoch(const struct presence *p);
const char *presence_owner(const struct presence *p); /* "<node>@<epoch>" */
const char *presence_instance(const struct presence *p);

/* Renews the lease through the link, without waiting. To be called every PRESENCE_RENEW. A lease
 * that was lost while Redis was away is taken again unless somebody else has it. [any] */
void presence_renew(struct presence *p, struct redis_link *link);
/* From now on nothing is renewed: to be said before the lease is let go of, by who cannot end the
 * thread that renews it. What was submitted before may still come. [any] */
void presence_retire(struct presence *p);
/* Lets go of it, so that others need not wait. Blocks as long as `r` does. [owner of r] */
void presence_leave(const struct presence *p, struct redis *r);
/*
 * The same life in another Redis, by its own prefix there: where messages are, when leases are kept
 * elsewhere, so that what is one step with a message may ask who is alive. Given. [init]
 */
struct presence *presence_elsewhere(const struct presence *p, const char *key_prefix);
/* Writes its lease there, whatever was there: who has the name is told by the first. Blocks as long
 * as `r` does. [owner of r] */
int presence_show(const struct presence *p, struct redis *r, struct err *err) must_check;
/* NULL is fine. */
void presence_free(struct presence *p);

/* Is `owner` ("node@epoch") alive? Ourselves: true without asking. Blocks for seconds. [any] */
int presence_alive(const struct presence *p, struct redis_link *link, const char *owner,
		   bool *ret_alive, struct err *err) must_check;

/* Owners of this deployment whose lives are over and who may have left something behind, a thousand
 * at most; with `own_only` the earlier lives of our node, of which that is certain. Given:
 * presence_owners_done. [any] */
struct presence_owners {
	char **items;
	size_t count;
};
int presence_find_dead(const struct presence *p, struct redis_link *link, bool own_only,
		       struct presence_owners *ret, struct err *err) must_check;
/* Nothing of `owner` is left. [any] */
int presence_forget(const struct presence *p, struct redis_link *link, const char *owner,
		    struct err *err) must_check;
void presence_owners_done(struct presence_owners *o);

/* "node@epoch" → parts; false when it is none. */
bool presence_owner_parse(const char *owner, char node[128], int64_t *ret_epoch);

#endif
