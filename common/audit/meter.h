/*
 * meter.h: how many events of a kind came within a minute: what is too many rows, and what is a
 * burst. Private to common/audit and tests.
 */
#ifndef CELERIAC_AUDIT_METER_H
#define CELERIAC_AUDIT_METER_H

#include "audit.h"

#define METER_SPAN (60 * USEC_PER_SEC)
/*
 * What is counted apart within a minute. Names of tools come from messages: who makes up many of
 * them fills the first space, and then each project is counted by itself, whatever its tools are
 * called. Only beyond as many projects all are counted together. So the flood of one project hides
 * no other, rows are bounded, and no count is given up before its minute is over.
 */
enum meter_space { METER_TOOLS, METER_PROJECTS, METER_BURSTS, METER_ALL, METER_SPACES };
#define METER_KEYS 512 /* of each space but the last, which has our own words alone */

/* What was not written one by one: `count` events of a kind, until the last of them. Strings are
 * owned. */
struct meter_rest {
	struct meter_rest *next;
	char *decision, *kind, *tool, *project;
	int64_t count;
};
void meter_rest_free(struct meter_rest *r);

struct meter_count;
struct meter {
	struct audit_limits limits;
	struct meter_count *counts; /* by key */
	size_t used[METER_SPACES];
	struct meter_rest *first, **last;
	int64_t held; /* events that are in no rest yet */
};
void meter_init(struct meter *m, const struct audit_limits *limits);
void meter_done(struct meter *m);

/* One event at `now` (monotonic). True: it is to be counted only, in a rest that comes later. */
bool meter_holds(struct meter *m, const struct audit_event *e, usec_t now);
/* Is this event the one that makes it a burst? *ret: its row, of strings that live as long as `e`,
 * and `text` of METER_TEXT bytes. */
#define METER_TEXT 80
bool meter_bursts(struct meter *m, const struct audit_event *e, usec_t now, char text[METER_TEXT],
		  struct audit_event *ret);
/* The next rest whose minute is over, or any with `all`; given, NULL = none. */
struct meter_rest *meter_take(struct meter *m, usec_t now, bool all);

#endif
