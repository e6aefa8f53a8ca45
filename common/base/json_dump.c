/*
 * json_dump.c: values as JSON text, for Python and for readers that know only the standard.
 */
#include "json_private.h"

/* One character that is not plain ASCII, or has a meaning in a string. */
static void append_escape(struct buf *out, uint32_t cp)
{
	static const char named[] = "btn-fr"; /* U+0008 to U+000D; U+000B has no name */
	if (cp == '"' || cp == '\\') {
		buf_append_char(out, '\\');
		buf_append_char(out, (char)cp);
	} else if (cp >= 8 && cp <= 13 && cp != 11) {
		buf_append_char(out, '\\');
		buf_append_char(out, named[cp - 8]);
	} else if (cp >= 0x10000) {
		cp -= 0x10000;
		buf_appendf(out, "\\u%04x\\u%04x", 0xd800 | cp >> 10, 0xdc00 | (cp & 0x3ff));
	} else {
		buf_appendf(out, "\\u%04x", cp);
	}
}

static bool is_plain(char c)
{
	return c >= ' ' && c < 0x7f && c != '"' && c != '\\';
}

/* How many bytes at the beginning stand in a string as they are. */
static size_t plain_length(const char *s, size_t len)
{
	size_t n = 0;
	while (len - n >= 8 && json_are_plain(s + n))
		n += 8;
	while (n < len && is_plain(s[n]))
		n++;
	return n;
}

static void append_string(const char *s, size_t len, bool strict, struct buf *out)
{
	struct json_chars c;
	json_chars_init(&c, s, len);
	buf_append_char(out, '"');
	while (c.p < c.end) {
		size_t plain = plain_length(c.p, (size_t)(c.end - c.p));
		buf_append(out, c.p, plain);
		c.p += plain;
		uint32_t cp;
		if (!json_chars_next(&c, &cp))
			break;
		if (strict && (cp == 0 || (cp >= 0xd800 && cp <= 0xdfff)))
			cp = 0xfffd;
		append_escape(out, cp);
	}
	buf_append_char(out, '"');
}

static void python_string(const char *s, size_t len, unused_arg size_t stop, struct buf *out)
{
	append_string(s, len, false, out);
}

static void strict_string(const char *s, size_t len, unused_arg size_t stop, struct buf *out)
{
	append_string(s, len, true, out);
}

static void python_number(const char *token, struct buf *out)
{
	buf_append_str(out, token);
}

static void strict_number(const char *token, struct buf *out)
{
	bool constant = token[0] == 'N' || token[0] == 'I' || token[1] == 'I';
	buf_appendf(out, constant ? "\"%s\"" : "%s", token);
}

void json_dump_python(const json_t *value, struct buf *out)
{
	static const struct json_style style = {"null", "true", "false", python_string,
						python_number};
	json_print(value, &style, SIZE_MAX, out);
}

void json_dump_python_text(const char *text, size_t len, struct buf *out)
{
	_cleanup_json_ json_t *value = NULL;

	if (plain_length(text, len) < len) {
		value = json_text(text, len, false);
		json_dump_python(value, out);
		return;
	}
	buf_append_char(out, '"');
	buf_append(out, text, len);
	buf_append_char(out, '"');
}

void json_dump_strict(const json_t *value, struct buf *out)
{
	static const struct json_style style = {"null", "true", "false", strict_string,
						strict_number};
	json_print(value, &style, SIZE_MAX, out);
}
