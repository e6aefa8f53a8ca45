/*
 * Settling many deliveries at once: those that end with a result, or with nothing, and an ack. They
 * join a batch for as long as the link has not come to it, so that one that comes alone goes alone
 * and at once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "redis_broker.h"

#define MANY	   128	     /* deliveries of a batch */
#define MANY_BYTES (1 << 20) /* of their results */

struct ending {
	struct settlement settlement; /* its tag is `tag`, its result `result` */
	struct backend_write result;
	char tag[BROKER_TAG_SIZE];
	void (*done)(void *arg, const struct err *err);
	void *arg;
	struct ending *next;
};

/* Guarded by the link's lock until it is written, then by the link. */
struct batch {
	struct broker *broker;
	struct ending *first, **last;
	size_t count, bytes;
	int64_t ttl;
};

static size_t bytes_of(const struct ending *e)
{
	return sizeof(*e) + e->result.len;
}

static bool add(void *arg, void *entry)
{
	struct batch *b = arg;
	struct ending *e = entry;

	if (b->count == MANY || b->bytes + bytes_of(e) > MANY_BYTES ||
	    (e->settlement.result != NULL && e->result.ttl != b->ttl))
		return false;
	*b->last = e;
	b->last = &e->next;
	b->count++;
	b->bytes += bytes_of(e);
	return true;
}

static void write_batch(void *arg, struct buf *out)
{
	const struct batch *b = arg;
	struct slice keys[2 + MANY + 1 + 2 * MANY], *args = keys + 2 + b->count;
	char ttl[24];
	size_t n = 0;

	snprintf(ttl, sizeof(ttl), "%lld", (long long)b->ttl);
	keys[0] = slice_of(b->broker->unacked);
	keys[1] = slice_of(b->broker->unacked_index);
	args[0] = slice_of(ttl);
	for (const struct ending *e = b->first; e != NULL; e = e->next, n++) {
		bool stored = e->settlement.result != NULL;

		keys[2 + n] = slice_of(stored ? e->result.key : "");
		args[1 + 2 * n] = slice_of(e->tag);
		args[2 + 2 * n] =
			stored ? (struct slice){e->result.value, e->result.len} : slice_of("");
	}
	redis_command_evalsha(out, &b->broker->settle_many, 2 + n, keys, 3 + 3 * n);
}

/* Alone, it gets an answer of its own. */
static void settle_alone(struct broker *b, struct ending *e)
{
	broker_settle_on(b, b->link, &e->settlement, e->done, e->arg);
}

static bool was_done(const struct redis_reply *reply, size_t i)
{
	return redis_reply_type(reply) == REDIS_INTEGER ||
	       redis_reply_int(redis_reply_at(reply, i)) == 1;
}

static void settled(void *arg, struct redis_reply *const *replies, size_t count,
		    const struct err *err)
{
	struct batch *b = arg;
	struct ending *e, *next;
	size_t i = 0;

	for (e = b->first; e != NULL; e = next, i++) {
		next = e->next;
		if (err == NULL && count == 1 && !was_done(replies[0], i)) {
			settle_alone(b->broker, e);
		} else {
			if (e->done != NULL)
				e->done(e->arg, err);
			backend_write_done(&e->result);
		}
		free(e);
	}
	free(b);
}

static const struct redis_link_batch g_endings = {add, write_batch, settled};

bool broker_settles_with_others(const struct settlement *s)
{
	return s->outcome == SETTLE_ACK && s->steps.count == 0 && s->tag[0] != '\0' &&
	       (s->result == NULL || s->result->len <= BOUND_LINK_SMALL);
}

void broker_settle_with_others(struct broker *b, const struct settlement *s,
			       void (*done)(void *arg, const struct err *err), void *arg)
{
	struct ending *e = xcalloc(1, sizeof(*e));
	struct batch *batch;

	e->settlement = *s;
	settle_steps_done(&e->settlement.steps);
	if (strlen(s->tag) >= sizeof(e->tag))
		BUG("a tag of %zu bytes", strlen(s->tag));
	memcpy(e->tag, s->tag, strlen(s->tag) + 1);
	e->settlement.tag = e->tag;
	if (s->result != NULL) {
		e->result = *s->result;
		*s->result = (struct backend_write){0};
		e->settlement.result = &e->result;
	}
	e->done = done;
	e->arg = arg;
	if (redis_link_join(b->link, &g_endings, e, bytes_of(e)))
		return;
	batch = xcalloc(1, sizeof(*batch));
	batch->broker = b;
	batch->last = &batch->first;
	batch->ttl = e->result.ttl;
	(void)add(batch, e);
	redis_link_submit_batch(b->link, &g_endings, batch->bytes, REDIS_LINK_KEEP, batch);
}
