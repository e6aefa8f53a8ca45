/*
 * limits.h: rate and time limits that were set for tasks at run time, by name
 * (celery/worker/control.py; kombu/utils/limits.py is the bucket).
 *
 * A rate-limited request reserves its turn when it is looked at and is parked with the keeper until
 * then, outside the prefetch count, so that it stands in nobody's way.
 */
#ifndef CELERIAC_WORKER_LIMITS_H
#define CELERIAC_WORKER_LIMITS_H

#include <stdatomic.h>

#include "base.h"
#include "err.h"
#include "thread.h"

struct limit;
struct registry;

struct limits {
	struct mutex lock;
	struct limit *map;     /* guarded by lock: by task name */
	atomic_size_t limited; /* names with a rate limit: 0 makes the check free */
};
void limits_init(struct limits *l);
void limits_done(struct limits *l);

/* "10/m", "2/s", "0.5/h", "3" or "" → tasks per second, 0 = no limit. ERR_INVALID says it as
 * Python does. [any] */
int limits_parse_rate(const char *text, double *ret_per_second, struct err *err) must_check;

/* `text` is how it was said, for `inspect registered`. Turns already given out are forgotten. */
void limits_set_rate(struct limits *l, const char *task, double per_second, const char *text);
/* The monotonic time of the next free turn for `task`, which is taken; 0 when there is no limit. */
usec_t limits_take_turn(struct limits *l, const char *task, usec_t now);
/* The rate of `task` as it was said, "" if none. Given. */
char *limits_rate_text(struct limits *l, const char *task);

/* What tasks say of themselves. [init] */
void limits_of_registry(struct limits *l, const struct registry *r);

/* 0 = none. */
void limits_set_time(struct limits *l, const char *task, usec_t soft, usec_t hard);
/* False when nothing was set for `task`. */
bool limits_time(struct limits *l, const char *task, usec_t *ret_soft, usec_t *ret_hard);

#endif
