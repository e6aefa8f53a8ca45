/*
 * What came from RabbitMQ and was not handed out yet, and how often what comes again was taken by
 * somebody who did not live to read it (broker_received): counted in Redis by a digest of the
 * message, as claim.lua does it where messages are in Redis. One that was taken before is taken
 * alone, so that nothing else is counted with what kills.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "amqp_broker.h"
#include "clock.h"
#include "codec.h"
#include "log.h"
#include "mem.h"

#define PATIENCE   (2 * USEC_PER_SEC)
#define COUNT_TTL  604800 /* seconds */
#define COUNT_MOST 1000000

/* The id of a task's message and its body: what the server adds to it each time is not of it. */
static void mark_of(const struct amqp_delivery *d, char out[BROKER_MARK_SIZE])
{
	const char *id = d->properties.text[AMQP_CORRELATION_ID];
	const struct slice pieces[] = {slice_of(id ? id : ""), {(const char *)d->body, d->len}};

	sha1_hex(pieces, ARRAY_LEN(pieces), out, BROKER_MARK_SIZE);
}

static void free_replies(struct redis_reply **replies, size_t count)
{
	for (size_t i = 0; i < count; i++)
		redis_reply_free(replies[i]);
}

/* Without an answer nothing is known of them, and they are handed out. */
static void look_up(struct broker *b)
{
	struct amqp_broker *a = b->amqp;
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	_cleanup_free_ struct redis_reply **replies =
		xcalloc(a->pending_count + 1, sizeof(struct redis_reply *));
	size_t asked = 0, n = 0;
	struct err err;

	for (size_t i = 0; i < a->pending_count; i++) {
		struct amqp_pending *p = &a->pending[i];

		if (!p->delivery.redelivered)
			continue;
		mark_of(&p->delivery, p->mark);
		redis_command(&commands, "GET %s%s", b->taken_prefix, p->mark);
		asked++;
	}
	if (asked == 0)
		return;
	if (redis_link_exchange(b->link, &commands, asked, 0, clock_deadline(PATIENCE), replies,
				&err) < 0) {
		log_debug("how often messages were taken: %s", err.msg);
		return;
	}
	for (size_t i = 0; i < a->pending_count; i++) {
		struct slice count;

		if (a->pending[i].mark[0] == '\0')
			continue;
		count = redis_reply_str(replies[n++]);
		a->pending[i].taken = count.len > 0 ? strtoll(count.data, NULL, 10) : 0;
	}
	free_replies(replies, n);
}

void amqp_pending_fill(struct broker *b, size_t max)
{
	struct amqp_broker *a = b->amqp;
	_cleanup_free_ struct amqp_delivery *came = NULL;
	size_t count;

	if (a->pending_at < a->pending_count)
		return;
	came = xcalloc(max, sizeof(*came));
	count = amqp_client_take(a->client, came, max);
	free(a->pending);
	a->pending = xcalloc(count + 1, sizeof(*a->pending));
	for (size_t i = 0; i < count; i++)
		a->pending[i].delivery = came[i];
	a->pending_count = count;
	a->pending_at = 0;
	if (b->link != NULL && b->redelivery_limit > 0)
		look_up(b);
}

struct amqp_pending *amqp_pending_next(struct broker *b)
{
	struct amqp_broker *a = b->amqp;

	return a->pending_at < a->pending_count ? &a->pending[a->pending_at] : NULL;
}

void amqp_pending_drop(struct broker *b, bool give_back)
{
	struct amqp_broker *a = b->amqp;
	struct amqp_batch *batch = amqp_batch_new();
	struct amqp_pending *p;

	while ((p = amqp_pending_next(b)) != NULL) {
		if (give_back)
			amqp_batch_settle(batch, p->delivery.ref, AMQP_REQUEUE);
		amqp_delivery_done(&p->delivery);
		a->pending_at++;
	}
	amqp_client_submit(a->client, batch, 0, NULL, NULL);
	free(TAKE(a->pending));
	a->pending_at = a->pending_count = 0;
}

size_t amqp_pending_choose(struct broker *b, size_t max)
{
	struct amqp_broker *a = b->amqp;
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	_cleanup_free_ struct redis_reply **replies =
		xcalloc(2 * max + 1, sizeof(struct redis_reply *));
	size_t chosen = 0, asked = 0;
	struct err err;

	while (chosen < max && a->pending_at + chosen < a->pending_count) {
		const struct amqp_pending *p = &a->pending[a->pending_at + chosen];
		bool alone = p->taken > 0;

		if (alone && chosen > 0)
			break;
		chosen++;
		if (p->mark[0] != '\0' && p->taken < b->redelivery_limit) {
			redis_command(&commands, "INCR %s%s", b->taken_prefix, p->mark);
			redis_command(&commands, "EXPIRE %s%s %d", b->taken_prefix, p->mark,
				      COUNT_TTL);
			asked += 2;
		}
		if (alone)
			break;
	}
	if (asked == 0)
		return chosen;
	if (redis_link_exchange(b->link, &commands, asked, 0, clock_deadline(PATIENCE), replies,
				&err) < 0)
		log_debug("how often messages were taken: %s", err.msg);
	else
		free_replies(replies, asked);
	return chosen;
}

void amqp_broker_received(struct broker *b, const char *mark)
{
	if (b->link != NULL)
		redis_broker_received(b, mark);
}

int64_t amqp_delivery_count(const struct amqp_delivery *d)
{
	const json_t *count = json_object_get(d->properties.headers, "x-delivery-count");

	/* of a classic queue it is what the publisher wrote */
	int64_t n = json_integer_value(count);

	return !d->redelivered || n < 0 ? 0 : n < COUNT_MOST ? n : COUNT_MOST;
}
