/*
 * json.c: reading JSON, and the small helpers around jansson.
 */
#include "json.h"

#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "codec.h"
#include "json_private.h"
#include "mem.h"

/* jansson quotes the input in its messages, which may hold secrets; what follows " near " stays
 * out. */
static int explain(const json_error_t *why, size_t position, struct err *err)
{
	if (json_error_code(why) == json_error_out_of_memory)
		return err_set(err, ERR_NOMEM, "JSON: out of memory");
	const char *near = strstr(why->text, " near ");
	int len = near ? (int)(near - why->text) : (int)strlen(why->text);
	return err_set(err, ERR_INVALID, "JSON: %.*s at byte %zu", len, why->text, position);
}

static int load_any(const char *text, size_t len, bool constants, json_t **ret, struct err *err)
{
	struct json_scan scan = {.constants = constants, .out = BUF_INIT(0)};
	int r = json_scan(&scan, text, len, err);
	if (r == 0) {
		const char *data = scan.rewritten ? scan.out.data : text;
		size_t size = scan.rewritten ? scan.out.len : len;
		json_error_t why;
		json_t *value = json_loadb(data, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
		if (value) {
			*ret = value;
		} else {
			size_t position = why.position > 0 ? (size_t)why.position : 0;
			if (scan.rewritten) {
				/* Where that is in what was given: the same pass again, watching.
				 */
				struct err ignored;
				buf_done(&scan.out);
				scan.want_out = position;
				if (json_scan(&scan, text, len, &ignored) == 0)
					position = scan.found_text < len ? scan.found_text : len;
			}
			r = explain(&why, position, err);
		}
	}
	buf_done(&scan.out);
	return r;
}

static int load(const char *text, size_t len, bool constants, const char *key, bool *ret_found,
		json_t **ret, struct err *err)
{
	json_t *value = json_read_ordinary(text, len, key, ret_found);

	if (value == NULL) {
		*ret_found = true;
		return load_any(text, len, constants, ret, err);
	}
	*ret = value;
	return 0;
}

int json_load_python(const char *text, size_t len, json_t **ret, struct err *err)
{
	bool found;

	return load(text, len, true, "", &found, ret, err);
}

int json_load_python_noting(const char *text, size_t len, const char *key, bool *ret_found,
			    json_t **ret, struct err *err)
{
	return load(text, len, true, key, ret_found, ret, err);
}

int json_load_strict(const char *text, size_t len, json_t **ret, struct err *err)
{
	bool found;

	return load(text, len, false, "", &found, ret, err);
}

const char *json_type_name(const json_t *value)
{
	if (!value)
		return "NoneType";
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return "dict";
	case JSON_ARRAY:
		return "list";
	case JSON_STRING: {
		const char *token = json_python_number(value);
		if (!token)
			return "str";
		return json_is_integer_token(token, strlen(token)) ? "int" : "float";
	}
	case JSON_INTEGER:
		return "int";
	case JSON_REAL:
		return "float";
	case JSON_TRUE:
	case JSON_FALSE:
		return "bool";
	case JSON_NULL:
	default:
		return "NoneType";
	}
}

json_t *json_member(const json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key); /* NULL for anything but an object */
	return json_is_null(value) ? NULL : value;
}

const char *json_member_str(const json_t *object, const char *key)
{
	return json_string_value(json_member(object, key)); /* NULL for anything but a string */
}

static void wipe_strings(json_t *value)
{
	const char *key;
	json_t *member;
	size_t i;

	if (json_is_string(value))
		wipe((char *)(uintptr_t)json_string_value(value), json_string_length(value));
	json_array_foreach(value, i, member) wipe_strings(member);
	json_object_foreach(value, key, member) wipe_strings(member);
}

void json_wipe(json_t *value)
{
	wipe_strings(value);
	json_decref(value);
}

void json_text_append(const json_t *string, struct buf *out)
{
	const char *s = json_string_value(string);
	if (!s)
		return;
	struct json_chars c;
	json_chars_init(&c, s, json_string_length(string));
	if (!c.marked) {
		buf_append(out, s, json_string_length(string));
		return;
	}
	uint32_t cp;
	while (json_chars_next(&c, &cp))
		json_append_utf8(out, cp);
}

bool json_has_surrogate(const json_t *string)
{
	const char *s = json_string_value(string);
	struct json_chars c;
	uint32_t cp;

	if (s == NULL)
		return false;
	json_chars_init(&c, s, json_string_length(string));
	while (c.marked && json_chars_next(&c, &cp)) { /* what is not marked holds none */
		if (cp >= 0xd800 && cp <= 0xdfff)
			return true;
	}
	return false;
}

json_t *json_text(const char *data, size_t len, bool no_nul)
{
	_cleanup_buf_ struct buf text = BUF_INIT(len * 3 + 2);
	if (len > 0 && data[0] == MARK) {
		/* Not to be taken for one of our marks. Inside, U+0001 is doubled. */
		buf_append(&text, (char[]){MARK, MARK_STRING}, 2);
		while (len > 0) {
			const char *next = memchr(data, MARK, len);
			size_t n = next ? (size_t)(next - data) : len;
			utf8_clean(data, n, no_nul, &text);
			if (next) {
				buf_append(&text, (char[]){MARK, MARK}, 2);
				n++;
			}
			data += n;
			len -= n;
		}
	} else {
		utf8_clean(data, len, no_nul, &text);
	}
	json_t *value = text.failed ? NULL : json_stringn_nocheck(text.data, text.len);
	if (!value)
		BUG("no memory for a text of %zu bytes", len);
	return value;
}
