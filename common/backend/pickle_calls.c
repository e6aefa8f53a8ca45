/*
 * pickle_calls.c: opcodes of pickles for what a class makes (pickle_types.h), and bytes: typed
 * values.
 */
#include "pickle_machine.h"

#include "json.h"
#include "pickle_types.h"
#include "typed.h"

static int push_typed(struct pickle_reader *r, json_t *value)
{
	int rc = pickle_push(r, value, typed_kind(value) == TYPED_UUID ? 2 : 1);

	if (rc == 0)
		r->stack[r->count - 1].is_tuple = true;
	return rc;
}

int pickle_op_bytes(struct pickle_reader *r, size_t size)
{
	uint64_t len;
	const unsigned char *p = pickle_number(r, size, &len) ? pickle_bytes(r, len) : NULL;
	json_t *value;

	if (p == NULL)
		return pickle_damaged(r);
	value = typed_bytes(p, len);
	return value != NULL ? push_typed(r, value)
			     : err_set(r->err, ERR_NOMEM, "no memory for %zu bytes", (size_t)len);
}

static int push_class(struct pickle_reader *r, struct slice module, struct slice name)
{
	int class = pickle_class(module, name), rc;

	if (class < 0)
		return err_set(r->err, ERR_UNSUPPORTED, "a pickle of more than plain data (%.*s)",
			       (int)(name.len < 40 ? name.len : 40), name.data);
	rc = pickle_push(r, json_null(), 0);
	if (rc == 0)
		r->stack[r->count - 1].class = class + 1;
	return rc;
}

int pickle_op_global(struct pickle_reader *r, unused_arg size_t size)
{
	struct slice module, name;

	return pickle_line(r, &module) && pickle_line(r, &name) ? push_class(r, module, name)
								: pickle_damaged(r);
}

int pickle_op_stack_global(struct pickle_reader *r, unused_arg size_t size)
{
	_cleanup_json_ json_t *module = NULL, *name = NULL;

	if (!pickle_has_values(r, 2))
		return pickle_damaged(r);
	module = json_incref(r->stack[r->count - 2].value);
	name = json_incref(r->stack[r->count - 1].value);
	pickle_drop(r, r->count - 2);
	if (!json_is_string(module) || !json_is_string(name))
		return pickle_damaged(r);
	return push_class(r, (struct slice){json_string_value(module), json_string_length(module)},
			  (struct slice){json_string_value(name), json_string_length(name)});
}

int pickle_op_reduce(struct pickle_reader *r, unused_arg size_t size)
{
	const struct pickle_item *top = r->stack + r->count;
	json_t *value = NULL;
	int rc;

	if (r->count < 2 || top[-1].value == NULL || !top[-1].is_tuple || top[-2].class == 0 ||
	    !json_is_array(top[-1].value))
		return pickle_damaged(r);
	/* all of it is looked at, and the memo may give the tuple that holds it */
	rc = pickle_repeat(r, json_array_get(top[-1].value, 0));
	if (rc < 0)
		return rc;
	rc = pickle_call(top[-2].class - 1, top[-1].value, &value, r->err);
	pickle_drop(r, r->count - 2);
	r->called = true;
	return rc < 0 ? rc : push_typed(r, value);
}
