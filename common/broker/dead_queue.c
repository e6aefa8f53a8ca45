/*
 * Dead letters in RabbitMQ. See dead_queue.h.
 */
#include "dead_queue.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "amqp_broker.h"
#include "amqp_message.h"
#include "clock.h"
#include "codec.h"
#include "json.h"
#include "mem.h"

#define PATIENCE  (10 * USEC_PER_SEC)
#define AT_ONCE	  64
#define LOOK_MS	  100
#define BYTES_MAX (512u << 20) /* of all that is looked at */

struct item {
	struct dead_letter letter;
	struct amqp_ref ref;
	bool gone;
};

struct dead_queue {
	struct broker *broker;
	bool walked;
	struct item *items;
	size_t count, size, bytes;
};

int dead_queue_open(struct broker *b, struct dead_queue **ret, struct err *err)
{
	struct dead_queue *q;
	char detail[64];
	int rc = amqp_broker_reach(b, clock_deadline(PATIENCE), detail, err);

	if (rc < 0)
		return rc;
	q = xcalloc(1, sizeof(*q));
	q->broker = b;
	*ret = q;
	return 0;
}

void dead_queue_close(struct dead_queue *q)
{
	if (q == NULL)
		return;
	for (size_t i = 0; i < q->count; i++)
		dead_letter_done(&q->items[i].letter);
	free(q->items);
	free(q);
}

/* ---- what one is ---- */

static void make_id(const struct dead_letter *l, char out[DEAD_ID_SIZE])
{
	_cleanup_buf_ struct buf said = BUF_INIT(BOUND_ERROR_TEXT * 8);

	json_dump_python(l->said, &said);
	const struct slice pieces[] = {{said.data, said.len}, {l->message, l->len}};

	sha1_hex(pieces, ARRAY_LEN(pieces), out, DEAD_ID_SIZE);
}

/* What bury() said in headers, which are none of the message. */
static json_t *take_said(json_t *headers)
{
	static const char *const names[][2] = {{"reason", "x-celeriac-reason"},
					       {"queue", "x-celeriac-queue"},
					       {"at", "x-celeriac-at"}};
	json_t *said = json_object();

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		json_t *value = json_object_get(headers, names[i][1]);

		if (value != NULL)
			(void)json_object_set(said, names[i][0], value);
		(void)json_object_del(headers, names[i][1]);
	}
	return said;
}

static void read_letter(struct amqp_delivery *d, struct dead_letter *ret)
{
	_cleanup_buf_ struct buf envelope = BUF_INIT(2 * BOUND_MESSAGE_BYTES);
	struct err err;

	*ret = (struct dead_letter){.said = take_said(d->properties.headers), .whole = true};
	d->redelivered = false; /* it is each time that somebody looks */
	/* What was no envelope has no type. */
	if (d->properties.text[AMQP_CONTENT_TYPE] == NULL ||
	    amqp_envelope_from_delivery(d, &envelope, &err) < 0 ||
	    buf_take(&envelope, &ret->message, &ret->len, &err) < 0) {
		ret->message = xmemdup(d->body, d->len);
		ret->len = d->len;
	}
	ret->bytes = ret->len;
	make_id(ret, ret->id);
}

static int add(struct dead_queue *q, struct amqp_delivery *d, struct err *err)
{
	struct item *item;

	if (q->count == q->size) {
		q->size = q->size ? 2 * q->size : 64;
		q->items = xrealloc(q->items, q->size * sizeof(*q->items));
	}
	item = &q->items[q->count];
	*item = (struct item){.ref = d->ref};
	read_letter(d, &item->letter);
	item->letter.place = (int64_t)q->count++;
	q->bytes += item->letter.bytes;
	return q->bytes <= BYTES_MAX
		       ? 0
		       : err_set(err, ERR_TOOBIG,
				 "the dead letters in " AMQP_DEAD_QUEUE " are more than %u bytes",
				 BYTES_MAX);
}

/* ---- all of them ---- */

static int take_some(struct dead_queue *q, size_t *ret_count, struct err *err)
{
	_cleanup_free_ struct amqp_delivery *came = xcalloc(AT_ONCE, sizeof(*came));
	int rc = 0;

	*ret_count = amqp_client_take(q->broker->amqp->client, came, AT_ONCE);
	for (size_t i = 0; i < *ret_count; i++) {
		if (rc == 0)
			rc = add(q, &came[i], err);
		amqp_delivery_done(&came[i]);
	}
	return rc;
}

/* Everything that is ready was delivered, and taken. */
static int is_over(struct dead_queue *q, usec_t deadline, bool *ret, struct err *err)
{
	struct amqp_client *c = q->broker->amqp->client;
	uint32_t left = 0;
	size_t count = 0;
	int rc = amqp_queue_messages(c, AMQP_DEAD_QUEUE, deadline, &left, err);

	if (rc == 0 && left == 0)
		rc = amqp_client_settled(c, deadline, err); /* behind all deliveries */
	if (rc == 0 && left == 0)
		rc = take_some(q, &count, err);
	*ret = left == 0 && count == 0;
	return rc;
}

static int walk(struct dead_queue *q, struct err *err)
{
	const struct amqp_consumer consumer = {.queue = AMQP_DEAD_QUEUE, .exclusive = true};
	struct amqp_client *c = q->broker->amqp->client;
	usec_t deadline = clock_deadline(PATIENCE);
	bool over = false;
	int rc;

	if (q->walked)
		return 0;
	rc = amqp_client_consume(c, &consumer, deadline, err);
	if (rc == -ERR_NOTFOUND) {
		q->walked = true;
		return 0; /* there were none yet */
	}
	while (rc == 0 && !over) {
		size_t count = 0;

		rc = take_some(q, &count, err);
		if (count > 0)
			deadline = clock_deadline(PATIENCE);
		else if (rc == 0)
			rc = is_over(q, deadline, &over, err);
		if (rc == 0 && clock_mono() >= deadline)
			rc = err_set(err, ERR_TIMEOUT, "the server does not give them all");
		if (rc == 0 && count == 0 && !over)
			poll(&(struct pollfd){.fd = amqp_client_fd(c), .events = POLLIN}, 1,
			     LOOK_MS);
	}
	q->walked = true;
	return rc < 0 ? err_wrap(err, "queue " AMQP_DEAD_QUEUE) : 0;
}

int dead_queue_each(struct dead_queue *q, dead_each_fn *fn, void *arg, struct err *err)
{
	int rc = walk(q, err);

	for (size_t i = 0; rc == 0 && i < q->count; i++) {
		if (!q->items[i].gone && fn(arg, &q->items[i].letter) != 0)
			break;
	}
	return rc;
}

static struct item *find(struct dead_queue *q, const char *id)
{
	for (size_t i = 0; i < q->count; i++) {
		if (!q->items[i].gone && strcmp(q->items[i].letter.id, id) == 0)
			return &q->items[i];
	}
	return NULL;
}

int dead_queue_find(struct dead_queue *q, const char *id, struct dead_letter *ret, struct err *err)
{
	const struct item *item;
	int rc = walk(q, err);

	if (rc < 0)
		return rc;
	item = find(q, id);
	if (item == NULL)
		return err_set(err, ERR_NOTFOUND, "there is no dead letter %.32s", id);
	*ret = item->letter;
	ret->said = json_incref(item->letter.said);
	ret->message = xmalloc(ret->len + 1);
	memcpy(ret->message, item->letter.message, ret->len);
	ret->message[ret->len] = '\0';
	return 0;
}

/* ---- one of them ---- */

/* Takes `batch`. */
static int settle(struct dead_queue *q, const struct dead_letter *letter, struct amqp_batch *batch,
		  struct err *err)
{
	struct amqp_client *c = q->broker->amqp->client;
	struct item *item = find(q, letter->id);
	int rc;

	if (item == NULL) {
		amqp_batch_free(batch);
		return err_set(err, ERR_NOTFOUND, "dead letter %s is gone", letter->id);
	}
	amqp_batch_settle(batch, item->ref, AMQP_ACK);
	rc = amqp_client_perform(c, batch, 0, clock_deadline(PATIENCE), err);
	if (rc == 0)
		rc = amqp_client_settled(c, clock_deadline(PATIENCE), err);
	item->gone = rc == 0;
	return rc < 0 ? err_wrap(err, "dead letter %s", letter->id) : 0;
}

int dead_queue_drop(struct dead_queue *q, const struct dead_letter *letter, struct err *err)
{
	return settle(q, letter, amqp_batch_new(), err);
}

int dead_queue_requeue(struct dead_queue *q, const struct dead_letter *letter, const char *queue,
		       struct err *err)
{
	_cleanup_free_ char *name = amqp_queue_name(q->broker, queue);
	_cleanup_(amqp_properties_done) struct amqp_properties properties = {0};
	_cleanup_buf_ struct buf body = BUF_INIT(BOUND_MESSAGE_BYTES);
	struct amqp_publish p = {.exchange = "", .routing_key = name, .mandatory = true};
	struct amqp_batch *batch;
	int rc = amqp_queue_ensure(q->broker, queue, clock_deadline(PATIENCE), err);

	if (rc < 0)
		return rc;
	p.properties = &properties;
	rc = amqp_envelope_to_publish(letter->message, letter->len, &properties, &body, err);
	if (rc == -ERR_NOMEM)
		return rc;
	if (rc == 0) {
		p.body = body.data;
		p.len = body.len;
	} else {
		properties = (struct amqp_properties){.delivery_mode = 2};
		p.body = letter->message;
		p.len = letter->len;
	}
	batch = amqp_batch_new();
	rc = amqp_batch_publish(batch, &p, err);
	if (rc < 0) {
		amqp_batch_free(batch);
		return rc;
	}
	return settle(q, letter, batch, err);
}
