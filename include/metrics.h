/*
 * metrics.h: counts and latencies for Prometheus, by label.
 *
 * A family is a row of the table in common/metrics/families.c. Its series come into being when they
 * are first counted and stay; a family has at most METRIC_SERIES of them, what comes after is
 * counted under the labels "other". One registry for the process, as it has one page. All [any],
 * never waits for anything but other threads that look up a series.
 */
#ifndef CELERIAC_METRICS_H
#define CELERIAC_METRICS_H

#include "base.h"
#include "buf.h"

#define METRIC_SERIES 512 /* of one family */
#define METRIC_LABEL  128 /* bytes of a label's value; a longer one is cut */

enum metric {
	METRIC_TASKS,	     /* name, state */
	METRIC_TASK_RUNTIME, /* name */
	METRIC_TASK_WAIT,    /* name */
	METRIC_DECISIONS,    /* kind, decision */
	METRIC_ENGINE_CALLS, /* call, outcome */
	METRIC_ENGINE_TIME,  /* call */
	METRIC_STORE_TIME,
	METRIC_STORE_ERRORS,
	METRIC_BEAT_LATE,
	METRIC_REAPED,	    /* kind */
	METRIC_ENGINE_DISK, /* engine, what */
	METRIC_SANDBOXES,   /* engine, state */
	METRICS
};

struct metric_series;

/* The series of these label values; those that the family does not have are NULL. Never NULL;
 * lives as long as the process. */
struct metric_series *metric_series(enum metric m, const char *first, const char *second);

/* Counts `n` more. */
void metric_add(struct metric_series *s, uint64_t n);
/* Of a gauge: it is this now. */
void metric_set(struct metric_series *s, uint64_t value);
/* Of a histogram: one more that took so long. */
void metric_observe(struct metric_series *s, usec_t took);

static inline void metric_count(enum metric m, const char *first, const char *second)
{
	metric_add(metric_series(m, first, second), 1);
}

/* Appends every family that has a series, in Prometheus' text format 0.0.4; families in the order
 * of the table, series in that of their birth. */
void metrics_write(struct buf *out);
/* Appends one value that is no family's: its HELP, TYPE and line. `labels` as they are written,
 * with braces, or "". */
void metrics_write_one(struct buf *out, const char *name, const char *labels, const char *type,
		       const char *help, unsigned long long value);

#endif
