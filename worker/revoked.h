/*
 * revoked.h: ids of tasks that must not run (celery.worker.state.revoked), bounded in number and
 * time, and kept in Redis under celeriac:<instance>:revoked (a sorted set by the time they expire),
 * so that a restart or a worker that comes late knows them too.
 */
#ifndef CELERIAC_WORKER_REVOKED_H
#define CELERIAC_WORKER_REVOKED_H

#include <jansson.h>
#include <stdatomic.h>

#include "base.h"
#include "err.h"
#include "thread.h"

struct worker;
struct revoked_id;

struct revoked {
	struct mutex lock;
	struct revoked_id *map;	      /* guarded by lock: in the order they came */
	struct revoked_stamp *stamps; /* guarded by lock */
	atomic_size_t count;	      /* of both: 0 makes the check free */
	size_t most;
	usec_t expires;
};
void revoked_init(struct revoked *r, size_t most, usec_t expires);
void revoked_done(struct revoked *r);

/* Remembers an id until it expires; the oldest make room. */
void revoked_add(struct revoked *r, const char *task_id);
bool revoked_has(struct revoked *r, const char *task_id);
/* The ids that count, oldest first: an array of strings. Given. */
json_t *revoked_list(struct revoked *r);

/* Remembers that tasks stamped `header` = `value` are revoked. */
void revoked_add_stamp(struct revoked *r, const char *header, const char *value);
/* True when a message with these `headers` carries a revoked stamp. */
bool revoked_has_stamp(struct revoked *r, const json_t *headers);

/* ---- with Redis ---- */
/* Tells the others of our deployment, also those that are not there yet. Never waits. */
void revoked_share(struct worker *w, const char *const *ids, size_t count);
/* Learns what was revoked before we listened. Blocks for seconds at most. */
void revoked_learn(struct worker *w);

#endif
