/*
 * content.c: which content types there are, which of them may be read, and by what.
 *
 * To add one: a row with its reader and writer. accept_content is matched by serializer name or by
 * MIME type, as in Celery.
 */
#include "content.h"

#include <string.h>
#include <strings.h>

#include "security.h"

static const struct content_type g_content_types[] = {
	{"json", "application/json", "utf-8", json_body_read, json_body_write, false, false},
	{"yaml", "application/x-yaml", "utf-8", yaml_read, yaml_write, false, false},
	{"msgpack", "application/x-msgpack", "binary", msgpack_read, msgpack_write, false, false},
	/* As in Celery, once there are keys it is what data means. */
	{"auth", "application/data", "utf-8", auth_read, auth_write, true, false},
	{"raw", "application/data", "binary", raw_read, raw_write, true, false},
	{"application/text", "application/text", "utf-8", raw_read, raw_write, true, false},
	{"text/plain", "text/plain", "utf-8", raw_read, raw_write, false, false},
	{"pickle", "application/x-python-serialize", "binary", NULL, NULL, false, true},
};

/* Signed messages are known only to those who have keys. */
static bool in_force(const struct content_type *t)
{
	return t->read != auth_read || security_is_open();
}

static bool listed(const struct str_list *accept, const char *name)
{
	for (size_t i = 0; i < accept->count; i++) {
		if (strcmp(accept->items[i], name) == 0)
			return true;
	}
	return false;
}

static bool readable_encoding(const char *encoding)
{
	static const char *const known[] = {"", "utf-8", "utf8", "us-ascii", "ascii", "binary"};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (strcasecmp(encoding, known[i]) == 0)
			return true;
	}
	return false;
}

const struct content_type *content_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(g_content_types); i++) {
		const struct content_type *t = &g_content_types[i];

		if (t->write != NULL && in_force(t) &&
		    (strcmp(t->name, name) == 0 || strcmp(t->mime, name) == 0))
			return t;
	}
	return NULL;
}

bool content_refused(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(g_content_types); i++) {
		const struct content_type *t = &g_content_types[i];

		if (t->refused && (strcmp(t->name, name) == 0 || strcmp(t->mime, name) == 0))
			return true;
	}
	return false;
}

static const struct content_type *find_mime(const char *mime)
{
	for (size_t i = 0; i < ARRAY_LEN(g_content_types); i++) {
		if (in_force(&g_content_types[i]) && strcmp(g_content_types[i].mime, mime) == 0)
			return &g_content_types[i];
	}
	return NULL;
}

enum message_verdict content_check(const char *mime, const char *encoding,
				   const struct str_list *accept, const struct content_type **ret,
				   struct err *err)
{
	/* As in kombu, what names no type is data. */
	const struct content_type *t = find_mime(mime[0] != '\0' ? mime : "application/data");

	if (t == NULL) {
		(void)err_set(err, ERR_DENIED,
			      "Refusing to deserialize content of unknown type \"%.80s\"", mime);
		return MESSAGE_DISALLOWED;
	}
	if (t->refused || !(t->trusted || listed(accept, t->name) || listed(accept, t->mime))) {
		(void)err_set(err, ERR_DENIED,
			      "Refusing to deserialize disabled content of type %s (%s)", t->name,
			      t->mime);
		return MESSAGE_DISALLOWED;
	}
	if (!readable_encoding(encoding)) {
		(void)err_set(err, ERR_UNSUPPORTED, "content-encoding \"%.40s\" is not supported",
			      encoding);
		return MESSAGE_INVALID;
	}
	*ret = t;
	return MESSAGE_OK;
}
