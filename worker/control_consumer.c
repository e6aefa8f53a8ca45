/*
 * Remote control of queues: add_consumer, cancel_consumer, active_queues.
 */
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "bounds.h"
#include "codec.h"
#include "json.h"
#include "mem.h"
#include "panel.h"
#include "worker.h"

/* How a queue was asked to be bound. */
struct queue_wish {
	char *queue, *exchange, *routing_key;
	enum exchange_type type;
	UT_hash_handle hh;
};

static void free_binding(struct queue_wish *b)
{
	free(b->queue);
	free(b->exchange);
	free(b->routing_key);
	free(b);
}

void control_forget_queues(struct worker *w)
{
	struct queue_wish *b, *following;

	HASH_ITER(hh, w->panel.queues, b, following)
	{
		HASH_DEL(w->panel.queues, b);
		free_binding(b);
	}
}

/* As add_consumer said, or the settings. */
static struct queue_binding binding_of(struct worker *w, const char *queue)
{
	const struct queue_wish *b = NULL;
	struct queue_binding binding;

	HASH_FIND_STR(w->panel.queues, queue, b);
	if (b != NULL)
		return (struct queue_binding){b->exchange, b->routing_key, b->type};
	(void)broker_queue_def(w->broker, queue, &binding);
	return binding;
}

static void declare(struct worker *w, const char *queue)
{
	_cleanup_buf_ struct buf pattern = BUF_INIT(BOUND_URL_BYTES);
	struct queue_binding b = binding_of(w, queue);
	struct fanout_binding binding = {b.exchange, b.routing_key, "", queue, true};

	if (b.type == EXCHANGE_FANOUT)
		return; /* the broadcast thread's */
	if (b.type == EXCHANGE_TOPIC) {
		exchange_topic_pattern(b.routing_key, &pattern);
		binding.pattern = pattern.data;
	}
	fanout_bind(w->fanout, &binding);
}

void control_declare_queues(struct worker *w)
{
	const char *names[BOUND_QUEUES];
	size_t count = broker_queues(w->broker, names);

	for (size_t i = 0; i < count; i++) {
		declare(w, names[i]);
	}
}

static char *text_or(const json_t *value, const char *fallback)
{
	const char *text = json_string_value(value);

	return xstrdup(text && text[0] != '\0' ? text : fallback);
}

/* Names become keys and log lines. */
static int check_name(const char *what, const json_t *value, struct err *err)
{
	const char *text = json_string_value(value);

	if (text == NULL)
		return 0;
	if (strlen(text) > BOUND_TASK_ID_BYTES)
		return panel_raise(err, "ValueError", "%s is too long", what);
	if (utf8_has_control(text, strlen(text)))
		return panel_raise(err, "ValueError", "%s holds a control character", what);
	return 0;
}

int control_add_consumer(struct worker *w, json_t *const *values, json_t **ret, struct err *err)
{
	static const char *const names[] = {"queue", "exchange", "exchange_type", "routing_key"};
	const char *queue = json_string_value(values[0]), *type = json_string_value(values[2]);
	enum exchange_type kind = EXCHANGE_DIRECT;
	struct queue_binding known;
	struct queue_wish *b = NULL;

	if (queue == NULL || queue[0] == '\0')
		return panel_raise(err, "ValueError", "queue has no name");
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		int rc = check_name(names[i], values[i], err);

		if (rc < 0)
			return rc;
	}
	if (type != NULL && (!exchange_type_parse(type, &kind) || kind == EXCHANGE_FANOUT))
		return panel_raise(err, "NotImplementedError",
				   "exchange type %.40s: queues on fanout exchanges are those of "
				   "CELERY_TASK_QUEUES",
				   type);
	HASH_FIND_STR(w->panel.queues, queue, b);
	/* As Celery: of a queue that is defined, what is said here does not count. */
	if (b == NULL && !broker_queue_def(w->broker, queue, &known) &&
	    HASH_COUNT(w->panel.queues) < BOUND_QUEUES) {
		b = xcalloc(1, sizeof(*b));
		b->queue = xstrdup(queue);
		b->exchange = text_or(values[1], queue);
		b->type = kind;
		b->routing_key = text_or(values[3], queue);
		HASH_ADD_KEYPTR(hh, w->panel.queues, b->queue, strlen(b->queue), b);
	}
	declare(w, queue);
	consumer_order(w, queue, true);
	*ret = panel_ok("add consumer %s", queue);
	return 0;
}

int control_cancel_consumer(struct worker *w, json_t *const *values, json_t **ret, struct err *err)
{
	const char *queue = json_string_value(values[0]);

	if (queue == NULL)
		return panel_raise(err, "ValueError", "queue has no name");
	consumer_order(w, queue, false);
	*ret = panel_ok("no longer consuming from %s", queue);
	return 0;
}

/* One queue as kombu's Queue.as_dict(recurse=True). */
static json_t *describe(struct worker *w, const char *queue)
{
	static const char *const unset[] = {
		"queue_arguments",  "binding_arguments", "consumer_arguments", "alias",
		"no_declare",	    "expires",		 "message_ttl",	       "max_length",
		"max_length_bytes", "max_priority"};
	struct queue_binding b = binding_of(w, queue);
	json_t *object;

	object = json_pack(
		"{s:s, s:{s:s, s:s, s:n, s:b, s:b, s:b, s:n, s:b}, s:s, s:b, s:b, s:b, s:b, s:[]}",
		"name", queue, "exchange", "name", b.exchange, "type", exchange_type_name(b.type),
		"arguments", "durable", 1, "passive", 0, "auto_delete", 0, "delivery_mode",
		"no_declare", 0, "routing_key", b.routing_key, "durable", 1, "exclusive", 0,
		"auto_delete", 0, "no_ack", 0, "bindings");
	for (size_t i = 0; i < ARRAY_LEN(unset); i++) {
		json_object_set_new(object, unset[i], json_null());
	}
	return object;
}

int control_active_queues(struct worker *w, unused_arg json_t *const *values, json_t **ret,
			  unused_arg struct err *err)
{
	const char *names[BOUND_QUEUES];
	size_t count = broker_queues(w->broker, names);

	*ret = json_array();
	for (size_t i = 0; i < count; i++) {
		json_array_append_new(*ret, describe(w, names[i]));
	}
	return 0;
}
