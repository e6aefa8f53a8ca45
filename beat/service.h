/*
 * service.h: what service.c (the loop) and leading.c (what the beat that leads does in it) share.
 */
#ifndef CELERIAC_BEAT_SERVICE_H
#define CELERIAC_BEAT_SERVICE_H

#include "beat.h"
#include "status.h"
#include "table.h"

struct service {
	const struct settings *settings;
	const struct timezone_info *zone;
	struct publisher publisher;
	struct scheduler scheduler;
	struct entries entries;
	struct table *table; /* or NULL */
	struct status status;
	bool leads;		   /* as far as it is known */
	char leader[LEASE_HOLDER]; /* "" when nothing is known yet */
	usec_t lease_due;	   /* monotonic: when the lease is taken or renewed */
	size_t loaded;		   /* entries whose state was read */
	usec_t apart;		   /* wall minus monotonic, at the last tick */
	usec_t trouble_since;	   /* monotonic, 0 = none */
	bool trouble_said;
	struct err file_said; /* last of the schedule's file, "" = it could be read */
	usec_t retry;	      /* the last pause after a failure, 0 = none */
};

/* Takes the lease, renews it or looks whose it is; the one that leads reads the states and sends
 * what is due. */
int leading_work(struct service *s, struct err *err) must_check;
/* Makes what can be made of runs that are due soon; false when there is more to do. */
bool leading_prepare(struct service *s);
/* The entries are others now: their states are to be read. */
void leading_forget(struct service *s);

#endif
