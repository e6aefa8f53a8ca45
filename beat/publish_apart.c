/*
 * Runs whose messages go to another server than the one that knows the schedule: looked at,
 * published, marked. Whoever dies in between, or has no answer to what it published, leaves a slot
 * that is sent again, as the same message: its id is that of the slot.
 */
#include "clock.h"
#include "ledger.h"

/* Of one message; of several, after which the lease is looked at again. */
#define PATIENCE (600 * USEC_PER_MSEC)
#define LONGEST	 (LEASE_TTL / 2)

/* 1: it was sent, 0: it has a verdict, or an error that concerns all of them. */
static int publish_one(struct publisher *p, struct parcel *parcel, struct err *err)
{
	struct entry *e = parcel->sending->entry;
	int rc = 0;

	if (!e->published)
		rc = broker_publish(p->broker, e->queue, e->priority, parcel->message.data,
				    parcel->message.len, clock_deadline(PATIENCE), err);

	e->published |= rc == 0;
	if (rc == 0)
		return 1;
	if (err_is_transient(err))
		return rc;
	sending_refused(parcel, err);
	return 0;
}

/* As many of them as can be sent while the lease is certain; *from moves on. */
static int publish_some(struct publisher *p, struct batch *b, size_t *from, bool *ret_leads,
			struct err *err)
{
	const struct ledger_driver *d = p->ledger->driver;
	struct parcel *sent[SCHEDULER_BATCH];
	bool open[SCHEDULER_BATCH] = {false};
	struct err why = {0};
	usec_t until = clock_deadline(LONGEST);
	size_t count = 0;
	int rc = d->look(p->ledger, b, *from, open, ret_leads, err), publishing = 0;

	while (rc == 0 && *ret_leads && publishing >= 0 && *from < b->count &&
	       clock_mono() < until) {
		struct parcel *parcel = b->parcels[*from];

		if (open[*from] && (publishing = publish_one(p, parcel, &why)) == 1)
			sent[count++] = parcel;
		++*from;
	}
	if (rc == 0 && count > 0)
		rc = d->mark(p->ledger, sent, count, err);
	if (rc == 0 && publishing < 0) {
		*err = why;
		rc = publishing;
	}
	return rc;
}

int publish_apart(struct publisher *p, struct batch *b, bool *ret_leads, struct err *err)
{
	int rc = 0;

	*ret_leads = true;
	for (size_t from = 0; rc == 0 && *ret_leads && from < b->count;)
		rc = publish_some(p, b, &from, ret_leads, err);
	return rc;
}
