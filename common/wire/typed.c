/*
 * typed.c: the table of kombu's typed values, and a walk that finds the bad ones.
 */
#include "typed.h"

#include <ctype.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "codec.h"
#include "json.h"

#define VALUE_KEY "__value__"

typedef bool typed_test_fn(const json_t *value);

static bool is_text(const json_t *value)
{
	return json_is_string(value) && !json_is_python_number(value);
}

static bool is_date(const json_t *value)
{
	struct err ignored;
	usec_t wall;

	return is_text(value) && clock_parse_iso(json_string_value(value), &wall, &ignored) == 0;
}

/* What Decimal() takes: text or a number. */
static bool is_decimal(const json_t *value)
{
	return json_is_string(value) || json_is_number(value);
}

/* {"hex": …}: kombu hands the members to UUID(). */
static bool is_uuid(const json_t *value)
{
	const char *hex = json_member_str(value, "hex");
	size_t digits = 0;

	for (; hex != NULL && *hex != '\0'; hex++) {
		if (isxdigit((unsigned char)*hex))
			digits++;
		else if (*hex != '-')
			return false;
	}
	return digits == 32;
}

static bool is_base64(const json_t *value)
{
	struct err ignored;

	return is_text(value) &&
	       base64_check(json_string_value(value), json_string_length(value), &ignored) == 0;
}

static const struct {
	const char *name;
	typed_test_fn *is_value;
} g_types[] = {
	[TYPED_DATETIME] = {"datetime", is_date}, [TYPED_DATE] = {"date", is_date},
	[TYPED_TIME] = {"time", is_text},	  [TYPED_DECIMAL] = {"decimal", is_decimal},
	[TYPED_UUID] = {"uuid", is_uuid},	  [TYPED_BYTES] = {"bytes", is_text},
	[TYPED_BASE64] = {"base64", is_base64},
};

enum typed_kind typed_kind(const json_t *value)
{
	const json_t *type = json_object_get(value, TYPED_KEY);
	const char *name = json_string_value(type);

	if (type == NULL || json_object_size(value) != 2 ||
	    json_object_get(value, VALUE_KEY) == NULL)
		return TYPED_NONE;
	for (size_t i = TYPED_DATETIME; name != NULL && i < ARRAY_LEN(g_types); i++) {
		if (strcmp(g_types[i].name, name) == 0)
			return (enum typed_kind)i;
	}
	return TYPED_UNKNOWN;
}

static const json_t *inside(const json_t *value)
{
	return json_object_get(value, VALUE_KEY);
}

static int check_object(json_t *object, struct err *err)
{
	enum typed_kind kind = typed_kind(object);
	const char *key;
	json_t *member;
	int rc;

	if (kind == TYPED_UNKNOWN)
		return err_set(err, ERR_INVALID, "a typed value of the unknown type %.40s",
			       json_member_str(object, TYPED_KEY)
				       ? json_member_str(object, TYPED_KEY)
				       : "(no text)");
	if (kind != TYPED_NONE)
		return g_types[kind].is_value(inside(object))
			       ? 0
			       : err_set(err, ERR_INVALID, "a typed value that is no %s",
					 g_types[kind].name);
	json_object_foreach(object, key, member)
	{
		rc = typed_check(member, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Calls itself for each level, of which every reader allows BOUND_JSON_DEPTH. */
int typed_check(const json_t *value, struct err *err)
{
	int rc;

	if (json_is_object(value))
		return check_object((json_t *)(uintptr_t)value, err);
	for (size_t i = 0; i < json_array_size(value); i++) {
		rc = typed_check(json_array_get(value, i), err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

enum typed_kind typed_whole_kind(const json_t *value)
{
	enum typed_kind kind = typed_kind(value);
	struct err err;

	return kind != TYPED_NONE && typed_check(value, &err) == 0 ? kind : TYPED_NONE;
}

int typed_read_bytes(const json_t *value, struct buf *out, struct err *err)
{
	enum typed_kind kind = typed_kind(value);
	const json_t *text = kind == TYPED_NONE ? value : inside(value);

	if ((kind != TYPED_NONE && kind != TYPED_BYTES && kind != TYPED_BASE64) || !is_text(text))
		return err_set(err, ERR_INVALID, "bytes or a str is wanted, not a %s",
			       json_type_name(value));
	if (kind == TYPED_BASE64)
		return base64_decode(json_string_value(text), json_string_length(text), out, err);
	json_text_append(text, out);
	return buf_status(out, err);
}

int typed_read_time(const json_t *value, usec_t *ret_wall, struct err *err)
{
	enum typed_kind kind = typed_kind(value);
	const json_t *text = kind == TYPED_NONE ? value : inside(value);

	if ((kind != TYPED_NONE && kind != TYPED_DATETIME && kind != TYPED_DATE) || !is_text(text))
		return err_set(err, ERR_INVALID, "a datetime is wanted, not a %s",
			       json_type_name(value));
	if (kind == TYPED_NONE)
		return clock_isoparse(json_string_value(text), ret_wall, err);
	return clock_parse_iso(json_string_value(text), ret_wall, err);
}

const char *typed_text(const json_t *value)
{
	enum typed_kind kind = typed_kind(value);

	if (kind == TYPED_UUID)
		return json_member_str(inside(value), "hex");
	if (kind == TYPED_DECIMAL || kind == TYPED_TIME)
		value = inside(value);
	else if (kind != TYPED_NONE)
		return NULL;
	return is_text(value) ? json_string_value(value) : NULL;
}

json_t *typed_bytes(const void *data, size_t len)
{
	_cleanup_buf_ struct buf text = BUF_INIT(len / 3 * 4 + 8);
	bool utf8 = true;

	for (size_t i = 0, n; utf8 && i < len; i += n) {
		n = utf8_valid((const char *)data + i, len - i);
		utf8 = n > 0;
	}
	if (utf8)
		return json_pack("{s:s, s:o}", TYPED_KEY, "bytes", VALUE_KEY,
				 json_text(data, len, false));
	base64_encode(data, len, &text);
	return text.failed ? NULL
			   : json_pack("{s:s, s:s}", TYPED_KEY, "base64", VALUE_KEY, text.data);
}

json_t *typed_time(enum typed_kind kind, const char *iso)
{
	return json_pack("{s:s, s:s}", TYPED_KEY, g_types[kind].name, VALUE_KEY, iso);
}
