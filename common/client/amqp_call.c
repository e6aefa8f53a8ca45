/*
 * amqp_call.c: calls: methods that the server answers, and the calling thread waits for.
 */
#include <stdlib.h>
#include <string.h>

#include "amqp_client.h"
#include "mem.h"

static struct call *call_new(uint16_t channel, enum call_op op)
{
	struct call *call = xcalloc(1, sizeof(*call));

	call->channel = channel;
	call->op = op;
	call->answers = 1;
	call->frames = BUF_INIT(BOUND_AMQP_FRAME);
	amqp_item_prepare(&call->item);
	return call;
}

void amqp_consumer_free(struct consumer *consumer)
{
	if (!consumer)
		return;
	free(consumer->queue);
	buf_done(&consumer->table);
	free(consumer);
}

void amqp_call_free(struct call *call)
{
	buf_done(&call->frames);
	amqp_consumer_free(call->consumer);
	free(call->queue);
	free(call);
}

/* Hands it over and waits; `ret` may be NULL. */
static int perform(struct amqp_client *c, struct call *call, usec_t deadline,
		   struct amqp_queue_state *ret, struct err *err)
{
	int rc = 0;

	if (pthread_equal(pthread_self(), c->owner))
		BUG("a call: the owner thread would wait for itself");
	amqp_client_enqueue(c, &call->item);
	if (!amqp_item_await(&call->item, deadline))
		return amqp_client_timeout(c, "no answer in time", err);
	if (call->item.fault) {
		*err = *call->item.fault;
		rc = -err->code;
	} else if (ret) {
		*ret = call->result;
	}
	amqp_item_free(&call->item);
	return rc;
}

static int check_name(const char *what, const char *name, struct err *err)
{
	return strlen(name) <= 255
		       ? 0
		       : err_set(err, ERR_INVALID, "the name of %s has at most 255 bytes: %.40s…",
				 what, name);
}

/* One method on the channel of declarations. */
static int ask(struct amqp_client *c, amqp_method_number_t request, void *method, usec_t deadline,
	       struct amqp_queue_state *ret, struct err *err)
{
	struct call *call = call_new(CHANNEL_DECLARE, CALL_PLAIN);
	int rc;

	call->request = request;
	amqp_put_method(&call->frames, CHANNEL_DECLARE, request, method);
	rc = buf_status(&call->frames, err);
	if (rc < 0) {
		amqp_item_free(&call->item);
		return rc;
	}
	return perform(c, call, deadline, ret, err);
}

/* The arguments of a method, and the memory they are in. */
struct arguments {
	amqp_pool_t pool;
	struct buf bytes;
	amqp_table_t table;
};
static void arguments_done(struct arguments *a)
{
	empty_amqp_pool(&a->pool);
	buf_done(&a->bytes);
}
static int arguments_make(struct arguments *a, const json_t *object, struct err *err)
{
	init_amqp_pool(&a->pool, 4096);
	a->bytes = BUF_INIT(BOUND_AMQP_FRAME / 2);
	return amqp_arguments(object, &a->pool, &a->bytes, &a->table, err);
}
#define _cleanup_arguments_ _cleanup_(arguments_done)

/* ---- queues ---- */

int amqp_client_declare_queue(struct amqp_client *c, const struct amqp_queue *q, usec_t deadline,
			      struct amqp_queue_state *ret, struct err *err)
{
	_cleanup_arguments_ struct arguments a = {0};
	int rc = arguments_make(&a, q->arguments, err);
	amqp_queue_declare_t m = {
		.queue = amqp_cstring_bytes(q->name),
		.passive = q->passive,
		.durable = q->durable,
		.exclusive = q->exclusive,
		.auto_delete = q->auto_delete,
		.arguments = a.table,
	};

	if (rc == 0)
		rc = check_name("a queue", q->name, err);
	return rc < 0 ? rc : ask(c, AMQP_QUEUE_DECLARE_METHOD, &m, deadline, ret, err);
}

int amqp_client_delete_queue(struct amqp_client *c, const char *queue, bool if_unused,
			     bool if_empty, usec_t deadline, uint32_t *ret_messages,
			     struct err *err)
{
	amqp_queue_delete_t m = {
		.queue = amqp_cstring_bytes(queue),
		.if_unused = if_unused,
		.if_empty = if_empty,
	};
	struct amqp_queue_state state;
	int rc = check_name("a queue", queue, err);

	if (rc == 0)
		rc = ask(c, AMQP_QUEUE_DELETE_METHOD, &m, deadline, &state, err);
	if (rc == 0 && ret_messages)
		*ret_messages = state.messages;
	return rc;
}

int amqp_client_purge(struct amqp_client *c, const char *queue, usec_t deadline,
		      uint32_t *ret_messages, struct err *err)
{
	amqp_queue_purge_t m = {.queue = amqp_cstring_bytes(queue)};
	struct amqp_queue_state state;
	int rc = check_name("a queue", queue, err);

	if (rc == 0)
		rc = ask(c, AMQP_QUEUE_PURGE_METHOD, &m, deadline, &state, err);
	if (rc == 0 && ret_messages)
		*ret_messages = state.messages;
	return rc;
}

/* ---- exchanges ---- */

int amqp_client_declare_exchange(struct amqp_client *c, const struct amqp_exchange *e,
				 usec_t deadline, struct err *err)
{
	_cleanup_arguments_ struct arguments a = {0};
	int rc = arguments_make(&a, e->arguments, err);
	amqp_exchange_declare_t m = {
		.exchange = amqp_cstring_bytes(e->name),
		.type = amqp_cstring_bytes(e->type),
		.passive = e->passive,
		.durable = e->durable,
		.auto_delete = e->auto_delete,
		.internal = e->internal,
		.arguments = a.table,
	};

	if (rc == 0)
		rc = check_name("an exchange", e->name, err);
	return rc < 0 ? rc : ask(c, AMQP_EXCHANGE_DECLARE_METHOD, &m, deadline, NULL, err);
}

int amqp_client_delete_exchange(struct amqp_client *c, const char *exchange, usec_t deadline,
				struct err *err)
{
	amqp_exchange_delete_t m = {.exchange = amqp_cstring_bytes(exchange)};
	int rc = check_name("an exchange", exchange, err);

	return rc < 0 ? rc : ask(c, AMQP_EXCHANGE_DELETE_METHOD, &m, deadline, NULL, err);
}

static int check_binding(const struct amqp_binding *b, struct err *err)
{
	int rc = check_name("an exchange", b->exchange, err);

	if (rc == 0)
		rc = check_name(b->to_exchange ? "an exchange" : "a queue", b->to, err);
	if (rc == 0 && strlen(b->routing_key) > 255)
		rc = err_set(err, ERR_INVALID, "a routing key has at most 255 bytes: %.40s…",
			     b->routing_key);
	return rc;
}

static int bind_exchange(struct amqp_client *c, const struct amqp_binding *b, amqp_table_t table,
			 bool on, usec_t deadline, struct err *err)
{
	amqp_exchange_bind_t bind = {
		.destination = amqp_cstring_bytes(b->to),
		.source = amqp_cstring_bytes(b->exchange),
		.routing_key = amqp_cstring_bytes(b->routing_key),
		.arguments = table,
	};
	amqp_exchange_unbind_t unbind = {
		.destination = bind.destination,
		.source = bind.source,
		.routing_key = bind.routing_key,
		.arguments = table,
	};

	return on ? ask(c, AMQP_EXCHANGE_BIND_METHOD, &bind, deadline, NULL, err)
		  : ask(c, AMQP_EXCHANGE_UNBIND_METHOD, &unbind, deadline, NULL, err);
}

static int bind_queue(struct amqp_client *c, const struct amqp_binding *b, amqp_table_t table,
		      bool on, usec_t deadline, struct err *err)
{
	amqp_queue_bind_t bind = {
		.queue = amqp_cstring_bytes(b->to),
		.exchange = amqp_cstring_bytes(b->exchange),
		.routing_key = amqp_cstring_bytes(b->routing_key),
		.arguments = table,
	};
	amqp_queue_unbind_t unbind = {
		.queue = bind.queue,
		.exchange = bind.exchange,
		.routing_key = bind.routing_key,
		.arguments = table,
	};

	return on ? ask(c, AMQP_QUEUE_BIND_METHOD, &bind, deadline, NULL, err)
		  : ask(c, AMQP_QUEUE_UNBIND_METHOD, &unbind, deadline, NULL, err);
}

static int bind_either(struct amqp_client *c, const struct amqp_binding *b, bool on,
		       usec_t deadline, struct err *err)
{
	_cleanup_arguments_ struct arguments a = {0};
	int rc = arguments_make(&a, b->arguments, err);

	if (rc == 0)
		rc = check_binding(b, err);
	if (rc < 0)
		return rc;
	return b->to_exchange ? bind_exchange(c, b, a.table, on, deadline, err)
			      : bind_queue(c, b, a.table, on, deadline, err);
}

int amqp_client_bind(struct amqp_client *c, const struct amqp_binding *b, usec_t deadline,
		     struct err *err)
{
	return bind_either(c, b, true, deadline, err);
}

int amqp_client_unbind(struct amqp_client *c, const struct amqp_binding *b, usec_t deadline,
		       struct err *err)
{
	return bind_either(c, b, false, deadline, err);
}

/* ---- consuming ---- */

int amqp_client_consume(struct amqp_client *c, const struct amqp_consumer *consumer,
			usec_t deadline, struct err *err)
{
	/* Asked on the other channel first: consuming what is not there would end this one, and
	 * with it all that was delivered. */
	const struct amqp_queue q = {.name = consumer->queue, .passive = true};
	struct call *call;
	int rc = amqp_client_declare_queue(c, &q, deadline, NULL, err);

	if (rc < 0)
		return rc;
	call = call_new(CHANNEL_CONSUME, CALL_CONSUME);
	call->request = AMQP_BASIC_CONSUME_METHOD;
	call->consumer = xcalloc(1, sizeof(*call->consumer));
	*call->consumer = (struct consumer){
		.queue = xstrdup(consumer->queue),
		.prefetch = consumer->prefetch,
		.no_ack = consumer->no_ack,
		.exclusive = consumer->exclusive,
		.table = BUF_INIT(BOUND_AMQP_FRAME / 2),
	};
	if (consumer->arguments)
		rc = amqp_json_to_table(consumer->arguments, &call->consumer->table, err);
	if (rc < 0) {
		amqp_item_free(&call->item);
		return rc;
	}
	return perform(c, call, deadline, NULL, err);
}

int amqp_client_cancel(struct amqp_client *c, const char *queue, usec_t deadline, struct err *err)
{
	struct call *call = call_new(CHANNEL_CONSUME, CALL_CANCEL);

	call->request = AMQP_BASIC_CANCEL_METHOD;
	call->queue = xstrdup(queue);
	return perform(c, call, deadline, NULL, err);
}

/* Any method with an answer, on the channel of the settlements: the server looks at them in order.
 * What it says holds for consumers that come, and each says its own. */
int amqp_client_settled(struct amqp_client *c, usec_t deadline, struct err *err)
{
	amqp_basic_qos_t m = {.prefetch_count = 1};
	struct call *call = call_new(CHANNEL_CONSUME, CALL_PLAIN);
	int rc;

	call->request = AMQP_BASIC_QOS_METHOD;
	amqp_put_method(&call->frames, CHANNEL_CONSUME, AMQP_BASIC_QOS_METHOD, &m);
	rc = buf_status(&call->frames, err);
	if (rc < 0) {
		amqp_item_free(&call->item);
		return rc;
	}
	return perform(c, call, deadline, NULL, err);
}
