/*
 * content.c: which content types there are, which of them may be read, and by what.
 *
 * To add one: a row with its reader. accept_content is matched by serializer name or by MIME type,
 * as in Celery.
 */
#include <string.h>
#include <strings.h>

#include "json.h"
#include "wire.h"

static const struct content_type g_content_types[] = {
	{.name = "json", .mime = "application/json", .read = json_load_python},
	{.name = "yaml", .mime = "application/x-yaml"},
	{.name = "msgpack", .mime = "application/x-msgpack"},
	{.name = "auth", .mime = "application/data"},
	{.name = "pickle", .mime = "application/x-python-serialize", .refused = true},
};

static bool accepted(const struct content_type *t, const struct str_list *accept)
{
	for (size_t i = 0; i < accept->count; i++) {
		if (strcmp(accept->items[i], t->name) == 0 ||
		    strcmp(accept->items[i], t->mime) == 0)
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

enum message_verdict content_check(const char *mime, const char *encoding,
				   const struct str_list *accept, const struct content_type **ret,
				   struct err *err)
{
	const struct content_type *t = NULL;

	for (size_t i = 0; i < ARRAY_LEN(g_content_types); i++) {
		if (strcmp(g_content_types[i].mime, mime) == 0)
			t = &g_content_types[i];
	}
	if (t == NULL) {
		(void)err_set(err, ERR_DENIED,
			      "Refusing to deserialize content of unknown type \"%.80s\"", mime);
		return MESSAGE_DISALLOWED;
	}
	if (t->refused || !accepted(t, accept)) {
		(void)err_set(err, ERR_DENIED,
			      "Refusing to deserialize disabled content of type %s (%s)", t->name,
			      t->mime);
		return MESSAGE_DISALLOWED;
	}
	if (t->read == NULL) {
		(void)err_set(err, ERR_UNSUPPORTED,
			      "content of type %s (%s) cannot be read by this build", t->name,
			      t->mime);
		return MESSAGE_INVALID;
	}
	if (!readable_encoding(encoding)) {
		(void)err_set(err, ERR_UNSUPPORTED, "content-encoding \"%.40s\" is not supported",
			      encoding);
		return MESSAGE_INVALID;
	}
	*ret = t;
	return MESSAGE_OK;
}
