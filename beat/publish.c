/*
 * publish.c: the messages of due entries are sent in batches, in one step with the ledger's where
 * that can be.
 */
#include <stdlib.h>
#include <string.h>

#include "beat.h"
#include "codec.h"
#include "ledger.h"
#include "mem.h"

int publisher_open(struct publisher *p, const struct settings *s, struct err *err)
{
	const struct settings sending = connect_sending(s);
	const struct ledger_driver *kind;
	char id[UUID_SIZE];
	int rc;

	*p = (struct publisher){0};
	rc = broker_open(&sending, &p->broker, err);
	if (rc == 0)
		rc = ledger_kind(&sending, &kind, err);
	if (rc == 0)
		rc = kind->open(&sending, p->broker, &p->ledger, err);
	if (rc < 0) {
		publisher_close(p, 0);
		return rc;
	}
	uuid4(id);
	p->reply_to = xstrdup(id);
	return 0;
}

void publisher_close(struct publisher *p, usec_t deadline)
{
	if (p->ledger)
		p->ledger->driver->close(p->ledger, deadline);
	broker_close(p->broker, deadline);
	free(p->reply_to);
	*p = (struct publisher){0};
}

bool publisher_ready(const struct publisher *p)
{
	return broker_ready(p->broker) && p->ledger->driver->ready(p->ledger);
}

const char *publisher_where(const struct publisher *p)
{
	return broker_where(p->broker);
}

int publisher_lead(struct publisher *p, usec_t deadline, bool *ret_ours, char leader[LEASE_HOLDER],
		   struct err *err)
{
	return p->ledger->driver->lead(p->ledger, deadline, ret_ours, leader, err);
}

void publisher_leave(struct publisher *p, usec_t deadline)
{
	p->ledger->driver->leave(p->ledger, deadline);
}

int publisher_load(struct publisher *p, struct entry *list, size_t count, struct err *err)
{
	return p->ledger->driver->load(p->ledger, list, count, err);
}

/* ---- a batch on its way ---- */
#define BATCH_BYTES (1u << 20) /* of messages: the script should be short */

static void batch_done(struct batch *b)
{
	for (size_t i = 0; i < b->count; i++)
		parcel_free(b->parcels[i]);
}
#define _cleanup_batch_ _cleanup_(batch_done)

/* One whose message cannot be made has its verdict. */
static void batch_add(struct publisher *p, struct batch *b, struct sending *s)
{
	struct parcel *parcel;

	if (sending_take(p, s->entry, &parcel, &s->err) < 0) {
		s->verdict = SEND_FAILED;
		return;
	}
	memcpy(s->entry->id, parcel->id, UUID_SIZE);
	parcel->sending = s;
	b->parcels[b->count++] = parcel;
	b->bytes += parcel->message.len;
}

/* The first of them that make a batch; returns how many that are. */
static size_t batch_fill(struct publisher *p, struct batch *b, struct sending *list, size_t count)
{
	size_t taken = 0;

	while (taken < count && b->count < SCHEDULER_BATCH && b->bytes < BATCH_BYTES)
		batch_add(p, b, &list[taken++]);
	return taken;
}

static int send_batch(struct publisher *p, struct batch *b, bool *ret_leads, struct err *err)
{
	const struct ledger_driver *d = p->ledger->driver;
	int rc = p->ledger->sends ? d->send(p->ledger, b, ret_leads, err)
				  : publish_apart(p, b, ret_leads, err);

	for (size_t i = 0; rc < 0 && i < b->count; i++)
		b->parcels[i]->sending->entry->tried = b->parcels[i]->sending->entry->id[0] != '\0';
	return rc;
}

int publisher_send(struct publisher *p, struct sending *list, size_t count, bool *ret_leads,
		   struct err *err)
{
	int rc = 0;

	*ret_leads = true;
	for (size_t at = 0; rc == 0 && *ret_leads && at < count;) {
		_cleanup_batch_ struct batch b = {0};

		at += batch_fill(p, &b, list + at, count - at);
		if (b.count > 0)
			rc = send_batch(p, &b, ret_leads, err);
	}
	return rc;
}
