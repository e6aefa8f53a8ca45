/*
 * json_read.c: ordinary JSON, which nearly all messages are, in one pass and without looking at any
 * byte twice. Whatever is out of the ordinary, wrong JSON above all, is left to json_scan and
 * jansson, which say what it is; so nothing here has an error of its own.
 *
 * Ordinary: integers of up to 18 digits, no reals; keys without escapes; strings without pairs of
 * surrogates, NULs and other control characters; nested no deeper than DEPTH.
 */
#include <string.h>

#include "bounds.h"
#include "codec.h"
#include "json_private.h"
#include "mem.h"
#include "text.h"

#define DEPTH	    32
#define MOST_DIGITS 18 /* that surely fit 64 bits */

struct read {
	const char *p, *end;
	size_t values;	     /* as json_scan counts them */
	struct slice noted;  /* a key */
	bool found;	     /* it is one */
	struct buf unquoted; /* of the last string with escapes */
};

static json_t *read_value(struct read *r, int depth);

static void skip_space(struct read *r)
{
	while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\t' || *r->p == '\r'))
		r->p++;
}

/* Passes `c` and the space before it. */
static bool passes(struct read *r, char c)
{
	skip_space(r);
	if (r->p == r->end || *r->p != c)
		return false;
	r->p++;
	return true;
}

/* Up to the next quote or backslash; false when there is something else that is not ordinary. */
static bool skip_plain(struct read *r)
{
	for (;;) {
		size_t n;

		while (r->end - r->p >= 8 && json_are_plain(r->p))
			r->p += 8;
		if (r->p == r->end)
			return false;
		if (*r->p == '"' || *r->p == '\\')
			return true;
		n = utf8_valid(r->p, (size_t)(r->end - r->p));
		if (n == 0 || (unsigned char)*r->p < 0x20)
			return false;
		r->p += n;
	}
}

static bool read_unicode(struct read *r)
{
	uint32_t cp = 0;

	if (r->end - r->p < 4)
		return false;
	for (int i = 0; i < 4; i++) {
		int d = text_hex(*r->p++);

		if (d < 0)
			return false;
		cp = cp << 4 | (uint32_t)d;
	}
	if (cp < 0x20 || (cp >= 0xd800 && cp <= 0xdfff))
		return false;
	json_append_utf8(&r->unquoted, cp);
	return true;
}

/* Behind the backslash. */
static bool read_escape(struct read *r)
{
	static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
	const char *found;

	if (r->p == r->end || *r->p == '\0')
		return false;
	if (*r->p == 'u') {
		r->p++;
		return read_unicode(r);
	}
	found = strchr(names, *r->p++);
	if (found == NULL)
		return false;
	buf_append_char(&r->unquoted, values[found - names]);
	return true;
}

/* Behind the opening quote; what is there without any escape, or up to the first. */
static bool read_plain(struct read *r, struct slice *ret)
{
	ret->data = r->p;
	if (!skip_plain(r))
		return false;
	ret->len = (size_t)(r->p - ret->data);
	return true;
}

static json_t *read_string(struct read *r)
{
	struct slice part;

	if (!read_plain(r, &part))
		return NULL;
	if (*r->p == '"') {
		r->p++;
		return json_stringn_nocheck(part.data, part.len);
	}
	buf_reset(&r->unquoted);
	for (;;) {
		buf_append(&r->unquoted, part.data, part.len);
		if (*r->p++ == '"')
			break;
		if (!read_escape(r) || !read_plain(r, &part))
			return NULL;
	}
	if (r->unquoted.failed)
		return NULL;
	return json_stringn_nocheck(r->unquoted.data, r->unquoted.len);
}

static json_t *read_number(struct read *r)
{
	bool negative = *r->p == '-';
	const char *first = r->p + negative;
	json_int_t value = 0;

	for (r->p = first; r->p < r->end && *r->p >= '0' && *r->p <= '9'; r->p++) {
		if (r->p - first == MOST_DIGITS)
			return NULL;
		value = value * 10 + (*r->p - '0');
	}
	if (r->p == first || (*first == '0' && r->p - first > 1))
		return NULL;
	if (r->p < r->end && (*r->p == '.' || *r->p == 'e' || *r->p == 'E'))
		return NULL;
	return json_integer(negative ? -value : value);
}

static bool passes_word(struct read *r, const char *word, size_t len)
{
	if ((size_t)(r->end - r->p) < len || memcmp(r->p, word, len) != 0)
		return false;
	r->p += len;
	return true;
}

static bool read_member(struct read *r, json_t *object, int depth)
{
	struct slice key;
	json_t *value;

	if (!passes(r, '"') || !read_plain(r, &key) || *r->p++ != '"' || !passes(r, ':'))
		return false;
	r->found |= key.len == r->noted.len && memcmp(key.data, r->noted.data, key.len) == 0;
	value = read_value(r, depth);
	return value != NULL && json_object_setn_new_nocheck(object, key.data, key.len, value) == 0;
}

static bool read_item(struct read *r, json_t *array, int depth)
{
	json_t *value = read_value(r, depth);

	return value != NULL && json_array_append_new(array, value) == 0;
}

/* Behind its opening bracket, with what reads one of its elements. */
static json_t *read_container(struct read *r, json_t *made, char close, int depth,
			      bool (*read_element)(struct read *, json_t *, int))
{
	_cleanup_json_ json_t *value = made;

	r->values++;
	if (value == NULL || depth == DEPTH)
		return NULL;
	if (passes(r, close))
		return TAKE(value);
	for (;;) {
		if (!read_element(r, value, depth + 1))
			return NULL;
		if (passes(r, close))
			return TAKE(value);
		if (!passes(r, ',') || ++r->values > BOUND_JSON_VALUES)
			return NULL;
	}
}

static json_t *read_value(struct read *r, int depth)
{
	skip_space(r);
	if (r->p == r->end)
		return NULL;
	switch (*r->p) {
	case '"':
		r->p++;
		return read_string(r);
	case '{':
		r->p++;
		return read_container(r, json_object(), '}', depth, read_member);
	case '[':
		r->p++;
		return read_container(r, json_array(), ']', depth, read_item);
	case 't':
		return passes_word(r, "true", 4) ? json_true() : NULL;
	case 'f':
		return passes_word(r, "false", 5) ? json_false() : NULL;
	case 'n':
		return passes_word(r, "null", 4) ? json_null() : NULL;
	default:
		return read_number(r);
	}
}

json_t *json_read_ordinary(const char *text, size_t len, const char *key, bool *ret_found)
{
	struct read r = {.p = text,
			 .end = text + len,
			 .noted = {key, strlen(key)},
			 .unquoted = BUF_INIT(len)};
	_cleanup_json_ json_t *value = read_value(&r, 0);

	buf_done(&r.unquoted);
	skip_space(&r);
	*ret_found = r.found;
	return r.p == r.end && r.values <= BOUND_JSON_VALUES ? TAKE(value) : NULL;
}
