/*
 * amqp_batch.c: batches as callers build and hand them over.
 */
#include <stdlib.h>
#include <string.h>

#include "amqp_client.h"
#include "mem.h"

#define HEADER_ROOM (BOUND_AMQP_FRAME - FRAME_HEAD - 1 - 12) /* of properties in their frame */

struct amqp_batch *amqp_batch_new(void)
{
	struct amqp_batch *b = xcalloc(1, sizeof(*b));

	b->item.is_batch = true;
	return b;
}

static void pub_free(struct pub *p)
{
	free(p->exchange);
	free(p->routing_key);
	free(p->correlation_id);
	buf_done(&p->head);
	free(p->body);
	free(p);
}

void amqp_batch_destroy(struct amqp_batch *b)
{
	while (b->pubs) {
		struct pub *p = b->pubs;

		b->pubs = p->sibling;
		pub_free(p);
	}
	free(b->settles);
	free(b);
}

void amqp_batch_free(struct amqp_batch *b)
{
	if (b)
		amqp_item_free(&b->item);
}

size_t amqp_batch_size(const struct amqp_batch *b)
{
	return b->bytes;
}

/* The frames before the body. */
static int write_head(const struct amqp_publish *p, struct buf *out, size_t *ret_largest,
		      struct err *err)
{
	_cleanup_buf_ struct buf properties = BUF_INIT(HEADER_ROOM);
	amqp_basic_publish_t m = {
		.exchange = amqp_cstring_bytes(p->exchange),
		.routing_key = amqp_cstring_bytes(p->routing_key),
		.mandatory = p->mandatory,
	};
	int rc = amqp_properties_write(p->properties, &properties, err);

	if (rc < 0)
		return rc;
	amqp_put_method(out, CHANNEL_PUBLISH, AMQP_BASIC_PUBLISH_METHOD, &m);
	amqp_put_header(out, CHANNEL_PUBLISH, p->len, properties.data, properties.len);
	*ret_largest = FRAME_HEAD + 12 + properties.len + 1;
	return buf_status(out, err);
}

static int check_publish(const struct amqp_publish *p, struct err *err)
{
	if (strlen(p->exchange) > 255)
		return err_set(err, ERR_INVALID,
			       "the name of an exchange has at most 255 bytes: %.40s…",
			       p->exchange);
	if (strlen(p->routing_key) > 255)
		return err_set(err, ERR_INVALID, "a routing key has at most 255 bytes: %.40s…",
			       p->routing_key);
	if (p->len > BOUND_MESSAGE_BYTES)
		return err_set(err, ERR_TOOBIG, "a message of %zu bytes; %u are the most", p->len,
			       BOUND_MESSAGE_BYTES);
	return 0;
}

int amqp_batch_publish(struct amqp_batch *b, const struct amqp_publish *p, struct err *err)
{
	const char *correlation = p->properties->text[AMQP_CORRELATION_ID];
	_cleanup_buf_ struct buf head = BUF_INIT(4 * (size_t)BOUND_AMQP_FRAME);
	size_t largest = 0;
	struct pub *pub;
	int rc = check_publish(p, err);

	if (rc == 0)
		rc = write_head(p, &head, &largest, err);
	if (rc < 0)
		return rc;
	pub = xcalloc(1, sizeof(*pub));
	*pub = (struct pub){
		.batch = b,
		.exchange = xstrdup(p->exchange),
		.routing_key = xstrdup(p->routing_key),
		.correlation_id = correlation ? xstrdup(correlation) : NULL,
		.head = head,
		.largest = largest,
		.body = xmemdup(p->body, p->len),
		.len = p->len,
		.mandatory = p->mandatory,
		.told = p->told,
	};
	head = BUF_INIT(0);
	if (b->last_pub)
		b->last_pub->sibling = pub;
	else
		b->pubs = pub;
	b->last_pub = pub;
	b->pending++;
	b->bytes += pub->head.len + pub->len;
	return 0;
}

void amqp_batch_settle(struct amqp_batch *b, struct amqp_ref ref, enum amqp_settle how)
{
	if (b->settle_count == b->settle_size) {
		b->settle_size = b->settle_size ? 2 * b->settle_size : 4;
		b->settles = xrealloc(b->settles, b->settle_size * sizeof(*b->settles));
	}
	b->settles[b->settle_count++] = (struct settle){.ref = ref, .how = how};
}

/* ---- handing over ---- */

/* Refuses what would pass the bound of the backlog: it goes through the queue all the same, to keep
 * its place. What is small passes: an ack must not be refused because of the messages before it. */
static void count_backlog(struct amqp_client *c, struct amqp_batch *b)
{
	size_t before = atomic_fetch_add_explicit(&c->backlog, b->bytes, memory_order_relaxed);

	if (b->bytes <= BOUND_LINK_SMALL || before + b->bytes <= BOUND_LINK_BACKLOG)
		return;
	b->item.fault = xmalloc(sizeof(*b->item.fault));
	(void)err_set(b->item.fault, ERR_UNAVAILABLE, "%s: %zu bytes are waiting already",
		      c->address->safe, before);
}

void amqp_client_submit(struct amqp_client *c, struct amqp_batch *b, unsigned flags,
			amqp_done_fn *done, void *arg)
{
	b->flags = flags;
	b->item.done = done;
	b->item.arg = arg;
	count_backlog(c, b);
	amqp_client_enqueue(c, &b->item);
}

int amqp_client_perform(struct amqp_client *c, struct amqp_batch *b, unsigned flags,
			usec_t deadline, struct err *err)
{
	int rc = 0;

	if (pthread_equal(pthread_self(), c->owner))
		BUG("amqp_client_perform: the owner thread would wait for itself");
	b->flags = flags;
	amqp_item_prepare(&b->item);
	count_backlog(c, b);
	amqp_client_enqueue(c, &b->item);
	if (!amqp_item_await(&b->item, deadline))
		return amqp_client_timeout(c, "no confirmation in time", err);
	if (b->item.fault) {
		*err = *b->item.fault;
		rc = -err->code;
	}
	amqp_item_free(&b->item);
	return rc;
}
