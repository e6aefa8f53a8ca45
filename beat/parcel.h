/*
 * parcel.h: what is sent of one run, as bytes.
 */
#ifndef CELERIAC_PARCEL_H
#define CELERIAC_PARCEL_H

#include "buf.h"
#include "codec.h"

struct sending;
struct parcel {
	struct sending *sending; /* whose it is, once it is in a batch (sending.h) */
	struct buf list, message;
	char id[UUID_SIZE];
	char *next;    /* the state after it */
	usec_t ran_at; /* wall, as it says */
	usec_t slot;   /* of the entry */
};
void parcel_free(struct parcel *parcel);

#endif
