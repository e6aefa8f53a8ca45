/*
 * pickle_stack.c: the stack of the machine that reads a pickle, and what opcodes have for
 * arguments.
 */
#include "pickle_machine.h"

#include <string.h>

#include "bounds.h"
#include "mem.h"
#include "pickle_tree.h"

int pickle_damaged(struct pickle_reader *r)
{
	return err_set(r->err, ERR_INVALID, "a damaged pickle");
}

int pickle_refused(struct pickle_reader *r)
{
	return err_set(r->err, ERR_UNSUPPORTED, "a pickle of more than plain data");
}

int pickle_too_many(struct pickle_reader *r)
{
	return err_set(r->err, ERR_TOOBIG, "a pickle of more than %u values", BOUND_JSON_VALUES);
}

struct pickle_item *pickle_grow(struct pickle_item **items, size_t count, size_t *size)
{
	if (count == *size) {
		*size = *size ? *size * 2 : 32;
		*items = xrealloc(*items, *size * sizeof(**items));
	}
	return &(*items)[count];
}

int pickle_push(struct pickle_reader *r, json_t *value, size_t depth)
{
	if (depth > BOUND_JSON_DEPTH) {
		json_decref(value);
		return err_set(r->err, ERR_TOOBIG, "a pickle nested deeper than %d",
			       BOUND_JSON_DEPTH);
	}
	if (++r->values > BOUND_JSON_VALUES) {
		json_decref(value);
		return pickle_too_many(r);
	}
	*pickle_grow(&r->stack, r->count, &r->size) =
		(struct pickle_item){.value = value, .depth = depth};
	r->count++;
	return 0;
}

int pickle_work(struct pickle_reader *r, size_t bytes)
{
	if (bytes > BOUND_RESULT_BYTES - r->repeated)
		return pickle_repeats(r->err);
	r->repeated += bytes;
	return 0;
}

int pickle_repeat(struct pickle_reader *r, const json_t *value)
{
	return pickle_work(r, json_string_length(value)); /* 0 of what is no text */
}

const unsigned char *pickle_bytes(struct pickle_reader *r, size_t size)
{
	const unsigned char *p = r->p;

	if ((size_t)(r->end - p) < size)
		return NULL;
	r->p += size;
	return p;
}

bool pickle_number(struct pickle_reader *r, size_t size, uint64_t *ret)
{
	const unsigned char *p = pickle_bytes(r, size);
	uint64_t value = 0;

	if (p == NULL)
		return false;
	for (size_t i = 0; i < size; i++)
		value |= (uint64_t)p[i] << (8 * i);
	*ret = value;
	return true;
}

bool pickle_line(struct pickle_reader *r, struct slice *ret)
{
	const unsigned char *end = memchr(r->p, '\n', (size_t)(r->end - r->p));

	if (end == NULL)
		return false;
	*ret = (struct slice){(const char *)r->p, (size_t)(end - r->p)};
	r->p = end + 1;
	return true;
}

void pickle_drop(struct pickle_reader *r, size_t count)
{
	while (r->count > count)
		json_decref(r->stack[--r->count].value);
}

bool pickle_has_values(const struct pickle_reader *r, size_t count)
{
	if (r->count < count)
		return false;
	for (size_t i = r->count - count; i < r->count; i++) {
		if (r->stack[i].value == NULL || r->stack[i].class != 0)
			return false;
	}
	return true;
}
