/*
 * amqp_deliver.c: the owner's work on deliveries: received, kept until they are taken, settled.
 *
 * Acks are collected and written once per round; those of the oldest deliveries in a row are one
 * frame.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "amqp_client.h"
#include "log.h"
#include "mem.h"

static struct buf *out_of(struct amqp_client *c)
{
	return &c->slots[ROLE_CONSUME].conn->out;
}

void amqp_deliver_drop(struct waiting *w)
{
	if (!w)
		return;
	free(w->queue);
	free(w->exchange);
	free(w->routing_key);
	free(w->properties);
	buf_done(&w->body);
	free(w);
}

/* ---- tags ---- */

static void push_tag(struct tags *t, enum tag_state state)
{
	if (t->at + t->count == t->size) {
		if (t->at > t->size / 2) {
			memmove(t->states, t->states + t->at, t->count);
			t->at = 0;
		} else {
			t->size = t->size ? 2 * t->size : 256;
			t->states = xrealloc(t->states, t->size);
		}
	}
	t->states[t->at + t->count++] = (unsigned char)state;
}

/* Where the state of a tag is; NULL for one that is settled, or was never given. */
static unsigned char *tag_state(struct tags *t, uint64_t tag)
{
	if (tag < t->first || tag - t->first >= t->count)
		return NULL;
	return &t->states[t->at + (size_t)(tag - t->first)];
}

static void push_number(uint64_t **list, size_t *count, size_t *size, uint64_t number)
{
	if (*count == *size) {
		*size = *size ? 2 * *size : 64;
		*list = xrealloc(*list, *size * sizeof(**list));
	}
	(*list)[(*count)++] = number;
}

static void put_ack(struct amqp_client *c, uint64_t tag, bool multiple)
{
	amqp_basic_ack_t m = {.delivery_tag = tag, .multiple = multiple};

	amqp_put_method(out_of(c), CHANNEL_CONSUME, AMQP_BASIC_ACK_METHOD, &m);
}

static void put_reject(struct amqp_client *c, uint64_t tag, bool requeue)
{
	amqp_basic_reject_t m = {.delivery_tag = tag, .requeue = requeue};
	unsigned char *state = tag_state(&c->tags, tag);

	amqp_put_method(out_of(c), CHANNEL_CONSUME, AMQP_BASIC_REJECT_METHOD, &m);
	if (state)
		*state = TAG_SETTLED;
}

/* ---- settling ---- */

static bool settle_one(struct amqp_client *c, const struct settle *s)
{
	struct tags *t = &c->tags;
	unsigned char *state = c->generation != 0 && s->ref.generation == c->generation
				       ? tag_state(t, s->ref.tag)
				       : NULL;

	if (!state || *state != TAG_HELD)
		return false;
	if (s->how == AMQP_ACK) {
		*state = TAG_ACKING;
		push_number(&t->acking, &t->acking_count, &t->acking_size, s->ref.tag);
	} else {
		put_reject(c, s->ref.tag, s->how == AMQP_REQUEUE);
	}
	return true;
}

size_t amqp_deliver_settle(struct amqp_client *c, const struct amqp_batch *b)
{
	size_t stale = 0;

	for (size_t i = 0; i < b->settle_count; i++)
		stale += !settle_one(c, &b->settles[i]);
	if (stale > 0)
		atomic_fetch_add_explicit(&c->stale, stale, memory_order_relaxed);
	return stale;
}

/* Those at the front that are settled or about to be: one frame says it of all. */
static void flush_front(struct amqp_client *c)
{
	struct tags *t = &c->tags;
	uint64_t last = 0;
	size_t acks = 0;

	while (t->count > 0 && t->states[t->at] != TAG_HELD) {
		if (t->states[t->at] == TAG_ACKING) {
			last = t->first;
			acks++;
		}
		t->at++;
		t->first++;
		t->count--;
	}
	if (t->count == 0)
		t->at = 0;
	if (acks > 0)
		put_ack(c, last, acks > 1);
}

static void give_back(struct amqp_client *c)
{
	bool room;

	if (c->tags.owed_count == 0)
		return;
	mutex_lock(&c->lock);
	room = c->waiting_bytes <= BOUND_AMQP_WAITING / 2;
	c->wants_room = !room;
	mutex_unlock(&c->lock);
	if (!room)
		return;
	for (size_t i = 0; i < c->tags.owed_count; i++)
		put_reject(c, c->tags.owed[i], true);
	c->tags.owed_count = 0;
}

void amqp_deliver_flush(struct amqp_client *c)
{
	struct tags *t = &c->tags;

	if (c->generation == 0)
		return;
	give_back(c);
	flush_front(c);
	for (size_t i = 0; i < t->acking_count; i++) {
		unsigned char *state = tag_state(t, t->acking[i]);

		if (!state)
			continue; /* said with the front */
		put_ack(c, t->acking[i], false);
		*state = TAG_SETTLED;
	}
	t->acking_count = 0;
}

/* ---- receiving ---- */

static char *text_of(amqp_bytes_t b)
{
	return xstrndup(b.len > 0 ? b.bytes : "", b.len);
}

int amqp_deliver_method(struct amqp_client *c, const amqp_basic_deliver_t *m, struct err *err)
{
	const struct consumer *consumer = amqp_consume_find(c, m->consumer_tag);
	struct incoming *in = &c->delivering;

	if (in->state != INCOMING_NONE)
		return err_set(err, ERR_PROTOCOL, "a delivery within another");
	if (m->delivery_tag != c->tags.first + c->tags.count)
		return err_set(err, ERR_PROTOCOL, "delivery %" PRIu64 " is not the next",
			       m->delivery_tag);
	if (c->tags.count >= BOUND_AMQP_WINDOW)
		return err_set(err, ERR_TOOBIG, "%u deliveries since one that is unsettled",
			       BOUND_AMQP_WINDOW);
	push_tag(&c->tags, consumer && consumer->no_ack ? TAG_SETTLED : TAG_HELD);
	*in = (struct incoming){.state = INCOMING_HEADER, .tag = m->delivery_tag};
	if (!consumer) /* it was cancelled by the server, or never ours */
		return 0;
	in->node = xcalloc(1, sizeof(*in->node));
	*in->node = (struct waiting){
		.ref = {.generation = c->generation, .tag = m->delivery_tag},
		.queue = xstrdup(consumer->queue),
		.exchange = text_of(m->exchange),
		.routing_key = text_of(m->routing_key),
		.redelivered = m->redelivered,
		.body = BUF_INIT(BOUND_MESSAGE_BYTES),
	};
	return 0;
}

static void keep(struct amqp_client *c, struct waiting *w)
{
	uint64_t one = 1;
	bool first;

	w->weight = sizeof(*w) + w->properties_len + w->body.len;
	mutex_lock(&c->lock);
	first = !c->deliveries;
	if (c->last_delivery)
		c->last_delivery->next = w;
	else
		c->deliveries = w;
	c->last_delivery = w;
	c->waiting_bytes += w->weight;
	/* Under the lock, as it is read: the descriptor says what the list is. */
	if (first && write(c->delivery_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		BUG("eventfd: errno %d", errno);
	mutex_unlock(&c->lock);
}

static bool is_full(struct amqp_client *c)
{
	bool full;

	mutex_lock(&c->lock);
	full = c->waiting_bytes > BOUND_AMQP_WAITING;
	mutex_unlock(&c->lock);
	return full;
}

static void refuse_oversize(struct amqp_client *c, const struct waiting *w, uint64_t size)
{
	atomic_fetch_add_explicit(&c->oversize, 1, memory_order_relaxed);
	log_warning("%s: a message of %" PRIu64 " bytes in queue %s is rejected unread; %u are the "
		    "most",
		    c->name, size, w->queue, BOUND_MESSAGE_BYTES);
}

/* The whole of it has come. */
static void complete(struct amqp_client *c)
{
	struct incoming *in = &c->delivering;
	const unsigned char *state = tag_state(&c->tags, in->tag);
	bool held = state && *state == TAG_HELD;

	in->state = INCOMING_NONE;
	if (in->node && !in->skip) {
		keep(c, TAKE(in->node));
		return;
	}
	if (held && in->oversize)
		put_reject(c, in->tag, false);
	else if (held)
		push_number(&c->tags.owed, &c->tags.owed_count, &c->tags.owed_size, in->tag);
	amqp_deliver_drop(TAKE(in->node));
}

static int take_header(struct amqp_client *c, const struct amqp_in_frame *f, struct err *err)
{
	struct incoming *in = &c->delivering;
	struct slice properties;
	int rc = amqp_get_header(f, &in->left, &properties, err);

	if (rc < 0)
		return rc;
	in->state = INCOMING_BODY;
	in->oversize = in->node && in->left > BOUND_MESSAGE_BYTES;
	in->skip = !in->node || in->oversize;
	if (in->oversize) {
		refuse_oversize(c, in->node, in->left);
	} else if (!in->skip && is_full(c)) {
		in->skip = true;
		atomic_fetch_add_explicit(&c->given_back, 1, memory_order_relaxed);
	}
	if (!in->skip) {
		in->node->properties = xmemdup(properties.data, properties.len);
		in->node->properties_len = properties.len;
	}
	if (in->left == 0)
		complete(c);
	return 0;
}

static int take_body(struct amqp_client *c, const struct amqp_in_frame *f, struct err *err)
{
	struct incoming *in = &c->delivering;

	if (f->len > in->left)
		return err_set(err, ERR_PROTOCOL, "a body is longer than its header says");
	in->left -= f->len;
	if (!in->skip) {
		int rc;

		buf_append(&in->node->body, f->payload, f->len);
		rc = buf_status(&in->node->body, err);
		if (rc < 0)
			return rc;
	}
	if (in->left == 0)
		complete(c);
	return 0;
}

int amqp_deliver_content(struct amqp_client *c, const struct amqp_in_frame *f, struct err *err)
{
	if (f->kind == FRAME_HEADER && c->delivering.state == INCOMING_HEADER)
		return take_header(c, f, err);
	if (f->kind == FRAME_BODY && c->delivering.state == INCOMING_BODY)
		return take_body(c, f, err);
	return err_set(err, ERR_PROTOCOL, "content that no delivery announced");
}

void amqp_deliver_end(struct amqp_client *c)
{
	struct waiting *w;
	uint64_t count;

	amqp_deliver_drop(TAKE(c->delivering.node));
	c->delivering = (struct incoming){0};
	c->tags.first = 1;
	c->tags.at = c->tags.count = c->tags.acking_count = c->tags.owed_count = 0;
	mutex_lock(&c->lock);
	w = TAKE(c->deliveries);
	c->last_delivery = NULL;
	c->waiting_bytes = 0;
	c->wants_room = false;
	if (read(c->delivery_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		BUG("eventfd: errno %d", errno);
	mutex_unlock(&c->lock);
	while (w) {
		struct waiting *next = w->next;

		amqp_deliver_drop(w);
		w = next;
	}
}
