/*
 * chord.h: the sets in which the parts of chords are counted (celery/backends/redis.py).
 *
 * Every finished part is added to the set of its group; whoever adds the last one publishes the
 * body, in the same step in which it settles its own message, and removes the set. The keys are
 * those that Celery's own workers use, so that both work on one chord: 5.7 and we claim the right
 * to publish, and count a task that runs again once; older ones do neither.
 */
#ifndef CELERIAC_CHORD_H
#define CELERIAC_CHORD_H

#include <jansson.h>

#include "backend.h"

enum chord_key {
	CHORD_PARTS, /* .j: sorted set or list, of [1, task id, state, result] */
	CHORD_EXTRA, /* .t: parts that were added to the size later */
	CHORD_SIZE,  /* .s */
	CHORD_IN,    /* .d: set of "<task id>:<index>" that are in */
	CHORD_CLAIM, /* .c: token of who publishes the body, or "done" */
	CHORD_GROUP, /* the saved GroupResult */
	CHORD_OURS,  /* celeriac:chord:<group id>, hash: body, size; what only messages tell */
	CHORD_OPEN,  /* celeriac:chords, sorted set: group ids that chord_sweep.c looks after */
	CHORD_KEYS
};
void backend_chord_keys(const struct backend *b, const char *group_id, char *ret[CHORD_KEYS]);
void backend_chord_keys_done(char *keys[CHORD_KEYS]);

struct chord_part {
	const char *group_id, *task_id;
	const json_t *group_index; /* of the header: an int, or anything else: at the end */
	enum task_state state;
	const json_t *result; /* as in a meta */
};
/* A chord whose parts are all in. */
struct chord_set {
	json_t *parts; /* array of [1, task id, state, result, index], one for each task, in order
			*/
	json_t *group; /* tuple of the saved GroupResult, NULL when the header is flat */
	json_t *body;  /* as recorded, or NULL */
};
void chord_set_done(struct chord_set *s);

/* Returns a part. When all are in and nobody else publishes the body: 1 and *ret given. Else 0.
 * `body` is recorded once for each chord. Where the broker is another server the caller has the
 * claim when this says 1, and says backend_chord_published. ERR_UNSUPPORTED without a Redis
 * backend, ERR_PROTOCOL when the set holds what is no part; any other that is not transient: the
 * chord can never be counted. Blocks until `deadline`. [any] */
int backend_chord_part(struct backend *b, const struct chord_part *part, const json_t *body,
		       usec_t deadline, struct chord_set *ret, struct err *err) must_check;
/* The body is out: the set goes. Not waited for. [any] */
void backend_chord_published(struct backend *b, const char *group_id);
/* The value that the body is called with: the results of the parts, nested as the saved group says.
 * Given. ERR_CONFLICT with *ret_failed (borrowed from `s`, or NULL when it is in no part): a part
 * failed; ERR_NOTFOUND: a result is missing. Blocks. [any] */
int backend_chord_results(struct backend *b, const struct chord_set *s, usec_t deadline,
			  json_t **ret, const json_t **ret_failed, struct err *err) must_check;

/* Key and value that say how many parts group `group_id` waits for. Given. */
void backend_chord_size(const struct backend *b, const char *group_id, int64_t size,
			struct backend_write *ret);
/* Key and value of a saved GroupResult: `results` is its tuple. */
int backend_group_encode(const struct backend *b, const char *group_id, const json_t *results,
			 struct backend_write *ret, struct err *err) must_check;

/* ---- chords that are complete, and nobody published their body (chord_sweep.c) ---- */
enum chord_look {
	CHORD_GONE,	/* nothing is there any more */
	CHORD_WAITING,	/* parts are missing, somebody publishes, or it is not long enough ago */
	CHORD_STUCK,	/* its body is to be published; *ret given */
	CHORD_HOPELESS, /* likewise, but was given up */
};
#define CHORD_SWEEP_MAX	  64 /* group ids at once */
#define CHORD_CURSOR_SIZE 32
/* The right of `owner` to sweep, alone, for `lease` (*ret_ours); then up to CHORD_SWEEP_MAX chords
 * that were not looked at for `age`, each given. Blocks. */
int backend_chord_sweep(struct backend *b, const char *owner, usec_t lease, usec_t age,
			char *ret_ids[CHORD_SWEEP_MAX], size_t *ret_count, bool *ret_ours,
			struct err *err) must_check;
/* Walks some of the keys of the backend for sets that no worker of ours had to do with. `cursor`:
 * "0" at first and again after the last. */
int backend_chord_scan(struct backend *b, char cursor[CHORD_CURSOR_SIZE],
		       struct err *err) must_check;
/* What is to be done for a chord that has been complete for `patience`. */
int backend_chord_look(struct backend *b, const char *group_id, usec_t patience,
		       enum chord_look *ret_look, struct chord_set *ret,
		       struct err *err) must_check;
/* Nobody can do anything for it. */
void backend_chord_give_up(struct backend *b, const char *group_id);

#endif
