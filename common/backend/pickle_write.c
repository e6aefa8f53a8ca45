/*
 * pickle_write.c: JSON values as a pickle of protocol 3 (Lib/pickletools.py). Nothing is kept in
 * its memo, so equal strings are written again.
 */
#include <stdint.h>
#include <string.h>

#include "json.h"
#include "mem.h"
#include "pickle.h"
#include "pickle_types.h"

/* `count` bytes, the lowest first. */
static void append_little(struct buf *out, uint64_t value, size_t count)
{
	for (size_t i = 0; i < count; i++)
		buf_append_char(out, (char)(value >> (8 * i)));
}

static void write_integer(int64_t value, struct buf *out)
{
	bool small = value >= INT32_MIN && value <= INT32_MAX;

	buf_append_str(out, small ? "J" : "\x8a\x08"); /* BININT, LONG1 */
	append_little(out, (uint64_t)value, small ? 4 : 8);
}

static void write_real(double value, struct buf *out)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	buf_append_char(out, 'G'); /* BINFLOAT, the highest byte first */
	for (int i = 7; i >= 0; i--)
		buf_append_char(out, (char)(bits >> (8 * i)));
}

/* NaN, an infinity, or an integer of any size. */
static void write_token(const char *token, struct buf *out)
{
	if (strcmp(token, "NaN") == 0)
		write_real(__builtin_nan(""), out);
	else if (strstr(token, "Infinity") != NULL)
		write_real(token[0] == '-' ? -__builtin_inf() : __builtin_inf(), out);
	else
		buf_appendf(out, "L%sL\n", token); /* LONG, in digits */
}

static void write_text(const json_t *value, struct buf *out)
{
	_cleanup_buf_ struct buf text = BUF_INIT(out->limit);

	json_text_append(value, &text);
	if (text.failed)
		buf_fail(out, text.failed);
	if (json_has_surrogate(value))
		buf_fail(out, ERR_UNSUPPORTED);
	if (out->failed)
		return;
	buf_append_char(out, 'X'); /* BINUNICODE */
	append_little(out, text.len, 4);
	buf_append(out, text.data, text.len);
}

static void write_value(const json_t *value, struct buf *out);

static void write_object(const json_t *value, struct buf *out)
{
	json_t *object = (json_t *)(uintptr_t)value, *member;
	const char *key;

	buf_append_str(out, "}("); /* EMPTY_DICT MARK … SETITEMS */
	json_object_foreach(object, key, member)
	{
		_cleanup_json_ json_t *name = json_string_nocheck(key);

		write_text(name, out);
		write_value(member, out);
	}
	buf_append_char(out, 'u');
}

static void write_value(const json_t *value, struct buf *out)
{
	const char *token = json_python_number(value);

	switch (json_typeof(value)) {
	case JSON_NULL:
		buf_append_char(out, 'N');
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		buf_append_char(out, json_is_true(value) ? '\x88' : '\x89');
		break;
	case JSON_INTEGER:
		write_integer(json_integer_value(value), out);
		break;
	case JSON_REAL:
		write_real(json_real_value(value), out);
		break;
	case JSON_STRING:
		if (token != NULL)
			write_token(token, out);
		else
			write_text(value, out);
		break;
	case JSON_ARRAY:
		buf_append_str(out, "]("); /* EMPTY_LIST MARK … APPENDS */
		for (size_t i = 0; i < json_array_size(value); i++)
			write_value(json_array_get(value, i), out);
		buf_append_char(out, 'e');
		break;
	case JSON_OBJECT:
		if (!pickle_write_typed(value, out))
			write_object(value, out);
		break;
	}
}

int pickle_write(const json_t *value, struct buf *out, struct err *err)
{
	buf_append_str(out, "\x80\x03");
	write_value(value, out);
	buf_append_char(out, '.');
	if (out->failed == ERR_UNSUPPORTED)
		return err_set(err, ERR_UNSUPPORTED, "a text with characters that UTF-8 has not");
	return buf_status(out, err);
}
