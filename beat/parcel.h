/*
 * parcel.h: a batch of runs on its way, shared by publish.c and publish_apart.c.
 */
#ifndef CELERIAC_PARCEL_H
#define CELERIAC_PARCEL_H

#include "beat.h"

/* What is sent of one entry. */
struct parcel {
	struct sending *sending;
	struct buf list, message;
	char *next;    /* the state after it */
	usec_t ran_at; /* wall, as it says */
};
struct batch {
	struct parcel parcels[SCHEDULER_BATCH];
	size_t count, bytes;
};

/* One command, whose answer is an array. */
int publish_command(struct publisher *p, struct buf *commands, struct redis_reply **ret,
		    struct err *err) must_check;
/* What a script says of an entry, as slot.lua tells it, becomes a verdict. */
int publish_verdict(struct parcel *parcel, const struct redis_reply *reply,
		    struct err *err) must_check;
/* Sends a batch to another server than that of the states. *ret_leads as publisher_send. */
int publish_apart(struct publisher *p, struct batch *b, bool *ret_leads,
		  struct err *err) must_check;

#endif
