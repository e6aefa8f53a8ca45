/*
 * envelope.c: kombu's virtual envelope: {body, content-type, content-encoding, headers,
 * properties}. What is inside the body is not its business.
 */
#include "wire.h"

#include <string.h>

#include "bounds.h"
#include "codec.h"
#include "content.h"
#include "json.h"

/* A member that must be an object; made when absent, so that readers need not care. */
static int object_member(json_t *root, const char *key, json_t **ret, struct err *err)
{
	json_t *value = json_member(root, key);

	if (value == NULL) {
		value = json_object();
		if (json_object_set_new(root, key, value) < 0)
			return err_set(err, ERR_NOMEM, "no memory for a message");
	}
	if (!json_is_object(value))
		return err_set(err, ERR_INVALID, "the envelope's %s is a %s, not an object", key,
			       json_type_name(value));
	*ret = value;
	return 0;
}

static const char *text_member(const json_t *root, const char *key)
{
	const char *text = json_member_str(root, key);

	return text ? text : "";
}

int envelope_parse(const char *data, size_t len, struct envelope *ret, struct err *err)
{
	int rc;

	*ret = (struct envelope){0};
	if (len > BOUND_MESSAGE_BYTES)
		return err_set(err, ERR_TOOBIG, "the message has %zu bytes, at most %u are read",
			       len, BOUND_MESSAGE_BYTES);
	rc = json_body_read(data, len, &ret->root, err);
	if (rc < 0)
		return err_wrap(err, "envelope");
	if (!json_is_object(ret->root))
		return err_set(err, ERR_INVALID, "the message is a %s, not an object",
			       json_type_name(ret->root));
	rc = object_member(ret->root, "headers", &ret->headers, err);
	if (rc < 0)
		return rc;
	rc = object_member(ret->root, "properties", &ret->properties, err);
	if (rc < 0)
		return rc;
	ret->content_type = text_member(ret->root, "content-type");
	ret->content_encoding = text_member(ret->root, "content-encoding");
	return 0;
}

int envelope_take_body(struct envelope *e, struct buf *out, struct err *err)
{
	const json_t *body = json_member(e->root, "body");
	const json_t *encoding = json_member(e->properties, "body_encoding");
	const char *name = encoding ? json_string_value(encoding) : "utf-8";
	int rc = 0;

	if (!json_is_string(body) || json_is_python_number(body))
		return err_set(err, ERR_INVALID, "the envelope has no body");
	if (name != NULL && strcmp(name, "base64") == 0) {
		rc = base64_decode(json_string_value(body), json_string_length(body), out, err);
		if (rc < 0)
			return err_wrap(err, "body");
	} else if (name != NULL && strcmp(name, "utf-8") == 0) {
		buf_append(out, json_string_value(body), json_string_length(body));
	} else {
		return err_set(err, ERR_INVALID, "body_encoding %.40s is not known",
			       name ? name : json_type_name(encoding));
	}
	rc = buf_status(out, err);
	if (rc < 0)
		return err_wrap(err, "body");
	json_object_del(e->root, "body");
	return 0;
}

void envelope_done(struct envelope *e)
{
	json_decref(e->root);
	*e = (struct envelope){0};
}

int envelope_write(const char *content_type, const json_t *headers, json_t *properties,
		   struct slice body, struct buf *out, struct err *err)
{
	const struct content_type *type = content_find(content_type);
	char tag[UUID_SIZE];

	uuid4(tag);
	if (json_object_set_new(properties, "body_encoding", json_string("base64")) < 0 ||
	    json_object_set_new(properties, "delivery_tag", json_string(tag)) < 0)
		return err_set(err, ERR_NOMEM, "no memory for a message");
	/* Member by member, so that the body need not be copied into a JSON string first. */
	buf_append_str(out, "{\"body\": \"");
	base64_encode(body.data, body.len, out);
	buf_append_str(out, "\", \"content-encoding\": \"");
	buf_append_str(out, type ? type->encoding : "utf-8");
	buf_append_str(out, "\", \"content-type\": \"");
	buf_append_str(out, content_type);
	buf_append_str(out, "\", \"headers\": ");
	json_dump_python(headers, out);
	buf_append_str(out, ", \"properties\": ");
	json_dump_python(properties, out);
	buf_append_char(out, '}');
	return buf_status(out, err);
}
