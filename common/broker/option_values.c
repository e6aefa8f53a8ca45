/*
 * Transport options that have a form of their own.
 */
#include <stdlib.h>
#include <string.h>

#include "broker_options.h"
#include "mem.h"

/* Celery appends "_" to a prefix that does not end in one of ":_-.". */
int option_backend_prefix(const json_t *value, struct transport_options *o, struct err *err)
{
	_cleanup_free_ char *prefix = NULL;
	int rc = option_text(value, &prefix, err);
	size_t len;

	if (rc < 0 || prefix[0] == '\0')
		return rc;
	len = strlen(prefix);
	free(o->global_keyprefix);
	o->global_keyprefix = xasprintf("%s%s", prefix, strchr(":_-.", prefix[len - 1]) ? "" : "_");
	return 0;
}

int option_priority_steps(const json_t *value, struct transport_options *o, struct err *err)
{
	size_t count = json_array_size(value);
	const json_t *step;
	size_t i;

	if (!json_is_array(value) || count == 0 || count > PRIORITY_STEPS_MAX)
		return err_set(err, ERR_INVALID, "must be a list of 1 to %d numbers",
			       PRIORITY_STEPS_MAX);
	json_array_foreach(value, i, step)
	{
		json_int_t n = json_integer_value(step);

		if (!json_is_integer(step) || n < 0 || n > 9 ||
		    (i > 0 && n <= o->priority_steps[i - 1]))
			return err_set(err, ERR_INVALID, "must rise from 0 to 9");
		o->priority_steps[i] = (int)n;
	}
	o->step_count = count;
	return 0;
}

int option_queue_order(const json_t *value, struct transport_options *o, struct err *err)
{
	static const char *const names[] = {[QUEUE_ROUND_ROBIN] = "round_robin",
					    [QUEUE_SORTED] = "sorted",
					    [QUEUE_PRIORITY] = "priority"};
	const char *text = json_string_value(value);

	for (size_t i = 0; text != NULL && i < ARRAY_LEN(names); i++) {
		if (strcmp(text, names[i]) == 0) {
			o->queue_order = (enum queue_order)i;
			return 0;
		}
	}
	return err_set(err, ERR_INVALID, "must be \"round_robin\", \"sorted\" or \"priority\"");
}

/* True is "/{db}.", a string is taken as it is, false is nothing. */
int option_fanout_prefix(const json_t *value, struct transport_options *o, struct err *err)
{
	if (!json_is_boolean(value) && !json_is_string(value))
		return err_set(err, ERR_INVALID, "must be a boolean or a string, not %s",
			       option_json_kind(value));
	if (json_is_string(value))
		return option_text(value, &o->fanout_prefix, err);
	if (json_is_false(value))
		o->fanout_prefix[0] = '\0';
	return 0;
}

char *transport_fanout_prefix(const struct transport_options *o, int db)
{
	_cleanup_buf_ struct buf out = BUF_INIT((size_t)64 << 10);
	const char *text = o->fanout_prefix;
	struct err err;
	char *ret;

	for (const char *place; (place = strstr(text, "{db}")) != NULL; text = place + 4) {
		buf_append(&out, text, (size_t)(place - text));
		buf_appendf(&out, "%d", db);
	}
	buf_append_str(&out, text);
	return buf_take(&out, &ret, NULL, &err) < 0 ? xstrdup("") : ret;
}

int option_keepalive(const json_t *value, struct transport_options *o, struct err *err)
{
	if (!json_is_boolean(value))
		return err_set(err, ERR_INVALID, "must be a boolean, not %s",
			       option_json_kind(value));
	o->connection.no_keepalive = json_is_false(value);
	return 0;
}

/* {"TCP_KEEPIDLE": 60, …}, or the numbers that these names have in Python on Linux. */
int option_keepalive_options(const json_t *value, struct transport_options *o, struct err *err)
{
	static const char *const names[][2] = {
		{"TCP_KEEPIDLE", "4"}, {"TCP_KEEPINTVL", "5"}, {"TCP_KEEPCNT", "6"}};
	const char *name;
	json_t *number;

	if (!json_is_object(value))
		return err_set(err, ERR_INVALID, "must be an object, not %s",
			       option_json_kind(value));
	json_object_foreach((json_t *)(uintptr_t)value, name, number)
	{
		json_int_t n = json_integer_value(number);
		size_t i = 0;

		while (i < ARRAY_LEN(names) && strcmp(name, names[i][0]) != 0 &&
		       strcmp(name, names[i][1]) != 0)
			i++;
		if (i == ARRAY_LEN(names))
			return err_set(err, ERR_INVALID,
				       "has TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT, not %.40s",
				       name);
		if (!json_is_integer(number) || n < 1 || n > 32767)
			return err_set(err, ERR_INVALID, "%s must be an integer from 1 to 32767",
				       names[i][0]);
		o->connection.keepalive[i] = (int)n;
	}
	return 0;
}

/* 0 is never, as in kombu. */
int option_health_check(const json_t *value, struct transport_options *o, struct err *err)
{
	usec_t interval;
	int rc = option_seconds(value, 0, 86400, &interval, err);

	if (rc == 0)
		o->connection.health_check_interval = interval > 0 ? interval : USEC_NEVER;
	return rc;
}

/* How sentinels are spoken to: the arguments of redis-py's Redis that matter. */
int option_sentinel_kwargs(const json_t *value, struct transport_options *o, struct err *err)
{
	struct redis_tuning *t = &o->connection;
	const char *name;
	json_t *item;

	if (!json_is_object(value))
		return err_set(err, ERR_INVALID, "must be an object, not %s",
			       option_json_kind(value));
	json_object_foreach((json_t *)(uintptr_t)value, name, item)
	{
		bool known = true;
		int rc = 0;

		if (json_is_null(item))
			continue;
		if (strcmp(name, "password") == 0)
			rc = option_text(item, &t->sentinel_password, err);
		else if (strcmp(name, "username") == 0)
			rc = option_text(item, &t->sentinel_user, err);
		else if (strcmp(name, "socket_timeout") == 0 ||
			 strcmp(name, "socket_connect_timeout") == 0)
			rc = option_seconds(item, 0.05, 86400, &t->sentinel_timeout, err);
		else if (strcmp(name, "ssl") == 0 && json_is_boolean(item))
			t->sentinel_tls.on = json_is_true(item);
		else
			rc = option_tls_value(&t->sentinel_tls, name, item, &known, err);
		if (rc == 0 && !known)
			rc = err_set(err, ERR_INVALID, "is not understood");
		if (rc < 0)
			return err_wrap(err, "%.40s", name);
	}
	return 0;
}
