/*
 * amqp_consume.c: the owner's work on the connection that consumes: calls in turn, consumers, and
 * channels that the server closes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "amqp_client.h"
#include "log.h"
#include "mem.h"

#define TAG_PREFIX "celeriac-"

static struct amqp_conn *conn_of(struct amqp_client *c)
{
	return c->slots[ROLE_CONSUME].conn;
}

/* ---- consumers ---- */

struct consumer *amqp_consume_find(struct amqp_client *c, amqp_bytes_t tag)
{
	static const size_t prefix = sizeof(TAG_PREFIX) - 1;
	_cleanup_free_ char *text = NULL;
	unsigned long number;

	if (tag.len <= prefix || memcmp(tag.bytes, TAG_PREFIX, prefix) != 0)
		return NULL;
	text = xstrndup((const char *)tag.bytes + prefix, tag.len - prefix);
	number = strtoul(text, NULL, 10);
	for (size_t i = 0; i < c->consumer_count; i++)
		if (c->consumers[i]->number == number)
			return c->consumers[i];
	return NULL;
}

static struct consumer *find_queue(struct amqp_client *c, const char *queue)
{
	for (size_t i = 0; i < c->consumer_count; i++)
		if (strcmp(c->consumers[i]->queue, queue) == 0)
			return c->consumers[i];
	return NULL;
}

static void remove_consumer(struct amqp_client *c, struct consumer *consumer)
{
	for (size_t i = 0; i < c->consumer_count; i++) {
		if (c->consumers[i] == consumer) {
			c->consumers[i] = c->consumers[--c->consumer_count];
			amqp_consumer_free(consumer);
			return;
		}
	}
}

static void tell_cancelled(struct amqp_client *c, const char *queue, const char *why)
{
	if (c->events.cancelled)
		c->events.cancelled(c->events.arg, queue, why);
}

/* ---- calls whose turn it is ---- */

static struct channel *channel_of(struct amqp_client *c, uint16_t number)
{
	for (size_t i = 0; i < ARRAY_LEN(c->channels); i++)
		if (c->channels[i].number == number)
			return &c->channels[i];
	return NULL;
}

static struct call *head_of(const struct channel *ch)
{
	return (struct call *)ch->calls.head;
}

static void put_cancel(struct amqp_client *c, const struct consumer *consumer)
{
	char tag[64];
	amqp_basic_cancel_t m;

	(void)snprintf(tag, sizeof(tag), TAG_PREFIX "%u", consumer->number);
	m = (amqp_basic_cancel_t){.consumer_tag = amqp_cstring_bytes(tag)};
	amqp_put_method(&conn_of(c)->out, CHANNEL_CONSUME, AMQP_BASIC_CANCEL_METHOD, &m);
}

static void put_consume(struct amqp_client *c, struct consumer *consumer)
{
	struct amqp_conn *conn = conn_of(c);
	char tag[64];
	amqp_pool_t pool;
	size_t offset = 0;
	/* Without a bound, what is given back would be owed without one. */
	amqp_basic_qos_t qos = {.prefetch_count =
					consumer->prefetch ? consumer->prefetch : UINT16_MAX};
	amqp_basic_consume_t m = {
		.queue = amqp_cstring_bytes(consumer->queue),
		.no_ack = consumer->no_ack,
		.exclusive = consumer->exclusive,
	};

	consumer->number = ++c->consumer_numbers;
	(void)snprintf(tag, sizeof(tag), TAG_PREFIX "%u", consumer->number);
	m.consumer_tag = amqp_cstring_bytes(tag);
	init_amqp_pool(&pool, 4096);
	if (consumer->table.len > 0 &&
	    amqp_decode_table(amqp_bytes_of(consumer->table.data, consumer->table.len), &pool,
			      &m.arguments, &offset) < 0)
		BUG("arguments that were written cannot be read");
	amqp_put_method(&conn->out, CHANNEL_CONSUME, AMQP_BASIC_QOS_METHOD, &qos);
	amqp_put_method(&conn->out, CHANNEL_CONSUME, AMQP_BASIC_CONSUME_METHOD, &m);
	empty_amqp_pool(&pool);
}

/* False when there is nothing to send: the call is over, with `err` unless that is 0. */
static bool send_consume(struct amqp_client *c, struct call *call, int *ret, struct err *err)
{
	struct consumer *old = find_queue(c, call->again ? call->queue : call->consumer->queue);

	*ret = 0;
	if (call->again && !old)
		return false;
	if (!old && c->consumer_count == BOUND_QUEUES) {
		*ret = err_set(err, ERR_TOOBIG, "more than %d queues", BOUND_QUEUES);
		return false;
	}
	call->answers = 2;
	if (old && old->active) {
		put_cancel(c, old);
		call->answers++;
	}
	put_consume(c, call->again ? old : call->consumer);
	return true;
}

static bool send_cancel(struct amqp_client *c, struct call *call, int *ret, struct err *err)
{
	struct consumer *consumer = find_queue(c, call->queue);

	*ret = 0;
	if (!consumer) {
		*ret = err_set(err, ERR_NOTFOUND, "queue %.100s is not consumed", call->queue);
		return false;
	}
	if (!consumer->active) {
		remove_consumer(c, consumer);
		return false;
	}
	put_cancel(c, consumer);
	return true;
}

static bool send_call(struct amqp_client *c, struct call *call, int *ret, struct err *err)
{
	*ret = 0;
	switch (call->op) {
	case CALL_CONSUME:
		return send_consume(c, call, ret, err);
	case CALL_CANCEL:
		return send_cancel(c, call, ret, err);
	case CALL_PLAIN:
		break;
	}
	buf_append(&conn_of(c)->out, call->frames.data, call->frames.len);
	return true;
}

void amqp_consume_calls(struct amqp_client *c)
{
	if (!conn_of(c))
		return;
	for (size_t i = 0; i < ARRAY_LEN(c->channels); i++) {
		struct channel *ch = &c->channels[i];
		struct call *call;

		while (ch->open && (call = head_of(ch)) && !call->sent) {
			struct err err;
			int rc = 0;

			if (!amqp_item_abandoned(&call->item) && send_call(c, call, &rc, &err)) {
				call->sent = true;
				call->got = 0;
				break;
			}
			(void)amqp_item_list_pop(&ch->calls);
			amqp_item_finish(c, &call->item, rc < 0 ? &err : NULL);
		}
	}
}

void amqp_consume_add_call(struct amqp_client *c, struct call *call)
{
	amqp_item_list_append(&channel_of(c, call->channel)->calls, &call->item);
}

/* ---- answers ---- */

static void take_result(struct call *call, const struct amqp_in_method *m)
{
	const amqp_queue_declare_ok_t *declared = m->decoded;
	size_t len;

	switch (m->id) {
	case AMQP_QUEUE_DECLARE_OK_METHOD:
		len = declared->queue.len < sizeof(call->result.name) - 1
			      ? declared->queue.len
			      : sizeof(call->result.name) - 1;
		memcpy(call->result.name, len > 0 ? declared->queue.bytes : "", len);
		call->result.messages = declared->message_count;
		call->result.consumers = declared->consumer_count;
		break;
	case AMQP_QUEUE_PURGE_OK_METHOD:
		call->result.messages = ((amqp_queue_purge_ok_t *)m->decoded)->message_count;
		break;
	case AMQP_QUEUE_DELETE_OK_METHOD:
		call->result.messages = ((amqp_queue_delete_ok_t *)m->decoded)->message_count;
		break;
	default:
		break;
	}
}

static void call_done(struct amqp_client *c, struct call *call)
{
	struct consumer *old = NULL;

	if (call->op == CALL_CONSUME)
		old = find_queue(c, call->again ? call->queue : call->consumer->queue);
	if (call->op == CALL_CONSUME && call->again && old)
		old->active = true;
	if (call->op == CALL_CONSUME && !call->again) {
		if (old)
			remove_consumer(c, old);
		call->consumer->active = true;
		c->consumers[c->consumer_count++] = TAKE(call->consumer);
	}
	if (call->op == CALL_CANCEL && (old = find_queue(c, call->queue)) != NULL)
		remove_consumer(c, old);
	amqp_item_finish(c, &call->item, NULL);
}

static int take_answer(struct amqp_client *c, struct channel *ch, const struct amqp_in_method *m,
		       struct err *err)
{
	struct call *call = head_of(ch);

	if (!call || !call->sent)
		return err_set(err, ERR_PROTOCOL, "%s, and nobody asked", amqp_method_name(m->id));
	if (++call->got < call->answers)
		return 0;
	if (!amqp_answers(m->id, call->request))
		return err_set(err, ERR_PROTOCOL, "%s to %s", amqp_method_name(m->id),
			       amqp_method_name(call->request));
	take_result(call, m);
	(void)amqp_item_list_pop(&ch->calls);
	call_done(c, call);
	return 0;
}

/* ---- channels that are closed, generations ---- */

static void refuse_head(struct amqp_client *c, struct channel *ch, const struct err *err)
{
	struct call *call = (struct call *)amqp_item_list_pop(&ch->calls);
	struct consumer *consumer = call->again ? find_queue(c, call->queue) : NULL;

	if (call->again) {
		if (consumer)
			remove_consumer(c, consumer);
		tell_cancelled(c, call->queue, err->msg);
	}
	amqp_item_finish(c, &call->item, err);
}

static void generation_end(struct amqp_client *c, const struct err *err)
{
	struct channel *ch = &c->channels[0];

	/* Calls of our own are made anew with the next generation. */
	struct item_list kept = {0};
	struct item *item;

	while ((item = amqp_item_list_pop(&ch->calls))) {
		struct call *call = (struct call *)item;

		call->sent = false;
		if (call->again)
			amqp_item_free(item);
		else
			amqp_item_list_append(&kept, item);
	}
	ch->calls = kept;
	for (size_t i = 0; i < c->consumer_count; i++)
		c->consumers[i]->active = false;
	if (c->generation == 0)
		return;
	c->generation = 0;
	amqp_deliver_end(c);
	atomic_store_explicit(&c->up, false, memory_order_relaxed);
	if (c->events.lost)
		c->events.lost(c->events.arg, err);
}

static void generation_begin(struct amqp_client *c)
{
	struct channel *ch = &c->channels[0];
	struct item_list first = {0};
	struct item *item;

	c->generation = ++c->generations;
	c->tags.first = 1;
	for (size_t i = 0; i < c->consumer_count; i++) {
		struct call *call = xcalloc(1, sizeof(*call));

		call->channel = CHANNEL_CONSUME;
		call->op = CALL_CONSUME;
		call->request = AMQP_BASIC_CONSUME_METHOD;
		call->again = true;
		call->queue = xstrdup(c->consumers[i]->queue);
		call->frames = BUF_INIT(0);
		amqp_item_list_append(&first, &call->item);
	}
	while ((item = amqp_item_list_pop(&ch->calls)))
		amqp_item_list_append(&first, item);
	ch->calls = first;
	atomic_store_explicit(&c->up, true, memory_order_relaxed);
	if (c->events.up)
		c->events.up(c->events.arg, c->generation);
}

/* Whether what the server names is what the call said, and no ack. */
static bool is_blamed(const struct channel *ch, unsigned class_id, unsigned method_id)
{
	const struct call *call = head_of(ch);

	if (!call || !call->sent)
		return false;
	if (ch->number == CHANNEL_DECLARE)
		return class_id == 40 || class_id == 50;
	return class_id == AMQP_CLASS_BASIC &&
	       (method_id == 10 || method_id == 20 || method_id == 30);
}

void amqp_consume_blame(struct amqp_client *c, unsigned class_id, unsigned method_id,
			const struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(c->channels); i++)
		if (is_blamed(&c->channels[i], class_id, method_id))
			refuse_head(c, &c->channels[i], err);
}

static void channel_closed(struct amqp_client *c, struct channel *ch, const amqp_channel_close_t *m)
{
	struct buf *out = &conn_of(c)->out;
	amqp_channel_close_ok_t ok = {0};
	amqp_channel_open_t open = {0};
	struct err err;

	(void)amqp_refusal(m->reply_code, m->reply_text, &err);
	amqp_put_method(out, ch->number, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok);
	amqp_put_method(out, ch->number, AMQP_CHANNEL_OPEN_METHOD, &open);
	ch->open = false;
	if (is_blamed(ch, m->class_id, m->method_id))
		refuse_head(c, ch, &err);
	else
		log_warning("%s: the server closed a channel: %s", c->name, err.msg);
	if (head_of(ch))
		head_of(ch)->sent = false;
	if (ch->number == CHANNEL_CONSUME)
		generation_end(c, &err);
}

int amqp_consume_method(struct amqp_client *c, uint16_t channel, const struct amqp_in_method *m,
			struct err *err)
{
	struct channel *ch = channel_of(c, channel);
	struct consumer *consumer;

	if (!ch)
		return err_set(err, ERR_PROTOCOL, "%s on channel %u", amqp_method_name(m->id),
			       channel);
	switch (m->id) {
	case AMQP_BASIC_DELIVER_METHOD:
		return amqp_deliver_method(c, m->decoded, err);
	case AMQP_CHANNEL_CLOSE_METHOD:
		channel_closed(c, ch, m->decoded);
		return 0;
	case AMQP_CHANNEL_OPEN_OK_METHOD:
		ch->open = true;
		if (channel == CHANNEL_CONSUME)
			generation_begin(c);
		return 0;
	case AMQP_BASIC_CANCEL_METHOD:
		consumer = amqp_consume_find(c, ((amqp_basic_cancel_t *)m->decoded)->consumer_tag);
		if (consumer) {
			_cleanup_free_ char *queue = xstrdup(consumer->queue);

			remove_consumer(c, consumer);
			tell_cancelled(c, queue, "the server delivers from it no more");
		}
		return 0;
	default:
		return take_answer(c, ch, m, err);
	}
}

void amqp_consume_begin(struct amqp_client *c)
{
	for (size_t i = 0; i < ARRAY_LEN(c->channels); i++)
		c->channels[i].open = true;
	generation_begin(c);
}

void amqp_consume_end(struct amqp_client *c, const struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(c->channels); i++) {
		c->channels[i].open = false;
		if (head_of(&c->channels[i]))
			head_of(&c->channels[i])->sent = false;
	}
	generation_end(c, err);
}

void amqp_consume_cancel_calls(struct amqp_client *c, const struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(c->channels); i++) {
		struct item *item;

		while ((item = amqp_item_list_pop(&c->channels[i].calls)))
			amqp_item_finish(c, item, err);
	}
}

bool amqp_consume_idle(const struct amqp_client *c)
{
	return !c->channels[0].calls.head && !c->channels[1].calls.head;
}
