/*
 * pickle_scalars.c: opcodes of pickles for what holds no other values: None, truth, numbers, texts.
 */
#include "pickle_machine.h"

#include <string.h>

#include "json.h"

int pickle_op_none(struct pickle_reader *r, unused_arg size_t size)
{
	return pickle_push(r, json_null(), 0);
}

int pickle_op_true(struct pickle_reader *r, unused_arg size_t size)
{
	return pickle_push(r, json_true(), 0);
}

int pickle_op_false(struct pickle_reader *r, unused_arg size_t size)
{
	return pickle_push(r, json_false(), 0);
}

int pickle_op_int(struct pickle_reader *r, size_t size)
{
	uint64_t value;

	if (!pickle_number(r, size, &value))
		return pickle_damaged(r);
	return pickle_push(
		r, json_integer(size == 4 ? (int32_t)(uint32_t)value : (json_int_t)value), 0);
}

/* What it takes to write an integer of so many bytes in digits: by its words, each of which is
 * divided for each digit. */
static size_t digits_take(size_t bytes)
{
	size_t most = JSON_DIGITS_MAX / 2; /* more is refused, or padded */

	bytes = bytes < most ? bytes : most;
	return bytes * bytes / sizeof(uint64_t) / 8;
}

int pickle_op_long(struct pickle_reader *r, size_t size)
{
	uint64_t len;
	const unsigned char *p = pickle_number(r, size, &len) ? pickle_bytes(r, len) : NULL;
	json_t *value;
	int rc = p != NULL ? pickle_work(r, digits_take(len)) : pickle_damaged(r);

	if (rc == 0)
		rc = json_make_integer(p, len, &value, r->err);
	return rc < 0 ? rc : pickle_push(r, value, 0);
}

/* A line of digits, which may end in "L". */
int pickle_op_long_digits(struct pickle_reader *r, unused_arg size_t size)
{
	char token[JSON_DIGITS_MAX + sizeof("-")];
	struct slice line;
	json_t *value;
	int rc;

	if (!pickle_line(r, &line))
		return pickle_damaged(r);
	if (line.len > 0 && line.data[line.len - 1] == 'L')
		line.len--;
	rc = json_check_digits(line.data, line.len, r->err);
	if (rc < 0)
		return rc;
	memcpy(token, line.data, line.len);
	token[line.len] = '\0';
	if (strspn(token, "-0123456789") != line.len)
		return pickle_damaged(r);
	rc = json_make_number(token, &value, r->err);
	return rc < 0 ? rc : pickle_push(r, value, 0);
}

int pickle_op_float(struct pickle_reader *r, size_t size)
{
	const unsigned char *p = pickle_bytes(r, size);
	uint64_t bits = 0;
	json_t *value;
	double real;
	int rc = 0;

	for (size_t i = 0; p != NULL && i < size; i++)
		bits = bits << 8 | p[i];
	memcpy(&real, &bits, sizeof(real));
	if (p == NULL)
		return pickle_damaged(r);
	if (__builtin_isfinite(real))
		value = json_real(real);
	else
		rc = json_make_number(__builtin_isnan(real) ? "NaN"
				      : real < 0	    ? "-Infinity"
							    : "Infinity",
				      &value, r->err);
	return rc < 0 ? rc : pickle_push(r, value, 0);
}

int pickle_op_text(struct pickle_reader *r, size_t size)
{
	uint64_t len;
	const unsigned char *p = pickle_number(r, size, &len) ? pickle_bytes(r, len) : NULL;

	if (p == NULL)
		return pickle_damaged(r);
	return pickle_push(r, json_text((const char *)p, len, false), 0);
}
