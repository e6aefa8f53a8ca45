/*
 * The table of kombu's transport options, and who reads it. See transport.h.
 */
#include <stdlib.h>
#include <string.h>

#include "broker_options.h"
#include "json.h"
#include "log.h"
#include "mem.h"

#define AT(field) .offset = offsetof(struct transport_options, field)
#define ALL	  (1u << TRANSPORT_BROKER | 1u << TRANSPORT_BACKEND | 1u << TRANSPORT_STATE)
#define BROKER	  (1u << TRANSPORT_BROKER)
#define BACKEND	  (1u << TRANSPORT_BACKEND)
#define STATE	  (1u << TRANSPORT_STATE)
#define AGAIN	  "what may run twice is sent again until it is answered"

/* clang-format off */
static const struct option_row rows[] = {
	/* what is kept where */
	{ "visibility_timeout", BROKER, OPTION_SECONDS, AT(visibility_timeout), .min = 1, .max = 1e9 },
	{ "visibility_timeout", BACKEND, OPTION_NOTED, .note = "it is the broker's" },
	{ "global_keyprefix", BROKER | STATE, OPTION_TEXT, AT(global_keyprefix) },
	{ "global_keyprefix", BACKEND, OPTION_CUSTOM, .read = option_backend_prefix },
	{ "sep", BROKER, OPTION_NAME, AT(sep) },
	{ "priority_steps", BROKER, OPTION_CUSTOM, .read = option_priority_steps },
	{ "queue_order_strategy", BROKER, OPTION_CUSTOM, .read = option_queue_order },
	{ "unacked_key", BROKER, OPTION_NAME, AT(unacked_key) },
	{ "unacked_index_key", BROKER, OPTION_NAME, AT(unacked_index_key) },
	{ "unacked_mutex_key", BROKER, OPTION_NAME, AT(unacked_mutex_key) },
	{ "unacked_mutex_expire", BROKER, OPTION_SECONDS, AT(unacked_mutex_expire), .min = 1, .max = 86400 },
	{ "unacked_restore_limit", BROKER, OPTION_INTEGER, AT(unacked_restore_limit), .min = 0, .max = 1e9 },
	{ "unacked_restore_interval", BROKER, OPTION_NOTED, .note = "what is stale is looked for every 10 s" },
	{ "unacked_restore_throttle", BROKER, OPTION_NOTED, .note = "what is stale is looked for every 10 s" },
	{ "ack_emulation", BROKER, OPTION_NOTED, .note = "what is taken is always recorded as unacked, or a crash would lose it" },
	{ "fanout_prefix", BROKER, OPTION_CUSTOM, .read = option_fanout_prefix },
	{ "fanout_patterns", BROKER, OPTION_BOOL, AT(fanout_patterns) },
	{ "sentinel_fanout_compat", BROKER, OPTION_NOTED, .note = "channels are those of kombu 5.4 and later" },
	{ "deadletter_queue", BROKER, OPTION_TEXT, AT(deadletter_queue) },
	{ "body_encoding", BROKER, OPTION_NOTED, .note = "every encoding is read; what is published is base64" },
	{ "result_chord_ordered", BACKEND, OPTION_BOOL, AT(chord_ordered) },
	{ "result_chord_join_timeout", BACKEND, OPTION_NOTED, .note = "nobody waits for the parts of a chord" },

	/* connections */
	{ "socket_timeout", ALL, OPTION_SECONDS, AT(connection.socket_timeout), .min = 0.05, .max = 86400 },
	{ "socket_connect_timeout", ALL, OPTION_SECONDS, AT(connection.connect_timeout), .min = 0.05, .max = 86400 },
	{ "socket_keepalive", ALL, OPTION_CUSTOM, .read = option_keepalive },
	{ "socket_keepalive_options", ALL, OPTION_CUSTOM, .read = option_keepalive_options },
	{ "health_check_interval", ALL, OPTION_CUSTOM, .read = option_health_check },
	{ "client_name", ALL, OPTION_NAME, AT(connection.client_name) },
	{ "polling_interval", BROKER, OPTION_SECONDS, AT(polling_interval), .min = 0.05, .max = 3600 },
	{ "max_connections", ALL, OPTION_NOTED, .note = "there are few connections, whatever the concurrency" },
	{ "retry_on_timeout", ALL, OPTION_NOTED, .note = AGAIN },
	{ "retry_policy", ALL, OPTION_NOTED, .note = AGAIN },
	{ "max_retries", ALL, OPTION_NOTED, .note = AGAIN },
	{ "interval_start", ALL, OPTION_NOTED, .note = AGAIN },
	{ "interval_step", ALL, OPTION_NOTED, .note = AGAIN },
	{ "interval_max", ALL, OPTION_NOTED, .note = AGAIN },
	{ "additional_connection_errors", BACKEND, OPTION_NOTED, .note = "every failure of a connection is one" },
	{ "credential_provider", ALL, OPTION_REFUSED, .note = "it is a Python class; use user and password" },
	{ "reauth_check_interval", BROKER, OPTION_NOTED, .note = "there are no credentials that expire" },

	/* of RabbitMQ, as py-amqp has them */
	{ "confirm_publish", BROKER, OPTION_NOTED, .note = "what is sent is always confirmed" },
	{ "heartbeat", BROKER, OPTION_NOTED, .note = "it is CELERY_BROKER_HEARTBEAT that says it" },
	{ "login_method", BROKER, OPTION_NOTED, .note = "it is CELERY_BROKER_LOGIN_METHOD that says it" },
	{ "connect_timeout", BROKER, OPTION_NOTED, .note = "it is CELERY_BROKER_CONNECTION_TIMEOUT that says it" },
	{ "read_timeout", BROKER, OPTION_NOTED, .note = "heartbeats tell that a server is gone" },
	{ "write_timeout", BROKER, OPTION_NOTED, .note = "heartbeats tell that a server is gone" },
	{ "frame_max", BROKER, OPTION_NOTED, .note = "it is the server's, up to 128 KiB" },
	{ "channel_max", BROKER, OPTION_NOTED, .note = "there are three channels" },
	{ "client_properties", BROKER, OPTION_NOTED, .note = "connections have names of their own" },
	{ "socket_settings", BROKER, OPTION_NOTED, .note = "there is no choice of them" },
	{ "locale", BROKER, OPTION_NOTED, .note = "it is en_US" },

	/* sentinel:// */
	{ "master_name", ALL, OPTION_NAME, AT(connection.master_name) },
	{ "min_other_sentinels", ALL, OPTION_INTEGER, AT(connection.min_other_sentinels), .min = 0, .max = 1000 },
	{ "sentinel_kwargs", ALL, OPTION_CUSTOM, .read = option_sentinel_kwargs },
};
/* clang-format on */

const char *option_json_kind(const json_t *value)
{
	static const char *const names[] = {
		[JSON_OBJECT] = "an object", [JSON_ARRAY] = "a list",  [JSON_STRING] = "a string",
		[JSON_INTEGER] = "a number", [JSON_REAL] = "a number", [JSON_TRUE] = "a boolean",
		[JSON_FALSE] = "a boolean",  [JSON_NULL] = "null",
	};

	return names[json_typeof(value)];
}

/* ---- one value ---- */

int option_seconds(const json_t *value, double min, double max, usec_t *ret, struct err *err)
{
	double seconds = json_number_value(value);

	if (!json_is_number(value) || !(seconds >= min && seconds <= max))
		return err_set(err, ERR_INVALID, "must be a number of seconds from %g to %g%s%s",
			       min, max, json_is_number(value) ? "" : ", not ",
			       json_is_number(value) ? "" : option_json_kind(value));
	*ret = (usec_t)(seconds * (double)USEC_PER_SEC + 0.5);
	return 0;
}

int option_text(const json_t *value, char **ret, struct err *err)
{
	if (!json_is_string(value))
		return err_set(err, ERR_INVALID, "must be a string, not %s",
			       option_json_kind(value));
	if (strlen(json_string_value(value)) != json_string_length(value))
		return err_set(err, ERR_INVALID, "must be a string without NUL");
	free(*ret);
	*ret = xstrdup(json_string_value(value));
	return 0;
}

static int take_integer(const struct option_row *row, const json_t *value, int64_t *ret,
			struct err *err)
{
	json_int_t n = json_integer_value(value);

	if (!json_is_integer(value) || (double)n < row->min || (double)n > row->max)
		return err_set(err, ERR_INVALID, "must be an integer from %g to %g%s%s", row->min,
			       row->max, json_is_integer(value) ? "" : ", not ",
			       json_is_integer(value) ? "" : option_json_kind(value));
	*ret = n;
	return 0;
}

static int take(const struct option_row *row, const json_t *value, struct transport_options *o,
		struct buf *notes, struct err *err)
{
	void *at = (char *)o + row->offset;
	char **text = at;
	int rc;

	switch (row->kind) {
	case OPTION_SECONDS:
		return option_seconds(value, row->min, row->max, at, err);
	case OPTION_INTEGER:
		return take_integer(row, value, at, err);
	case OPTION_BOOL:
		if (!json_is_boolean(value))
			return err_set(err, ERR_INVALID, "must be a boolean, not %s",
				       option_json_kind(value));
		*(bool *)at = json_is_true(value);
		return 0;
	case OPTION_TEXT:
		return option_text(value, text, err);
	case OPTION_NAME:
		rc = option_text(value, text, err);
		if (rc == 0 && (*text)[0] == '\0')
			rc = err_set(err, ERR_INVALID, "must not be empty");
		return rc;
	case OPTION_CUSTOM:
		return row->read(value, o, err);
	case OPTION_REFUSED:
		return err_set(err, ERR_UNSUPPORTED, "is not supported: %s", row->note);
	case OPTION_NOTED:
		if (notes != NULL)
			buf_appendf(notes, "%s has no effect: %s\n", row->name, row->note);
		return 0;
	}
	BUG("option %s", row->name);
}

/* ---- all of them ---- */

static const struct option_row *find(const char *name, enum transport_side side)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if ((rows[i].sides & 1u << side) != 0 && strcmp(rows[i].name, name) == 0)
			return &rows[i];
	}
	return NULL;
}

static int take_all(json_t *object, enum transport_side side, struct transport_options *o,
		    struct buf *notes, struct err *err)
{
	const char *name;
	json_t *value;

	json_object_foreach(object, name, value)
	{
		const struct option_row *row = find(name, side);
		int rc;

		if (row == NULL) {
			if (notes != NULL)
				buf_appendf(notes, "%.64s is no known option\n", name);
			continue;
		}
		if (json_is_null(value))
			continue; /* Python's None: as if it were not there */
		rc = take(row, value, o, notes, err);
		if (rc < 0)
			return err_wrap(err, "%s", name);
	}
	return 0;
}

static void fill_defaults(struct transport_options *o)
{
	static const int steps[] = {0, 3, 6, 9};

	*o = (struct transport_options){
		.visibility_timeout = 3600 * USEC_PER_SEC,
		.polling_interval = 5 * USEC_PER_SEC,
		.global_keyprefix = xstrdup(""),
		.unacked_key = xstrdup("unacked"),
		.unacked_index_key = xstrdup("unacked_index"),
		.unacked_mutex_key = xstrdup("unacked_mutex"),
		.unacked_mutex_expire = 300 * USEC_PER_SEC,
		.sep = xstrdup("\x06\x16"),
		.fanout_prefix = xstrdup("/{db}."),
		.fanout_patterns = true,
		.step_count = ARRAY_LEN(steps),
		.deadletter_queue = xstrdup(""),
		.chord_ordered = true,
	};
	memcpy(o->priority_steps, steps, sizeof(steps));
}

static int read_json(const char *json, enum transport_side side, struct transport_options *o,
		     struct buf *notes, struct err *err)
{
	_cleanup_json_ json_t *object = NULL;
	int rc;

	if (json == NULL || json[0] == '\0')
		return 0;
	rc = json_load_strict(json, strlen(json), &object, err);
	if (rc < 0)
		return rc;
	if (!json_is_object(object))
		return err_set(err, ERR_INVALID, "must be a JSON object, not %s",
			       option_json_kind(object));
	return take_all(object, side, o, notes, err);
}

/* By side: its setting, and what else is said of its connections. */
static const struct side {
	const char *setting;
	int (*read)(const struct settings *s, struct redis_tuning *t, struct err *err);
} sides[] = {
	[TRANSPORT_BROKER] = {"broker_transport_options", option_broker_settings},
	[TRANSPORT_BACKEND] = {"result_backend_transport_options", option_backend_settings},
	[TRANSPORT_STATE] = {"CELERIAC_STATE_TRANSPORT_OPTIONS", option_state_settings},
};

static const char *options_of(const struct settings *s, enum transport_side side)
{
	switch (side) {
	case TRANSPORT_BROKER:
		return s->broker_transport_options;
	case TRANSPORT_BACKEND:
		return s->result_backend_transport_options;
	case TRANSPORT_STATE:
		return s->state_transport_options;
	}
	BUG("side %d", (int)side);
}

int transport_options_read(const struct settings *s, enum transport_side side,
			   struct transport_options *ret, struct buf *notes, struct err *err)
{
	struct transport_options o;
	int rc;

	fill_defaults(&o);
	rc = sides[side].read(s, &o.connection, err);
	if (rc == 0) {
		rc = read_json(options_of(s, side), side, &o, notes, err);
		if (rc < 0)
			rc = err_wrap(err, "%s", transport_setting(side));
	}
	if (rc < 0) {
		transport_options_done(&o);
		return rc;
	}
	*ret = o;
	return 0;
}

const char *transport_setting(enum transport_side side)
{
	return sides[side].setting;
}

void transport_options_tell(enum transport_side side, const struct buf *notes)
{
	for (const char *line = notes->data; line != NULL && *line != '\0';) {
		size_t len = strcspn(line, "\n");

		log_warning("%s: %.*s", transport_setting(side), (int)len, line);
		line += len + (line[len] == '\n');
	}
}

void transport_options_done(struct transport_options *o)
{
	redis_tuning_done(&o->connection);
	free(o->global_keyprefix);
	free(o->unacked_key);
	free(o->unacked_index_key);
	free(o->unacked_mutex_key);
	free(o->sep);
	free(o->fanout_prefix);
	free(o->deadletter_queue);
	*o = (struct transport_options){0};
}
