/*
 * control.c: remote control's envelopes. See control.h.
 */
#include "control.h"

#include <string.h>

#include "bounds.h"
#include "codec.h"
#include "content.h"
#include "json.h"
#include "wire.h"

/* Reads envelope and body into r->root. */
static int open_request(const char *data, size_t len, const struct str_list *accept,
			struct control_request *r, struct err *err)
{
	_cleanup_(envelope_done) struct envelope e = {0};
	_cleanup_buf_ struct buf bytes = BUF_INIT(BOUND_CONTROL_BYTES);
	const struct content_type *type = NULL;
	const json_t *compression;
	int rc;

	if (len > BOUND_CONTROL_BYTES)
		return err_set(err, ERR_TOOBIG, "a control message of %zu bytes; at most %u", len,
			       BOUND_CONTROL_BYTES);
	rc = envelope_parse(data, len, &e, err);
	if (rc < 0)
		return rc;
	if (content_check(e.content_type, e.content_encoding, accept, &type, err) != MESSAGE_OK)
		return -err->code;
	r->is_signed = type->read == auth_read;
	compression = json_member(e.headers, "compression");
	if (json_string_length(compression) > 0)
		return err_set(err, ERR_UNSUPPORTED, "a control message that is compressed");
	rc = envelope_take_body(&e, &bytes, err);
	if (rc < 0)
		return rc;
	rc = type->read(bytes.data, bytes.len, &r->root, err);
	if (rc < 0)
		return err_wrap(err, "body");
	if (!json_is_object(r->root))
		return err_set(err, ERR_INVALID, "the body is a %s, not a dict",
			       json_type_name(r->root));
	r->clock = json_integer_value(json_member(e.headers, "clock"));
	return 0;
}

static bool is_listed(const json_t *list, const char *node)
{
	size_t i;
	json_t *item;

	json_array_foreach((json_t *)(uintptr_t)list, i, item)
	{
		const char *name = json_string_value(item);

		if (name != NULL && strcmp(name, node) == 0)
			return true;
	}
	return false;
}

/* As Node.handle_message() does it: destination first, then pattern, else everybody. */
static int is_for(const json_t *body, const char *node, bool *ret, struct err *err)
{
	const json_t *destination = json_member(body, "destination");
	const json_t *pattern = json_member(body, "pattern");
	const json_t *matcher = json_member(body, "matcher");

	*ret = true;
	if (destination != NULL && !json_is_array(destination) && !json_is_string(destination))
		return err_set(err, ERR_INVALID, "destination is a %s, not a list",
			       json_type_name(destination));
	if (json_string_length(destination) > 0) {
		*ret = strcmp(json_string_value(destination), node) == 0;
		return 0;
	}
	if (json_array_size(destination) > 0) {
		*ret = is_listed(destination, node);
		return 0;
	}
	if (pattern == NULL || matcher == NULL)
		return 0;
	if (!json_is_string(pattern) || !json_is_string(matcher))
		return err_set(err, ERR_INVALID, "pattern and matcher must be strings");
	return control_match(node, json_string_value(pattern), json_string_value(matcher), ret,
			     err);
}

/* Names become keys: text without control characters, of a bounded length. */
static bool is_name(const char *text, size_t len)
{
	return text != NULL && len > 0 && len <= BOUND_TASK_ID_BYTES &&
	       !utf8_has_control(text, len);
}

static int read_reply_to(const json_t *body, const char *allowed, struct control_request *r,
			 struct err *err)
{
	const json_t *to = json_member(body, "reply_to");
	const json_t *exchange = json_member(to, "exchange"), *key = json_member(to, "routing_key");

	if (to == NULL)
		return 0;
	if (!json_is_string(exchange) || strcmp(json_string_value(exchange), allowed) != 0)
		return err_set(err, ERR_DENIED, "reply_to is not %s", allowed);
	if (!is_name(json_string_value(key), json_string_length(key)))
		return err_set(err, ERR_DENIED, "reply_to has no proper routing key");
	r->reply_exchange = json_string_value(exchange);
	r->reply_key = json_string_value(key);
	return 0;
}

static int read_fields(const char *node, const char *reply_exchange, struct control_request *r,
		       struct err *err)
{
	const json_t *method = json_member(r->root, "method");
	int rc = is_for(r->root, node, &r->for_us, err);

	if (rc < 0 || !r->for_us)
		return rc;
	if (!json_is_string(method) ||
	    !is_name(json_string_value(method), json_string_length(method)))
		return err_set(err, ERR_INVALID, "method is not a name");
	r->method = json_string_value(method);
	r->arguments = json_member(r->root, "arguments");
	r->ticket = json_member(r->root, "ticket");
	return read_reply_to(r->root, reply_exchange, r, err);
}

int control_decode(const char *data, size_t len, const struct str_list *accept, const char *node,
		   const char *reply_exchange, struct control_request *ret, struct err *err)
{
	struct control_request r = {0};
	int rc = open_request(data, len, accept, &r, err);

	if (rc == 0)
		rc = read_fields(node, reply_exchange, &r, err);
	if (rc < 0)
		control_request_done(&r);
	else
		*ret = r;
	return rc;
}

void control_request_done(struct control_request *r)
{
	json_decref(r->root);
	*r = (struct control_request){0};
}

int control_encode_reply(const struct control_request *r, const char *node, const json_t *value,
			 int64_t clock, struct buf *out, struct err *err)
{
	_cleanup_json_ json_t *headers =
		json_pack("{s:O?, s:I}", "ticket", r->ticket, "clock", (json_int_t)clock);
	_cleanup_json_ json_t *properties = json_pack(
		"{s:i, s:{s:s, s:s}, s:i}", "delivery_mode", 1, "delivery_info", "exchange",
		r->reply_exchange, "routing_key", r->reply_key, "priority", 0);
	_cleanup_json_ json_t *body = json_pack("{s:O?}", node, value);
	_cleanup_buf_ struct buf bytes = BUF_INIT(BOUND_CONTROL_REPLY);
	int rc;

	if (headers == NULL || properties == NULL || body == NULL)
		return err_set(err, ERR_INVALID, "a name in a reply is not UTF-8");
	rc = (r->is_signed ? auth_write : json_body_write)(body, &bytes, err);
	if (rc < 0)
		return err_wrap(err, "reply to %s", r->method);
	return envelope_write(r->is_signed ? "application/data" : "application/json", headers,
			      properties, (struct slice){bytes.data, bytes.len}, out, err);
}
