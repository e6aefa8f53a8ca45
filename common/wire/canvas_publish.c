/*
 * canvas_publish.c: a task and its options become a message (send_task in celery/app/base.py,
 * as_task_v2 and send_task_message in celery/app/amqp.py).
 */
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "canvas.h"
#include "clock.h"
#include "json.h"
#include "mem.h"
#include "typed.h"

/* Options that are used up here, or mean something to Python's producer only. What is left goes
 * with the message as a property. */
static const char *const g_consumed[] = {
	"task_id",
	"countdown",
	"eta",
	"expires",
	"retries",
	"group_id",
	"group_index",
	"chord",
	"chain",
	"link",
	"link_error",
	"reply_to",
	"time_limit",
	"soft_time_limit",
	"root_id",
	"parent_id",
	"shadow",
	"headers",
	"ignore_result",
	"replaced_task_nesting",
	"queue",
	"exchange",
	"routing_key",
	"priority",
	"serializer",
	"compression",
	"delivery_mode",
	"add_to_parent",
	"stamped_headers",
	"origin",
	"argsrepr",
	"kwargsrepr",
	"route_name",
	"producer",
	"publisher",
	"connection",
	"router",
	"result_cls",
	"task_type",
	"retry",
	"retry_policy",
	"declare",
	"exchange_type",
	"timeout",
	"confirm_timeout",
	"mandatory",
	"immediate",
	"event_dispatcher",
	"create_sent_event",
	"expiration",
	"now",
	"timezone",
	"immutable",
};

void canvas_keep(struct canvas *v, json_t *value)
{
	canvas_append(v, v->plan->owned, value);
}

bool canvas_add_to_parent(const json_t *options)
{
	return !json_is_false(json_object_get(options, "add_to_parent"));
}

/* Makes room for one more. */
static void grow(void **items, size_t count, size_t *size, size_t each)
{
	if (count < *size)
		return;
	*size = *size ? *size * 2 : 8;
	*items = xrealloc(*items, *size * each);
}

int canvas_tell(struct canvas *v, const json_t *group_id, int64_t size, json_t *results,
		struct err *err)
{
	struct signature_plan *p = v->plan;
	void *chords = p->chords;

	if (group_id == NULL || !json_is_string(group_id))
		return err_set(err, ERR_INVALID, "a group whose id is no text");
	if (p->chord_count >= BOUND_CANVAS_SIZE)
		return err_set(err, ERR_TOOBIG, "more than %d chords", BOUND_CANVAS_SIZE);
	grow(&chords, p->chord_count, &v->chord_size, sizeof(*p->chords));
	p->chords = chords;
	canvas_keep(v, (json_t *)(uintptr_t)group_id);
	if (results != NULL)
		canvas_keep(v, results);
	p->chords[p->chord_count++] =
		(struct signature_chord){.group_id = json_string_value(group_id),
					 .size = size,
					 .results = results,
					 .before = p->message_count};
	return 0;
}

/* ---- options by type ---- */

static int text_option(const json_t *options, const char *key, const char **ret, struct err *err)
{
	const json_t *value = json_member(options, key);

	if (value == NULL)
		return 0;
	if (!json_is_string(value) || json_is_python_number(value))
		return err_set(err, ERR_INVALID, "a signature whose %s is a %s", key,
			       json_type_name(value));
	*ret = json_string_value(value);
	return 0;
}

static int texts(const json_t *options, struct message_out *m, struct err *err)
{
	const struct {
		const char *key;
		const char **to;
	} all[] = {
		{"task_id", &m->id},
		{"root_id", &m->root_id},
		{"parent_id", &m->parent_id},
		{"group_id", &m->group},
		{"shadow", &m->shadow},
		{"reply_to", &m->reply_to},
		{"queue", &m->queue},
		{"exchange", &m->exchange},
		{"routing_key", &m->routing_key},
		{"serializer", &m->serializer},
		{"compression", &m->compression},
	};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(all); i++)
		rc = text_option(options, all[i].key, all[i].to, err);
	return rc;
}

/* Seconds from now, or a date. */
static int time_option(const json_t *options, const char *key, usec_t *ret, struct err *err)
{
	const json_t *value = json_member(options, key);
	double seconds;

	if (value == NULL || (json_is_string(value) && json_string_length(value) == 0))
		return 0;
	if (!json_is_number(value)) {
		int rc = typed_read_time(value, ret, err);

		return rc < 0 ? err_wrap(err, "a signature's %s", key) : 0;
	}
	seconds = json_number_value(value);
	if (!(seconds > -1e10 && seconds < 1e10))
		return err_set(err, ERR_INVALID, "a signature's %s is out of range", key);
	*ret = clock_wall() + (usec_t)(seconds * (double)USEC_PER_SEC);
	return 0;
}

static int times(const json_t *options, struct message_out *m, struct err *err)
{
	const json_t *countdown = json_member(options, "countdown");
	int rc = time_option(options, "expires", &m->expires, err);

	if (rc < 0)
		return rc;
	/* A countdown of nothing is none, and any other wins over an eta. */
	if (json_is_number(countdown) && json_number_value(countdown) != 0)
		return time_option(options, "countdown", &m->eta, err);
	return time_option(options, "eta", &m->eta, err);
}

static void numbers(const struct canvas *v, const json_t *options, struct message_out *m)
{
	const json_t *priority = json_member(options, "priority");
	const json_t *ignore = json_member(options, "ignore_result");
	const json_t *mode = json_member(options, "delivery_mode");
	int inherited = v->context->priority > 0 ? v->context->priority : 0;
	json_int_t wanted = json_is_integer(priority) ? json_integer_value(priority) : inherited;

	m->priority = wanted < 0 ? 0 : wanted > 255 ? 255 : (int)wanted;
	m->ignore_result = json_is_boolean(ignore) ? (json_is_true(ignore) ? 1 : -1) : 0;
	m->delivery_mode = json_integer_value(mode) == 1 ? 1 : 0;
	m->retries = json_integer_value(json_member(options, "retries"));
	m->replaced_task_nesting =
		json_integer_value(json_member(options, "replaced_task_nesting"));
	m->time_limit = json_member(options, "time_limit");
	m->soft_time_limit = json_member(options, "soft_time_limit");
	m->group_index = json_member(options, "group_index");
}

/* The named options are the stamps. */
static void stamps(struct canvas *v, const json_t *options, struct message_out *m)
{
	json_t *names = json_member(options, "stamped_headers");
	_cleanup_json_ json_t *values = NULL;

	if (!json_is_array(names))
		return;
	values = json_object();
	for (size_t i = 0; i < json_array_size(names); i++) {
		const char *name = json_string_value(json_array_get(names, i));
		json_t *value = name ? json_object_get(options, name) : NULL;

		if (value != NULL)
			canvas_set(v, values, name, value);
	}
	m->stamped_headers = names;
	m->stamps = values;
	canvas_keep(v, values);
}

static void properties(struct canvas *v, const json_t *options, struct message_out *m)
{
	_cleanup_json_ json_t *left = json_copy((json_t *)(uintptr_t)options);
	const char *key;
	json_t *value;

	for (size_t i = 0; i < ARRAY_LEN(g_consumed); i++)
		json_object_del(left, g_consumed[i]);
	json_object_foreach((json_t *)(uintptr_t)m->stamps, key, value) json_object_del(left, key);
	if (json_object_size(left) == 0)
		return;
	m->properties = left;
	canvas_keep(v, left);
}

static json_t *list_or_null(struct canvas *v, const json_t *value)
{
	return value != NULL ? canvas_list(v, value) : json_null();
}

static json_t *shared_or_null(json_t *value)
{
	return value != NULL ? json_incref(value) : json_null();
}

static void embed(struct canvas *v, const json_t *options, struct message_out *m)
{
	_cleanup_json_ json_t *all = json_pack(
		"{s:o, s:o, s:o, s:o}", "callbacks", list_or_null(v, json_member(options, "link")),
		"errbacks", list_or_null(v, json_member(options, "link_error")), "chain",
		shared_or_null(json_member(options, "chain")), "chord",
		shared_or_null(json_member(options, "chord")));

	if (all == NULL)
		v->failed = true;
	m->embed = all;
	canvas_keep(v, all);
}

static int fill(struct canvas *v, const json_t *options, struct message_out *m, struct err *err)
{
	const struct signature_context *c = v->context;
	const json_t *headers = json_member(options, "headers");
	int rc = texts(options, m, err);

	if (rc == 0)
		rc = times(options, m, err);
	if (rc < 0)
		return rc;
	if (headers != NULL && !json_is_object(headers))
		return err_set(err, ERR_INVALID, "a signature whose headers are a %s",
			       json_type_name(headers));
	m->headers = headers;
	if (m->root_id == NULL || m->root_id[0] == '\0')
		m->root_id = c->root_id ? c->root_id : c->task_id;
	if (m->parent_id == NULL || m->parent_id[0] == '\0')
		m->parent_id = c->task_id;
	if (m->reply_to == NULL)
		m->reply_to = c->reply_to;
	if (m->queue == NULL && (m->exchange == NULL || m->routing_key == NULL))
		m->queue = c->default_queue;
	if (m->queue != NULL)
		m->exchange = m->routing_key = NULL;
	numbers(v, options, m);
	stamps(v, options, m);
	properties(v, options, m);
	embed(v, options, m);
	return 0;
}

int canvas_publish(struct canvas *v, const json_t *sig, const json_t *args, const json_t *kwargs,
		   const json_t *options, struct err *err)
{
	const struct signature_context *c = v->context;
	struct message_out m = {.task = json_member_str(sig, "task"),
				.args = args,
				.kwargs = kwargs,
				.args_tuple = sig != v->top || args != json_object_get(sig, "args"),
				.origin = c->origin,
				.serializer = c->serializer,
				.compression = c->compression};
	void *messages = v->plan->messages;
	int rc;

	canvas_keep(v, (json_t *)(uintptr_t)sig);
	canvas_keep(v, (json_t *)(uintptr_t)args);
	canvas_keep(v, (json_t *)(uintptr_t)kwargs);
	canvas_keep(v, (json_t *)(uintptr_t)options);
	rc = fill(v, options, &m, err);
	if (rc < 0)
		return err_wrap(err, "%.80s", m.task);
	if (v->plan->message_count >= BOUND_CANVAS_SIZE)
		return err_set(err, ERR_TOOBIG, "more than %d messages", BOUND_CANVAS_SIZE);
	if (m.id == NULL) {
		_cleanup_json_ json_t *id = canvas_id(v);

		canvas_keep(v, id);
		m.id = json_string_value(id);
	}
	if (canvas_add_to_parent(options)) {
		_cleanup_json_ json_t *result = json_pack("[[s, n], n]", m.id);

		canvas_append(v, v->plan->children, result);
	}
	grow(&messages, v->plan->message_count, &v->message_size, sizeof(m));
	v->plan->messages = messages;
	v->plan->messages[v->plan->message_count++] = m;
	return 0;
}
