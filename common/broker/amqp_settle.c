/*
 * Settling on RabbitMQ: what follows is published and confirmed, then the steps in Redis are done,
 * then the delivery is acknowledged. Whoever dies in between does it again: at least once, as in
 * Celery.
 */
#include "amqp_broker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "amqp_message.h"
#include "clock.h"
#include "json.h"
#include "log.h"
#include "mem.h"

#define DECLARE_PATIENCE (5 * USEC_PER_SEC)
#define BEGUN_KEY	 "celeriac:begun:"
#define BEGUN_TTL	 "604800"
#define SECONDS_LEAST	 1

/* ---- steps: `key` is the length of the exchange, a colon, exchange and routing key ---- */

static void add_message(struct settle_steps *s, enum settle_step_kind kind, const char *exchange,
			const char *routing_key, char *envelope, size_t len)
{
	_cleanup_free_ char *key = xasprintf("%zu:%s%s", strlen(exchange), exchange, routing_key);

	settle_steps_add(s, kind, key, envelope, len, 0);
}

/* As Celery's producers: a queue that is missing is made before. Where that fails, so does sending,
 * or it works all the same. */
void amqp_broker_step_push(const struct broker *b, struct settle_steps *s, const char *queue,
			   unused_arg int priority, char *envelope, size_t len)
{
	_cleanup_free_ char *name = amqp_queue_name(b, queue);
	struct broker *open = (struct broker *)(uintptr_t)b;
	struct err err = {0};

	if (amqp_queue_ensure(open, queue, clock_deadline(DECLARE_PATIENCE), &err) < 0)
		log_warning("queue %s: %s", queue, err.msg);
	add_message(s, STEP_PUSH, "", name, envelope, len);
}

void amqp_broker_step_route(const struct broker *b, struct settle_steps *s, const char *exchange,
			    const char *routing_key, unused_arg int priority, char *envelope,
			    size_t len)
{
	struct broker *open = (struct broker *)(uintptr_t)b;
	struct err err = {0};

	if (amqp_exchange_ensure(open, exchange, clock_deadline(DECLARE_PATIENCE), &err) < 0)
		log_warning("exchange %s: %s", exchange, err.msg);
	add_message(s, STEP_ROUTE, exchange, routing_key, envelope, len);
}

static int publish_envelope(struct amqp_batch *batch, const char *exchange, const char *routing_key,
			    bool mandatory, struct slice envelope, struct err *err)
{
	_cleanup_(amqp_properties_done) struct amqp_properties properties = {0};
	_cleanup_buf_ struct buf body = BUF_INIT(BOUND_MESSAGE_BYTES);
	struct amqp_publish p = {.exchange = exchange,
				 .routing_key = routing_key,
				 .mandatory = true,
				 .told = !mandatory};
	int rc = amqp_envelope_to_publish(envelope.data, envelope.len, &properties, &body, err);

	if (rc < 0)
		return rc;
	p.properties = &properties;
	p.body = body.data;
	p.len = body.len;
	return amqp_batch_publish(batch, &p, err);
}

static int publish_step(struct amqp_batch *batch, const struct settle_step *step, struct err *err)
{
	char *name;
	size_t len = strtoul(step->key, &name, 10);
	_cleanup_free_ char *exchange = xstrndup(++name, len);

	return publish_envelope(batch, exchange, name + len, step->kind == STEP_PUSH,
				(struct slice){step->data, step->len}, err);
}

static int publish_all(struct amqp_batch *batch, const struct settle_steps *sent, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < sent->count; i++)
		rc = publish_step(batch, &sent->items[i], err);
	return rc;
}

/* ---- one settlement on its way ---- */

struct settling {
	struct broker *broker;
	bool held; /* there is something to settle with the server … */
	uint64_t number;
	enum amqp_settle how;	  /* … so */
	struct settle_steps rest; /* in Redis */
	void (*done)(void *arg, const struct err *err);
	void *arg;
};

static void finish(struct settling *s, const struct err *err)
{
	if (s->done != NULL)
		s->done(s->arg, err);
	settle_steps_done(&s->rest);
	free(s);
}

/* That its connection is gone is no failure: it comes again, and what was to be done is done. */
static void acked(void *arg, const struct err *err)
{
	finish(arg, err != NULL && (err->code == ERR_CONFLICT || err->code == ERR_UNAVAILABLE)
			    ? NULL
			    : err);
}

static void ack(struct settling *s)
{
	struct amqp_batch *batch = amqp_batch_new();
	struct amqp_ref ref;

	if (amqp_held_take(s->broker, s->number, &ref, NULL, NULL))
		amqp_batch_settle(batch, ref, s->how);
	amqp_client_submit(s->broker->amqp->client, batch, 0, acked, s);
}

static void stepped(void *arg, const struct err *err)
{
	struct settling *s = arg;

	if (err != NULL)
		finish(s, err); /* it is still held: who asked settles it otherwise */
	else if (s->held)
		ack(s);
	else
		finish(s, NULL);
}

static void step(struct settling *s)
{
	struct settlement rest = {.tag = "", .outcome = SETTLE_ACK, .steps = s->rest};

	s->rest = (struct settle_steps){0};
	if (s->broker->link == NULL)
		settle_steps_done(&rest.steps); /* of nobody's concern */
	if (rest.steps.count > 0)
		broker_settle_on(s->broker, s->broker->link, &rest, stepped, s);
	else
		stepped(s, NULL);
}

static void sent(void *arg, const struct err *err)
{
	struct settling *s = arg;

	if (err != NULL && err->code == ERR_NOTFOUND)
		amqp_known_forget(s->broker); /* somebody deleted a queue */
	if (err != NULL && err->code != ERR_CONFLICT)
		finish(s, err);
	else
		step(s);
}

/* Where a delivery came from first: nobody reads the queue of a node that is gone. Given. */
static char *origin_of(struct broker *b, uint64_t number, const char *queue)
{
	char *origin = NULL;

	amqp_held_way(b, number, &origin, NULL);
	return origin ? origin : xstrdup(queue);
}

/* The record of a dead letter, as settle.lua makes it. */
static void add_dead(struct broker *b, const struct settlement *s, const char *data, size_t len,
		     struct settle_steps *steps)
{
	_cleanup_free_ char *queue = origin_of(b, amqp_tag_number(s->tag), s->queue);
	_cleanup_free_ char *line = broker_dead_line(s->reason, queue);
	size_t line_len = strlen(line);
	char *record = xmalloc(line_len + 1 + len);

	memcpy(record, line, line_len);
	record[line_len] = '\n';
	memcpy(record + line_len + 1, data, len);
	settle_steps_add(steps, STEP_PUSH, b->dead, record, line_len + 1 + len, 0);
}

/* Where there is no Redis: 1 when the dead letter is in the batch, with the reason as a header. */
static int bury(struct broker *b, const struct settlement *s, struct amqp_batch *batch,
		struct err *err)
{
	_cleanup_(amqp_properties_done) struct amqp_properties properties = {0};
	_cleanup_buf_ struct buf body = BUF_INIT(BOUND_MESSAGE_BYTES);
	_cleanup_free_ char *data = NULL, *queue = NULL;
	struct amqp_publish p = {.exchange = "",
				 .routing_key = AMQP_DEAD_QUEUE,
				 .mandatory = true,
				 .properties = &properties};
	int64_t ms = clock_wall() / USEC_PER_MSEC;
	size_t len = 0;
	int rc;

	if (s->outcome != SETTLE_DEAD || b->link != NULL ||
	    !amqp_held_copy(b, amqp_tag_number(s->tag), &data, &len))
		return 0;
	p.body = data;
	p.len = len;
	rc = amqp_envelope_to_publish(data, len, &properties, &body, err);
	if (rc == -ERR_NOMEM)
		return rc;
	if (rc == 0) {
		p.body = body.data;
		p.len = body.len;
	} else { /* what is no envelope goes as it came */
		properties = (struct amqp_properties){.delivery_mode = 2, .headers = json_object()};
	}
	(void)json_object_set_new(properties.headers, "x-celeriac-reason",
				  json_text(s->reason, strlen(s->reason), true));
	queue = origin_of(b, amqp_tag_number(s->tag), s->queue);
	(void)json_object_set_new(properties.headers, "x-celeriac-queue", json_string(queue));
	(void)json_object_set_new(properties.headers, "x-celeriac-at",
				  json_real((double)ms / 1000));
	rc = amqp_batch_publish(batch, &p, err);
	return rc < 0 ? rc : 1;
}

static const enum amqp_settle ways[] = {[SETTLE_ACK] = AMQP_ACK,
					[SETTLE_REQUEUE] = AMQP_REQUEUE,
					[SETTLE_REJECT] = AMQP_REQUEUE,
					[SETTLE_DEAD] = AMQP_ACK};

static void choose(struct settling *w, const struct settlement *s, uint64_t number)
{
	_cleanup_free_ char *data = NULL;
	size_t len = 0;

	if (s->outcome == SETTLE_NONE)
		return;
	w->how = ways[s->outcome];
	w->number = number;
	if (s->outcome != SETTLE_DEAD || w->broker->link == NULL) {
		w->held = amqp_held_has(w->broker, number);
	} else if (amqp_held_copy(w->broker, number, &data, &len)) {
		w->held = true;
		add_dead(w->broker, s, data, len, &w->rest);
	}
}

/* An ack and nothing else is of no use to somebody else's message. */
static bool is_late(const struct settling *w, const struct settlement *s, size_t sent_count)
{
	return !w->held && s->outcome == SETTLE_ACK && sent_count == 0 && w->rest.count == 0;
}

void amqp_broker_settle(struct broker *b, const struct settlement *s,
			void (*done)(void *arg, const struct err *err), void *arg)
{
	struct settling *w = xcalloc(1, sizeof(*w));
	struct settle_steps steps = s->steps,
			    out = settle_steps_split(&steps, SETTLE_STEP_MESSAGES);
	struct amqp_batch *batch = amqp_batch_new();
	struct err err = {0};
	int rc = publish_all(batch, &out, &err), buried = 0;

	if (rc == 0)
		rc = buried = bury(b, s, batch, &err);
	*w = (struct settling){.broker = b, .rest = steps, .done = done, .arg = arg};
	if (rc < 0) {
		amqp_batch_free(batch);
		finish(w, &err);
	} else {
		choose(w, s, amqp_tag_number(s->tag));
		if (is_late(w, s, out.count)) {
			amqp_batch_free(batch);
			(void)err_set(&err, ERR_UNAVAILABLE,
				      "the connection that it came by was lost: it is delivered "
				      "again");
			finish(w, &err);
		} else if (out.count > 0 || buried > 0) {
			amqp_client_submit(b->amqp->client, batch, AMQP_KEEP, sent, w);
		} else {
			amqp_batch_free(batch);
			step(w);
		}
	}
	settle_steps_done(&out);
	if (s->result != NULL)
		backend_write_done(s->result);
}

int amqp_broker_perform(struct broker *b, struct settle_steps *steps, usec_t deadline,
			struct err *err)
{
	struct settle_steps out = settle_steps_split(steps, SETTLE_STEP_MESSAGES);
	struct amqp_batch *batch = amqp_batch_new();
	int rc = publish_all(batch, &out, err);

	if (rc < 0 || out.count == 0)
		amqp_batch_free(batch);
	else
		rc = amqp_client_perform(b->amqp->client, batch, AMQP_KEEP, deadline, err);
	settle_steps_done(&out);
	if (rc == 0 && steps->count > 0 && b->link != NULL)
		return redis_broker_perform(b, steps, deadline, err);
	settle_steps_done(steps);
	return rc;
}

int amqp_broker_publish(struct broker *b, const char *queue, unused_arg int priority,
			const char *envelope, size_t len, usec_t deadline, struct err *err)
{
	_cleanup_free_ char *name = amqp_queue_name(b, queue);
	struct amqp_batch *batch = amqp_batch_new();
	int rc = amqp_queue_ensure(b, queue, deadline, err);

	if (rc == 0)
		rc = publish_envelope(batch, "", name, true, (struct slice){envelope, len}, err);
	if (rc < 0) {
		amqp_batch_free(batch);
		return err_wrap(err, "publish to %s", queue);
	}
	rc = amqp_client_perform(b->amqp->client, batch, AMQP_KEEP, deadline, err);
	if (rc == -ERR_NOTFOUND)
		amqp_known_forget(b);
	return rc < 0 ? err_wrap(err, "publish to %s", queue) : 0;
}

/* ---- deliveries that begin to run ---- */

int amqp_broker_begin(struct broker *b, const char *tag, const char *id, usec_t deadline,
		      int64_t *ret, struct err *err)
{
	_cleanup_free_ char *key = xasprintf("%s" BEGUN_KEY "%s", b->options.global_keyprefix, id);
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_URL_BYTES * 4);
	_cleanup_reply_ struct redis_reply *added = NULL, *kept = NULL, *count = NULL;
	struct redis_reply *replies[3];
	int rc;

	if (b->link == NULL || !amqp_held_has(b, amqp_tag_number(tag))) {
		/* Without a Redis a quorum queue knows, as well as it may: it counts also those
		 * that never began. */
		*ret = b->link == NULL ? 1 + amqp_held_deliveries(b, amqp_tag_number(tag)) : -1;
		return 0;
	}
	redis_command(&commands, "SADD %s %s", key, tag);
	redis_command(&commands, "EXPIRE %s " BEGUN_TTL, key);
	redis_command(&commands, "SCARD %s", key);
	rc = redis_link_exchange(b->link, &commands, 3, 0, deadline, replies, err);
	if (rc < 0)
		return rc;
	added = replies[0];
	kept = replies[1];
	count = replies[2];
	if (redis_reply_type(count) != REDIS_INTEGER)
		return err_set(err, ERR_FAILED, "Redis: %.*s", (int)redis_reply_str(count).len,
			       redis_reply_str(count).data);
	*ret = redis_reply_int(count);
	return 0;
}

/* ---- what is due much later ---- */

/* Published into the cascade and confirmed, then acknowledged. */
int amqp_broker_delay(struct broker *b, const struct delivery_ref *ref, usec_t due, struct err *err)
{
	usec_t now = clock_wall(), deadline = clock_deadline(DECLARE_PATIENCE);
	_cleanup_buf_ struct buf key = BUF_INIT(BOUND_URL_BYTES);
	_cleanup_free_ char *queue = origin_of(b, ref->number, ref->queue);
	_cleanup_free_ char *data = NULL, *name = amqp_queue_name(b, queue);
	int64_t seconds = (int64_t)((due > now ? due - now : 0) / USEC_PER_SEC);
	struct amqp_batch *batch;
	struct amqp_ref held;
	size_t len = 0;
	int rc;

	if (!amqp_held_copy(b, ref->number, &data, &len))
		return 0; /* it comes again */
	if (seconds < SECONDS_LEAST)
		seconds = SECONDS_LEAST;
	rc = amqp_delay_key(seconds < AMQP_DELAY_MOST ? seconds : AMQP_DELAY_MOST, name, &key, err);
	if (rc == 0)
		rc = amqp_queue_delays(b, queue, deadline, err);
	if (rc < 0)
		return rc;
	batch = amqp_batch_new();
	rc = publish_envelope(batch, AMQP_DELAY_EXCHANGE, key.data, true, (struct slice){data, len},
			      err);
	if (rc < 0) {
		amqp_batch_free(batch);
		return rc;
	}
	rc = amqp_client_perform(b->amqp->client, batch, 0, deadline, err);
	if (rc < 0 || !amqp_held_take(b, ref->number, &held, NULL, NULL))
		return rc;
	batch = amqp_batch_new();
	amqp_batch_settle(batch, held, AMQP_ACK);
	amqp_client_submit(b->amqp->client, batch, 0, NULL, NULL);
	return 0;
}
