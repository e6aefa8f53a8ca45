/*
 * pickle_read.c: the part of pickle's machine (Lib/pickletools.py) that makes plain data. Classes
 * are those of pickle_types.c, which are of no use but to be called; other opcodes that name or
 * call anything, and those for what JSON has not (sets), are not in the table.
 *
 * Nothing it makes is deeper than BOUND_JSON_DEPTH. A container that the memo gives a second time
 * may hold itself, or stand for gigabytes: what has such is copied in the end, so deep and so many
 * values at most, and the containers of the memo are emptied, whoever holds whom.
 */
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "json.h"
#include "mem.h"
#include "pickle.h"
#include "pickle_integer.h"
#include "pickle_tree.h"
#include "pickle_types.h"
#include "typed.h"

struct item {
	json_t *value; /* NULL: a mark */
	size_t depth;  /* of containers in it, those of the memo not counted */
	bool is_tuple; /* which cannot be filled any more; also a typed value */
	int class;     /* 0, or one more than its number: `value` is of no use */
};

struct reader {
	const unsigned char *p, *end;
	struct item *stack, *memo;
	size_t count, size, memo_count, memo_size;
	size_t values; /* made so far, whatever became of them */
	bool shared;   /* a container came from the memo */
	bool called;   /* a class was: what is between may be left */
	bool stopped;
	struct err *err;
};

static int damaged(struct reader *r)
{
	return err_set(r->err, ERR_INVALID, "a damaged pickle");
}

static int refused(struct reader *r)
{
	return err_set(r->err, ERR_UNSUPPORTED, "a pickle of more than plain data");
}

static struct item *grow(struct item **items, size_t count, size_t *size)
{
	if (count == *size) {
		*size = *size ? *size * 2 : 32;
		*items = xrealloc(*items, *size * sizeof(**items));
	}
	return &(*items)[count];
}

/* Takes `value` (NULL: a mark). */
static int push(struct reader *r, json_t *value, size_t depth)
{
	if (depth > BOUND_JSON_DEPTH) {
		json_decref(value);
		return err_set(r->err, ERR_TOOBIG, "a pickle nested deeper than %d",
			       BOUND_JSON_DEPTH);
	}
	if (++r->values > BOUND_JSON_VALUES) {
		json_decref(value);
		return err_set(r->err, ERR_TOOBIG, "a pickle of more than %u values",
			       BOUND_JSON_VALUES);
	}
	*grow(&r->stack, r->count, &r->size) = (struct item){.value = value, .depth = depth};
	r->count++;
	return 0;
}

/* ---- arguments of opcodes ---- */

/* `size` bytes of the pickle; NULL when there are fewer. */
static const unsigned char *bytes(struct reader *r, size_t size)
{
	const unsigned char *p = r->p;

	if ((size_t)(r->end - p) < size)
		return NULL;
	r->p += size;
	return p;
}

/* The next `size` (at most 8) bytes, the lowest first. */
static bool number(struct reader *r, size_t size, uint64_t *ret)
{
	const unsigned char *p = bytes(r, size);
	uint64_t value = 0;

	for (size_t i = 0; p != NULL && i < size; i++)
		value |= (uint64_t)p[i] << (8 * i);
	*ret = value;
	return p != NULL;
}

/* ---- opcodes: `size` is of the argument, or of the number that says how long it is ---- */

static int op_skip(struct reader *r, size_t size)
{
	return bytes(r, size) != NULL ? 0 : damaged(r);
}

static int op_stop(struct reader *r, unused_arg size_t size)
{
	r->stopped = true;
	return 0;
}

static int op_mark(struct reader *r, unused_arg size_t size)
{
	return push(r, NULL, 0);
}

static int op_none(struct reader *r, unused_arg size_t size)
{
	return push(r, json_null(), 0);
}

static int op_true(struct reader *r, unused_arg size_t size)
{
	return push(r, json_true(), 0);
}

static int op_false(struct reader *r, unused_arg size_t size)
{
	return push(r, json_false(), 0);
}

static int op_int(struct reader *r, size_t size)
{
	uint64_t value;

	if (!number(r, size, &value))
		return damaged(r);
	return push(r, json_integer(size == 4 ? (int32_t)(uint32_t)value : (json_int_t)value), 0);
}

static int op_long(struct reader *r, size_t size)
{
	uint64_t len;
	const unsigned char *p = number(r, size, &len) ? bytes(r, len) : NULL;
	json_t *value;
	int rc = p != NULL ? pickle_integer_of_bytes(p, len, &value, r->err) : damaged(r);

	return rc < 0 ? rc : push(r, value, 0);
}

static int op_long_digits(struct reader *r, unused_arg size_t size)
{
	const unsigned char *end = memchr(r->p, '\n', (size_t)(r->end - r->p));
	struct slice line = {.data = (const char *)r->p};
	json_t *value;
	int rc;

	if (end == NULL)
		return damaged(r);
	line.len = (size_t)(end - r->p);
	r->p = end + 1;
	rc = pickle_integer_of_digits(line, &value, r->err);
	return rc < 0 ? rc : push(r, value, 0);
}

static int op_float(struct reader *r, size_t size)
{
	const unsigned char *p = bytes(r, size);
	uint64_t bits = 0;
	json_t *value;
	double real;
	int rc = 0;

	for (size_t i = 0; p != NULL && i < size; i++)
		bits = bits << 8 | p[i];
	memcpy(&real, &bits, sizeof(real));
	if (p == NULL)
		return damaged(r);
	if (__builtin_isfinite(real))
		value = json_real(real);
	else
		rc = json_make_number(__builtin_isnan(real) ? "NaN"
				      : real < 0	    ? "-Infinity"
							    : "Infinity",
				      &value, r->err);
	return rc < 0 ? rc : push(r, value, 0);
}

static int op_text(struct reader *r, size_t size)
{
	uint64_t len;
	const unsigned char *p = number(r, size, &len) ? bytes(r, len) : NULL;

	if (p == NULL)
		return damaged(r);
	return push(r, json_text((const char *)p, len, false), 0);
}

static int op_list(struct reader *r, unused_arg size_t size)
{
	return push(r, json_array(), 1);
}

static int op_dict(struct reader *r, unused_arg size_t size)
{
	return push(r, json_object(), 1);
}

/* The place after the last mark; false when there is none. */
static bool find_mark(const struct reader *r, size_t *ret_first)
{
	size_t at = r->count;

	while (at > 0 && r->stack[at - 1].value != NULL)
		at--;
	*ret_first = at;
	return at > 0;
}

static bool has_class(const struct reader *r, size_t first)
{
	for (size_t i = first; i < r->count; i++) {
		if (r->stack[i].class != 0)
			return true;
	}
	return false;
}

static void drop(struct reader *r, size_t count)
{
	while (r->count > count)
		json_decref(r->stack[--r->count].value);
}

/* A tuple of everything from `first` on, which goes from the stack down to `left`. */
static int push_tuple(struct reader *r, size_t first, size_t left)
{
	json_t *list;
	size_t depth = 0;
	int rc;

	if (has_class(r, first))
		return refused(r);
	list = json_array();
	for (size_t i = first; i < r->count; i++) {
		depth = r->stack[i].depth > depth ? r->stack[i].depth : depth;
		json_array_append(list, r->stack[i].value);
	}
	drop(r, left);
	rc = push(r, list, depth + 1);
	if (rc == 0)
		r->stack[r->count - 1].is_tuple = true;
	return rc;
}

static int op_tuple_marked(struct reader *r, unused_arg size_t size)
{
	size_t first;

	return find_mark(r, &first) ? push_tuple(r, first, first - 1) : damaged(r);
}

/* Are there `count` values at the top, and no mark or class among them? */
static bool has_values(const struct reader *r, size_t count)
{
	if (r->count < count)
		return false;
	for (size_t i = r->count - count; i < r->count; i++) {
		if (r->stack[i].value == NULL || r->stack[i].class != 0)
			return false;
	}
	return true;
}

static int op_tuple(struct reader *r, size_t count)
{
	return has_values(r, count) ? push_tuple(r, r->count - count, r->count - count)
				    : damaged(r);
}

/* The container below `first`, which what is above it goes into. */
static struct item *container_below(struct reader *r, size_t first, json_type type)
{
	struct item *at = first > 0 ? &r->stack[first - 1] : NULL;

	return at != NULL && at->value != NULL && json_typeof(at->value) == type && !at->is_tuple
		       ? at
		       : NULL;
}

/* What holds `inner` is that much deeper. */
static int deepen(struct reader *r, struct item *outer, const struct item *inner)
{
	if (inner->depth + 1 > outer->depth)
		outer->depth = inner->depth + 1;
	return outer->depth <= BOUND_JSON_DEPTH
		       ? 0
		       : err_set(r->err, ERR_TOOBIG, "a pickle nested deeper than %d",
				 BOUND_JSON_DEPTH);
}

static int fill_list(struct reader *r, size_t first, size_t left)
{
	struct item *list = container_below(r, left, JSON_ARRAY);

	if (list == NULL)
		return damaged(r);
	if (has_class(r, first))
		return refused(r);
	for (size_t i = first; i < r->count; i++) {
		int rc = deepen(r, list, &r->stack[i]);

		if (rc == 0 && json_array_append(list->value, r->stack[i].value) < 0)
			rc = pickle_holds_itself(r->err);
		if (rc < 0)
			return rc;
	}
	drop(r, left);
	return 0;
}

static int op_append(struct reader *r, unused_arg size_t size)
{
	return has_values(r, 2) ? fill_list(r, r->count - 1, r->count - 1) : damaged(r);
}

static int op_appends(struct reader *r, unused_arg size_t size)
{
	size_t first;

	return find_mark(r, &first) ? fill_list(r, first, first - 1) : damaged(r);
}

/* As JSON says what is no text: Python's json.dumps. */
static json_t *key_of(const json_t *value)
{
	char text[24];

	if (json_is_string(value) && !json_is_python_number(value))
		return json_incref((json_t *)(uintptr_t)value);
	if (!json_is_integer(value))
		return NULL;
	snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(value));
	return json_string(text);
}

static int set_item(struct reader *r, struct item *dict, size_t at)
{
	_cleanup_json_ json_t *key = key_of(r->stack[at].value);
	const char *name = json_string_value(key);
	int rc;

	if (name == NULL || strlen(name) != json_string_length(key))
		return err_set(r->err, ERR_UNSUPPORTED,
			       "a pickled dict with a key that is no text");
	rc = deepen(r, dict, &r->stack[at + 1]);
	if (rc == 0 && json_object_set_nocheck(dict->value, name, r->stack[at + 1].value) < 0)
		rc = pickle_holds_itself(r->err);
	return rc;
}

static int fill_dict(struct reader *r, size_t first, size_t left)
{
	struct item *dict = container_below(r, left, JSON_OBJECT);
	int rc = 0;

	if (dict == NULL || (r->count - first) % 2 != 0)
		return damaged(r);
	if (has_class(r, first))
		return refused(r);
	for (size_t i = first; rc == 0 && i < r->count; i += 2)
		rc = set_item(r, dict, i);
	drop(r, left);
	return rc;
}

static int op_set_item(struct reader *r, unused_arg size_t size)
{
	return has_values(r, 3) ? fill_dict(r, r->count - 2, r->count - 2) : damaged(r);
}

static int op_set_items(struct reader *r, unused_arg size_t size)
{
	size_t first;

	return find_mark(r, &first) ? fill_dict(r, first, first - 1) : damaged(r);
}

/* ---- the memo: Python's pickler numbers what it keeps from 0 on ---- */

static int keep(struct reader *r, uint64_t number)
{
	struct item *at;

	if (r->count == 0 || r->stack[r->count - 1].value == NULL || number != r->memo_count)
		return damaged(r);
	at = grow(&r->memo, r->memo_count, &r->memo_size);
	r->memo_count++;
	*at = r->stack[r->count - 1];
	json_incref(at->value);
	return 0;
}

static int op_memoize(struct reader *r, unused_arg size_t size)
{
	return keep(r, r->memo_count);
}

static int op_put(struct reader *r, size_t size)
{
	uint64_t at;

	return number(r, size, &at) ? keep(r, at) : damaged(r);
}

static int op_get(struct reader *r, size_t size)
{
	uint64_t at;
	const struct item *kept;

	if (!number(r, size, &at) || at >= r->memo_count)
		return damaged(r);
	kept = &r->memo[at];
	r->shared |= json_is_array(kept->value) || json_is_object(kept->value);
	if (push(r, json_incref(kept->value), 0) < 0)
		return -ERR_TOOBIG;
	r->stack[r->count - 1].is_tuple = kept->is_tuple;
	r->stack[r->count - 1].class = kept->class;
	return 0;
}

/* ---- typed values ---- */

static int push_typed(struct reader *r, json_t *value)
{
	int rc = push(r, value, typed_kind(value) == TYPED_UUID ? 2 : 1);

	if (rc == 0)
		r->stack[r->count - 1].is_tuple = true;
	return rc;
}

static int op_bytes(struct reader *r, size_t size)
{
	uint64_t len;
	const unsigned char *p = number(r, size, &len) ? bytes(r, len) : NULL;
	json_t *value;

	if (p == NULL)
		return damaged(r);
	value = typed_bytes(p, len);
	return value != NULL ? push_typed(r, value)
			     : err_set(r->err, ERR_NOMEM, "no memory for %zu bytes", (size_t)len);
}

static int push_class(struct reader *r, struct slice module, struct slice name)
{
	int class = pickle_class(module, name), rc;

	if (class < 0)
		return err_set(r->err, ERR_UNSUPPORTED, "a pickle of more than plain data (%.*s)",
			       (int)(name.len < 40 ? name.len : 40), name.data);
	rc = push(r, json_null(), 0);
	if (rc == 0)
		r->stack[r->count - 1].class = class + 1;
	return rc;
}

/* Up to the end of the line. */
static bool line(struct reader *r, struct slice *ret)
{
	const unsigned char *end = memchr(r->p, '\n', (size_t)(r->end - r->p));

	if (end == NULL)
		return false;
	*ret = (struct slice){(const char *)r->p, (size_t)(end - r->p)};
	r->p = end + 1;
	return true;
}

static int op_global(struct reader *r, unused_arg size_t size)
{
	struct slice module, name;

	return line(r, &module) && line(r, &name) ? push_class(r, module, name) : damaged(r);
}

static int op_stack_global(struct reader *r, unused_arg size_t size)
{
	_cleanup_json_ json_t *module = NULL, *name = NULL;

	if (!has_values(r, 2))
		return damaged(r);
	module = json_incref(r->stack[r->count - 2].value);
	name = json_incref(r->stack[r->count - 1].value);
	drop(r, r->count - 2);
	if (!json_is_string(module) || !json_is_string(name))
		return damaged(r);
	return push_class(r, (struct slice){json_string_value(module), json_string_length(module)},
			  (struct slice){json_string_value(name), json_string_length(name)});
}

static int op_reduce(struct reader *r, unused_arg size_t size)
{
	const struct item *top = r->stack + r->count;
	json_t *value = NULL;
	int rc;

	if (r->count < 2 || top[-1].value == NULL || !top[-1].is_tuple || top[-2].class == 0 ||
	    !json_is_array(top[-1].value))
		return damaged(r);
	rc = pickle_call(top[-2].class - 1, top[-1].value, &value, r->err);
	drop(r, r->count - 2);
	r->called = true;
	return rc < 0 ? rc : push_typed(r, value);
}

/* ---- the table ---- */

static const struct {
	int (*run)(struct reader *r, size_t size);
	size_t size;
} g_ops[256] = {
	[0x80] = {op_skip, 1}, /* PROTO */
	[0x95] = {op_skip, 8}, /* FRAME */
	['.'] = {op_stop, 0},	      ['('] = {op_mark, 0},	 ['N'] = {op_none, 0},
	[0x88] = {op_true, 0},	      [0x89] = {op_false, 0},	 ['K'] = {op_int, 1},
	['L'] = {op_long_digits, 0},  ['M'] = {op_int, 2},	 ['J'] = {op_int, 4},
	[0x8a] = {op_long, 1},	      [0x8b] = {op_long, 4},	 ['G'] = {op_float, 8},
	[0x8c] = {op_text, 1},	      ['X'] = {op_text, 4},	 [0x8d] = {op_text, 8},
	[']'] = {op_list, 0},	      ['}'] = {op_dict, 0},	 [')'] = {op_tuple, 0},
	[0x85] = {op_tuple, 1},	      [0x86] = {op_tuple, 2},	 [0x87] = {op_tuple, 3},
	['t'] = {op_tuple_marked, 0}, ['a'] = {op_append, 0},	 ['e'] = {op_appends, 0},
	['s'] = {op_set_item, 0},     ['C'] = {op_bytes, 1},	 ['B'] = {op_bytes, 4},
	[0x8e] = {op_bytes, 8},	      ['c'] = {op_global, 0},	 [0x93] = {op_stack_global, 0},
	['R'] = {op_reduce, 0},	      ['u'] = {op_set_items, 0}, [0x94] = {op_memoize, 0},
	['q'] = {op_put, 1},	      ['r'] = {op_put, 4},	 ['h'] = {op_get, 1},
	['j'] = {op_get, 4},
};

static int run(struct reader *r)
{
	int rc = 0;

	while (rc == 0 && !r->stopped) {
		const unsigned char *op = bytes(r, 1);

		if (op == NULL)
			return damaged(r);
		if (g_ops[*op].run == NULL)
			return err_set(r->err, ERR_UNSUPPORTED,
				       "a pickle of more than plain data (opcode 0x%02x)", *op);
		rc = g_ops[*op].run(r, g_ops[*op].size);
	}
	return rc;
}

static int take_value(struct reader *r, json_t **ret)
{
	_cleanup_json_ json_t *value = NULL;
	struct err ignored;
	int rc = 0;

	if (r->count != 1 || r->stack[0].value == NULL)
		return damaged(r);
	if (r->stack[0].class != 0)
		return refused(r);
	if (r->shared)
		rc = pickle_tree(r->stack[0].value, &value, r->err);
	else
		value = json_incref(r->stack[0].value);
	if (rc == 0 && r->called && typed_check(value, &ignored) < 0)
		return refused(r);
	if (rc == 0)
		*ret = TAKE(value);
	return rc;
}

static void release(struct reader *r)
{
	for (size_t i = 0; r->shared && i < r->memo_count; i++) {
		json_array_clear(r->memo[i].value);
		json_object_clear(r->memo[i].value);
	}
	drop(r, 0);
	for (size_t i = 0; i < r->memo_count; i++)
		json_decref(r->memo[i].value);
	free(r->stack);
	free(r->memo);
}

int pickle_read(struct slice text, json_t **ret, struct err *err)
{
	struct reader r = {.p = (const unsigned char *)text.data, .err = err};
	int rc;

	if (text.len > BOUND_RESULT_BYTES)
		return err_set(err, ERR_TOOBIG, "a pickle of %zu bytes", text.len);
	if (text.len < 2 || r.p[0] != PICKLE_MARK)
		return err_set(err, ERR_INVALID, "no pickle");
	r.end = r.p + text.len;
	rc = run(&r);
	if (rc == 0)
		rc = take_value(&r, ret);
	release(&r);
	return rc;
}
