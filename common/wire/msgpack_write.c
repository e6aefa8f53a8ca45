/*
 * msgpack_write.c: values in MessagePack, with the shortest form of everything, as Python's
 * packb(use_bin_type=True) chooses it.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "content.h"
#include "json.h"
#include "typed.h"

static int write_value(const json_t *value, size_t depth, struct buf *out, struct err *err);

static void put(struct buf *out, unsigned char tag, uint64_t value, unsigned bytes)
{
	char raw[9];

	raw[0] = (char)tag;
	for (unsigned i = 0; i < bytes; i++)
		raw[1 + i] = (char)(value >> (8 * (bytes - 1 - i)));
	buf_append(out, raw, 1 + bytes);
}

/* A length or number in 1, 2, 4 or 8 bytes: the tags of the sizes follow each other. */
static void put_shortest(struct buf *out, unsigned char tag1, uint64_t value)
{
	if (value <= UINT8_MAX)
		put(out, tag1, value, 1);
	else if (value <= UINT16_MAX)
		put(out, tag1 + 1, value, 2);
	else if (value <= UINT32_MAX)
		put(out, tag1 + 2, value, 4);
	else
		put(out, tag1 + 3, value, 8);
}

static void put_count(struct buf *out, unsigned char fix, unsigned char tag2, size_t count)
{
	if (count < 16)
		put(out, (unsigned char)(fix | count), 0, 0);
	else if (count <= UINT16_MAX)
		put(out, tag2, count, 2);
	else
		put(out, tag2 + 1, count, 4);
}

static void write_int(int64_t value, struct buf *out)
{
	uint64_t bits = (uint64_t)value;

	if (value >= -32 && value < 128)
		put(out, (unsigned char)bits, 0, 0);
	else if (value >= 0)
		put_shortest(out, 0xcc, bits);
	else if (value >= INT8_MIN)
		put(out, 0xd0, bits, 1);
	else if (value >= INT16_MIN)
		put(out, 0xd1, bits, 2);
	else if (value >= INT32_MIN)
		put(out, 0xd2, bits, 4);
	else
		put(out, 0xd3, bits, 8);
}

static void write_real(double value, struct buf *out)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	put(out, 0xcb, bits, 8);
}

/* NaN, the infinities, and integers that fit the unsigned form only. */
static int write_python_number(const char *token, struct buf *out, struct err *err)
{
	unsigned long long value;
	char *end;

	if (token[0] == 'N')
		write_real(NAN, out);
	else if (strstr(token, "Inf") != NULL)
		write_real(token[0] == '-' ? -INFINITY : INFINITY, out);
	else {
		errno = 0;
		value = strtoull(token, &end, 10);
		if (errno != 0 || token[0] == '-' || *end != '\0')
			return err_set(err, ERR_UNSUPPORTED,
				       "MessagePack has no integers beyond 64 bit");
		put(out, 0xcf, value, 8);
	}
	return 0;
}

static int write_text(const json_t *string, struct buf *out, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_BODY_BYTES);
	int rc;

	if (json_has_surrogate(string))
		return err_set(err, ERR_UNSUPPORTED,
			       "MessagePack has no lone surrogates: surrogates not allowed");
	json_text_append(string, &text);
	rc = buf_status(&text, err);
	if (rc < 0)
		return rc;
	if (text.len < 32)
		put(out, (unsigned char)(0xa0 | text.len), 0, 0);
	else
		put_shortest(out, 0xd9, text.len);
	buf_append(out, text.data, text.len);
	return 0;
}

static int write_bytes(const json_t *value, struct buf *out, struct err *err)
{
	_cleanup_buf_ struct buf bytes = BUF_INIT(BOUND_BODY_BYTES);
	int rc = typed_read_bytes(value, &bytes, err);

	if (rc < 0)
		return rc;
	put_shortest(out, 0xc4, bytes.len);
	buf_append(out, bytes.data, bytes.len);
	return 0;
}

static int write_object(json_t *object, size_t depth, struct buf *out, struct err *err)
{
	const char *key;
	size_t key_len;
	json_t *member;
	int rc;

	put_count(out, 0x80, 0xde, json_object_size(object));
	json_object_keylen_foreach(object, key, key_len, member)
	{
		_cleanup_json_ json_t *name = json_stringn_nocheck(key, key_len);

		rc = write_text(name, out, err);
		if (rc < 0)
			return rc;
		rc = write_value(member, depth + 1, out, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int write_array(const json_t *array, size_t depth, struct buf *out, struct err *err)
{
	int rc;

	put_count(out, 0x90, 0xdc, json_array_size(array));
	for (size_t i = 0; i < json_array_size(array); i++) {
		rc = write_value(json_array_get(array, i), depth + 1, out, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int write_value(const json_t *value, size_t depth, struct buf *out, struct err *err)
{
	enum typed_kind kind = typed_whole_kind(value);

	if (depth > BOUND_JSON_DEPTH)
		return err_set(err, ERR_TOOBIG, "nested more than %d deep", BOUND_JSON_DEPTH);
	if (kind == TYPED_BYTES || kind == TYPED_BASE64)
		return write_bytes(value, out, err);
	if (json_is_object(value))
		return write_object((json_t *)(uintptr_t)value, depth, out, err);
	if (json_is_array(value))
		return write_array(value, depth, out, err);
	if (json_is_python_number(value))
		return write_python_number(json_python_number(value), out, err);
	if (json_is_string(value))
		return write_text(value, out, err);
	if (json_is_integer(value))
		write_int(json_integer_value(value), out);
	else if (json_is_real(value))
		write_real(json_real_value(value), out);
	else
		put(out, json_is_true(value) ? 0xc3 : json_is_false(value) ? 0xc2 : 0xc0, 0, 0);
	return 0;
}

int msgpack_write(const json_t *value, struct buf *out, struct err *err)
{
	int rc = write_value(value, 1, out, err);

	return rc < 0 ? rc : buf_status(out, err);
}
