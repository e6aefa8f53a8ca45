/*
 * header.c: arguments as headers.
 *
 * An annotation counts where it is reached from the root by `properties` alone; anywhere else, or
 * in any other form, it makes the tool invalid.
 */
#include "header.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bounds.h"
#include "codec.h"
#include "json.h"
#include "mem.h"

#define ANNOTATION  "x-mcp-header"
#define INTEGER_MAX 9007199254740991LL /* what JavaScript holds exactly */

static bool plain(const char *value, size_t len)
{
	if (len > 0 && (strchr(" \t", value[0]) || strchr(" \t", value[len - 1])))
		return false;
	for (size_t i = 0; i < len; i++)
		if (value[i] < 0x20 || value[i] > 0x7e)
			return false;
	return !(len >= 10 && memcmp(value, "=?base64?", 9) == 0 &&
		 memcmp(value + len - 2, "?=", 2) == 0);
}

void mcp_header_value(const char *value, size_t len, struct buf *out)
{
	if (plain(value, len)) {
		buf_append(out, value, len);
		return;
	}
	buf_append_str(out, "=?base64?");
	base64_encode(value, len, out);
	buf_append_str(out, "?=");
}

/* What a walk over a schema has found so far. */
struct walk {
	const char *names[BOUND_MCP_HEADERS];
	size_t count;
	/* of a call: what is to be sent, or NULL when only the schema is checked */
	struct buf *out;
	struct err *err;
};

/* RFC 9110 §5.6.2: tchar. */
static bool is_token(const char *s)
{
	if (!*s)
		return false;
	for (; *s; s++)
		if (!((*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'z') ||
		      (*s >= 'A' && *s <= 'Z') || strchr("!#$%&'*+-.^_`|~", *s)))
			return false;
	return true;
}

/* The annotation's name, or NULL with the error set. */
static const char *checked_name(struct walk *w, const json_t *property, const json_t *annotation)
{
	const char *name = json_string_value(annotation);
	const char *type = json_member_str(property, "type");

	if (!name || json_string_length(annotation) != strlen(name) || !is_token(name))
		err_set(w->err, ERR_INVALID, ANNOTATION ": not the name of a header");
	else if (!type || (strcmp(type, "string") != 0 && strcmp(type, "integer") != 0 &&
			   strcmp(type, "boolean") != 0))
		err_set(w->err, ERR_INVALID,
			ANNOTATION " %s: of a string, an integer or a boolean only", name);
	else if (w->count == BOUND_MCP_HEADERS)
		err_set(w->err, ERR_TOOBIG, ANNOTATION ": more than %d", BOUND_MCP_HEADERS);
	else {
		for (size_t i = 0; i < w->count; i++)
			if (strcasecmp(w->names[i], name) == 0) {
				err_set(w->err, ERR_INVALID, ANNOTATION " %s: given twice", name);
				return NULL;
			}
		w->names[w->count++] = name;
		return name;
	}
	return NULL;
}

/* One header for one argument; nothing for null, for an absent one, or for one of another type,
 * which the server refuses by itself. */
static int add_header(struct walk *w, const char *name, const json_t *value)
{
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_HTTP_HEAD);

	if (json_is_string(value))
		json_text_append(value, &text);
	else if (json_is_integer(value) && llabs(json_integer_value(value)) <= INTEGER_MAX)
		buf_appendf(&text, "%lld", (long long)json_integer_value(value));
	else if (json_is_boolean(value))
		buf_append_str(&text, json_is_true(value) ? "true" : "false");
	else
		return 0;
	buf_appendf(w->out, "Mcp-Param-%s: ", name);
	mcp_header_value(text.data, text.len, w->out);
	buf_append_char(w->out, '\0');
	return buf_status(&text, w->err);
}

/* Is there an annotation anywhere in `schema`, at a place where it may not be? */
static bool astray(const json_t *schema, int depth)
{
	const char *key;
	json_t *value;
	size_t i;

	if (depth > BOUND_JSON_DEPTH)
		return true;
	if (json_is_array(schema)) {
		json_array_foreach(schema, i, value) if (astray(value, depth + 1)) return true;
	} else if (json_is_object(schema)) {
		json_object_foreach((json_t *)(uintptr_t)schema, key,
				    value) if (strcmp(key, ANNOTATION) == 0 ||
					       astray(value, depth + 1)) return true;
	}
	return false;
}

/* Keywords whose values are data, where the annotation is no annotation. */
static bool is_data(const char *key)
{
	static const char *const keys[] = {"default", "const", "enum", "examples"};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (strcmp(key, keys[i]) == 0)
			return true;
	return false;
}

static int walk_properties(struct walk *w, const json_t *properties, const json_t *arguments,
			   int depth);

/* One schema on the way that consists of `properties` alone; `value` is the argument it describes,
 * or NULL. */
static int walk_schema(struct walk *w, const json_t *schema, const json_t *value, bool root,
		       int depth)
{
	const char *key;
	json_t *member;

	if (depth > BOUND_MCP_SCHEMA)
		return astray(schema, 0) ? err_set(w->err, ERR_TOOBIG, ANNOTATION ": too deep") : 0;
	json_object_foreach((json_t *)(uintptr_t)schema, key, member)
	{
		int r = 0;
		if (strcmp(key, ANNOTATION) == 0) {
			const char *name = root ? NULL : checked_name(w, schema, member);
			if (root)
				r = err_set(w->err, ERR_INVALID, ANNOTATION ": of the whole input");
			else if (!name)
				r = -w->err->code;
			else if (w->out)
				r = add_header(w, name, value);
		} else if (strcmp(key, "properties") == 0) {
			r = walk_properties(w, member, value, depth + 1);
		} else if (!is_data(key) && astray(member, 0)) {
			r = err_set(w->err, ERR_INVALID, ANNOTATION ": below %.40s", key);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static int walk_properties(struct walk *w, const json_t *properties, const json_t *arguments,
			   int depth)
{
	const char *key;
	json_t *schema;

	if (!json_is_object(properties))
		return 0;
	json_object_foreach((json_t *)(uintptr_t)properties, key, schema)
	{
		int r = walk_schema(w, schema, json_object_get(arguments, key), false, depth);
		if (r < 0)
			return r;
	}
	return 0;
}

int mcp_header_check(const json_t *schema, struct err *err)
{
	struct walk w = {.err = err};

	return walk_schema(&w, schema, NULL, true, 0);
}

/* "a\0b\0" as an array of strings in one block. */
static char **split(const struct buf *out)
{
	size_t count = 0;

	for (size_t i = 0; i < out->len; i++)
		count += out->data[i] == '\0';
	if (count == 0)
		return NULL;
	char **list = xmalloc((count + 1) * sizeof(*list) + out->len);
	char *text = memcpy(list + count + 1, out->data, out->len);
	for (size_t i = 0; i < count; i++) {
		list[i] = text;
		text += strlen(text) + 1;
	}
	list[count] = NULL;
	return list;
}

int mcp_header_params(const json_t *schema, const json_t *arguments, char ***ret, struct err *err)
{
	_cleanup_buf_ struct buf out = BUF_INIT(BOUND_HTTP_HEAD);
	struct walk w = {.out = &out, .err = err};
	int r = walk_schema(&w, schema, arguments, true, 0);

	if (r == 0)
		r = buf_status(&out, err);
	if (r < 0)
		return r;
	*ret = split(&out);
	return 0;
}
