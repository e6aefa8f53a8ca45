/*
 * message_fields.c: headers and properties of protocol 2 into the fields of a
 * message. What a worker acts upon must be of its type; what is only shown or passed on is taken
 * when it is text.
 */
#include <limits.h>
#include <math.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "codec.h"
#include "json.h"
#include "typed.h"
#include "wire.h"

#define TRACEPARENT_LEN 55

/* Names become keys, labels and log lines: text without control characters, of a bounded length. */
static int name_header(const json_t *headers, const char *key, size_t limit, const char **ret,
		       struct err *err)
{
	const json_t *value = json_member(headers, key);
	const char *text = json_string_value(value);
	size_t len = json_string_length(value);

	if (value == NULL)
		return err_set(err, ERR_INVALID, "there is no header `%s`", key);
	if (text == NULL || json_is_python_number(value))
		return err_set(err, ERR_INVALID, "header `%s` is a %s, not a str", key,
			       json_type_name(value));
	if (len == 0)
		return err_set(err, ERR_INVALID, "header `%s` is empty", key);
	if (len > limit)
		return err_set(err, ERR_TOOBIG,
			       "header `%s` has %zu bytes, at most %zu are allowed", key, len,
			       limit);
	if (utf8_has_control(text, len))
		return err_set(err, ERR_INVALID, "header `%s` holds a control character", key);
	*ret = text;
	return 0;
}

static int retries_header(const json_t *headers, int64_t *ret, struct err *err)
{
	const json_t *value = json_member(headers, "retries");

	if (value == NULL)
		return 0;
	if (!json_is_integer(value) || json_integer_value(value) < 0 ||
	    json_integer_value(value) > INT_MAX)
		return err_set(err, ERR_INVALID, "header `retries` is not a count");
	*ret = json_integer_value(value);
	return 0;
}

static int date_header(const json_t *headers, const char *key, usec_t *ret, struct err *err)
{
	const json_t *value = json_member(headers, key);
	const char *text = json_string_value(value);
	usec_t wall = 0;
	int rc;

	if (value == NULL || (text != NULL && text[0] == '\0'))
		return 0;
	rc = typed_read_time(value, &wall, err);
	if (rc < 0)
		return err_wrap(err, "invalid %s value", key);
	*ret = wall > 0 ? wall
			: 1; /* 0 means none; all of 1970 and before is as good as that instant */
	return 0;
}

static int limit_value(const json_t *value, const char *what, usec_t *ret, struct err *err)
{
	double seconds;

	if (value == NULL || json_is_null(value))
		return 0;
	if (!json_is_number(value))
		return err_set(err, ERR_INVALID,
			       "header `timelimit`: the %s limit is a %s, not a number", what,
			       json_type_name(value));
	seconds = json_number_value(value);
	if (!(seconds >= 0))
		return err_set(err, ERR_INVALID, "header `timelimit`: the %s limit is negative",
			       what);
	*ret = seconds >= 1e12 ? USEC_NEVER : (usec_t)(seconds * (double)USEC_PER_SEC);
	return 0;
}

/* [hard, soft] */
static int limits_header(struct message *m, struct err *err)
{
	const json_t *value = json_member(m->headers, "timelimit");
	int rc;

	if (value == NULL)
		return 0;
	if (!json_is_array(value) || json_array_size(value) != 2)
		return err_set(err, ERR_INVALID, "header `timelimit` is not [hard, soft]");
	rc = limit_value(json_array_get(value, 0), "hard", &m->time_limit, err);
	if (rc < 0)
		return rc;
	return limit_value(json_array_get(value, 1), "soft", &m->soft_time_limit, err);
}

static const char *text_or_null(const json_t *object, const char *key)
{
	const char *text = json_member_str(object, key);

	return text != NULL && text[0] != '\0' ? text : NULL;
}

static const char *text_or_empty(const json_t *object, const char *key)
{
	const char *text = json_member_str(object, key);

	return text != NULL ? text : "";
}

/* As many lower-case hexadecimal digits, and not all 0 where that means nothing. */
static bool is_hex(const char *text, size_t len, bool not_zero)
{
	return strspn(text, "0123456789abcdef") >= len && !(not_zero && strspn(text, "0") >= len);
}

/* W3C Trace Context: version-trace id-parent id-flags. What is none is as good as not there. A
 * later version may say more behind it, which is not carried on. */
static const char *trace_parent(const json_t *headers)
{
	const char *text = text_or_null(headers, "traceparent");

	if (text == NULL || strlen(text) != TRACEPARENT_LEN || !is_hex(text, 2, false) ||
	    strncmp(text, "ff", 2) == 0 || text[2] != '-' || !is_hex(text + 3, 32, true) ||
	    text[35] != '-' || !is_hex(text + 36, 16, true) || text[52] != '-' ||
	    !is_hex(text + 53, 2, false))
		return NULL;
	return text;
}

/* Belongs to a traceparent; anybody's list of names and values, of bounded length. */
static const char *trace_state(const json_t *headers)
{
	const char *text = text_or_null(headers, "tracestate");

	if (text == NULL || strlen(text) > BOUND_TRACESTATE_BYTES)
		return NULL;
	for (const char *c = text; *c != '\0'; c++) {
		if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f)
			return NULL;
	}
	return text;
}

static int priority_property(const json_t *properties)
{
	json_int_t priority = json_integer_value(json_member(properties, "priority"));

	return priority < 0 ? 0 : priority > 9 ? 9 : (int)priority;
}

static void read_optional(struct message *m)
{
	const json_t *delivery = json_member(m->properties, "delivery_info");
	const json_t *ignore = json_member(m->headers, "ignore_result");
	const json_t *index = json_member(m->headers, "group_index");
	const json_t *stamped = json_member(m->headers, "stamped_headers");
	const json_t *stamps = json_member(m->headers, "stamps");

	m->shadow = text_or_null(m->headers, "shadow");
	m->root_id = text_or_null(m->headers, "root_id");
	m->parent_id = text_or_null(m->headers, "parent_id");
	m->group = text_or_null(m->headers, "group");
	m->group_index = json_is_integer(index) ? json_integer_value(index) : -1;
	m->stamped_headers = json_is_array(stamped) ? stamped : NULL;
	m->stamps = json_is_object(stamps) ? stamps : NULL;
	m->traceparent = trace_parent(m->headers);
	m->tracestate = m->traceparent != NULL ? trace_state(m->headers) : NULL;
	m->reply_to = text_or_null(m->properties, "reply_to");
	m->exchange = text_or_empty(delivery, "exchange");
	m->routing_key = text_or_empty(delivery, "routing_key");
	m->priority = priority_property(m->properties);
	m->ignore_result = json_is_boolean(ignore) ? json_is_true(ignore) : -1;
	m->redelivered = json_is_true(json_member(m->headers, "redelivered")) ||
			 json_is_true(json_member(delivery, "redelivered")) ||
			 json_is_true(json_member(m->root, "redelivered"));
}

int message_read_fields(struct message *m, struct err *err)
{
	int rc;

	rc = name_header(m->headers, "task", BOUND_TASK_NAME_BYTES, &m->task, err);
	if (rc < 0)
		return rc;
	rc = name_header(m->headers, "id", BOUND_TASK_ID_BYTES, &m->id, err);
	if (rc < 0)
		return rc;
	rc = retries_header(m->headers, &m->retries, err);
	if (rc < 0)
		return rc;
	rc = date_header(m->headers, "eta", &m->eta, err);
	if (rc < 0)
		return rc;
	rc = date_header(m->headers, "expires", &m->expires, err);
	if (rc < 0)
		return rc;
	rc = limits_header(m, err);
	if (rc < 0)
		return rc;
	read_optional(m);
	return 0;
}
