/*
 * parcel.h: what is sent of a run, made in parcel.c, and a batch of them on its way, shared by
 * publish.c and publish_apart.c.
 */
#ifndef CELERIAC_PARCEL_H
#define CELERIAC_PARCEL_H

#include "beat.h"

struct parcel {
	struct sending *sending; /* whose it is, once it is in a batch */
	struct buf list, message;
	char id[UUID_SIZE];
	char *next;    /* the state after it */
	usec_t ran_at; /* wall, as it says */
	usec_t slot;   /* of the entry */
};
/* That of the run that is next, as it is sent at `wall`, which its times are counted from. Given.
 */
int parcel_make(const struct publisher *p, const struct entry *e, usec_t wall, struct parcel **ret,
		struct err *err) must_check;
void parcel_free(struct parcel *parcel);
/* The one that was made ahead, if it may be sent now, else a new one. Given. */
int parcel_take(const struct publisher *p, struct entry *e, struct parcel **ret,
		struct err *err) must_check;

/* Its verdict. It was sent now, and the ledger holds its state; */
void parcel_sent(struct parcel *parcel);
/* the ledger held another one: another beat's run, or ours, when an earlier try had no answer; */
void parcel_was_there(struct parcel *parcel, struct slice state);
/* its queue did not take it. */
void parcel_refused(struct parcel *parcel, const struct err *why);

struct batch {
	struct parcel *parcels[SCHEDULER_BATCH];
	size_t count, bytes;
};

/* Sends a batch to another server than that of the ledger. *ret_leads as publisher_send. */
int publish_apart(struct publisher *p, struct batch *b, bool *ret_leads,
		  struct err *err) must_check;

#endif
