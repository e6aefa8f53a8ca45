/*
 * yaml_write.c: values as YAML that PyYAML's safe_load reads back: JSON's brackets and quotes,
 * which YAML shares, in ASCII. Where the two differ: characters beyond 16 bit have their own
 * escape, a float needs a point, NaN and Infinity have other names, long keys are announced, and
 * there are tags for bytes and dates.
 */
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "codec.h"
#include "content.h"
#include "json.h"
#include "typed.h"
#include "yaml_scalar.h"

#define LONG_KEY 200 /* YAML looks for the colon of a key at most 1024 characters ahead */

static int write_value(const json_t *value, size_t depth, struct buf *out, struct err *err);

static int hex4(const char *p)
{
	int value = 0;

	for (int i = 0; i < 4; i++)
		value = value << 4 | (p[i] <= '9' ? p[i] - '0' : p[i] - 'a' + 10);
	return value;
}

/* Appends a JSON string's text, its surrogate pairs as one escape. */
static void copy_string(const char *p, const char *end, struct buf *out)
{
	while (p < end) {
		size_t n = (size_t)(end - p);
		const char *escape = memchr(p, '\\', n);

		if (escape == NULL) {
			buf_append(out, p, n);
			return;
		}
		buf_append(out, p, (size_t)(escape - p));
		p = escape;
		if (end - p >= 12 && p[1] == 'u' && hex4(p + 2) >> 10 == 0xd800 >> 10 &&
		    p[6] == '\\' && p[7] == 'u' && hex4(p + 8) >> 10 == 0xdc00 >> 10) {
			buf_appendf(out, "\\U%08x",
				    0x10000 +
					    ((hex4(p + 2) & 0x3ff) << 10 | (hex4(p + 8) & 0x3ff)));
			p += 12;
		} else {
			buf_append(out, p, 2);
			p += 2;
		}
	}
}

static void write_number(const char *token, struct buf *out)
{
	const char *e = strchr(token, 'e');

	if (strcmp(token, "NaN") == 0)
		buf_append_str(out, ".nan");
	else if (strcmp(token, "Infinity") == 0)
		buf_append_str(out, ".inf");
	else if (strcmp(token, "-Infinity") == 0)
		buf_append_str(out, "-.inf");
	else if (e != NULL && token[0] <= '9' && strchr(token, '.') == NULL)
		buf_appendf(out, "%.*s.0%s", (int)(e - token), token, e);
	else
		buf_append_str(out, token);
}

/* Anything but lists and mappings, by way of its JSON. */
static int write_scalar(const json_t *value, bool key, struct buf *out, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(out->limit);
	int rc;

	json_dump_python(value, &text);
	rc = buf_status(&text, err);
	if (rc < 0)
		return rc;
	if (key && text.len > LONG_KEY)
		buf_append_str(out, "? ");
	if (text.data[0] == '"')
		copy_string(text.data, text.data + text.len, out);
	else
		write_number(text.data, out);
	return 0;
}

static int write_binary(const json_t *value, struct buf *out, struct err *err)
{
	_cleanup_buf_ struct buf bytes = BUF_INIT(BOUND_BODY_BYTES);
	int rc = typed_read_bytes(value, &bytes, err);

	if (rc < 0)
		return rc;
	buf_append_str(out, "!!binary \"");
	base64_encode(bytes.data, bytes.len, out);
	buf_append_char(out, '"');
	return 0;
}

/* A date that Python reads in a form that YAML does not know, as +0100, is said in UTC. */
static int write_time(const json_t *text, struct buf *out, struct err *err)
{
	char iso[CLOCK_ISO_SIZE];
	usec_t wall;
	int rc;

	buf_append_str(out, "!!timestamp ");
	if (yaml_is_timestamp(json_string_value(text), json_string_length(text)))
		return write_scalar(text, false, out, err);
	rc = typed_read_time(text, &wall, err);
	if (rc < 0)
		return rc;
	clock_iso(wall, iso);
	buf_appendf(out, "\"%s\"", iso);
	return 0;
}

static int write_object(json_t *object, size_t depth, struct buf *out, struct err *err)
{
	const char *key, *separator = "{";
	size_t key_len;
	json_t *member;
	int rc;

	json_object_keylen_foreach(object, key, key_len, member)
	{
		_cleanup_json_ json_t *name = json_stringn_nocheck(key, key_len);

		buf_append_str(out, separator);
		separator = ", ";
		rc = write_scalar(name, true, out, err);
		if (rc < 0)
			return rc;
		buf_append_str(out, ": ");
		rc = write_value(member, depth + 1, out, err);
		if (rc < 0)
			return rc;
	}
	buf_append_str(out, json_object_size(object) > 0 ? "}" : "{}");
	return 0;
}

static int write_array(const json_t *array, size_t depth, struct buf *out, struct err *err)
{
	int rc;

	buf_append_char(out, '[');
	for (size_t i = 0; i < json_array_size(array); i++) {
		if (i > 0)
			buf_append_str(out, ", ");
		rc = write_value(json_array_get(array, i), depth + 1, out, err);
		if (rc < 0)
			return rc;
	}
	buf_append_char(out, ']');
	return 0;
}

static int write_value(const json_t *value, size_t depth, struct buf *out, struct err *err)
{
	enum typed_kind kind = typed_whole_kind(value);

	if (depth > BOUND_JSON_DEPTH)
		return err_set(err, ERR_TOOBIG, "nested more than %d deep", BOUND_JSON_DEPTH);
	if (kind == TYPED_BYTES || kind == TYPED_BASE64)
		return write_binary(value, out, err);
	if (kind == TYPED_DATETIME || kind == TYPED_DATE)
		return write_time(json_object_get(value, "__value__"), out, err);
	if (json_is_object(value))
		return write_object((json_t *)(uintptr_t)value, depth, out, err);
	if (json_is_array(value))
		return write_array(value, depth, out, err);
	return write_scalar(value, false, out, err);
}

int yaml_write(const json_t *value, struct buf *out, struct err *err)
{
	int rc = write_value(value, 1, out, err);

	if (rc < 0)
		return rc;
	buf_append_char(out, '\n');
	return buf_status(out, err);
}
