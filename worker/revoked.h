/*
 * revoked.h: ids of tasks that must not run (celery.worker.state.revoked), and stamps of such tasks
 * (revoked_stamps): bounded in number, ids also in time. Both are kept in Redis, as sorted sets by
 * the time they expire, so that a restart or a worker that comes late knows them too:
 * celeriac:<instance>:revoked, and :revoked-stamps whose members are header, 0x1f and value.
 * Functions are [any] thread's.
 */
#ifndef CELERIAC_WORKER_REVOKED_H
#define CELERIAC_WORKER_REVOKED_H

#include <jansson.h>
#include <stdatomic.h>

#include "base.h"
#include "err.h"
#include "thread.h"

struct worker;
struct revoked_item;

struct revoked_set {
	struct revoked_item *map; /* in the order they came; the oldest make room */
	size_t most;
};
struct revoked {
	struct mutex lock;
	struct revoked_set ids, stamps; /* guarded by lock, but for `most` */
	atomic_size_t count;		/* of both: 0 makes the check free */
	usec_t expires;
};
/* At most `most` ids are remembered, for `expires`. [init] */
void revoked_init(struct revoked *r, size_t most, usec_t expires);
void revoked_done(struct revoked *r);

/* Remembers an id until it expires; the oldest make room. */
void revoked_add(struct revoked *r, const char *task_id);
bool revoked_has(struct revoked *r, const char *task_id);
/* The ids that count, oldest first: an array of strings. Given. */
json_t *revoked_list(struct revoked *r);

/* Remembers that tasks stamped `header` = `value` are revoked, until we end; at most 1000. */
void revoked_add_stamp(struct revoked *r, const char *header, const char *value);
/* True when a message with these `headers` carries a revoked stamp. */
bool revoked_has_stamp(struct revoked *r, const json_t *headers);

/* ---- with Redis ---- */
/* Tells the others of our deployment, also those that are not there yet. Never waits. */
void revoked_share(struct worker *w, const char *const *ids, size_t count);
void revoked_share_stamp(struct worker *w, const char *header, const char *value);
/* Learns what was revoked before we listened. Blocks for seconds at most. */
void revoked_learn(struct worker *w);

#endif
