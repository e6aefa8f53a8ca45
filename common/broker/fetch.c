/*
 * Deliveries that are held without their payload, which stays in the unacked record: reading it
 * when it is needed, giving it back unread, and saying that it is held.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "redis_broker.h"

void broker_tag(const struct broker *b, const struct delivery_ref *ref, char out[BROKER_TAG_SIZE])
{
	snprintf(out, BROKER_TAG_SIZE, "%s%d:%llu", b->tag_prefix, ref->step,
		 (unsigned long long)ref->number);
}

void broker_score(char out[BROKER_SCORE_SIZE])
{
	snprintf(out, BROKER_SCORE_SIZE, "%lld",
		 (long long)((clock_wall() + USEC_PER_SEC - 1) / USEC_PER_SEC));
}

static const struct broker_queue *queue_of(const struct broker *b, const struct delivery_ref *ref)
{
	const struct broker_queue *q = broker_find_queue(b, ref->queue);

	if (q == NULL)
		BUG("delivery %llu of a queue that was never consumed: %s",
		    (unsigned long long)ref->number, ref->queue);
	return q;
}

/* `[message, "", "queue"]` → the message; false when the record is not what we wrote. */
static bool take_message(struct slice record, const char *ending, struct delivery *d)
{
	size_t tail = strlen(ending);

	if (record.len < 1 + tail || record.data[0] != '[' ||
	    memcmp(record.data + record.len - tail, ending, tail) != 0)
		return false;
	d->len = record.len - 1 - tail;
	d->data = xmemdup(record.data + 1, d->len);
	return true;
}

static int take_records(struct broker *b, const struct redis_reply *reply,
			const struct delivery_ref *refs, size_t count, struct delivery *ret,
			struct err *err)
{
	if (redis_reply_type(reply) != REDIS_ARRAY || redis_reply_count(reply) != count)
		return err_set(err, ERR_FAILED, "%s: %.*s", b->unacked,
			       (int)redis_reply_str(reply).len, redis_reply_str(reply).data);
	for (size_t i = 0; i < count; i++) {
		const struct redis_reply *record = redis_reply_at(reply, i);
		struct delivery *d = &ret[i];

		*d = (struct delivery){.ref = refs[i], .queue = refs[i].queue};
		broker_tag(b, &refs[i], d->tag);
		if (redis_reply_type(record) != REDIS_STRING)
			continue;
		if (!take_message(redis_reply_str(record), queue_of(b, &refs[i])->ending, d))
			log_error("delivery %s has a record that is not ours; it stays in %s",
				  d->tag, b->unacked);
	}
	return 0;
}

int redis_broker_fetch(struct broker *b, const struct delivery_ref *refs, size_t count,
		       usec_t deadline, struct delivery *ret, struct err *err)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	_cleanup_free_ char *tags = xmalloc(BOUND_CLAIM_BATCH * BROKER_TAG_SIZE);
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct slice argv[2 + BOUND_CLAIM_BATCH] = {{"HMGET", 5}, {b->unacked, strlen(b->unacked)}};
	int rc;

	for (size_t i = 0; i < count; i++) {
		char *tag = tags + i * BROKER_TAG_SIZE;

		broker_tag(b, &refs[i], tag);
		argv[2 + i] = slice_of(tag);
	}
	redis_command_argv(&commands, argv, 2 + count);
	rc = redis_link_exchange(b->link, &commands, 1, 0, deadline, &reply, err);
	if (rc == 0)
		rc = take_records(b, reply, refs, count, ret, err);
	return rc < 0 ? err_wrap(err, "reading what is held") : 0;
}

/* argv of one EVALSHA, and the texts it borrows. */
struct giving {
	struct slice argv[5 + 3 * BOUND_CLAIM_BATCH];
	char keys[24];
	struct {
		char tag[BROKER_TAG_SIZE];
		char ending[24];
	} texts[BOUND_CLAIM_BATCH];
};

static void build(struct broker *b, const struct delivery_ref *refs, size_t count, struct buf *out)
{
	_cleanup_free_ struct giving *g = xmalloc(sizeof(*g));
	struct slice *keys = g->argv + 5, *args = keys + count;

	snprintf(g->keys, sizeof(g->keys), "%zu", 2 + count);
	g->argv[0] = slice_of("EVALSHA");
	g->argv[1] = slice_of(b->give_back.sha);
	g->argv[2] = slice_of(g->keys);
	g->argv[3] = slice_of(b->unacked);
	g->argv[4] = slice_of(b->unacked_index);
	for (size_t i = 0; i < count; i++) {
		const struct delivery_ref *ref = &refs[i];
		const struct broker_queue *q = queue_of(b, ref);

		broker_tag(b, ref, g->texts[i].tag);
		snprintf(g->texts[i].ending, sizeof(g->texts[i].ending), "%zu", strlen(q->ending));
		keys[i] = slice_of(broker_find_list(q, ref->step)->key);
		args[2 * i] = slice_of(g->texts[i].tag);
		args[2 * i + 1] = slice_of(g->texts[i].ending);
	}
	redis_command_argv(out, g->argv, 5 + 3 * count);
}

int redis_broker_give_back(struct broker *b, const struct delivery_ref *refs, size_t count,
			   usec_t deadline, struct err *err)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	_cleanup_reply_ struct redis_reply *reply = NULL;
	int rc;

	build(b, refs, count, &commands);
	rc = redis_link_exchange(b->link, &commands, 1, 0, deadline, &reply, err);
	if (rc == 0 && redis_reply_type(reply) == REDIS_ERROR)
		rc = err_set(err, ERR_FAILED, "Redis: %.*s", (int)redis_reply_str(reply).len,
			     redis_reply_str(reply).data);
	return rc < 0 ? err_wrap(err, "giving back what is held") : 0;
}

struct renewing {
	void (*done)(void *arg);
	void *arg;
};

static void renewed(void *arg, unused_arg struct redis_reply *const *replies,
		    unused_arg size_t count, unused_arg const struct err *err)
{
	struct renewing *renewing = arg;

	if (renewing->done != NULL)
		renewing->done(renewing->arg);
	free(renewing);
}

void redis_broker_renew(struct broker *b, const struct delivery_ref *refs, size_t count,
			void (*done)(void *arg), void *arg)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	_cleanup_free_ char *tags = xmalloc(BOUND_CLAIM_BATCH * BROKER_TAG_SIZE);
	struct renewing *renewing = xcalloc(1, sizeof(*renewing));
	struct slice argv[3 + 2 * BOUND_CLAIM_BATCH];
	char now[BROKER_SCORE_SIZE];

	renewing->done = done;
	renewing->arg = arg;
	broker_score(now);
	argv[0] = slice_of("ZADD");
	argv[1] = slice_of(b->unacked_index);
	argv[2] = slice_of("XX");
	for (size_t i = 0; i < count; i++) {
		char *tag = tags + i * BROKER_TAG_SIZE;

		broker_tag(b, &refs[i], tag);
		argv[3 + 2 * i] = slice_of(now);
		argv[4 + 2 * i] = slice_of(tag);
	}
	redis_command_argv(&commands, argv, 3 + 2 * count);
	redis_link_submit(b->link, &commands, 1, 0, renewed, renewing);
}
