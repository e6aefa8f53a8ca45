/*
 * amqp_topology.c: queues, exchanges and bindings of tasks in RabbitMQ.
 */
#include "amqp_topology.h"

#include <stdio.h>
#include <string.h>

#include "json.h"
#include "mem.h"

/* ---- queues of tasks ---- */

static int make_queue(struct amqp_client *c, const struct amqp_task_queue *q, usec_t deadline,
		      bool *ret_made, struct err *err)
{
	struct amqp_queue queue = {.name = q->name, .passive = true};
	int rc = amqp_client_declare_queue(c, &queue, deadline, NULL, err);

	*ret_made = rc == -ERR_NOTFOUND;
	if (!*ret_made)
		return rc;
	queue = (struct amqp_queue){
		.name = q->name,
		.durable = q->durable,
		.exclusive = q->exclusive,
		.auto_delete = q->auto_delete,
		.arguments = q->arguments,
	};
	return amqp_client_declare_queue(c, &queue, deadline, NULL, err);
}

int amqp_topology_exchange(struct amqp_client *c, const char *name, const char *type, bool durable,
			   usec_t deadline, struct err *err)
{
	struct amqp_exchange e = {.name = name, .type = type, .passive = true};
	int rc = amqp_client_declare_exchange(c, &e, deadline, err);

	if (rc != -ERR_NOTFOUND)
		return rc;
	e.passive = false;
	e.durable = durable;
	return amqp_client_declare_exchange(c, &e, deadline, err);
}

int amqp_topology_queue(struct amqp_client *c, const struct amqp_task_queue *q, usec_t deadline,
			bool *ret_made, struct err *err)
{
	const struct amqp_binding binding = {
		.exchange = q->exchange, .routing_key = q->routing_key, .to = q->name};
	bool made = false;
	int rc;

	/* The exchange first, as kombu does: a queue without its binding would miss messages. */
	if (q->exchange[0] != '\0' &&
	    (rc = amqp_topology_exchange(c, q->exchange, q->type, q->durable, deadline, err)) < 0)
		return err_wrap(err, "exchange %.80s", q->exchange);
	rc = make_queue(c, q, deadline, &made, err);
	if (rc == 0 && q->exchange[0] != '\0')
		rc = amqp_client_bind(c, &binding, deadline, err);
	if (rc < 0)
		return err_wrap(err, "queue %.80s", q->name);
	if (ret_made)
		*ret_made = made;
	return 0;
}

static void set_milliseconds(json_t *arguments, const char *name, int64_t value)
{
	if (value > 0)
		(void)json_object_set_new(arguments, name, json_integer(value));
}

int amqp_topology_mailbox(struct amqp_client *c, const struct amqp_mailbox *m, usec_t deadline,
			  struct amqp_queue_state *ret, struct err *err)
{
	_cleanup_json_ json_t *arguments = json_object();
	const struct amqp_queue q = {.name = m->queue,
				     .durable = m->durable,
				     .exclusive = m->exclusive,
				     .auto_delete = !m->durable,
				     .arguments = arguments};
	struct amqp_binding binding = {.exchange = m->exchange, .routing_key = ""};
	int rc;

	set_milliseconds(arguments, "x-message-ttl", m->ttl);
	set_milliseconds(arguments, "x-expires", m->expires);
	rc = amqp_topology_exchange(c, m->exchange, "fanout", false, deadline, err);
	if (rc == 0)
		rc = amqp_client_declare_queue(c, &q, deadline, ret, err);
	binding.to = ret->name;
	if (rc == 0)
		rc = amqp_client_bind(c, &binding, deadline, err);
	return rc < 0 ? err_wrap(err, "mailbox %.80s", m->queue) : 0;
}

/* ---- messages that are held back ---- */

#define BITS	     28
#define DELIVERY     "celery_delayed_delivery"
#define PREFIX_BYTES (2 * (size_t)BITS) /* "0." or "1." for each bit */

bool amqp_is_quorum(const json_t *arguments)
{
	const char *type = json_member_str(arguments, "x-queue-type");

	return type && strcmp(type, "quorum") == 0;
}

static bool has_prefix(const char *key)
{
	for (size_t i = 0; i < PREFIX_BYTES; i += 2)
		if ((key[i] != '0' && key[i] != '1') || key[i + 1] != '.')
			return false;
	return true;
}

int amqp_delay_key(int64_t seconds, const char *routing_key, struct buf *out, struct err *err)
{
	if (seconds < 1 || seconds > AMQP_DELAY_MOST)
		return err_set(err, ERR_INVALID, "a message is held back for 1 to %d s",
			       AMQP_DELAY_MOST);
	if (has_prefix(routing_key))
		routing_key += PREFIX_BYTES;
	if (strlen(routing_key) + PREFIX_BYTES > 255)
		return err_set(err, ERR_TOOBIG,
			       "the routing key of a message that is held back has at most %zu "
			       "bytes",
			       255 - PREFIX_BYTES);
	for (int bit = BITS - 1; bit >= 0; bit--)
		buf_append_str(out, seconds >> bit & 1 ? "1." : "0.");
	buf_append_str(out, routing_key);
	return buf_status(out, err);
}

static const char *level_name(int level, char out[32])
{
	(void)snprintf(out, 32, "celery_delayed_%d", level);
	return out;
}

/* The pattern for bit `level` of the key: "*." for each bit before it, then "1.#" or "0.#". */
static const char *level_pattern(int level, char digit, char out[PREFIX_BYTES + 4])
{
	char *p = out;

	for (int i = BITS - 1; i > level; i--) {
		*p++ = '*';
		*p++ = '.';
	}
	*p++ = digit;
	memcpy(p, ".#", 3);
	return out;
}

/* A message whose bit is set waits here for 2^level seconds, then goes on with the bits below. */
static int make_level(struct amqp_client *c, int level, const char *queue_type, usec_t deadline,
		      struct err *err)
{
	char name[32], next[32], pattern[PREFIX_BYTES + 4];
	const struct amqp_exchange e = {
		.name = level_name(level, name), .type = "topic", .durable = true};
	_cleanup_json_ json_t *arguments = json_pack(
		"{s:s, s:s, s:I, s:s}", "x-queue-type", queue_type, "x-overflow", "reject-publish",
		"x-message-ttl", (json_int_t)(1LL << level) * 1000, "x-dead-letter-exchange",
		level > 0 ? level_name(level - 1, next) : DELIVERY);
	const struct amqp_queue q = {.name = name, .durable = true, .arguments = arguments};
	const struct amqp_binding binding = {
		.exchange = name, .routing_key = level_pattern(level, '1', pattern), .to = name};
	int rc;

	if (strcmp(queue_type, "quorum") == 0)
		(void)json_object_set_new(arguments, "x-dead-letter-strategy",
					  json_string("at-least-once"));
	if ((rc = amqp_client_declare_exchange(c, &e, deadline, err)) < 0 ||
	    (rc = amqp_client_declare_queue(c, &q, deadline, NULL, err)) < 0)
		return err_wrap(err, "%s", name);
	return amqp_client_bind(c, &binding, deadline, err);
}

/* One whose bit is not set goes on at once. */
static int bind_next(struct amqp_client *c, int level, usec_t deadline, struct err *err)
{
	char name[32], next[32], pattern[PREFIX_BYTES + 4];
	const struct amqp_binding binding = {
		.exchange = level_name(level, name),
		.routing_key = level_pattern(level, '0', pattern),
		.to = level > 0 ? level_name(level - 1, next) : DELIVERY,
		.to_exchange = true,
	};

	return amqp_client_bind(c, &binding, deadline, err);
}

int amqp_topology_delay(struct amqp_client *c, const char *queue_type, usec_t deadline,
			struct err *err)
{
	const struct amqp_exchange delivery = {.name = DELIVERY, .type = "topic", .durable = true};
	int rc = amqp_client_declare_exchange(c, &delivery, deadline, err);

	for (int level = 0; rc == 0 && level < BITS; level++) {
		rc = make_level(c, level, queue_type, deadline, err);
		if (rc == 0)
			rc = bind_next(c, level, deadline, err);
	}
	return rc < 0 ? err_wrap(err, "delayed delivery") : 0;
}

int amqp_topology_delay_queue(struct amqp_client *c, const struct amqp_task_queue *q,
			      usec_t deadline, bool *ret_bound, struct err *err)
{
	_cleanup_free_ char *key =
		xasprintf("%s%s", q->routing_key[0] == '#' ? "" : "#.", q->routing_key);
	const struct amqp_binding from_delivery = {
		.exchange = DELIVERY, .routing_key = key, .to = q->exchange, .to_exchange = true};
	const struct amqp_binding to_queue = {
		.exchange = q->exchange, .routing_key = key, .to = q->name};
	int rc;

	*ret_bound = q->exchange[0] != '\0' && strcmp(q->type, "direct") != 0;
	if (!*ret_bound)
		return 0;
	rc = amqp_client_bind(c, &from_delivery, deadline, err);
	if (rc == 0)
		rc = amqp_client_bind(c, &to_queue, deadline, err);
	return rc < 0 ? err_wrap(err, "delayed delivery to %.80s", q->name) : 0;
}
