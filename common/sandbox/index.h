/*
 * index.h: what Redis knows of conversations: which container, since when idle, and who works on it
 * now.
 *
 * Keys, under <prefix>celeriac:<instance>: conversation:<id>, a hash {container, owner, project,
 * epoch, used, engine}; idle, a set of conversations that have a container, scored by their last
 * use (ms); lease:<id>, the token of who uses the conversation; suspects, a hash of containers with
 * which something is wrong, "<what> <since when it is seen (ms)>"; taken:<container>,
 * "<conversation>\n<project>" of a container that came out of a pool; holder:<container>, who has
 * taken a run of its own over from a dead worker; places:<engine>, tokens of those who are making a
 * container, scored by when they are given up (ms); missing:<engine>, since when nobody is seen to
 * reach an engine that has a container. Times are by Redis' own clock. All of it can be lost:
 * labels tell the rest. A conversation whose container was removed keeps its entry, without
 * container, so that the next call can say `restarted`.
 */
#ifndef CELERIAC_SANDBOX_INDEX_H
#define CELERIAC_SANDBOX_INDEX_H

#include "engine.h"
#include "presence.h"
#include "sandbox.h"

#define INDEX_LEASE_TTL                                                                            \
	(60 * USEC_PER_SEC) /* a dead holder is found out by its presence, long before */
#define INDEX_ENTRY_TTL	 (7 * 24 * 3600 * USEC_PER_SEC)
#define INDEX_PLACE_TTL	 (120 * USEC_PER_SEC) /* for a container to be made */
#define INDEX_WAIT	 (5 * USEC_PER_SEC)   /* for Redis to answer */
#define INDEX_TOKEN_SIZE (PRESENCE_OWNER_SIZE + 40)

/* What the label celeriac.role says. */
#define SANDBOX_ROLE_CONVERSATION "conversation"
#define SANDBOX_ROLE_RUN	  "run"
#define SANDBOX_ROLE_SERVER	  "mcp"
#define SANDBOX_ROLE_PROBE	  "probe"  /* tried out */
#define SANDBOX_ROLE_HELPER	  "helper" /* fills a volume */
#define SANDBOX_ROLE_POOL	  "pool"   /* made for nobody; see binding.c for whose it is now */

struct index {
	struct redis_link *link;
	const struct presence *presence;
	char *base;			  /* <prefix>celeriac:<instance>: */
	char places[ENGINE_KEY_SIZE + 8]; /* "places:<engine>" */
	struct redis_script acquire, peek, renew, release, adopt, reserve, save, touch, engine;
};

struct index_record {
	bool known;			/* there is an entry */
	char container[ENGINE_ID_SIZE]; /* "" = none any more */
	char owner[PRESENCE_OWNER_SIZE];
	char project[256];
	char engine[ENGINE_KEY_SIZE]; /* that has the container; "" = nobody has written it down */
	uint32_t epoch;		      /* of the last attachment */
	usec_t used;		      /* wall */
};

struct index_lease {
	char conversation[256];
	char token[INDEX_TOKEN_SIZE];
};

void sandbox_index_init(struct index *ix, struct redis_link *link, const char *key_prefix,
			const char *instance, const struct presence *presence);
/* For sandbox_index_engine alone, where calls are routed in another Redis. */
void sandbox_index_of_routes(struct index *ix, struct redis_link *link, const char *key_prefix,
			     const char *instance);
void sandbox_index_done(struct index *ix);

/* Takes the lease, waiting for its holder until `deadline` or until it proves to be dead.
 * ERR_UNAVAILABLE: held. */
int sandbox_index_acquire(struct index *ix, const char *conversation, usec_t deadline,
			  const atomic_bool *cancel, struct index_lease *ret,
			  struct index_record *ret_record, struct err *err) must_check;
/* The same for one who comes to remove: does not wait (ERR_CONFLICT) and does not touch the idle
 * clock. */
int sandbox_index_peek(struct index *ix, const char *conversation, struct index_lease *ret,
		       struct index_record *ret_record, struct err *err) must_check;

/* Is the lease certainly somebody else's? Redis that does not answer gives it to nobody. */
bool sandbox_index_is_lost(struct index *ix, const struct index_lease *lease);

/* These do not wait for Redis. */
void sandbox_index_renew(struct index *ix, const struct index_lease *lease);
void sandbox_index_release(struct index *ix, const struct index_lease *lease);
/* Writes the entry, unless it tells of a later attachment than the record's: who was believed dead
 * and wakes up changes nothing. With a container the conversation is idle from now on, without it
 * only the entry stays. */
void sandbox_index_save(struct index *ix, const char *conversation,
			const struct index_record *record);
void sandbox_index_forget(struct index *ix, const char *conversation);

/* Whose a container out of the pool is, does not wait; and of many, in one exchange: role,
 * conversation and project of those it knows are filled in. */
void sandbox_index_take(struct index *ix, const char *container, const char *conversation,
			const char *project);
int sandbox_index_read_taken(struct index *ix, struct engine_container *const *list, size_t count,
			     struct err *err) must_check;

/* Takes a place among those who are making a container; how many there are, this one included.
 * `ret_token` has INDEX_TOKEN_SIZE bytes. */
int sandbox_index_reserve(struct index *ix, char *ret_token, int64_t *ret_taken,
			  struct err *err) must_check;
void sandbox_index_unreserve(struct index *ix, const char *token);

/* The places of those who died while they made one are free again; returns how many. */
int64_t sandbox_index_clear_places(struct index *ix);

/* Is the maker of a lease's or a place's token, with whose name it begins, dead? Trouble to find
 * out means alive. */
bool sandbox_index_is_dead(struct index *ix, const char *token);

/* What the index says of many conversations, in one exchange; ret[i] zeroed when unknown. */
int sandbox_index_read(struct index *ix, const char *const *conversations, size_t count,
		       struct index_record *ret, struct err *err) must_check;
/* All conversations that should have a container; names and list given. */
int sandbox_index_with_containers(struct index *ix, char ***ret, size_t *ret_count,
				  struct err *err) must_check;
/* The conversations that have been idle for longest, with their last use; at most `max`. Names
 * given. */
struct index_idle {
	char *conversation;
	usec_t used;
};
int sandbox_index_longest_idle(struct index *ix, size_t max, struct index_idle *ret,
			       size_t *ret_count, struct err *err) must_check;
/* Makes us the owner, if it still is `from`'s. */
int sandbox_index_adopt(struct index *ix, const struct engine_container *c, const char *engine,
			const char *from, bool *ret_done, struct err *err) must_check;
/* Does a worker that takes calls reach the engine of that name, as they say by their routes
 * (common/broker/route.c); if not, for how long has that been seen? */
int sandbox_index_engine(struct index *ix, const char *engine, usec_t grace, bool *ret_reached,
			 usec_t *ret_missing, struct err *err) must_check;
/* ---- what a sweep notes: index_sweep.c ---- */
/* With which containers something is wrong. */
struct index_suspect {
	char container[ENGINE_ID_SIZE];
	char what[16];
	usec_t since;
};
/* All of them (given: free), and what time it is for Redis. */
int sandbox_index_suspects(struct index *ix, struct index_suspect **ret, size_t *ret_count,
			   usec_t *ret_now, struct err *err) must_check;
/* Who has taken over a container of one run, "" = nobody. */
int sandbox_index_holder(struct index *ix, const char *container, char ret[PRESENCE_OWNER_SIZE],
			 struct err *err) must_check;
/* These do not wait. */
void sandbox_index_hold(struct index *ix, const char *container, usec_t ttl);
void sandbox_index_suspect(struct index *ix, const char *container, const char *what, usec_t since);
void sandbox_index_unsuspect(struct index *ix, const char *container);
/* The conversation is idle from now on, if it is there at all: nobody knows since when it was. */
void sandbox_index_touch(struct index *ix, const char *conversation);

#endif
