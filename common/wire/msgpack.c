/*
 * msgpack.c: bodies in MessagePack (github.com/msgpack/msgpack, spec.md), as Python's
 * unpackb(raw=False) reads them: text is UTF-8, keys are text, bytes become kombu's typed value.
 *
 * Own code, because Debian's library stops at a nesting of 32 and allocates what a header
 * announces. This reader allocates what is there, on a stack of its own.
 */
#include <math.h>
#include <string.h>

#include "bounds.h"
#include "codec.h"
#include "content.h"
#include "json.h"
#include "mem.h"
#include "typed.h"

struct level {
	json_t *value;	  /* array or object */
	uint32_t left;	  /* elements, or members, still to come */
	struct slice key; /* of an object: read, its value not yet; data NULL: none */
};

struct reader {
	const unsigned char *p, *end;
	struct level *levels;
	size_t depth;
	size_t values; /* read so far: one byte becomes hundreds of memory */
	json_t *result;
};

static int too_short(struct err *err)
{
	return err_set(err, ERR_INVALID, "MessagePack: the data ends too early");
}

/* `bytes` bytes, most significant first. */
static int number(struct reader *r, size_t bytes, uint64_t *ret, struct err *err)
{
	uint64_t value = 0;

	if ((size_t)(r->end - r->p) < bytes)
		return too_short(err);
	while (bytes-- > 0)
		value = value << 8 | *r->p++;
	*ret = value;
	return 0;
}

static int place(struct reader *r, json_t *value, struct err *err)
{
	struct level *top = r->depth > 0 ? &r->levels[r->depth - 1] : NULL;
	int failed;

	if (value == NULL)
		return err_set(err, ERR_NOMEM, "no memory for MessagePack");
	if (top == NULL) {
		r->result = value;
		return 0;
	}
	if (json_is_array(top->value)) {
		failed = json_array_append_new(top->value, value);
	} else {
		if (top->key.data == NULL) {
			json_decref(value);
			return err_set(err, ERR_INVALID, "MessagePack: a key that is no text");
		}
		_cleanup_json_ json_t *key = json_text(top->key.data, top->key.len, false);
		failed = json_object_setn_new_nocheck(top->value, json_string_value(key),
						      json_string_length(key), value);
		top->key.data = NULL;
	}
	top->left--;
	return failed ? err_set(err, ERR_NOMEM, "no memory for MessagePack") : 0;
}

/* Is what comes next a key? */
static bool at_key(const struct reader *r)
{
	const struct level *top = r->depth > 0 ? &r->levels[r->depth - 1] : NULL;

	return top != NULL && json_is_object(top->value) && top->key.data == NULL;
}

static int take_bytes(struct reader *r, uint64_t len, struct slice *ret, struct err *err)
{
	if ((uint64_t)(r->end - r->p) < len)
		return too_short(err);
	*ret = (struct slice){(const char *)r->p, (size_t)len};
	r->p += len;
	return 0;
}

static int text(struct reader *r, uint64_t len, struct err *err)
{
	struct slice s = {0};
	int rc = take_bytes(r, len, &s, err);

	if (rc < 0)
		return rc;
	for (size_t i = 0, n; i < s.len; i += n) {
		n = utf8_valid(s.data + i, s.len - i);
		if (n == 0)
			return err_set(err, ERR_INVALID, "MessagePack: a str that is not UTF-8");
	}
	if (at_key(r)) {
		if (memchr(s.data, '\0', s.len) != NULL)
			return err_set(err, ERR_UNSUPPORTED, "MessagePack: a key with a NUL");
		r->levels[r->depth - 1].key = s;
		return 0;
	}
	return place(r, json_text(s.data, s.len, false), err);
}

static int bytes(struct reader *r, uint64_t len, struct err *err)
{
	struct slice s = {0};
	int rc = take_bytes(r, len, &s, err);

	return rc < 0 ? rc : place(r, typed_bytes(s.data, s.len), err);
}

static int open_level(struct reader *r, bool map, uint64_t count, struct err *err)
{
	/* Every element takes a byte at least. */
	if (count > (uint64_t)(r->end - r->p))
		return too_short(err);
	if (at_key(r))
		return err_set(err, ERR_INVALID, "MessagePack: a key that is no text");
	if (r->depth >= BOUND_JSON_DEPTH)
		return err_set(err, ERR_TOOBIG, "MessagePack: nested more than %d deep",
			       BOUND_JSON_DEPTH);
	r->levels[r->depth++] = (struct level){.value = map ? json_object() : json_array(),
					       .left = (uint32_t)count};
	return 0;
}

static int real(struct reader *r, double value, struct err *err)
{
	const char *name = isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
	json_t *made = NULL;

	if (isfinite(value))
		return place(r, json_real(value), err);
	return json_make_number(name, &made, err) < 0 ? -err->code : place(r, made, err);
}

static int unsigned_int(struct reader *r, uint64_t value, struct err *err)
{
	_cleanup_free_ char *token = NULL;
	json_t *made = NULL;

	if (value <= INT64_MAX)
		return place(r, json_integer((json_int_t)value), err);
	token = xasprintf("%" PRIu64, value);
	return json_make_number(token, &made, err) < 0 ? -err->code : place(r, made, err);
}

/* 0xca to 0xd3: floats and integers. */
static int sized_number(struct reader *r, unsigned char tag, struct err *err)
{
	static const unsigned char sizes[] = {4, 8, 1, 2, 4, 8, 1, 2, 4, 8};
	size_t size = sizes[tag - 0xca];
	uint64_t bits = 0;
	uint32_t half;
	float single;
	double value;
	int rc = number(r, size, &bits, err);

	if (rc < 0)
		return rc;
	if (tag == 0xca) {
		half = (uint32_t)bits;
		memcpy(&single, &half, sizeof(single));
		return real(r, (double)single, err);
	}
	if (tag == 0xcb) {
		memcpy(&value, &bits, sizeof(value));
		return real(r, value, err);
	}
	if (tag <= 0xcf)
		return unsigned_int(r, bits, err);
	/* Sign-extended. */
	if (size < 8 && (bits >> (size * 8 - 1)) != 0)
		bits |= ~UINT64_C(0) << (size * 8);
	return place(r, json_integer((json_int_t)bits), err);
}

/* 0xc4 to 0xc6 bytes, 0xd9 to 0xdb text, 0xdc to 0xdf lists and maps: a length first. */
static int sized_value(struct reader *r, unsigned char tag, struct err *err)
{
	size_t size = tag >= 0xdc   ? (tag & 1 ? 4 : 2)
		      : tag >= 0xd9 ? (size_t)1 << (tag - 0xd9)
				    : (size_t)1 << (tag - 0xc4);
	uint64_t len = 0;
	int rc = number(r, size, &len, err);

	if (rc < 0)
		return rc;
	if (tag >= 0xdc)
		return open_level(r, tag >= 0xde, len, err);
	return tag >= 0xd9 ? text(r, len, err) : bytes(r, len, err);
}

static int read_one(struct reader *r, struct err *err)
{
	unsigned char tag;

	if (r->p == r->end)
		return too_short(err);
	if (++r->values > BOUND_JSON_VALUES)
		return err_set(err, ERR_TOOBIG, "MessagePack of more than %u values",
			       BOUND_JSON_VALUES);
	tag = *r->p++;
	if (tag < 0x80 || tag >= 0xe0)
		return place(r, json_integer((signed char)tag), err);
	if (tag < 0xa0)
		return open_level(r, tag < 0x90, tag & 15, err);
	if (tag < 0xc0)
		return text(r, tag & 31, err);
	if (tag == 0xc0)
		return place(r, json_null(), err);
	if (tag == 0xc2 || tag == 0xc3)
		return place(r, json_boolean(tag == 0xc3), err);
	if (tag >= 0xca && tag <= 0xd3)
		return sized_number(r, tag, err);
	if ((tag >= 0xc4 && tag <= 0xc6) || tag >= 0xd9)
		return sized_value(r, tag, err);
	return err_set(err, ERR_INVALID, "MessagePack: an extension type or unknown tag 0x%02x",
		       tag);
}

static int read_all(struct reader *r, struct err *err)
{
	int rc;

	do {
		rc = read_one(r, err);
		while (rc == 0 && r->depth > 0 && r->levels[r->depth - 1].left == 0) {
			json_t *done = TAKE(r->levels[r->depth - 1].value);

			r->depth--;
			rc = place(r, done, err);
		}
	} while (rc == 0 && r->depth > 0);
	if (rc == 0 && r->p < r->end)
		rc = err_set(err, ERR_INVALID, "MessagePack: extra data after the value");
	return rc;
}

int msgpack_read(const char *data, size_t len, json_t **ret, struct err *err)
{
	const unsigned char *from = (const unsigned char *)data;
	struct reader r = {.p = from, .end = from + len};
	int rc;

	r.levels = xcalloc(BOUND_JSON_DEPTH, sizeof(*r.levels));
	rc = read_all(&r, err);
	if (rc == 0)
		*ret = TAKE(r.result);
	while (r.depth > 0)
		json_decref(r.levels[--r.depth].value);
	cleanup_free_p(&r.levels);
	json_decref(r.result);
	return rc;
}
