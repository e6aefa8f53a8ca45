/*
 * bind.c: a call's arguments to a task's parameters. Mistakes are looked for in CPython's order and
 * told in its words.
 */
#include <string.h>

#include "bounds.h"
#include "codec.h"
#include "json.h"
#include "mem.h"
#include "tasks.h"

#define NAME_MAX_SHOWN 100 /* bytes of a name that a caller chose */

static const char *const g_type_names[] = {
	[PARAM_ANY] = "object", [PARAM_STR] = "str",	     [PARAM_ID] = "str",
	[PARAM_INT] = "int",	[PARAM_NUMBER] = "a number", [PARAM_BOOL] = "bool",
	[PARAM_LIST] = "list",	[PARAM_DICT] = "dict",
};

static bool fits(enum param_type type, const json_t *value)
{
	switch (type) {
	case PARAM_ANY:
		return true;
	case PARAM_STR:
	case PARAM_ID:
		return json_is_string(value) && !json_is_python_number(value);
	case PARAM_INT:
		return json_is_integer(value) || strcmp(json_type_name(value), "int") == 0;
	case PARAM_NUMBER:
		/* A bool is a number in Python. */
		return json_is_number(value) || json_is_boolean(value) ||
		       json_is_python_number(value);
	case PARAM_BOOL:
		return json_is_boolean(value);
	case PARAM_LIST:
		return json_is_array(value);
	case PARAM_DICT:
		return json_is_object(value);
	}
	return false;
}

static int check_id(const struct task_param *p, const json_t *value, struct err *err)
{
	const char *text = json_string_value(value);
	size_t len = json_string_length(value);

	if (len == 0)
		return err_set(err, ERR_FAILED, "%s must not be empty", p->name);
	if (len > BOUND_CONVERSATION_ID_BYTES)
		return err_set(err, ERR_FAILED, "%s has %zu bytes, at most %d are allowed", p->name,
			       len, BOUND_CONVERSATION_ID_BYTES);
	if (utf8_has_control(text, len))
		return err_set(err, ERR_FAILED, "%s must not hold control characters", p->name);
	return 0;
}

static int check_value(const struct task_param *p, const json_t *value, struct err *err)
{
	if (value == NULL)
		return 0;
	if (!fits(p->type, value))
		return err_set(err, ERR_INVALID, "%s must be %s, not %s", p->name,
			       g_type_names[p->type], json_type_name(value));
	if (p->type == PARAM_ID)
		return check_id(p, value, err);
	if (p->type == PARAM_INT && !json_is_integer(value))
		return err_set(err, ERR_FAILED, "%s is beyond 64 bit", p->name);
	return 0;
}

static int bind_keyword(const struct task *t, const char *key, json_t *value, size_t positional,
			json_t **values, struct err *err)
{
	for (size_t i = 0; i < t->param_count; i++) {
		if (strcmp(t->params[i].name, key) != 0)
			continue;
		if (i < positional)
			return err_set(err, ERR_INVALID,
				       "%s() got multiple values for argument '%s'", t->name, key);
		values[i] = value;
		return 0;
	}
	if (t->flags & TASK_ANY_ARGUMENTS)
		return 0;
	return err_set(err, ERR_INVALID, "%s() got an unexpected keyword argument '%.*s'", t->name,
		       NAME_MAX_SHOWN, key);
}

static size_t required_count(const struct task *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->param_count; i++)
		n += t->params[i].required;
	return n;
}

static int too_many(const struct task *t, size_t given, struct err *err)
{
	size_t least = required_count(t), most = t->param_count;
	const char *were = given == 1 ? "was" : "were";

	if (least < most)
		return err_set(err, ERR_INVALID,
			       "%s() takes from %zu to %zu positional arguments but %zu %s given",
			       t->name, least, most, given, were);
	return err_set(err, ERR_INVALID, "%s() takes %zu positional argument%s but %zu %s given",
		       t->name, most, most == 1 ? "" : "s", given, were);
}

/* 'a' · 'a' and 'b' · 'a', 'b', and 'c' */
static int missing(const struct task *t, json_t *const *values, size_t count, struct err *err)
{
	_cleanup_buf_ struct buf names = BUF_INIT(4096);
	size_t told = 0;

	for (size_t i = 0; i < t->param_count; i++) {
		if (!t->params[i].required || values[i] != NULL)
			continue;
		told++;
		if (told > 1)
			buf_append_str(&names, told < count ? ", "
					       : count == 2 ? " and "
							    : ", and ");
		buf_appendf(&names, "'%s'", t->params[i].name);
	}
	return err_set(err, ERR_INVALID, "%s() missing %zu required positional argument%s: %s",
		       t->name, count, count == 1 ? "" : "s", names.data);
}

static int check_missing(const struct task *t, json_t *const *values, struct err *err)
{
	size_t count = 0;

	for (size_t i = 0; i < t->param_count; i++)
		count += t->params[i].required && values[i] == NULL;
	return count > 0 ? missing(t, values, count, err) : 0;
}

/* None is nothing said, but a required argument wants a value of its type. */
static int check_values(const struct task *t, json_t **values, struct err *err)
{
	for (size_t i = 0; i < t->param_count; i++) {
		const struct task_param *p = &t->params[i];
		int rc = json_is_null(values[i]) && !p->required ? 0
								 : check_value(p, values[i], err);

		if (rc < 0)
			return rc;
		if (json_is_null(values[i]))
			values[i] = NULL;
	}
	return 0;
}

int task_bind(const struct task *t, const json_t *args, const json_t *kwargs, json_t **values,
	      struct err *err)
{
	size_t given = json_array_size(args);
	size_t positional = given < t->param_count ? given : t->param_count;
	const char *key;
	json_t *value;
	int rc;

	for (size_t i = 0; i < t->param_count; i++)
		values[i] = i < positional ? json_array_get(args, i) : NULL;
	json_object_foreach((json_t *)(uintptr_t)kwargs, key, value)
	{
		rc = bind_keyword(t, key, value, positional, values, err);
		if (rc < 0)
			return rc;
	}
	if (given > t->param_count && !(t->flags & TASK_ANY_ARGUMENTS))
		return too_many(t, given, err);
	rc = check_missing(t, values, err);
	if (rc < 0)
		return rc;
	return check_values(t, values, err);
}
