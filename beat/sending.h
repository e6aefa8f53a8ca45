/*
 * sending.h: parcels of entries, made and judged in sending.c, and a batch of them on its way,
 * shared by publish.c and publish_apart.c.
 */
#ifndef CELERIAC_SENDING_H
#define CELERIAC_SENDING_H

#include "beat.h"
#include "parcel.h"

/* The one that was made ahead, if it may be sent now, else a new one. Given. */
int sending_take(const struct publisher *p, struct entry *e, struct parcel **ret,
		 struct err *err) must_check;

/* Its verdict. It was sent now, and the ledger holds its state; */
void sending_sent(struct parcel *parcel);
/* the ledger held another one: another beat's run, or ours, when an earlier try had no answer; */
void sending_was_there(struct parcel *parcel, struct slice state);
/* its queue did not take it. */
void sending_refused(struct parcel *parcel, const struct err *why);

struct batch {
	struct parcel *parcels[SCHEDULER_BATCH];
	size_t count, bytes;
};

/* Sends a batch to another server than that of the ledger. *ret_leads as publisher_send. */
int publish_apart(struct publisher *p, struct batch *b, bool *ret_leads,
		  struct err *err) must_check;

#endif
