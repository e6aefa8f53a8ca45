/*
 * redis_backend.h: what the files of the Redis backend share.
 */
#ifndef CELERIAC_REDIS_BACKEND_H
#define CELERIAC_REDIS_BACKEND_H

#include "chord.h"
#include "driver.h"
#include "redis.h"

struct redis_backend {
	bool shares_broker;
	bool borrows;	    /* the link is somebody else's */
	bool chord_ordered; /* result_chord_ordered: parts by group index */
	char *key_prefix;
	struct redis_link *link;
	struct redis_script store, unbegun, chord_part, chord_done, chord_sweep, chord_look;
};
/* Of a backend that is one. */
static inline struct redis_backend *redis_of(const struct backend *b)
{
	return b->own;
}

#define BACKEND_META_PREFIX  "celery-task-meta-"
#define BACKEND_GROUP_PREFIX "celery-taskset-meta-"

/* ---- chord_set.c ---- */
/* A complete chord, from what the scripts answer from `first` on: size, parts (of a set with their
 * scores), saved group, is it a set, and for a look the body. What was counted twice is left out: 0
 * when it is not complete then, else 1 and *ret. May block. ERR_PROTOCOL. */
int backend_chord_read(struct backend *b, const struct redis_reply *reply, size_t first,
		       usec_t deadline, struct chord_set *ret, struct err *err) must_check;

/* ---- chord.c ---- */
/* An error reply of a script as an error. */
int backend_reply_error(const struct redis_reply *reply, const char *group_id,
			struct err *err) must_check;
/* Appends "EVALSHA sha 8 keys…" of a group; its own arguments follow in `argv`. */
void backend_chord_command(const struct backend *b, const struct redis_script *script,
			   const char *group_id, const struct slice *argv, size_t argc,
			   struct buf *out);

#endif
