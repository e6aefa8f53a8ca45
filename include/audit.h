/*
 * audit.h: the record of what was allowed, denied or failed: a line in the log at once, a row of
 * activity_events soon after.
 *
 * A flood of refusals is lines, but not as many rows: of one decision, kind, tool and project a
 * minute has a bounded number, and then one row that says how many more there were (detail.more).
 * What comes in bursts, denials or new containers of a project, is an event of kind "burst".
 *
 * Rows are written in batches by a thread of its own, so that no call waits for them. While the
 * database is away they wait, within BOUND_AUDIT_EVENTS; beyond, the oldest are dropped, counted
 * and told, and are then in the log alone.
 */
#ifndef CELERIAC_AUDIT_H
#define CELERIAC_AUDIT_H

#include <jansson.h>

#include "base.h"
#include "err.h"

/* Strings may be NULL and are borrowed; none may be a secret. */
struct audit_event {
	const char *decision; /* allow, deny, error */
	const char *kind;     /* what was decided on: "sandbox", "egress" … */
	const char *tool, *target;
	const char *conversation, *project, *task;
	const char *actor, *reason;
	usec_t duration;      /* USEC_NEVER = not known */
	const json_t *detail; /* object, or NULL */
};

/* Within a minute; 0 = any number. */
struct audit_limits {
	int64_t rows; /* of what is not allowed, of one decision, kind, tool and project */
	int64_t denials, containers; /* of one project: so many are a burst */
};

struct store;
struct audit;
/* `store` NULL: lines only. [init] */
int audit_open(struct store *store, const struct audit_limits *limits, struct audit **ret,
	       struct err *err) must_check;
/* Writes what waits, until the monotonic `deadline`. NULL is fine. */
void audit_close(struct audit *a, usec_t deadline);

/* The line "[audit] {…}" in the log: one JSON object with the columns of activity_events as keys,
 * what is NULL left out; and the row. Never blocks. [any] */
void audit_write(struct audit *a, const struct audit_event *e);
/* Events whose row was given up. [any] */
uint64_t audit_dropped(const struct audit *a);

#endif
