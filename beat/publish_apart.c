/*
 * Runs whose messages go to another server than the one that knows the schedule: looked at,
 * published, marked. Whoever dies in between, or has no answer to what it published, leaves a slot
 * that is sent again, as the same message: its id is that of the slot.
 */
#include <string.h>

#include "clock.h"
#include "parcel.h"

/* Of one message; of several, after which the lease is looked at again. */
#define PATIENCE (600 * USEC_PER_MSEC)
#define LONGEST	 (LEASE_TTL / 2)

static int look(struct publisher *p, const struct batch *b, size_t from, struct redis_reply **ret,
		struct err *err)
{
	struct slice argv[7 + 2 * SCHEDULER_BATCH] = {
		slice_of("EVALSHA"),	slice_of(p->look.sha),	slice_of("2"),
		slice_of(p->state_key), slice_of(p->lease.key), slice_of(p->lease.value),
		slice_of(p->lease.ttl)};
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	size_t n = 7;

	for (size_t i = from; i < b->count; i++) {
		argv[n++] = slice_of(b->parcels[i]->sending->entry->name);
		argv[n++] = slice_of(b->parcels[i]->sending->entry->state);
	}
	redis_command_argv(&commands, argv, n);
	return publish_command(p, &commands, ret, err);
}

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
	parcel->sending->verdict = SEND_FAILED;
	parcel->sending->err = *err;
	return 0;
}

static int mark(struct publisher *p, struct parcel *const *sent, size_t count, struct err *err)
{
	struct slice argv[4 + 3 * SCHEDULER_BATCH] = {slice_of("EVALSHA"), slice_of(p->mark.sha),
						      slice_of("1"), slice_of(p->state_key)};
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	_cleanup_reply_ struct redis_reply *reply = NULL;
	size_t n = 4;
	int rc;

	for (size_t i = 0; i < count; i++) {
		argv[n++] = slice_of(sent[i]->sending->entry->name);
		argv[n++] = slice_of(sent[i]->sending->entry->state);
		argv[n++] = slice_of(sent[i]->next);
	}
	redis_command_argv(&commands, argv, n);
	rc = publish_command(p, &commands, &reply, err);
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = publish_verdict(sent[i], redis_reply_at(reply, i + 1), err);
	return rc;
}

/* As many of them as can be sent while the lease is certain; *from moves on. */
static int publish_some(struct publisher *p, struct batch *b, size_t *from, bool *ret_leads,
			struct err *err)
{
	_cleanup_reply_ struct redis_reply *seen = NULL;
	struct parcel *sent[SCHEDULER_BATCH];
	size_t count = 0, first = *from;
	struct err why = {0};
	usec_t until = clock_deadline(LONGEST);
	int rc = look(p, b, first, &seen, err), publishing = 0;

	if (rc < 0)
		return rc;
	*ret_leads = redis_reply_type(redis_reply_at(seen, 0)) == REDIS_INTEGER;
	while (*ret_leads && rc == 0 && publishing >= 0 && *from < b->count &&
	       clock_mono() < until) {
		const struct redis_reply *answer = redis_reply_at(seen, *from - first + 1);
		struct parcel *parcel = b->parcels[(*from)++];

		if (redis_reply_type(answer) != REDIS_INTEGER)
			rc = publish_verdict(parcel, answer, err);
		else if ((publishing = publish_one(p, parcel, &why)) == 1)
			sent[count++] = parcel;
	}
	if (rc == 0 && count > 0)
		rc = mark(p, sent, count, err);
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
