/*
 * pickle_tree.c: a value of which parts are in it more than once, as a tree.
 */
#include <string.h>

#include "bounds.h"
#include "json.h"
#include "mem.h"
#include "pickle_tree.h"

#define SHARED_VALUES (1u << 20) /* at most, in the tree */

int pickle_holds_itself(struct err *err)
{
	return err_set(err, ERR_TOOBIG, "a pickle that holds itself, or more than it may");
}

int pickle_repeats(struct err *err)
{
	return err_set(err, ERR_TOOBIG,
		       "a pickle of more than %u bytes of text, those that it repeats counted",
		       BOUND_RESULT_BYTES);
}

/* How much may still come. */
struct copying {
	size_t values;
	size_t bytes; /* of keys and texts */
	struct err *err;
};

static int take_text(struct copying *c, size_t len)
{
	if (len > c->bytes)
		return pickle_repeats(c->err);
	c->bytes -= len;
	return 0;
}

static int copy(struct copying *c, json_t *value, size_t depth, json_t **ret);

static int copy_array(struct copying *c, json_t *array, size_t depth, json_t **ret)
{
	_cleanup_json_ json_t *made = json_array();
	json_t *each;
	size_t i;

	json_array_foreach(array, i, each)
	{
		json_t *one = NULL;
		int rc = copy(c, each, depth, &one);

		if (rc < 0)
			return rc;
		json_array_append_new(made, one);
	}
	*ret = TAKE(made);
	return 0;
}

static int copy_object(struct copying *c, json_t *object, size_t depth, json_t **ret)
{
	_cleanup_json_ json_t *made = json_object();
	const char *key;
	json_t *each;

	json_object_foreach(object, key, each)
	{
		json_t *one = NULL;
		int rc = take_text(c, strlen(key));

		if (rc == 0)
			rc = copy(c, each, depth, &one);
		if (rc < 0)
			return rc;
		json_object_set_new_nocheck(made, key, one);
	}
	*ret = TAKE(made);
	return 0;
}

static int copy(struct copying *c, json_t *value, size_t depth, json_t **ret)
{
	bool holds = json_is_array(value) || json_is_object(value);
	int rc;

	if ((holds && depth >= BOUND_JSON_DEPTH) || c->values == 0)
		return pickle_holds_itself(c->err);
	c->values--;
	if (json_is_array(value))
		return copy_array(c, value, depth + 1, ret);
	if (json_is_object(value))
		return copy_object(c, value, depth + 1, ret);
	rc = take_text(c, json_string_length(value));
	if (rc == 0)
		*ret = json_incref(value);
	return rc;
}

int pickle_tree(json_t *value, json_t **ret, struct err *err)
{
	struct copying c = {SHARED_VALUES, BOUND_RESULT_BYTES, err};

	return copy(&c, value, 0, ret);
}
