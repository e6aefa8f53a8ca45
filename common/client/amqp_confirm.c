/*
 * amqp_confirm.c: the owner's work on the connection that publishes: messages out, confirms in.
 *
 * `work` is every message that is not confirmed, in order: those that are sent first, `next_send`
 * behind them.
 */
#include <stdlib.h>
#include <string.h>

#include "amqp_client.h"
#include "log.h"
#include "mem.h"

/* RabbitMQ's words: for what is beyond its max_message_size, and around the name of an exchange. */
#define TOO_LONG	"PRECONDITION_FAILED - message size "
#define BEFORE_EXCHANGE "exchange '"
#define AFTER_EXCHANGE	"' in vhost '"

static struct slot *slot_of(struct amqp_client *c)
{
	return &c->slots[ROLE_PUBLISH];
}

/* ---- what becomes of a message ---- */

static void set_fault(struct amqp_batch *b, const struct err *err)
{
	if (b->item.fault)
		return; /* the first counts */
	b->item.fault = xmalloc(sizeof(*err));
	*b->item.fault = *err;
}

static void complete_batch(struct amqp_client *c, struct amqp_batch *b)
{
	size_t stale;
	struct err err;

	if (b->item.fault) {
		amqp_item_finish(c, &b->item, b->item.fault);
		return;
	}
	stale = amqp_deliver_settle(c, b);
	if (stale > 0)
		(void)err_set(&err, ERR_CONFLICT,
			      "%zu of %zu deliveries are not ours any more: the connection they "
			      "came with has ended",
			      stale, b->settle_count);
	amqp_item_finish(c, &b->item, stale > 0 ? &err : NULL);
}

static void unlink_pub(struct amqp_client *c, struct pub *p)
{
	if (p->prev)
		p->prev->next = p->next;
	else
		c->work = p->next;
	if (p->next)
		p->next->prev = p->prev;
	else
		c->last_work = p->prev;
	if (c->next_send == p)
		c->next_send = p->next;
}

/* It is over, with `err` if not NULL; the last of a batch completes it. `p` may be gone then. */
static void resolve(struct amqp_client *c, struct pub *p, const struct err *err)
{
	struct amqp_batch *b = p->batch;

	unlink_pub(c, p);
	if (p->seq != 0 && c->suspects > 0)
		c->suspects--;
	if (err)
		set_fault(b, err);
	if (--b->pending == 0)
		complete_batch(c, b);
}

static void confirm(struct amqp_client *c, struct pub *p)
{
	struct err err;

	if (!p->returned) {
		resolve(c, p, NULL);
		return;
	}
	atomic_fetch_add_explicit(&c->unroutable, 1, memory_order_relaxed);
	if (p->told) {
		if (c->events.unrouted)
			c->events.unrouted(c->events.arg, p->exchange, p->routing_key);
		resolve(c, p, NULL);
		return;
	}
	(void)err_set(&err, ERR_NOTFOUND,
		      "unroutable: no queue takes exchange \"%.80s\" routing key \"%.80s\"",
		      p->exchange, p->routing_key);
	resolve(c, p, &err);
}

static bool is_sent(const struct pub *p)
{
	return p && p->seq != 0;
}

/* What was sent is sent again, if its batch wants that, or fails. Returns how many are. */
static size_t rewind_work(struct amqp_client *c, const struct err *err)
{
	struct pub *p = c->work, *next;
	size_t kept = 0;

	for (; is_sent(p); p = next) {
		next = p->next;
		if (p->batch->flags & AMQP_KEEP) {
			kept++;
			p->seq = 0;
			p->returned = false;
		} else {
			resolve(c, p, err);
		}
	}
	c->next_send = c->work;
	c->sending = NULL;
	return kept;
}

/* ---- out ---- */

void amqp_publish_add(struct amqp_client *c, struct amqp_batch *b)
{
	struct slot *s = slot_of(c);
	struct err err;

	if (!b->pubs || b->item.fault) {
		complete_batch(c, b);
		return;
	}
	if (!s->conn && s->attempted && !(b->flags & AMQP_KEEP)) {
		(void)err_set(&err, ERR_UNAVAILABLE, "%s: not connected at the moment",
			      c->address->safe);
		amqp_item_finish(c, &b->item, &err);
		return;
	}
	for (struct pub *p = b->pubs; p; p = p->sibling) {
		p->prev = c->last_work;
		p->next = NULL;
		if (c->last_work)
			c->last_work->next = p;
		else
			c->work = p;
		c->last_work = p;
		if (!c->next_send)
			c->next_send = p;
	}
}

/* A message that is not to be sent any more, or cannot be. */
static bool is_dropped(struct amqp_client *c, struct pub *p)
{
	struct err err;

	if (p->batch->item.fault) {
		resolve(c, p, NULL);
		return true;
	}
	if (p->largest <= slot_of(c)->conn->frame_max)
		return false;
	(void)err_set(&err, ERR_TOOBIG, "headers of %zu bytes; the server takes %zu", p->largest,
		      slot_of(c)->conn->frame_max);
	resolve(c, p, &err);
	return true;
}

static void put_body(struct amqp_client *c)
{
	struct amqp_conn *conn = slot_of(c)->conn;
	struct pub *p = c->sending;
	size_t most = conn->frame_max - FRAME_HEAD - 1, left = p->len - c->sent;
	size_t part = left < most ? left : most;

	amqp_put_frame(&conn->out, FRAME_BODY, CHANNEL_PUBLISH, p->body + c->sent, part);
	c->sent += part;
	if (c->sent == p->len)
		c->sending = NULL;
}

void amqp_publish_fill(struct amqp_client *c)
{
	struct amqp_conn *conn = slot_of(c)->conn;

	while (conn && c->publish_open && conn->out.len < OUT_MARK) {
		struct pub *p = c->next_send;

		if (c->sending) {
			put_body(c);
			continue;
		}
		if (!p || atomic_load_explicit(&c->blocked, memory_order_relaxed) ||
		    (c->suspects > 0 && is_sent(c->work)))
			return;
		if (is_dropped(c, p))
			continue;
		buf_append(&conn->out, p->head.data, p->head.len);
		p->seq = ++c->seq;
		c->next_send = p->next;
		c->sent = 0;
		c->sending = p->len > 0 ? p : NULL;
	}
}

/* ---- in ---- */

static int take_confirm(struct amqp_client *c, uint64_t tag, bool multiple, bool refused,
			struct err *err)
{
	struct pub *p = c->work, *next;
	struct err nack;

	if (tag > c->seq || (c->sending && tag >= c->sending->seq))
		return err_set(err, ERR_PROTOCOL,
			       "message %" PRIu64 " is confirmed, and was not sent", tag);
	(void)err_set(&nack, ERR_UNAVAILABLE,
		      "the server refused a message (a queue that is full, or in trouble)");
	for (; is_sent(p) && p->seq <= tag; p = next) {
		next = p->next;
		if (!multiple && p->seq != tag)
			continue;
		if (refused)
			resolve(c, p, &nack);
		else
			confirm(c, p);
	}
	return 0;
}

/* Whether the server's words are of a message to `exchange`: "no exchange 'x' in vhost '/'". Names
 * are others' words: where there is more than one way to read them, or an end is cut off, nobody is
 * named. */
static bool is_of_exchange(const char *text, const char *exchange)
{
	const char *at = strstr(text, BEFORE_EXCHANGE), *end = strstr(text, AFTER_EXCHANGE);
	size_t len = strlen(exchange);

	if (at == NULL || end == NULL || strlen(text) >= AMQP_REFUSAL_MOST)
		return false;
	at += strlen(BEFORE_EXCHANGE);
	return strstr(end + 1, AFTER_EXCHANGE) == NULL && end >= at && (size_t)(end - at) == len &&
	       memcmp(at, exchange, len) == 0;
}

/* Whether the server's words name the exchange of a message or its length: "message size 7 is
 * larger than configured max size 5". */
static bool is_named(const struct pub *p, const struct err *err)
{
	_cleanup_free_ char *size = xasprintf(TOO_LONG "%zu ", p->len);

	if (err->code == ERR_TOOBIG)
		return strncmp(err->msg, size, strlen(size)) == 0;
	return (err->code == ERR_NOTFOUND || err->code == ERR_DENIED) && p->exchange[0] != '\0' &&
	       is_of_exchange(err->msg, p->exchange);
}

/* The server says why, and not of which message. False when nobody is found. */
static bool blame(struct amqp_client *c, const struct err *err)
{
	struct pub *p = c->work, *next;
	size_t sent = 0, found = 0;

	for (; is_sent(p); p = next) {
		next = p->next;
		sent++;
		if (is_named(p, err)) {
			found++;
			resolve(c, p, err);
		}
	}
	if (found > 0 || sent != 1)
		return found > 0;
	resolve(c, c->work, err);
	return true;
}

/* A precondition of publishing is one of the message, and stays so. */
static void read_refusal(const amqp_channel_close_t *m, struct err *err)
{
	(void)amqp_refusal(m->reply_code, m->reply_text, err);
	if (err->code == ERR_CONFLICT)
		err->code = strncmp(err->msg, TOO_LONG, strlen(TOO_LONG)) == 0 ? ERR_TOOBIG
									       : ERR_INVALID;
}

static void publish_closed(struct amqp_client *c, const amqp_channel_close_t *m)
{
	struct buf *out = &slot_of(c)->conn->out;
	amqp_channel_close_ok_t ok = {0};
	amqp_channel_open_t open = {0};
	amqp_confirm_select_t select = {0};
	struct err err, again;
	size_t kept;
	bool found;

	read_refusal(m, &err);
	log_warning("%s: the server closed a channel: %s", c->name, err.msg);
	amqp_put_method(out, CHANNEL_PUBLISH, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok);
	amqp_put_method(out, CHANNEL_PUBLISH, AMQP_CHANNEL_OPEN_METHOD, &open);
	amqp_put_method(out, CHANNEL_PUBLISH, AMQP_CONFIRM_SELECT_METHOD, &select);
	c->publish_open = false;
	c->sending = NULL;
	found = blame(c, &err);
	(void)err_set(&again, ERR_UNAVAILABLE, "another message ended the channel: %.150s",
		      err.msg);
	kept = rewind_work(c, &again);
	c->seq = 0;
	/* What was sent is sent one at a time now, so that the one who does it is known. */
	if (!found && kept > c->suspects)
		c->suspects = kept;
}

static int returned(struct amqp_client *c, const amqp_basic_return_t *m, struct err *err)
{
	struct incoming *in = &c->returning;

	if (in->state != INCOMING_NONE)
		return err_set(err, ERR_PROTOCOL, "a returned message within another");
	in->state = INCOMING_HEADER;
	in->node = xcalloc(1, sizeof(*in->node));
	in->node->body = BUF_INIT(0);
	in->node->exchange =
		xstrndup(m->exchange.len > 0 ? m->exchange.bytes : "", m->exchange.len);
	in->node->routing_key =
		xstrndup(m->routing_key.len > 0 ? m->routing_key.bytes : "", m->routing_key.len);
	return 0;
}

static bool is_same(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/* A return comes before the confirm of the same message, and does not say of which; the first that
 * looks like it is as good as any other that does. */
static void mark_returned(struct amqp_client *c, const struct waiting *w,
			  const struct amqp_properties *properties)
{
	for (struct pub *p = c->work; is_sent(p); p = p->next) {
		if (!p->mandatory || p->returned || strcmp(p->exchange, w->exchange) != 0 ||
		    strcmp(p->routing_key, w->routing_key) != 0 ||
		    !is_same(p->correlation_id, properties->text[AMQP_CORRELATION_ID]))
			continue;
		p->returned = true;
		return;
	}
	log_warning("%s: a message came back that nobody sent", c->name);
}

int amqp_publish_content(struct amqp_client *c, const struct amqp_in_frame *f, struct err *err)
{
	struct incoming *in = &c->returning;
	struct amqp_properties properties = {0};
	struct slice raw;
	int rc;

	if (f->kind == FRAME_BODY && in->state == INCOMING_BODY) {
		if (f->len > in->left)
			return err_set(err, ERR_PROTOCOL, "a body is longer than its header says");
		in->left -= f->len;
	} else if (f->kind == FRAME_HEADER && in->state == INCOMING_HEADER) {
		if ((rc = amqp_get_header(f, &in->left, &raw, err)) < 0 ||
		    (rc = amqp_properties_read(raw.data, raw.len, &properties, err)) < 0)
			return rc;
		mark_returned(c, in->node, &properties);
		amqp_properties_done(&properties);
		in->state = INCOMING_BODY;
	} else {
		return err_set(err, ERR_PROTOCOL, "content that nothing announced");
	}
	if (in->left == 0) {
		amqp_deliver_drop(TAKE(in->node));
		in->state = INCOMING_NONE;
	}
	return 0;
}

int amqp_publish_method(struct amqp_client *c, const struct amqp_in_method *m, struct err *err)
{
	const amqp_basic_ack_t *ack = m->decoded;
	const amqp_basic_nack_t *nack = m->decoded;

	switch (m->id) {
	case AMQP_BASIC_ACK_METHOD:
		return take_confirm(c, ack->delivery_tag, ack->multiple, false, err);
	case AMQP_BASIC_NACK_METHOD:
		return take_confirm(c, nack->delivery_tag, nack->multiple, true, err);
	case AMQP_BASIC_RETURN_METHOD:
		return returned(c, m->decoded, err);
	case AMQP_CHANNEL_CLOSE_METHOD:
		publish_closed(c, m->decoded);
		return 0;
	case AMQP_CHANNEL_OPEN_OK_METHOD:
		return 0;
	case AMQP_CONFIRM_SELECT_OK_METHOD:
		c->publish_open = true;
		return 0;
	default:
		return err_set(err, ERR_PROTOCOL, "%s where messages are sent",
			       amqp_method_name(m->id));
	}
}

/* ---- connections come and go ---- */

void amqp_publish_begin(struct amqp_client *c)
{
	c->seq = 0;
	c->publish_open = true;
}

static void unblock(struct amqp_client *c)
{
	if (atomic_exchange_explicit(&c->blocked, false, memory_order_relaxed) && c->events.blocked)
		c->events.blocked(c->events.arg, false, "");
}

void amqp_publish_unkept(struct amqp_client *c, struct err *err)
{
	struct pub *p = c->work, *next;

	(void)err_transient(err);
	for (; p; p = next) {
		next = p->next;
		if (!(p->batch->flags & AMQP_KEEP))
			resolve(c, p, err);
	}
}

void amqp_publish_blame(struct amqp_client *c, const struct err *err)
{
	c->careful = !blame(c, err);
}

void amqp_publish_end(struct amqp_client *c, struct err *err)
{
	size_t kept;

	(void)err_transient(err);
	c->publish_open = false;
	amqp_deliver_drop(TAKE(c->returning.node));
	c->returning = (struct incoming){0};
	kept = rewind_work(c, err);
	if (c->careful && kept > c->suspects)
		c->suspects = kept;
	c->careful = false;
	amqp_publish_unkept(c, err);
	unblock(c);
}

void amqp_publish_cancel(struct amqp_client *c, const struct err *err)
{
	while (c->work)
		resolve(c, c->work, err);
}
