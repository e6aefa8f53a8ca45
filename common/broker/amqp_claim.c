/*
 * The claiming half on RabbitMQ: what the server delivered becomes envelopes that we hold.
 */
#include "amqp_broker.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "amqp_message.h"
#include "clock.h"
#include "log.h"
#include "mem.h"

#define CALL_TIMEOUT (10 * USEC_PER_SEC)

static void drain_news(struct amqp_broker *a)
{
	uint64_t count;
	ssize_t n = read(a->news_fd, &count, sizeof(count));

	(void)n;
}

int amqp_broker_connect(struct broker *b, const struct presence *p, struct err *err)
{
	struct amqp_broker *a = b->amqp;
	uint64_t outages;
	char detail[64];
	int rc;

	drain_news(a); /* before: an outage from now on is news again */
	outages = atomic_load(&a->outages);
	if (b->tag_prefix == NULL)
		b->tag_prefix = xasprintf("celeriac:%s:", presence_owner(p));
	if (outages != a->seen) {
		/* also when it was a queue that went, and the connection has them yet */
		amqp_pending_drop(b, true);
		memset(a->consuming, 0, sizeof(a->consuming));
		a->prefetch = a->own_prefetch = 0;
		a->told = false;
	}
	rc = amqp_broker_reach(b, clock_deadline(a->connect_timeout), detail, err);
	if (rc == 0)
		rc = amqp_queues_declare(b, clock_deadline(CALL_TIMEOUT), err);
	if (rc < 0)
		return rc;
	a->seen = outages;
	if (!a->told)
		log_info("Connected to %s", amqp_address_safe(a->address));
	a->told = true;
	return 0;
}

static int check_connection(struct amqp_broker *a, struct err *err)
{
	if (atomic_load(&a->outages) == a->seen)
		return 0;
	return err_set(err, ERR_CLOSED, "the connection was lost, or a queue");
}

/* Among the dead: as an envelope, or where it can be none its bytes as they came. Takes what `way`
 * has: it is dead in the queue where it was taken first. */
static void bury(struct broker *b, struct amqp_delivery *d, const char *queue, struct amqp_way *way,
		 const char *why)
{
	_cleanup_buf_ struct buf envelope = BUF_INIT(2 * BOUND_MESSAGE_BYTES);
	char tag[BROKER_TAG_SIZE], *data;
	struct delivery_ref ref = {.queue = queue};
	struct settlement s = {.tag = tag, .queue = queue, .outcome = SETTLE_DEAD, .reason = why};
	struct err err = {0};
	size_t len = d->len;

	if (amqp_envelope_from_delivery(d, &envelope, &err) < 0 ||
	    buf_take(&envelope, &data, &len, &err) < 0)
		data = xmemdup(d->body, d->len);
	ref.number = amqp_held_add(b, d->ref, data, len);
	broker_tag(b, &ref, tag);
	log_error("a message from %s moved to %s: %s", way->queue ? way->queue : queue, b->dead,
		  why);
	if (way->queue != NULL)
		amqp_held_came(b, ref.number, way);
	amqp_broker_settle(b, &s, NULL, NULL);
}

static const char *queue_of(const struct broker *b, const char *name)
{
	size_t count = atomic_load(&b->queue_count);

	for (size_t i = 0; i < count; i++) {
		if (amqp_queue_is(b, b->queues[i]->name, name))
			return b->queues[i]->name;
	}
	return NULL;
}

static bool take(struct broker *b, struct amqp_delivery *d, struct delivery *ret)
{
	_cleanup_buf_ struct buf envelope = BUF_INIT(2 * BOUND_MESSAGE_BYTES);
	const char *queue = queue_of(b, d->queue);
	struct amqp_way way;
	struct err err = {0};
	char *data;
	size_t len;

	if (queue == NULL) { /* it stays unsettled, and is the server's again with the connection */
		log_error("the broker delivered from %.80s, which was never consumed", d->queue);
		return false;
	}
	amqp_way_take(b, d, &way);
	if (amqp_envelope_from_delivery(d, &envelope, &err) < 0 ||
	    buf_take(&envelope, &data, &len, &err) < 0) {
		bury(b, d, queue, &way, err.msg);
		return false;
	}
	*ret = (struct delivery){.queue = queue, .data = xmemdup(data, len), .len = len};
	ret->ref = (struct delivery_ref){queue, amqp_held_add(b, d->ref, data, len), 0};
	way.deliveries = amqp_delivery_count(d);
	if (way.queue != NULL || way.deliveries > 0)
		amqp_held_came(b, ret->ref.number, &way);
	broker_tag(b, &ret->ref, ret->tag);
	return true;
}

/* Whoever takes it does not live to read it. */
static bool is_deadly(struct broker *b, struct amqp_pending *p)
{
	const char *queue = queue_of(b, p->delivery.queue);
	struct amqp_way way;

	if (p->taken < b->redelivery_limit || p->mark[0] == '\0' || queue == NULL)
		return false;
	amqp_way_take(b, &p->delivery, &way);
	bury(b, &p->delivery, queue, &way,
	     "it was delivered again and again, and no worker lived to read it");
	amqp_broker_received(b, p->mark);
	return true;
}

static size_t hand_out(struct broker *b, size_t max, struct delivery *ret)
{
	size_t chosen = amqp_pending_choose(b, max), count = 0;

	for (; chosen > 0; chosen--) {
		struct amqp_pending *p = amqp_pending_next(b);

		if (!is_deadly(b, p) && take(b, &p->delivery, &ret[count]))
			memcpy(ret[count++].mark, p->mark, sizeof(p->mark));
		amqp_delivery_done(&p->delivery);
		b->amqp->pending_at++;
	}
	return count;
}

int amqp_broker_claim(struct broker *b, size_t max, struct delivery *ret, size_t *ret_count,
		      struct err *err)
{
	struct amqp_broker *a = b->amqp;
	int rc = check_connection(a, err);

	*ret_count = 0;
	if (max > BOUND_CLAIM_BATCH)
		max = BOUND_CLAIM_BATCH;
	if (rc == 0)
		rc = amqp_queues_consume(b, max, clock_deadline(CALL_TIMEOUT), err);
	if (rc < 0)
		return rc;
	amqp_pending_fill(b, max);
	*ret_count = hand_out(b, max, ret);
	a->room = max - *ret_count;
	return 0;
}

int amqp_broker_wait(struct broker *b, int wake_fd, usec_t deadline, struct err *err)
{
	struct amqp_broker *a = b->amqp;
	struct pollfd fds[] = {{.fd = amqp_client_fd(a->client), .events = POLLIN},
			       {.fd = wake_fd, .events = POLLIN},
			       {.fd = a->news_fd, .events = POLLIN}};
	int rc = amqp_pending_next(b) != NULL ? 0
					      : poll(fds, ARRAY_LEN(fds), clock_left_ms(deadline));

	if (rc < 0 && errno != EINTR)
		return err_set_errno(err, ERR_FAILED, errno, "poll");
	return check_connection(a, err);
}

int amqp_broker_fetch(struct broker *b, const struct delivery_ref *refs, size_t count,
		      unused_arg usec_t deadline, struct delivery *ret, unused_arg struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		ret[i] = (struct delivery){.ref = refs[i], .queue = refs[i].queue};
		broker_tag(b, &refs[i], ret[i].tag);
		(void)amqp_held_copy(b, refs[i].number, &ret[i].data, &ret[i].len);
	}
	return 0;
}

int amqp_broker_give_back(struct broker *b, const struct delivery_ref *refs, size_t count,
			  usec_t deadline, struct err *err)
{
	struct amqp_batch *batch = amqp_batch_new();
	int rc;

	for (size_t i = 0; i < count; i++) {
		struct amqp_ref ref;

		if (amqp_held_take(b, refs[i].number, &ref, NULL, NULL))
			amqp_batch_settle(batch, ref, AMQP_REQUEUE);
	}
	rc = amqp_client_perform(b->amqp->client, batch, 0, deadline, err);
	/* Without a connection they are the server's again in any case. */
	return rc == 0 || rc == -ERR_CONFLICT || rc == -ERR_UNAVAILABLE
		       ? 0
		       : err_wrap(err, "giving back what is held");
}
