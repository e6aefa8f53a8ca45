/*
 * info.h: a request as monitors and `inspect` may see it: bounded, and without the secrets its task
 * names.
 */
#ifndef CELERIAC_WORKER_INFO_H
#define CELERIAC_WORKER_INFO_H

#include <jansson.h>

#include "buf.h"

struct worker;
struct request;

/* repr() of args and kwargs, cut at BOUND_REPR_BYTES. [any], while `r` is held. */
void info_args_repr(const struct request *r, struct buf *out);
void info_kwargs_repr(const struct request *r, struct buf *out);

/* What `inspect` lists of one request: a copy, so that it may be shown after the request is gone.
 */
struct info {
	char *id, *name, *type, *queue, *exchange;
	json_t *args, *kwargs;	/* redacted, or reprs of them; owned */
	const char *state;	/* "active", "reserved" or "scheduled" */
	usec_t eta, time_start; /* wall, 0 = none */
	int priority;
	bool redelivered, acknowledged;
};
/* Those held now in `state` (NULL: all), with one of `ids` (an object whose keys are ids; NULL:
 * all), at most BOUND_CONTROL_ROWS, the oldest first. With `safe`, args and kwargs are reprs. Reads
 * what the schedule holds from the broker, at most BOUND_CONTROL_FETCH and not for long. Given:
 * info_free. [control] */
struct info *info_collect(struct worker *w, const char *state, const json_t *ids, bool safe,
			  size_t *ret_count);
void info_free(struct info *list, size_t count);
/* Request.info() of Celery. Given. */
json_t *info_json(const struct worker *w, const struct info *i);

#endif
