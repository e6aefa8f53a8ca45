/*
 * json_private.h: how what jansson cannot hold is kept in a json_t. Private to base/.
 *
 * A marked string starts with U+0001 and a letter:
 *   U+0001 n token    a number: NaN, Infinity, -Infinity or an integer beyond 64 bit
 *   U+0001 s text     a string, in which U+0001 starts an escape: doubled for itself, 'u' and four
 * hexadecimal digits for a lone surrogate, '0' for NUL (in keys; values hold NULs as they are) A
 * genuine string that starts with U+0001 is always written in the second form, so the mapping has
 * an inverse; all other strings are what they are.
 */
#ifndef CELERIAC_BASE_JSON_PRIVATE_H
#define CELERIAC_BASE_JSON_PRIVATE_H

#include <string.h>

#include "json.h"

#define MARK	       '\x01'
#define MARK_NUMBER    'n'
#define MARK_STRING    's'
#define MARK_SURROGATE 'u'
#define MARK_NUL       '0'

/* Are all eight bytes characters that a string has as they are: ASCII, no quote, no backslash, no
 * control character? */
static inline bool json_are_plain(const char *p)
{
	const uint64_t each = 0x0101010101010101u;
	uint64_t x, quote, escape, del;

	memcpy(&x, p, sizeof(x));
	quote = x ^ each * '"';
	escape = x ^ each * '\\';
	del = x ^ each * 0x7f;
	return ((x | (x - each * ' ') | (quote - each) | (escape - each) | (del - each)) &
		each * 0x80) == 0;
}

/* ---- json_read.c ---- */
/* What `text` says, if it is ordinary JSON, and whether `key` is among the keys of its objects;
 * NULL says nothing about it. */
json_t *json_read_ordinary(const char *text, size_t len, const char *key, bool *ret_found);

/* ---- json_python.c: text to text ---- */
struct json_scan {
	bool constants;	 /* NaN and Infinity are allowed */
	bool rewritten;	 /* then `out` is to be parsed, else the text itself */
	struct buf out;	 /* the caller's to release */
	size_t want_out; /* if not 0: fill `found_text` with the place in the text of this byte of
			    `out` */
	size_t found_text;
};
/* Checks the nesting and replaces what jansson refuses. Leaves wrong JSON to jansson. ERR_TOOBIG,
 * ERR_INVALID. */
int json_scan(struct json_scan *s, const char *text, size_t len, struct err *err) must_check;

/* ---- json_mark.c ---- */
/* The token of a marked number, NULL for any other string. */
const char *json_mark_token(const char *s, size_t len);

/* The characters of a string that may be marked, one by one. */
struct json_chars {
	const char *p;
	const char *end;
	bool marked;
};
void json_chars_init(struct json_chars *c, const char *s, size_t len);
/* False at the end. Lone surrogates come as they are, invalid bytes as U+FFFD. */
bool json_chars_next(struct json_chars *c, uint32_t *ret);
/* Appends `cp` as UTF-8; surrogates as U+FFFD. */
void json_append_utf8(struct buf *out, uint32_t cp);

/* ---- json_number.c ---- */
#define JSON_REAL_SIZE 40
/* Python's repr of a float: the shortest digits that read back as the same value. Returns the
 * length. */
size_t json_real_repr(double value, char out[JSON_REAL_SIZE]);
/* Is it -?(0|[1-9][0-9]*)? */
bool json_is_integer_token(const char *s, size_t len);
/* Is such a token beyond 64 bit? */
bool json_is_big_integer(const char *s, size_t len);

/* ---- json_print.c ---- */
struct json_style {
	const char *null_text, *true_text, *false_text;
	/* Stops early once out->len is beyond `stop`. */
	void (*string)(const char *s, size_t len, size_t stop, struct buf *out);
	void (*number)(const char *token, struct buf *out); /* a marked one */
};
void json_print(const json_t *value, const struct json_style *style, size_t stop, struct buf *out);

#endif
