/*
 * audit.h: the record of what was allowed, denied or failed, one event each.
 */
#ifndef CELERIAC_AUDIT_H
#define CELERIAC_AUDIT_H

#include <jansson.h>

#include "base.h"

/* Strings may be NULL and are borrowed; none may be a secret. */
struct audit_event {
	const char *decision; /* allow, deny, error */
	const char *kind;     /* what was decided on: "egress" … */
	const char *tool, *target;
	const char *conversation, *project, *task;
	const char *actor, *reason;
	usec_t duration;      /* USEC_NEVER = not known */
	const json_t *detail; /* object, or NULL */
};

/* The line "[audit] {…}" in the log: one JSON object with the columns of activity_events as keys,
 * what is NULL left out. [any] */
void audit_log(const struct audit_event *e);

#endif
