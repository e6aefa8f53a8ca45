/*
 * json_schema.c: values against schemas, keyword by keyword.
 *
 * Lengths of strings are counted in characters. The schema is a stranger's as much as the value:
 * depth is bounded, and a keyword of the wrong form asks for nothing.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "json.h"

#define DEPTH_MAX 64
#define PLACE_MAX 200

struct place {
	char text[PLACE_MAX];
};

static struct place below(const char *where, const char *name)
{
	struct place p;

	snprintf(p.text, sizeof(p.text), "%s.%.80s", where, name);
	return p;
}

static bool is_integral(const json_t *value)
{
	return json_is_integer(value) ||
	       (json_is_real(value) && isfinite(json_real_value(value)) &&
		floor(json_real_value(value)) == json_real_value(value)) ||
	       (json_is_python_number(value) && strpbrk(json_python_number(value), "NI") == NULL);
}

static bool is_number(const json_t *value)
{
	return json_is_number(value) || json_is_python_number(value);
}

static bool is_type(const json_t *value, const char *type)
{
	if (strcmp(type, "object") == 0)
		return json_is_object(value);
	if (strcmp(type, "array") == 0)
		return json_is_array(value);
	if (strcmp(type, "string") == 0)
		return json_is_string(value) && !json_is_python_number(value);
	if (strcmp(type, "integer") == 0)
		return is_integral(value);
	if (strcmp(type, "number") == 0)
		return is_number(value);
	if (strcmp(type, "boolean") == 0)
		return json_is_boolean(value);
	return strcmp(type, "null") != 0 || json_is_null(value);
}

static int check_type(const json_t *type, const json_t *value, const char *where, struct err *err)
{
	const json_t *one;
	size_t i;

	if (json_is_string(type) && !is_type(value, json_string_value(type)))
		return err_set(err, ERR_INVALID, "%s must be %.40s", where,
			       json_string_value(type));
	if (!json_is_array(type) || json_array_size(type) == 0)
		return 0;
	json_array_foreach((json_t *)(uintptr_t)type, i,
			   one) if (!json_is_string(one) ||
				    is_type(value, json_string_value(one))) return 0;
	return err_set(err, ERR_INVALID, "%s is of none of the types it may have", where);
}

static int check_choice(const json_t *schema, const json_t *value, const char *where,
			struct err *err)
{
	const json_t *choices = json_object_get(schema, "enum");
	json_t *constant = json_object_get(schema, "const"), *one;
	size_t i;

	if (constant && !json_equal(constant, (json_t *)(uintptr_t)value))
		return err_set(err, ERR_INVALID, "%s is not the one value it may have", where);
	if (!json_is_array(choices))
		return 0;
	json_array_foreach((json_t *)(uintptr_t)choices, i,
			   one) if (json_equal(one, (json_t *)(uintptr_t)value)) return 0;
	return err_set(err, ERR_INVALID, "%s is none of the values it may have", where);
}

static int check_number(const json_t *schema, const json_t *value, const char *where,
			struct err *err)
{
	static const struct {
		const char *keyword, *words;
		int sign; /* of limit - value, that is wrong */
		bool equal;
	} limits[] = {{"minimum", "at least", 1, false},
		      {"maximum", "at most", -1, false},
		      {"exclusiveMinimum", "more than", 1, true},
		      {"exclusiveMaximum", "less than", -1, true}};

	if (!json_is_number(value))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		const json_t *limit = json_object_get(schema, limits[i].keyword);
		double apart = json_number_value(limit) - json_number_value(value);
		if (json_is_number(limit) &&
		    (apart * limits[i].sign > 0 || (limits[i].equal && apart == 0)))
			return err_set(err, ERR_INVALID, "%s must be %s %g", where, limits[i].words,
				       json_number_value(limit));
	}
	return 0;
}

static size_t characters(const json_t *string)
{
	size_t n = 0, len = json_string_length(string);
	const char *s = json_string_value(string);

	for (size_t i = 0; i < len; i++)
		n += ((unsigned char)s[i] & 0xC0) != 0x80;
	return n;
}

static int check_length(const json_t *schema, const json_t *value, const char *where,
			struct err *err)
{
	bool text = json_is_string(value) && !json_is_python_number(value);
	size_t n = text ? characters(value) : json_array_size(value);
	const json_t *low = json_object_get(schema, text ? "minLength" : "minItems");
	const json_t *high = json_object_get(schema, text ? "maxLength" : "maxItems");
	const char *unit = text ? "characters" : "items";

	if (!text && !json_is_array(value))
		return 0;
	if (json_is_integer(low) && (json_int_t)n < json_integer_value(low))
		return err_set(err, ERR_INVALID, "%s must have at least %lld %s", where,
			       (long long)json_integer_value(low), unit);
	if (json_is_integer(high) && (json_int_t)n > json_integer_value(high))
		return err_set(err, ERR_INVALID, "%s must have at most %lld %s", where,
			       (long long)json_integer_value(high), unit);
	return 0;
}

static int check(const json_t *schema, const json_t *value, const char *where, int depth,
		 struct err *err);

static int check_items(const json_t *schema, const json_t *value, const char *where, int depth,
		       struct err *err)
{
	const json_t *items = json_object_get(schema, "items");
	json_t *one;
	size_t i;
	int rc = 0;

	if (!items || !json_is_array(value))
		return 0;
	json_array_foreach((json_t *)(uintptr_t)value, i, one)
	{
		struct place p;
		snprintf(p.text, sizeof(p.text), "%.170s[%zu]", where, i);
		rc = check(items, one, p.text, depth + 1, err);
		if (rc < 0)
			break;
	}
	return rc;
}

static int check_members(const json_t *schema, const json_t *value, const char *where, int depth,
			 struct err *err)
{
	const json_t *properties = json_object_get(schema, "properties");
	const json_t *others = json_object_get(schema, "additionalProperties");
	const json_t *required = json_object_get(schema, "required");
	const char *name;
	json_t *one;
	size_t i;
	int rc = 0;

	if (!json_is_object(value))
		return 0;
	json_array_foreach(
		(json_t *)(uintptr_t)required, i,
		one) if (json_is_string(one) &&
			 !json_object_get(
				 value, json_string_value(
						one))) return err_set(err, ERR_INVALID,
								      "%s.%.80s is required", where,
								      json_string_value(one));
	json_object_foreach((json_t *)(uintptr_t)value, name, one)
	{
		const json_t *known = json_object_get(properties, name);
		struct place p = below(where, name);
		if (!known && json_is_false(others))
			return err_set(err, ERR_INVALID, "%s is not known", p.text);
		rc = check(known ? known : others, one, p.text, depth + 1, err);
		if (rc < 0)
			break;
	}
	return rc;
}

static int check_combined(const json_t *schema, const json_t *value, const char *where, int depth,
			  struct err *err)
{
	static const char *const some[] = {"anyOf", "oneOf"};
	json_t *one;
	size_t i;

	json_array_foreach(json_object_get(schema, "allOf"), i, one)
	{
		int rc = check(one, value, where, depth + 1, err);
		if (rc < 0)
			return rc;
	}
	for (size_t k = 0; k < ARRAY_LEN(some); k++) {
		const json_t *list = json_object_get(schema, some[k]);
		bool fits = json_array_size(list) == 0;
		struct err first = {0}, other;
		json_array_foreach((json_t *)(uintptr_t)list, i, one) if (!fits) fits =
			check(one, value, where, depth + 1, first.code ? &other : &first) == 0;
		if (!fits) {
			*err = first;
			return -err->code;
		}
	}
	return 0;
}

static int check(const json_t *schema, const json_t *value, const char *where, int depth,
		 struct err *err)
{
	int rc;

	if (json_is_false(schema))
		return err_set(err, ERR_INVALID, "%s may not be there", where);
	if (!json_is_object(schema) || depth > DEPTH_MAX)
		return 0;
	rc = check_type(json_object_get(schema, "type"), value, where, err);
	if (rc == 0)
		rc = check_choice(schema, value, where, err);
	if (rc == 0)
		rc = check_number(schema, value, where, err);
	if (rc == 0)
		rc = check_length(schema, value, where, err);
	if (rc == 0)
		rc = check_items(schema, value, where, depth, err);
	if (rc == 0)
		rc = check_members(schema, value, where, depth, err);
	return rc < 0 ? rc : check_combined(schema, value, where, depth, err);
}

int json_schema_check(const json_t *schema, const json_t *value, const char *where, struct err *err)
{
	return check(schema, value, where, 0, err);
}
