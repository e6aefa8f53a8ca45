/*
 * A record of the unacked hash as kombu writes it, and the message in it as kombu puts it back
 * (Channel._do_restore_message in kombu/transport/redis.py). Read and written as Python does, so
 * that no number loses its digits.
 */
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "mem.h"
#include "redis_broker.h"

/* max(min(int(priority), 9), 0), or 0. */
static int read_priority(const json_t *value)
{
	double n = json_is_string(value) ? strtod(json_string_value(value), NULL)
					 : json_number_value(value);

	return n >= 9 ? 9 : n > 0 ? (int)n : 0;
}

/* A name, or None. */
static int read_name(const json_t *value, const char *what, char **ret, struct err *err)
{
	if (!json_is_string(value) && !json_is_null(value))
		return err_set(err, ERR_INVALID, "its %s is no string", what);
	if (json_string_length(value) > BOUND_URL_BYTES ||
	    (value != NULL && json_is_string(value) &&
	     strlen(json_string_value(value)) != json_string_length(value)))
		return err_set(err, ERR_INVALID, "its %s is no name", what);
	*ret = xstrdup(json_is_string(value) ? json_string_value(value) : "");
	return 0;
}

static int read_message(json_t *message, struct unacked_record *r, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_MESSAGE_BYTES);
	json_t *headers = json_object_get(message, "headers"),
	       *properties = json_object_get(message, "properties"),
	       *info = json_object_get(properties, "delivery_info");

	if (!json_is_object(message))
		return err_set(err, ERR_INVALID, "its message is no object");
	if (json_is_object(headers))
		json_object_set_new(headers, "redelivered", json_true());
	if (json_is_object(info))
		json_object_set_new(info, "redelivered", json_true());
	r->priority = read_priority(json_object_get(properties, "priority"));
	json_dump_python(message, &text);
	return buf_take(&text, &r->message, &r->len, err);
}

int unacked_record_read(const char *data, size_t len, struct unacked_record *ret, struct err *err)
{
	_cleanup_json_ json_t *record = NULL;
	struct unacked_record r = {0};
	int rc = json_load_python(data, len, &record, err);

	if (rc < 0)
		return rc;
	if (json_array_size(record) != 3)
		return err_set(err, ERR_INVALID, "it is no array of three");
	if ((rc = read_name(json_array_get(record, 1), "exchange", &r.exchange, err)) < 0 ||
	    (rc = read_name(json_array_get(record, 2), "routing key", &r.routing_key, err)) < 0 ||
	    (rc = read_message(json_array_get(record, 0), &r, err)) < 0) {
		unacked_record_done(&r);
		return rc;
	}
	*ret = r;
	return 0;
}

void unacked_record_done(struct unacked_record *r)
{
	free(r->exchange);
	free(r->routing_key);
	free(r->message);
	*r = (struct unacked_record){0};
}
