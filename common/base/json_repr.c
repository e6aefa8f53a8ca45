/*
 * json_repr.c: values as Python's repr shows them: argsrepr, event fields, log lines.
 */
#include <string.h>

#include "codec.h"
#include "json_private.h"

/*
 * What str.isprintable() denies beyond ASCII: controls, spaces, format characters, surrogates,
 * private use. Code points that no Unicode version has assigned are shown as they are.
 */
static bool is_printable(uint32_t cp)
{
	static const struct {
		uint32_t first, last;
	} denied[] = {
		{0x7f, 0xa0},	     {0xad, 0xad},	 {0x600, 0x605},     {0x61c, 0x61c},
		{0x6dd, 0x6dd},	     {0x70f, 0x70f},	 {0x890, 0x891},     {0x8e2, 0x8e2},
		{0x1680, 0x1680},    {0x180e, 0x180e},	 {0x2000, 0x200f},   {0x2028, 0x202f},
		{0x205f, 0x206f},    {0x3000, 0x3000},	 {0xd800, 0xf8ff},   {0xfeff, 0xfeff},
		{0xfff0, 0xfffb},    {0xfffe, 0xffff},	 {0x110bd, 0x110bd}, {0x110cd, 0x110cd},
		{0x13430, 0x1343f},  {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe00ff},
		{0xe01f0, 0x10ffff},
	};
	for (size_t i = 0; i < ARRAY_LEN(denied) && cp >= denied[i].first; i++) {
		if (cp <= denied[i].last)
			return false;
	}
	return true;
}

static void append_char(struct buf *out, uint32_t cp, char quote)
{
	if (cp == (unsigned char)quote || cp == '\\') {
		buf_append_char(out, '\\');
		buf_append_char(out, (char)cp);
	} else if (cp == '\n' || cp == '\r' || cp == '\t') {
		buf_append_str(out, cp == '\n' ? "\\n" : cp == '\r' ? "\\r" : "\\t");
	} else if (cp < ' ' || !is_printable(cp)) {
		if (cp < 0x100)
			buf_appendf(out, "\\x%02x", cp);
		else if (cp < 0x10000)
			buf_appendf(out, "\\u%04x", cp);
		else
			buf_appendf(out, "\\U%08x", cp);
	} else {
		json_append_utf8(out, cp);
	}
}

static void repr_string(const char *s, size_t len, size_t stop, struct buf *out)
{
	char quote = memchr(s, '\'', len) && !memchr(s, '"', len) ? '"' : '\'';
	struct json_chars c;
	uint32_t cp;
	json_chars_init(&c, s, len);
	buf_append_char(out, quote);
	while (out->len <= stop && !out->failed && json_chars_next(&c, &cp))
		append_char(out, cp, quote);
	buf_append_char(out, quote);
}

static void repr_number(const char *token, struct buf *out)
{
	bool negative = token[0] == '-';
	if (token[0] == 'N')
		buf_append_str(out, "nan");
	else if (token[negative] == 'I')
		buf_append_str(out, negative ? "-inf" : "inf");
	else
		buf_append_str(out, token);
}

void json_repr(const json_t *value, size_t limit, struct buf *out)
{
	static const struct json_style style = {"None", "True", "False", repr_string, repr_number};
	/* Wide enough for the token that passes the limit, unless it is a number of many digits. */
	size_t room = (size_t)64 << 10;
	_cleanup_buf_ struct buf text = BUF_INIT(limit < SIZE_MAX - room ? limit + room : limit);
	json_print(value, &style, limit, &text);
	if (text.len <= limit && !text.failed) {
		buf_append(out, text.data, text.len);
		return;
	}
	size_t keep = limit < 3 ? 0 : limit - 3;
	if (keep > text.len)
		keep = text.len;
	while (keep > 0 && ((unsigned char)text.data[keep] & 0xc0) == 0x80)
		keep--;
	buf_append(out, text.data, keep);
	buf_append(out, "...", limit < 3 ? limit : 3);
}
