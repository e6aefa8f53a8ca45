/*
 * amqp_table_write.c: header tables from JSON. Pure. Written here, for a tree of the library's
 * would only be built to be read.
 */
#include <stdlib.h>
#include <string.h>

#include "amqp_wire.h"
#include "bounds.h"
#include "clock.h"
#include "json.h"
#include "mem.h"
#include "typed.h"

static int write_value(const json_t *value, int depth, struct buf *out, struct err *err);

static void put_32(struct buf *out, uint32_t n)
{
	const unsigned char b[] = {(unsigned char)(n >> 24), (unsigned char)(n >> 16),
				   (unsigned char)(n >> 8), (unsigned char)n};

	buf_append(out, b, sizeof(b));
}

static void put_64(struct buf *out, uint64_t n)
{
	put_32(out, (uint32_t)(n >> 32));
	put_32(out, (uint32_t)n);
}

/* The length that was left open at `at`. */
static void fill_length(struct buf *out, size_t at)
{
	uint32_t n = (uint32_t)(out->len - at - 4);
	const unsigned char b[] = {(unsigned char)(n >> 24), (unsigned char)(n >> 16),
				   (unsigned char)(n >> 8), (unsigned char)n};

	if (!out->failed)
		memcpy(out->data + at, b, sizeof(b));
}

static int write_members(const json_t *object, int depth, struct buf *out, struct err *err)
{
	const char *key;
	json_t *value;
	size_t at = out->len;
	int rc = 0;

	if (depth == BOUND_AMQP_DEPTH)
		return err_set(err, ERR_TOOBIG, "headers are nested deeper than %d",
			       BOUND_AMQP_DEPTH);
	put_32(out, 0);
	/* json_object_foreach wants what it does not change to be changeable */
	void *iter = json_object_iter((json_t *)(uintptr_t)object);
	for (; iter && rc == 0; iter = json_object_iter_next((json_t *)(uintptr_t)object, iter)) {
		size_t len;

		key = json_object_iter_key(iter);
		value = json_object_iter_value(iter);
		len = strlen(key);
		if (len > 255)
			return err_set(err, ERR_TOOBIG,
				       "the name of a header has more than 255 bytes: %.40s…", key);
		buf_append_char(out, (char)len);
		buf_append(out, key, len);
		rc = write_value(value, depth + 1, out, err);
		if (rc < 0)
			return err_wrap(err, "header %.40s", key);
	}
	fill_length(out, at);
	return rc;
}

static int write_items(const json_t *array, int depth, struct buf *out, struct err *err)
{
	size_t at = out->len;
	int rc = 0;

	if (depth == BOUND_AMQP_DEPTH)
		return err_set(err, ERR_TOOBIG, "headers are nested deeper than %d",
			       BOUND_AMQP_DEPTH);
	put_32(out, 0);
	for (size_t i = 0; rc == 0 && i < json_array_size(array); i++)
		rc = write_value(json_array_get(array, i), depth + 1, out, err);
	fill_length(out, at);
	return rc;
}

static void write_text(struct buf *out, const char *data, size_t len)
{
	buf_append_char(out, 'S');
	put_32(out, (uint32_t)len);
	buf_append(out, data, len);
}

static void write_integer(struct buf *out, json_int_t n)
{
	bool small = n >= -2147483647 && n <= 2147483647;

	buf_append_char(out, small ? 'I' : 'L');
	if (small)
		put_32(out, (uint32_t)n);
	else
		put_64(out, (uint64_t)n);
}

static void write_real(struct buf *out, double d)
{
	uint64_t bits;

	memcpy(&bits, &d, sizeof(bits));
	buf_append_char(out, 'd');
	put_64(out, bits);
}

static int write_number(const char *token, struct buf *out, struct err *err)
{
	if (strpbrk(token, "NI") == NULL)
		return err_set(err, ERR_INVALID, "an integer of more than 64 bits");
	write_real(out, strtod(token, NULL));
	return 0;
}

/* "-12.340" is -12340 / 10^3; what does not fit stays text. */
static void write_decimal(const char *text, struct buf *out)
{
	const char *p = text + (*text == '-' || *text == '+');
	uint64_t n = 0;
	unsigned decimals = 0;
	bool point = false, fits = *p != '\0';

	for (; fits && *p != '\0'; p++) {
		if (*p == '.' && !point) {
			point = true;
			continue;
		}
		fits = *p >= '0' && *p <= '9' && n <= INT32_MAX && decimals < 255;
		n = n * 10 + (uint64_t)(*p - '0');
		decimals += point;
	}
	if (!fits || n > INT32_MAX) {
		write_text(out, text, strlen(text));
		return;
	}
	buf_append_char(out, 'D');
	buf_append_char(out, (char)decimals);
	put_32(out, (uint32_t)(*text == '-' ? -(int64_t)n : (int64_t)n));
}

static int write_typed(const json_t *value, enum typed_kind kind, struct buf *out, struct err *err)
{
	_cleanup_buf_ struct buf bytes = BUF_INIT(BOUND_AMQP_FRAME);
	usec_t wall;
	int rc;

	if (kind == TYPED_DATETIME && typed_read_time(value, &wall, err) == 0 && wall >= 0) {
		buf_append_char(out, 'T');
		put_64(out, (uint64_t)(wall / USEC_PER_SEC));
		return 0;
	}
	if (kind == TYPED_DECIMAL && typed_text(value)) {
		write_decimal(typed_text(value), out);
		return 0;
	}
	rc = typed_read_bytes(value, &bytes, err);
	if (rc == 0)
		write_text(out, bytes.data, bytes.len);
	return rc;
}

static int write_string(const json_t *value, struct buf *out, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_AMQP_FRAME);
	const char *token = json_python_number(value);

	if (token)
		return write_number(token, out, err);
	json_text_append(value, &text);
	if (text.failed)
		buf_fail(out, text.failed);
	write_text(out, text.data, text.len);
	return 0;
}

static int write_value(const json_t *value, int depth, struct buf *out, struct err *err)
{
	enum typed_kind kind;

	switch (json_typeof(value)) {
	case JSON_OBJECT:
		kind = typed_kind(value);
		if (kind == TYPED_DATETIME || kind == TYPED_DECIMAL || kind == TYPED_BYTES ||
		    kind == TYPED_BASE64)
			return write_typed(value, kind, out, err);
		buf_append_char(out, 'F');
		return write_members(value, depth, out, err);
	case JSON_ARRAY:
		buf_append_char(out, 'A');
		return write_items(value, depth, out, err);
	case JSON_STRING:
		return write_string(value, out, err);
	case JSON_INTEGER:
		write_integer(out, json_integer_value(value));
		return 0;
	case JSON_REAL:
		write_real(out, json_real_value(value));
		return 0;
	case JSON_TRUE:
	case JSON_FALSE:
		buf_append_char(out, 't');
		buf_append_char(out, json_is_true(value) ? 1 : 0);
		return 0;
	case JSON_NULL:
		break;
	}
	buf_append_char(out, 'V');
	return 0;
}

int amqp_json_to_table(const json_t *object, struct buf *out, struct err *err)
{
	int rc = write_members(object, 0, out, err);

	if (rc == 0)
		rc = buf_status(out, err);
	return rc;
}
