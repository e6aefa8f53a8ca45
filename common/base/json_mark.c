/*
 * json_mark.c: marked strings read back, and numbers kept in them.
 */
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "json_private.h"
#include "mem.h"
#include "text.h"

#define REPLACEMENT 0xfffdu

static bool is_constant(const char *s, size_t len)
{
	static const char *const names[] = {"NaN", "Infinity", "-Infinity"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (len == strlen(names[i]) && memcmp(s, names[i], len) == 0)
			return true;
	}
	return false;
}

/* Only what json_scan and json_make_number write is a number; anything else of this form is text.
 */
const char *json_mark_token(const char *s, size_t len)
{
	if (len < 3 || s[0] != MARK || s[1] != MARK_NUMBER)
		return NULL;
	const char *token = s + 2;
	len -= 2;
	if (is_constant(token, len))
		return token;
	return json_is_integer_token(token, len) && json_is_big_integer(token, len) ? token : NULL;
}

const char *json_python_number(const json_t *value)
{
	if (!json_is_string(value))
		return NULL;
	return json_mark_token(json_string_value(value), json_string_length(value));
}

bool json_is_python_number(const json_t *value)
{
	return json_python_number(value) != NULL;
}

int json_make_number(const char *token, json_t **ret, struct err *err)
{
	size_t len = strlen(token);
	bool integer = json_is_integer_token(token, len);
	if (!integer && !is_constant(token, len))
		return err_set(err, ERR_INVALID, "\"%.40s\" is not a number", token);
	json_t *value;
	if (integer && !json_is_big_integer(token, len)) {
		value = json_integer(strtoll(token, NULL, 10));
	} else {
		_cleanup_free_ char *text = xasprintf("%c%c%s", MARK, MARK_NUMBER, token);
		value = json_stringn_nocheck(text, len + 2);
	}
	if (!value)
		return err_set(err, ERR_NOMEM, "no memory for a number");
	*ret = value;
	return 0;
}

void json_chars_init(struct json_chars *c, const char *s, size_t len)
{
	c->marked = len >= 2 && s[0] == MARK && s[1] == MARK_STRING;
	c->p = s + (c->marked ? 2 : 0);
	c->end = s + len;
}

/* What follows U+0001 in a marked string; an unknown escape is U+0001 itself. */
static uint32_t unmark(struct json_chars *c)
{
	size_t left = (size_t)(c->end - c->p);
	if (left >= 1 && *c->p == MARK) {
		c->p++;
	} else if (left >= 1 && *c->p == MARK_NUL) {
		c->p++;
		return 0;
	} else if (left >= 5 && *c->p == MARK_SURROGATE) {
		uint32_t cp = 0;
		for (int i = 1; i <= 4; i++) {
			int d = text_hex(c->p[i]);
			if (d < 0)
				return (uint32_t)MARK;
			cp = cp << 4 | (uint32_t)d;
		}
		if (cp < 0xd800 || cp > 0xdfff)
			return (uint32_t)MARK;
		c->p += 5;
		return cp;
	}
	return (uint32_t)MARK;
}

bool json_chars_next(struct json_chars *c, uint32_t *ret)
{
	if (c->p == c->end)
		return false;
	const unsigned char *p = (const unsigned char *)c->p;
	size_t n = utf8_valid(c->p, (size_t)(c->end - c->p));
	c->p += n ? n : 1;
	switch (n) {
	case 1:
		*ret = p[0] == MARK && c->marked ? unmark(c) : p[0];
		break;
	case 2:
		*ret = (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
		break;
	case 3:
		*ret = (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
		break;
	case 4:
		*ret = (p[0] & 0x07u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 |
		       (p[3] & 0x3fu);
		break;
	default:
		*ret = REPLACEMENT;
	}
	return true;
}

void json_append_utf8(struct buf *out, uint32_t cp)
{
	char s[4];
	size_t n;
	if (cp >= 0xd800 && cp <= 0xdfff)
		cp = REPLACEMENT;
	if (cp < 0x80) {
		s[0] = (char)cp;
		n = 1;
	} else if (cp < 0x800) {
		s[0] = (char)(0xc0 | cp >> 6);
		s[1] = (char)(0x80 | (cp & 0x3f));
		n = 2;
	} else if (cp < 0x10000) {
		s[0] = (char)(0xe0 | cp >> 12);
		s[1] = (char)(0x80 | (cp >> 6 & 0x3f));
		s[2] = (char)(0x80 | (cp & 0x3f));
		n = 3;
	} else {
		s[0] = (char)(0xf0 | cp >> 18);
		s[1] = (char)(0x80 | (cp >> 12 & 0x3f));
		s[2] = (char)(0x80 | (cp >> 6 & 0x3f));
		s[3] = (char)(0x80 | (cp & 0x3f));
		n = 4;
	}
	buf_append(out, s, n);
}
