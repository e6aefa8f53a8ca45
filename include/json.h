/*
 * json.h: JSON as Python writes and reads it, on top of jansson.
 *
 * jansson knows strict JSON; Celery's messages are what Python's json module makes: NaN and
 * Infinity, integers of any size, lone surrogates, NULs. json_load_python and json_dump_python are
 * each other's inverse for all of that: what jansson cannot hold travels through it as a marked
 * string (json_is_python_number, json_python_number) and comes out again unchanged. A json_t
 * belongs to one thread at a time. All functions [any].
 */
#ifndef CELERIAC_JSON_H
#define CELERIAC_JSON_H

#include <jansson.h>

#include "buf.h"
#include "err.h"

static inline void cleanup_json_p(json_t **j)
{
	json_decref(*j);
}
#define _cleanup_json_ _cleanup_(cleanup_json_p)

/*
 * What the calling thread makes in between is made side by side, which is quicker where many small
 * values come together and go together, as a message does. It keeps the memory of its neighbours:
 * not for what lives long. Never one inside another.
 */
void json_together_begin(void);
void json_together_end(void);

/*
 * Reads one JSON value of any type. Given: the caller decrefs. Duplicate keys: the last wins.
 * Nesting beyond BOUND_JSON_DEPTH and more than BOUND_JSON_VALUES values are ERR_TOOBIG, found
 * before anything is built; anything else wrong is ERR_INVALID with a position.
 */
int json_load_python(const char *text, size_t len, json_t **ret, struct err *err) must_check;
/* Likewise; *ret_found is false only when no object in it has `key`. */
int json_load_python_noting(const char *text, size_t len, const char *key, bool *ret_found,
			    json_t **ret, struct err *err) must_check;

/* JSON of other peers (engine, agent): the same limits and marks, but NaN and Infinity are
 * ERR_INVALID. */
int json_load_strict(const char *text, size_t len, json_t **ret, struct err *err) must_check;

/* Appends `value` as Python's json.dumps would read it back: ASCII only, marks turned into their
 * tokens again. */
void json_dump_python(const json_t *value, struct buf *out);
/* The same of json_text(text, len, false). */
void json_dump_python_text(const char *text, size_t len, struct buf *out);

/*
 * The same for readers that know only the standard (PostgreSQL's jsonb, an MCP server): NULs and
 * lone surrogates become U+FFFD, NaN and ±Infinity strings of their names; integers of any size
 * stay.
 */
void json_dump_strict(const json_t *value, struct buf *out);

/* True for NaN, ±Infinity and integers beyond 64 bit as json_load_python keeps them. */
bool json_is_python_number(const json_t *value);
/* Its token ("NaN", "-123456789012345678901234567890"); borrowed from `value`, NULL for anything
 * else. */
const char *json_python_number(const json_t *value);
/* A value for `token`, which must be NaN, Infinity, -Infinity or a decimal integer: a plain
 * json_integer where it fits. Given. ERR_INVALID. */
int json_make_number(const char *token, json_t **ret, struct err *err) must_check;
/* sys.int_info.default_max_str_digits: Python reads and writes no more, since either takes time by
 * the square of their number. */
#define JSON_DIGITS_MAX 4300
/* ERR_TOOBIG, in Python's words: an integer of `len` characters, the first of which may be its
 * sign, has more digits. */
int json_check_digits(const char *token, size_t len, struct err *err) must_check;
/* The same as json_make_number for the integer whose `size` bytes these are, the lowest first, in
 * two's complement; no bytes are 0. Given. ERR_TOOBIG: it has more than JSON_DIGITS_MAX digits,
 * however many bytes say so; ERR_NOMEM. */
int json_make_integer(const unsigned char *p, size_t size, json_t **ret,
		      struct err *err) must_check;

/* Appends Python's repr of `value` ({'a': None, 'b': True, 'c': nan}), cut at `limit` bytes with
 * "..." */
void json_repr(const json_t *value, size_t limit, struct buf *out);

/* "str", "int", "float", "bool", "list", "dict", "NoneType": Python's name for its type. */
const char *json_type_name(const json_t *value);

/* Member access that does not care for NULL objects: NULL when absent, or when it is JSON null.
 * Borrowed. */
json_t *json_member(const json_t *object, const char *key);
/* A string member, or NULL when absent, null or of another type. Borrowed; may hold NULs
 * (json_string_length). */
const char *json_member_str(const json_t *object, const char *key);

/*
 * A json_string of any bytes: invalid UTF-8 and, with `no_nul`, NULs become U+FFFD. Given. Text
 * that begins with U+0001 is escaped, so that it cannot be taken for a marked value;
 * json_text_append undoes that.
 */
json_t *json_text(const char *data, size_t len, bool no_nul);
/* Appends the characters of a string as UTF-8: what it says where json_string_value would show
 * marks. Lone surrogates become U+FFFD. Nothing for any other type. */
void json_text_append(const json_t *string, struct buf *out);
/* Is there a lone surrogate in it, which UTF-8 cannot say? */
bool json_has_surrogate(const json_t *string);

/* Overwrites every string in `value`, which may be NULL, and gives it up: for secrets. Nobody else
 * may be reading it. */
void json_wipe(json_t *value);
static inline void cleanup_json_wipe_p(json_t **j)
{
	json_wipe(*j);
}
#define _cleanup_json_wipe_ _cleanup_(cleanup_json_wipe_p)

/*
 * Does `value` fit a JSON Schema? The part of it that tools use: type (also as a list), enum,
 * const, properties, required, additionalProperties, items, minimum and maximum (exclusive ones
 * too), minLength, maxLength, minItems, maxItems, anyOf and oneOf (at least one fits), allOf.
 * Anything else, references and patterns among it, asks for nothing. ERR_INVALID names the place in
 * `value`, which is called `where`, and what is wrong with it.
 */
int json_schema_check(const json_t *schema, const json_t *value, const char *where,
		      struct err *err) must_check;

#endif
