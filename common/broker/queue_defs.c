/*
 * Definitions of queues: CELERY_TASK_QUEUES, the default queue, the queue of a worker alone
 * (celery/app/amqp.py).
 */
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "json.h"
#include "mem.h"
#include "redis_broker.h"

#define DIRECT_EXCHANGE "C.dq2" /* of worker_direct */

static const char *const type_names[] = {
	[EXCHANGE_DIRECT] = "direct", [EXCHANGE_TOPIC] = "topic", [EXCHANGE_FANOUT] = "fanout"};

const char *exchange_type_name(enum exchange_type type)
{
	return type_names[type];
}

bool exchange_type_parse(const char *name, enum exchange_type *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(type_names); i++) {
		if (strcmp(name, type_names[i]) == 0) {
			*ret = (enum exchange_type)i;
			return true;
		}
	}
	return false;
}

static const char *text_or(const char *text, const char *fallback)
{
	return text != NULL && text[0] != '\0' ? text : fallback;
}

const struct queue_def *queue_defs_find(const struct queue_defs *d, const char *name)
{
	for (size_t i = 0; i < d->count; i++) {
		if (strcmp(d->items[i].name, name) == 0)
			return &d->items[i];
	}
	return NULL;
}

/* Names stand in lines of logs and pages. */
static int check_names(const char *name, const char *exchange, const char *routing_key,
		       struct err *err)
{
	const struct {
		const char *what, *text;
	} names[] = {{"name", name}, {"exchange", exchange}, {"routing key", routing_key}};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (utf8_has_control(names[i].text, strlen(names[i].text)))
			return err_set(err, ERR_INVALID,
				       "queue %.100s: its %s holds a control character", name,
				       names[i].what);
	}
	return 0;
}

static int add(struct queue_defs *d, const char *name, const char *exchange,
	       enum exchange_type type, const char *routing_key, struct err *err)
{
	int rc = check_names(name, exchange, routing_key, err);

	if (rc < 0)
		return rc;
	if (d->count == BOUND_QUEUES)
		return err_set(err, ERR_TOOBIG, "more than %d queues", BOUND_QUEUES);
	if (queue_defs_find(d, name) != NULL)
		return err_set(err, ERR_INVALID, "queue %.100s is there twice", name);
	for (size_t i = 0; i < d->count; i++) {
		if (strcmp(d->items[i].exchange, exchange) == 0 && d->items[i].type != type)
			return err_set(err, ERR_INVALID,
				       "exchange %.100s is %s for queue %.50s and %s for %.50s",
				       exchange, type_names[d->items[i].type], d->items[i].name,
				       type_names[type], name);
	}
	d->items = xrealloc(d->items, (d->count + 1) * sizeof(*d->items));
	d->items[d->count++] = (struct queue_def){.name = xstrdup(name),
						  .exchange = xstrdup(exchange),
						  .type = type,
						  .durable = true,
						  .arguments = json_deep_copy(d->arguments),
						  .routing_key = xstrdup(routing_key)};
	return 0;
}

static int take_text(const json_t *object, const char *name, const char **ret, struct err *err)
{
	const json_t *value = json_object_get(object, name);

	if (value == NULL || json_is_null(value))
		return 0;
	if (!json_is_string(value) ||
	    strlen(json_string_value(value)) != json_string_length(value) ||
	    json_string_length(value) > BOUND_TASK_ID_BYTES)
		return err_set(err, ERR_INVALID, "%s must be a string of at most %d bytes", name,
			       BOUND_TASK_ID_BYTES);
	*ret = json_string_value(value);
	return 0;
}

/* Members of kombu's Queue that are arguments in RabbitMQ; seconds are milliseconds there. */
static const struct {
	const char *member, *argument;
	double scale;
} argument_rows[] = {
	{"expires", "x-expires", 1000},	       {"message_ttl", "x-message-ttl", 1000},
	{"max_length", "x-max-length", 1},     {"max_length_bytes", "x-max-length-bytes", 1},
	{"max_priority", "x-max-priority", 1},
};

static int take_flag(const json_t *object, const char *name, bool *ret, struct err *err)
{
	const json_t *value = json_object_get(object, name);

	if (value == NULL || json_is_null(value))
		return 0;
	if (!json_is_boolean(value))
		return err_set(err, ERR_INVALID, "%s must be a boolean", name);
	*ret = json_is_true(value);
	return 0;
}

/* What only RabbitMQ does something with. */
static int take_amqp(const json_t *object, struct queue_def *def, struct err *err)
{
	const json_t *arguments = json_object_get(object, "queue_arguments");
	int rc;

	if ((rc = take_flag(object, "durable", &def->durable, err)) < 0 ||
	    (rc = take_flag(object, "exclusive", &def->exclusive, err)) < 0 ||
	    (rc = take_flag(object, "auto_delete", &def->auto_delete, err)) < 0)
		return rc;
	if (arguments != NULL && !json_is_null(arguments) && !json_is_object(arguments))
		return err_set(err, ERR_INVALID, "queue_arguments must be an object");
	if (json_is_object(arguments))
		(void)json_object_update(def->arguments, (json_t *)(uintptr_t)arguments);
	for (size_t i = 0; i < ARRAY_LEN(argument_rows); i++) {
		const json_t *value = json_object_get(object, argument_rows[i].member);
		double number = json_number_value(value) * argument_rows[i].scale;

		if (value == NULL || json_is_null(value))
			continue;
		if (!json_is_number(value) || !(number >= 0 && number <= 1e15))
			return err_set(err, ERR_INVALID, "%s must be a number of at least 0",
				       argument_rows[i].member);
		(void)json_object_set_new(def->arguments, argument_rows[i].argument,
					  json_integer((json_int_t)number));
	}
	return 0;
}

/* Of queues that say nothing else. Given. */
static json_t *default_arguments(const struct settings *s)
{
	json_t *ret = json_object();

	if (s->task_queue_max_priority > 0)
		(void)json_object_set_new(ret, "x-max-priority",
					  json_integer(s->task_queue_max_priority));
	if (strcmp(text_or(s->task_default_queue_type, "classic"), "quorum") == 0)
		(void)json_object_set_new(ret, "x-queue-type", json_string("quorum"));
	return ret;
}

static int take_def(const struct settings *s, const char *name, const json_t *object,
		    struct queue_defs *d, struct err *err)
{
	const char *exchange = NULL, *type_name = NULL, *key = NULL, *binding = NULL, *said = name;
	bool in_list = name == NULL;
	enum exchange_type type = EXCHANGE_DIRECT;
	int rc;

	if (!json_is_object(object))
		return err_set(err, ERR_INVALID, "a queue must be an object");
	if ((rc = take_text(object, "name", &said, err)) < 0 ||
	    (rc = take_text(object, "exchange", &exchange, err)) < 0 ||
	    (rc = take_text(object, "exchange_type", &type_name, err)) < 0 ||
	    (rc = take_text(object, "routing_key", &key, err)) < 0 ||
	    (rc = take_text(object, "binding_key", &binding, err)) < 0)
		return rc;
	name = in_list ? said : name;
	if (name == NULL || name[0] == '\0')
		return err_set(err, ERR_INVALID, "a queue has no name");
	if (type_name == NULL)
		type_name = text_or(exchange, "")[0] == '\0'
				    ? text_or(s->task_default_exchange_type, "direct")
				    : "direct";
	if (!exchange_type_parse(type_name, &type))
		return err_set(err, ERR_INVALID,
			       "exchange_type must be direct, topic or fanout, not %.40s",
			       type_name);
	exchange = text_or(exchange, text_or(s->task_default_exchange, s->task_default_queue));
	/* A list is of kombu's Queue objects, an object is Celery's older form. */
	key = text_or(key, text_or(binding, in_list ? text_or(s->task_default_routing_key,
							      s->task_default_queue)
						    : name));
	rc = add(d, name, exchange, type, key, err);
	return rc < 0 ? rc : take_amqp(object, &d->items[d->count - 1], err);
}

static int take_json(const struct settings *s, struct queue_defs *d, struct err *err)
{
	_cleanup_json_ json_t *root = NULL;
	const char *name;
	json_t *object;
	size_t i;
	int rc = json_load_strict(s->task_queues, strlen(s->task_queues), &root, err);

	if (rc < 0)
		return rc;
	if (!json_is_array(root) && !json_is_object(root))
		return err_set(err, ERR_INVALID, "must be a list of objects or an object of them");
	json_array_foreach(root, i, object)
	{
		rc = take_def(s, NULL, object, d, err);
		if (rc < 0)
			return err_wrap(err, "number %zu", i + 1);
	}
	json_object_foreach(root, name, object)
	{
		rc = take_def(s, name, object, d, err);
		if (rc < 0)
			return err_wrap(err, "%.100s", name);
	}
	return 0;
}

static int take_default(const struct settings *s, struct queue_defs *d, struct err *err)
{
	enum exchange_type type = EXCHANGE_DIRECT;

	(void)exchange_type_parse(text_or(s->task_default_exchange_type, "direct"), &type);
	return add(d, s->task_default_queue,
		   text_or(s->task_default_exchange, s->task_default_queue), type,
		   text_or(s->task_default_routing_key, s->task_default_queue), err);
}

int queue_defs_read(const struct settings *s, struct queue_defs *ret, struct err *err)
{
	struct queue_defs d = {.arguments = default_arguments(s)};
	int rc = 0;

	if (s->task_queues != NULL && s->task_queues[0] != '\0')
		rc = take_json(s, &d, err);
	if (rc < 0)
		rc = err_wrap(err, "CELERY_TASK_QUEUES");
	d.consumed = d.count;
	if (rc == 0 && d.count == 0) {
		rc = take_default(s, &d, err);
		d.consumed = d.count;
	}
	if (rc == 0 && s->worker_direct) {
		_cleanup_free_ char *name = xasprintf("%s.dq2", s->worker_hostname);

		rc = add(&d, name, DIRECT_EXCHANGE, EXCHANGE_DIRECT, s->worker_hostname, err);
	}
	if (rc < 0) {
		queue_defs_done(&d);
		return rc;
	}
	*ret = d;
	return 0;
}

void queue_defs_done(struct queue_defs *d)
{
	for (size_t i = 0; i < d->count; i++) {
		free(d->items[i].name);
		free(d->items[i].exchange);
		free(d->items[i].routing_key);
		json_decref(d->items[i].arguments);
	}
	free(d->items);
	json_decref(d->arguments);
	*d = (struct queue_defs){0};
}
