/*
 * amqp_table.c: header tables as JSON. Pure; amqp_table_write.c is the way back.
 *
 * What comes is walked through once before rabbitmq-c decodes it: its decoder calls itself for each
 * level, and a frame has room for tens of thousands.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "amqp_wire.h"
#include "bounds.h"
#include "clock.h"
#include "codec.h"
#include "json.h"
#include "mem.h"
#include "typed.h"

/* ---- the walk ---- */

/* Bytes of a value of that kind: what is fixed, or a length of four bytes before it. */
enum { SIZE_UNKNOWN = -1, SIZE_LENGTH = -2, SIZE_NESTED = -3 };
static int kind_size(unsigned char kind)
{
	switch (kind) {
	case 'V':
		return 0;
	case 't':
	case 'b':
	case 'B':
		return 1;
	case 's':
	case 'u':
	case 'U':
		return 2;
	case 'I':
	case 'i':
	case 'f':
		return 4;
	case 'D':
		return 5;
	case 'l':
	case 'L':
	case 'd':
	case 'T':
		return 8;
	case 'S':
	case 'x':
		return SIZE_LENGTH;
	case 'A':
	case 'F':
		return SIZE_NESTED;
	default:
		return SIZE_UNKNOWN;
	}
}

static uint32_t read_32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

struct level {
	size_t end;
	bool table; /* its members have names */
};

/* One member: its name is skipped, and its value unless it has members of its own. */
static int walk_member(const unsigned char *data, const struct level *in, size_t *at,
		       struct level *ret_nested, struct err *err)
{
	size_t p = *at, size;
	int fixed;

	if (in->table) {
		p += 1 + (size_t)data[p];
		if (p >= in->end)
			return err_set(err, ERR_PROTOCOL, "a table ends within a name");
	}
	fixed = kind_size(data[p]);
	if (fixed == SIZE_UNKNOWN)
		return err_set(err, ERR_PROTOCOL, "a table has a value of unknown type 0x%02x",
			       data[p]);
	*ret_nested = (struct level){.table = data[p] == 'F'};
	p++;
	size = fixed >= 0 ? (size_t)fixed : 4;
	if (size > in->end - p)
		return err_set(err, ERR_PROTOCOL, "a table ends within a value");
	if (fixed < 0) {
		uint32_t len = read_32(data + p);

		p += 4;
		if (len > in->end - p)
			return err_set(err, ERR_PROTOCOL, "a table ends within a value");
		size = len;
		if (fixed == SIZE_NESTED) {
			ret_nested->end = p + len;
			size = 0;
		}
		*at = p + size;
		return 0;
	}
	*at = p + size;
	return 0;
}

int amqp_table_walk(const void *bytes, size_t len, size_t *ret_size, struct err *err)
{
	const unsigned char *data = bytes;
	struct level levels[BOUND_AMQP_DEPTH];
	size_t depth = 1, at = 4;

	if (len < 4 || read_32(data) > len - 4)
		return err_set(err, ERR_PROTOCOL, "a table is longer than its frame");
	levels[0] = (struct level){.end = 4 + read_32(data), .table = true};
	while (depth > 0) {
		struct level nested;
		int rc;

		if (at == levels[depth - 1].end) {
			depth--;
			continue;
		}
		rc = walk_member(data, &levels[depth - 1], &at, &nested, err);
		if (rc < 0)
			return rc;
		if (nested.end == 0)
			continue;
		if (depth == BOUND_AMQP_DEPTH)
			return err_set(err, ERR_TOOBIG, "a table is nested deeper than %d",
				       BOUND_AMQP_DEPTH);
		levels[depth++] = nested;
	}
	*ret_size = at;
	return 0;
}

/* ---- from a table ---- */

/* These give NULL where there is no memory. */
static json_t *value_to_json(const amqp_field_value_t *v);

/* A lone surrogate, which py-amqp writes as if it were a character: three bytes. */
static size_t surrogate(const char *data, size_t len)
{
	const unsigned char *p = (const unsigned char *)data;

	return len >= 3 && p[0] == 0xed && (p[1] & 0xe0) == 0xa0 && (p[2] & 0xc0) == 0x80 ? 3 : 0;
}

static bool is_text(const char *data, size_t len)
{
	while (len > 0) {
		size_t n = utf8_valid(data, len);

		if (n == 0)
			n = surrogate(data, len);
		if (n == 0)
			return false;
		data += n;
		len -= n;
	}
	return true;
}

static json_t *bytes_to_json(amqp_bytes_t b)
{
	const char *data = b.len > 0 ? b.bytes : "";

	if (is_text(data, b.len))
		return json_text(data, b.len, false);
	return typed_bytes(data, b.len);
}

static json_t *real_to_json(double d)
{
	json_t *ret = NULL;
	struct err err;

	if (isfinite(d))
		return json_real(d);
	return json_make_number(isnan(d) ? "NaN"
				: d > 0	 ? "Infinity"
					 : "-Infinity",
				&ret, &err) == 0
		       ? ret
		       : NULL;
}

/* value / 10^decimals, as Python's Decimal would say it. */
static json_t *decimal_to_json(amqp_decimal_t d)
{
	int32_t value = (int32_t)d.value;
	unsigned magnitude = value < 0 ? 0u - (unsigned)value : (unsigned)value;
	char digits[300];
	int len = snprintf(digits, sizeof(digits), "%0*u", d.decimals + 1, magnitude);
	int whole = len - d.decimals;
	_cleanup_free_ char *text = xasprintf("%s%.*s%s%s", value < 0 ? "-" : "", whole, digits,
					      d.decimals > 0 ? "." : "", digits + whole);

	return json_pack("{s:s, s:s}", "__type__", "decimal", "__value__", text);
}

static json_t *time_to_json(uint64_t seconds)
{
	char iso[CLOCK_ISO_SIZE];

	/* what Python's datetime holds; beyond, it is the number that it is */
	if (seconds > 253402300799ULL)
		return json_integer((json_int_t)(seconds > INT64_MAX ? INT64_MAX : seconds));
	clock_iso((usec_t)seconds * USEC_PER_SEC, iso);
	return typed_time(TYPED_DATETIME, iso);
}

static json_t *array_to_json(const amqp_array_t *a)
{
	_cleanup_json_ json_t *ret = json_array();

	for (int i = 0; i < a->num_entries; i++)
		if (json_array_append_new(ret, value_to_json(&a->entries[i])) < 0)
			return NULL;
	return TAKE(ret);
}

static json_t *table_to_json(const amqp_table_t *t)
{
	_cleanup_json_ json_t *ret = json_object();

	for (int i = 0; i < t->num_entries; i++) {
		amqp_bytes_t key = t->entries[i].key;
		/* A name is text without NULs: what is not becomes U+FFFD. */
		_cleanup_json_ json_t *name =
			json_text(key.len > 0 ? key.bytes : "", key.len, true);
		_cleanup_buf_ struct buf plain = BUF_INIT(1024);

		json_text_append(name, &plain);
		if (plain.failed ||
		    json_object_set_new(ret, plain.data, value_to_json(&t->entries[i].value)) < 0)
			return NULL;
	}
	return TAKE(ret);
}

int amqp_table_to_json(const amqp_table_t *t, json_t **ret, struct err *err)
{
	json_t *made = table_to_json(t);

	if (made == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a table of %d", t->num_entries);
	*ret = made;
	return 0;
}

static json_t *value_to_json(const amqp_field_value_t *v)
{
	switch ((amqp_field_value_kind_t)v->kind) {
	case AMQP_FIELD_KIND_BOOLEAN:
		return json_boolean(v->value.boolean);
	case AMQP_FIELD_KIND_I8:
		return json_integer(v->value.i8);
	case AMQP_FIELD_KIND_U8:
		return json_integer(v->value.u8);
	case AMQP_FIELD_KIND_I16:
		return json_integer(v->value.i16);
	case AMQP_FIELD_KIND_U16:
		return json_integer(v->value.u16);
	case AMQP_FIELD_KIND_I32:
		return json_integer(v->value.i32);
	case AMQP_FIELD_KIND_U32:
		return json_integer(v->value.u32);
	case AMQP_FIELD_KIND_I64:
		return json_integer(v->value.i64);
	case AMQP_FIELD_KIND_U64: /* py-amqp means a signed one by it */
		return json_integer((json_int_t)v->value.u64);
	case AMQP_FIELD_KIND_F32:
		return real_to_json((double)v->value.f32);
	case AMQP_FIELD_KIND_F64:
		return real_to_json(v->value.f64);
	case AMQP_FIELD_KIND_DECIMAL:
		return decimal_to_json(v->value.decimal);
	case AMQP_FIELD_KIND_UTF8:
	case AMQP_FIELD_KIND_BYTES:
		return bytes_to_json(v->value.bytes);
	case AMQP_FIELD_KIND_ARRAY:
		return array_to_json(&v->value.array);
	case AMQP_FIELD_KIND_TIMESTAMP:
		return time_to_json(v->value.u64);
	case AMQP_FIELD_KIND_TABLE:
		return table_to_json(&v->value.table);
	case AMQP_FIELD_KIND_VOID:
		break;
	}
	return json_null();
}

int amqp_json_from_table(const void *data, size_t len, json_t **ret, struct err *err)
{
	amqp_pool_t pool;
	amqp_table_t table;
	size_t size, offset = 0;
	int rc = amqp_table_walk(data, len, &size, err);

	if (rc < 0)
		return rc;
	init_amqp_pool(&pool, 4096);
	if (amqp_decode_table(amqp_bytes_of(data, size), &pool, &table, &offset) < 0)
		rc = err_set(err, ERR_PROTOCOL, "a table cannot be read");
	else
		rc = amqp_table_to_json(&table, ret, err);
	empty_amqp_pool(&pool);
	return rc;
}
