/*
 * canvas_options.c: the options of a signature become fields of a message (as_task_v2 and
 * send_task_message in celery/app/amqp.py).
 */
#include "bounds.h"
#include "canvas.h"
#include "clock.h"
#include "codec.h"
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

/* Names become keys: of a bounded length, without what nobody sees. `value` is a string. */
static int check_name(const char *key, const json_t *value, bool may_be_empty, struct err *err)
{
	const char *text = json_string_value(value);
	size_t len = json_string_length(value);

	if (len > BOUND_TASK_ID_BYTES || (len == 0 && !may_be_empty))
		return err_set(err, ERR_INVALID,
			       "a signature whose %s has %zu bytes, %d to %d are allowed", key, len,
			       !may_be_empty, BOUND_TASK_ID_BYTES);
	if (utf8_has_control(text, len))
		return err_set(err, ERR_INVALID, "a signature whose %s holds a control character",
			       key);
	return 0;
}

enum text_kind { TEXT, NAME, NAME_OR_EMPTY };

static int texts(const json_t *options, struct message_out *m, struct err *err)
{
	const struct {
		const char *key;
		const char **to;
		enum text_kind kind;
	} all[] = {
		{"task_id", &m->id, NAME},
		{"root_id", &m->root_id, TEXT},
		{"parent_id", &m->parent_id, TEXT},
		{"group_id", &m->group, TEXT},
		{"shadow", &m->shadow, TEXT},
		{"reply_to", &m->reply_to, TEXT},
		{"queue", &m->queue, NAME},
		{"exchange", &m->exchange, NAME_OR_EMPTY},
		{"routing_key", &m->routing_key, NAME_OR_EMPTY},
		{"serializer", &m->serializer, TEXT},
		{"compression", &m->compression, TEXT},
	};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(all); i++) {
		const json_t *value = json_member(options, all[i].key);

		rc = text_option(options, all[i].key, all[i].to, err);
		if (rc == 0 && value != NULL && all[i].kind != TEXT)
			rc = check_name(all[i].key, value, all[i].kind == NAME_OR_EMPTY, err);
	}
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

/* What a receiver would refuse is not sent. */
static int limits(const json_t *options, struct err *err)
{
	static const char *const keys[] = {"time_limit", "soft_time_limit"};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const json_t *value = json_member(options, keys[i]);

		if (value != NULL && !json_is_number(value))
			return err_set(err, ERR_INVALID, "a signature whose %s is a %s", keys[i],
				       json_type_name(value));
	}
	return 0;
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

int canvas_read_options(struct canvas *v, const json_t *options, struct message_out *m,
			struct err *err)
{
	int rc = texts(options, m, err);

	if (rc == 0)
		rc = times(options, m, err);
	if (rc == 0)
		rc = limits(options, err);
	if (rc < 0)
		return rc;
	numbers(v, options, m);
	stamps(v, options, m);
	properties(v, options, m);
	return 0;
}
