/*
 * amqp_envelope.c: kombu's virtual envelope of what AMQP carries in pieces
 * (kombu/transport/pyamqp.py), and back.
 */
#include "amqp_message.h"

#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "codec.h"
#include "json.h"
#include "mem.h"
#include "wire.h"

/* Text properties by kombu's names; those of the envelope's own members have none. */
static const char *const names[AMQP_TEXTS] = {
	[AMQP_CORRELATION_ID] = "correlation_id",
	[AMQP_REPLY_TO] = "reply_to",
	[AMQP_EXPIRATION] = "expiration",
	[AMQP_MESSAGE_ID] = "message_id",
	[AMQP_TYPE] = "type",
	[AMQP_APP_ID] = "app_id",
};

static json_t *text(const char *s)
{
	return json_text(s, strlen(s), true);
}

/* ---- from AMQP ---- */

static json_t *properties_of(const struct amqp_delivery *d)
{
	const struct amqp_properties *p = &d->properties;
	json_t *ret = json_object();
	json_t *info = json_pack("{s:o, s:o}", "exchange", text(d->exchange), "routing_key",
				 text(d->routing_key));

	for (size_t i = 0; i < AMQP_TEXTS; i++)
		if (names[i] && p->text[i])
			(void)json_object_set_new(ret, names[i], text(p->text[i]));
	if (p->delivery_mode)
		(void)json_object_set_new(ret, "delivery_mode", json_integer(p->delivery_mode));
	if (p->has_priority)
		(void)json_object_set_new(ret, "priority", json_integer(p->priority));
	if (p->has_timestamp)
		(void)json_object_set_new(ret, "timestamp", json_integer((json_int_t)p->timestamp));
	if (d->redelivered)
		(void)json_object_set_new(info, "redelivered", json_true());
	(void)json_object_set_new(ret, "delivery_info", info);
	(void)json_object_set_new(ret, "body_encoding", json_string("base64"));
	return ret;
}

static void add_text(struct buf *out, const char *member, const char *value)
{
	_cleanup_json_ json_t *t = text(value ? value : "");

	buf_appendf(out, ", \"%s\": ", member);
	json_dump_python(t, out);
}

int amqp_envelope_from_delivery(const struct amqp_delivery *d, struct buf *out, struct err *err)
{
	_cleanup_json_ json_t *properties = NULL;

	if (d->fault) {
		*err = *d->fault;
		return -err->code;
	}
	properties = properties_of(d);
	buf_append_str(out, "{\"body\": \"");
	base64_encode(d->body, d->len, out);
	buf_append_char(out, '"');
	add_text(out, "content-encoding", d->properties.text[AMQP_CONTENT_ENCODING]);
	add_text(out, "content-type", d->properties.text[AMQP_CONTENT_TYPE]);
	buf_append_str(out, ", \"headers\": ");
	if (d->properties.headers)
		json_dump_python(d->properties.headers, out);
	else
		buf_append_str(out, "{}");
	buf_append_str(out, ", \"properties\": ");
	json_dump_python(properties, out);
	buf_append_char(out, '}');
	return buf_status(out, err);
}

/* ---- to AMQP ---- */

/* A string property; NULL when it is absent or something else. Given. */
static char *take_text(const json_t *properties, const char *name)
{
	const json_t *value = json_member(properties, name);
	struct buf out = BUF_INIT(BOUND_AMQP_FRAME);
	char *ret;

	if (!json_is_string(value) || json_is_python_number(value))
		return NULL;
	json_text_append(value, &out);
	ret = xstrdup(out.data);
	buf_done(&out);
	return ret;
}

static void take_properties(const struct envelope *e, struct amqp_properties *ret)
{
	const json_t *mode = json_member(e->properties, "delivery_mode");
	const json_t *priority = json_member(e->properties, "priority");
	const json_t *timestamp = json_member(e->properties, "timestamp");
	json_int_t n;

	for (size_t i = 0; i < AMQP_TEXTS; i++)
		if (names[i])
			ret->text[i] = take_text(e->properties, names[i]);
	if (e->content_type[0] != '\0')
		ret->text[AMQP_CONTENT_TYPE] = xstrdup(e->content_type);
	if (e->content_encoding[0] != '\0')
		ret->text[AMQP_CONTENT_ENCODING] = xstrdup(e->content_encoding);
	ret->delivery_mode = json_integer_value(mode) == 1 ? 1 : 2;
	if (json_is_integer(priority)) {
		n = json_integer_value(priority);
		ret->has_priority = true;
		ret->priority = n < 0 ? 0 : n > 255 ? 255 : (uint8_t)n;
	}
	if (json_is_integer(timestamp) && json_integer_value(timestamp) >= 0) {
		ret->has_timestamp = true;
		ret->timestamp = (uint64_t)json_integer_value(timestamp);
	}
	ret->headers = json_incref(e->headers);
}

int amqp_envelope_to_publish(const char *envelope, size_t len, struct amqp_properties *ret,
			     struct buf *body, struct err *err)
{
	struct envelope e;
	int rc = envelope_parse(envelope, len, &e, err);

	if (rc == 0)
		rc = envelope_take_body(&e, body, err);
	if (rc == 0) {
		_cleanup_buf_ struct buf table = BUF_INIT(BOUND_AMQP_FRAME);

		/* Known now rather than when it is published. */
		rc = amqp_json_to_table(e.headers, &table, err);
	}
	if (rc == 0) {
		*ret = (struct amqp_properties){0};
		take_properties(&e, ret);
	}
	envelope_done(&e);
	return rc;
}
