/*
 * json_print.c: one walk over a value for all the ways it is written: JSON for Python, JSON for
 * strict readers, repr. Python's separators are the same in all three.
 */
#include "json_private.h"

#include <string.h>

#include "bounds.h"

/* Values read have at most BOUND_JSON_DEPTH levels; ours put them some levels deeper. */
#define DEPTH_MAX (BOUND_JSON_DEPTH + 64)

struct frame {
	json_t *container;
	void *member; /* of an object: the next one */
	size_t index; /* children seen */
};

/* jansson's iteration takes no const, though it changes nothing. */
static json_t *unconst(const json_t *value)
{
	return (json_t *)(uintptr_t)value;
}

static void print_scalar(const json_t *value, const struct json_style *style, size_t stop,
			 struct buf *out)
{
	const char *token;
	char real[JSON_REAL_SIZE];
	switch (json_typeof(value)) {
	case JSON_STRING:
		token = json_python_number(value);
		if (token)
			style->number(token, out);
		else
			style->string(json_string_value(value), json_string_length(value), stop,
				      out);
		break;
	case JSON_INTEGER:
		buf_appendf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		break;
	case JSON_REAL:
		buf_append(out, real, json_real_repr(json_real_value(value), real));
		break;
	case JSON_TRUE:
		buf_append_str(out, style->true_text);
		break;
	case JSON_FALSE:
		buf_append_str(out, style->false_text);
		break;
	case JSON_NULL:
	case JSON_OBJECT:
	case JSON_ARRAY:
	default:
		buf_append_str(out, style->null_text);
	}
}

/* The next child, its separator and key written; NULL when there is none left. */
static const json_t *next_child(struct frame *f, const struct json_style *style, size_t stop,
				struct buf *out)
{
	if (json_is_array(f->container)) {
		if (f->index == json_array_size(f->container))
			return NULL;
		if (f->index)
			buf_append_str(out, ", ");
		return json_array_get(f->container, f->index++);
	}
	if (!f->member)
		return NULL;
	if (f->index++)
		buf_append_str(out, ", ");
	const char *key = json_object_iter_key(f->member);
	style->string(key, strlen(key), stop, out);
	buf_append_str(out, ": ");
	const json_t *child = json_object_iter_value(f->member);
	f->member = json_object_iter_next(f->container, f->member);
	return child;
}

void json_print(const json_t *value, const struct json_style *style, size_t stop, struct buf *out)
{
	struct frame stack[DEPTH_MAX];
	size_t depth = 0;
	for (;;) {
		if (json_is_object(value) || json_is_array(value)) {
			if (depth == DEPTH_MAX) {
				buf_fail(out, ERR_TOOBIG);
				return;
			}
			struct frame *f = &stack[depth++];
			f->container = unconst(value);
			f->member = json_object_iter(f->container); /* NULL for an array */
			f->index = 0;
			buf_append_char(out, json_is_array(value) ? '[' : '{');
		} else {
			print_scalar(value, style, stop, out);
		}
		value = NULL;
		while (depth > 0 && !value) {
			if (out->failed || out->len > stop)
				return;
			struct frame *f = &stack[depth - 1];
			value = next_child(f, style, stop, out);
			if (!value) {
				buf_append_char(out, json_is_array(f->container) ? ']' : '}');
				depth--;
			}
		}
		if (!value)
			return;
	}
}
