/*
 * pickle_read.c: the part of pickle's machine (Lib/pickletools.py) that makes plain data. Classes
 * are those of pickle_types.c, which are of no use but to be called; other opcodes that name or
 * call anything, and those for what JSON has not (sets), are not in the table.
 *
 * Nothing it makes is deeper than BOUND_JSON_DEPTH. A container that the memo gives a second time
 * may hold itself, or stand for gigabytes: what has such is copied in the end, so deep and so many
 * values at most, and the containers of the memo are emptied, whoever holds whom. A text is shared
 * by all values that are it, but copied as a key, and walked in more than one place: what the memo
 * gives of texts is at most BOUND_RESULT_BYTES, each counted as often as it is given.
 */
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "json.h"
#include "mem.h"
#include "pickle.h"
#include "pickle_machine.h"
#include "pickle_tree.h"
#include "typed.h"

/* ---- opcodes: `size` is of the argument, or of the number that says how long it is ---- */

/* PROTO, FRAME */
static int op_skip(struct pickle_reader *r, size_t size)
{
	return pickle_bytes(r, size) != NULL ? 0 : pickle_damaged(r);
}

static int op_stop(struct pickle_reader *r, unused_arg size_t size)
{
	r->stopped = true;
	return 0;
}

static int op_mark(struct pickle_reader *r, unused_arg size_t size)
{
	return pickle_push(r, NULL, 0);
}

static int op_list(struct pickle_reader *r, unused_arg size_t size)
{
	return pickle_push(r, json_array(), 1);
}

static int op_dict(struct pickle_reader *r, unused_arg size_t size)
{
	return pickle_push(r, json_object(), 1);
}

/* The place after the last mark; false when there is none. */
static bool find_mark(const struct pickle_reader *r, size_t *ret_first)
{
	size_t at = r->count;

	while (at > 0 && r->stack[at - 1].value != NULL)
		at--;
	*ret_first = at;
	return at > 0;
}

static bool has_class(const struct pickle_reader *r, size_t first)
{
	for (size_t i = first; i < r->count; i++) {
		if (r->stack[i].class != 0)
			return true;
	}
	return false;
}

/* A tuple of everything from `first` on, which goes from the stack down to `left`. */
static int push_tuple(struct pickle_reader *r, size_t first, size_t left)
{
	json_t *list;
	size_t depth = 0;
	int rc;

	if (has_class(r, first))
		return pickle_refused(r);
	list = json_array();
	for (size_t i = first; i < r->count; i++) {
		depth = r->stack[i].depth > depth ? r->stack[i].depth : depth;
		json_array_append(list, r->stack[i].value);
	}
	pickle_drop(r, left);
	rc = pickle_push(r, list, depth + 1);
	if (rc == 0)
		r->stack[r->count - 1].is_tuple = true;
	return rc;
}

static int op_tuple_marked(struct pickle_reader *r, unused_arg size_t size)
{
	size_t first;

	return find_mark(r, &first) ? push_tuple(r, first, first - 1) : pickle_damaged(r);
}

static int op_tuple(struct pickle_reader *r, size_t count)
{
	return pickle_has_values(r, count) ? push_tuple(r, r->count - count, r->count - count)
					   : pickle_damaged(r);
}

/* The container below `first`, which what is above it goes into. */
static struct pickle_item *container_below(struct pickle_reader *r, size_t first, json_type type)
{
	struct pickle_item *at = first > 0 ? &r->stack[first - 1] : NULL;

	return at != NULL && at->value != NULL && json_typeof(at->value) == type && !at->is_tuple
		       ? at
		       : NULL;
}

/* What holds `inner` is that much deeper. */
static int deepen(struct pickle_reader *r, struct pickle_item *outer,
		  const struct pickle_item *inner)
{
	if (inner->depth + 1 > outer->depth)
		outer->depth = inner->depth + 1;
	return outer->depth <= BOUND_JSON_DEPTH
		       ? 0
		       : err_set(r->err, ERR_TOOBIG, "a pickle nested deeper than %d",
				 BOUND_JSON_DEPTH);
}

static int fill_list(struct pickle_reader *r, size_t first, size_t left)
{
	struct pickle_item *list = container_below(r, left, JSON_ARRAY);

	if (list == NULL)
		return pickle_damaged(r);
	if (has_class(r, first))
		return pickle_refused(r);
	for (size_t i = first; i < r->count; i++) {
		int rc = deepen(r, list, &r->stack[i]);

		if (rc == 0 && json_array_append(list->value, r->stack[i].value) < 0)
			rc = pickle_holds_itself(r->err);
		if (rc < 0)
			return rc;
	}
	pickle_drop(r, left);
	return 0;
}

static int op_append(struct pickle_reader *r, unused_arg size_t size)
{
	return pickle_has_values(r, 2) ? fill_list(r, r->count - 1, r->count - 1)
				       : pickle_damaged(r);
}

static int op_appends(struct pickle_reader *r, unused_arg size_t size)
{
	size_t first;

	return find_mark(r, &first) ? fill_list(r, first, first - 1) : pickle_damaged(r);
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

static int set_item(struct pickle_reader *r, struct pickle_item *dict, size_t at)
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

static int fill_dict(struct pickle_reader *r, size_t first, size_t left)
{
	struct pickle_item *dict = container_below(r, left, JSON_OBJECT);
	int rc = 0;

	if (dict == NULL || (r->count - first) % 2 != 0)
		return pickle_damaged(r);
	if (has_class(r, first))
		return pickle_refused(r);
	for (size_t i = first; rc == 0 && i < r->count; i += 2)
		rc = set_item(r, dict, i);
	pickle_drop(r, left);
	return rc;
}

static int op_set_item(struct pickle_reader *r, unused_arg size_t size)
{
	return pickle_has_values(r, 3) ? fill_dict(r, r->count - 2, r->count - 2)
				       : pickle_damaged(r);
}

static int op_set_items(struct pickle_reader *r, unused_arg size_t size)
{
	size_t first;

	return find_mark(r, &first) ? fill_dict(r, first, first - 1) : pickle_damaged(r);
}

/* ---- the memo: Python's pickler numbers what it keeps from 0 on ---- */

static int keep(struct pickle_reader *r, uint64_t number)
{
	struct pickle_item *at;

	if (r->count == 0 || r->stack[r->count - 1].value == NULL || number != r->memo_count)
		return pickle_damaged(r);
	if (r->memo_count == BOUND_JSON_VALUES)
		return pickle_too_many(r);
	at = pickle_grow(&r->memo, r->memo_count, &r->memo_size);
	r->memo_count++;
	*at = r->stack[r->count - 1];
	json_incref(at->value);
	return 0;
}

static int op_memoize(struct pickle_reader *r, unused_arg size_t size)
{
	return keep(r, r->memo_count);
}

static int op_put(struct pickle_reader *r, size_t size)
{
	uint64_t at;

	return pickle_number(r, size, &at) ? keep(r, at) : pickle_damaged(r);
}

static int op_get(struct pickle_reader *r, size_t size)
{
	uint64_t at;
	const struct pickle_item *kept;
	int rc;

	if (!pickle_number(r, size, &at) || at >= r->memo_count)
		return pickle_damaged(r);
	kept = &r->memo[at];
	r->shared |= json_is_array(kept->value) || json_is_object(kept->value);
	rc = pickle_repeat(r, kept->value);
	if (rc == 0)
		rc = pickle_push(r, json_incref(kept->value), 0);
	if (rc < 0)
		return rc;
	r->stack[r->count - 1].is_tuple = kept->is_tuple;
	r->stack[r->count - 1].class = kept->class;
	return 0;
}

/* ---- the table ---- */

static const struct {
	int (*run)(struct pickle_reader *r, size_t size);
	size_t size;
} g_ops[256] = {
	[0x80] = {op_skip, 1},
	[0x95] = {op_skip, 8},
	['.'] = {op_stop, 0},
	['('] = {op_mark, 0},
	['N'] = {pickle_op_none, 0},
	[0x88] = {pickle_op_true, 0},
	[0x89] = {pickle_op_false, 0},
	['K'] = {pickle_op_int, 1},
	['L'] = {pickle_op_long_digits, 0},
	['M'] = {pickle_op_int, 2},
	['J'] = {pickle_op_int, 4},
	[0x8a] = {pickle_op_long, 1},
	[0x8b] = {pickle_op_long, 4},
	['G'] = {pickle_op_float, 8},
	[0x8c] = {pickle_op_text, 1},
	['X'] = {pickle_op_text, 4},
	[0x8d] = {pickle_op_text, 8},
	[']'] = {op_list, 0},
	['}'] = {op_dict, 0},
	[')'] = {op_tuple, 0},
	[0x85] = {op_tuple, 1},
	[0x86] = {op_tuple, 2},
	[0x87] = {op_tuple, 3},
	['t'] = {op_tuple_marked, 0},
	['a'] = {op_append, 0},
	['e'] = {op_appends, 0},
	['s'] = {op_set_item, 0},
	['C'] = {pickle_op_bytes, 1},
	['B'] = {pickle_op_bytes, 4},
	[0x8e] = {pickle_op_bytes, 8},
	['c'] = {pickle_op_global, 0},
	[0x93] = {pickle_op_stack_global, 0},
	['R'] = {pickle_op_reduce, 0},
	['u'] = {op_set_items, 0},
	[0x94] = {op_memoize, 0},
	['q'] = {op_put, 1},
	['r'] = {op_put, 4},
	['h'] = {op_get, 1},
	['j'] = {op_get, 4},
};

static int run(struct pickle_reader *r)
{
	int rc = 0;

	while (rc == 0 && !r->stopped) {
		const unsigned char *op = pickle_bytes(r, 1);

		if (op == NULL)
			return pickle_damaged(r);
		if (g_ops[*op].run == NULL)
			return err_set(r->err, ERR_UNSUPPORTED,
				       "a pickle of more than plain data (opcode 0x%02x)", *op);
		rc = g_ops[*op].run(r, g_ops[*op].size);
	}
	return rc;
}

static int take_value(struct pickle_reader *r, json_t **ret)
{
	_cleanup_json_ json_t *value = NULL;
	struct err ignored;
	int rc = 0;

	if (r->count != 1 || r->stack[0].value == NULL)
		return pickle_damaged(r);
	if (r->stack[0].class != 0)
		return pickle_refused(r);
	if (r->shared)
		rc = pickle_tree(r->stack[0].value, &value, r->err);
	else
		value = json_incref(r->stack[0].value);
	if (rc == 0 && r->called && typed_check(value, &ignored) < 0)
		return pickle_refused(r);
	if (rc == 0)
		*ret = TAKE(value);
	return rc;
}

/* An object that is empty is let be: to clear it takes as long as when it was full, and the memo
 * may have it in each place. */
static void empty(json_t *value)
{
	json_array_clear(value);
	if (json_object_size(value) > 0)
		json_object_clear(value);
}

static void release(struct pickle_reader *r)
{
	for (size_t i = 0; r->shared && i < r->memo_count; i++)
		empty(r->memo[i].value);
	pickle_drop(r, 0);
	for (size_t i = 0; i < r->memo_count; i++)
		json_decref(r->memo[i].value);
	free(r->stack);
	free(r->memo);
}

int pickle_read(struct slice text, json_t **ret, struct err *err)
{
	struct pickle_reader r = {.p = (const unsigned char *)text.data, .err = err};
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
