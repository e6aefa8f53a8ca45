/*
 * canvas_check.c: whether a value is a signature that can be applied, and how many parts it makes.
 */
#include <string.h>

#include "bounds.h"
#include "canvas.h"
#include "json.h"

struct check {
	size_t count;
};

static int check_tree(struct check *c, const json_t *sig, size_t depth, struct err *err);

/* A member of a type, or absent or null. */
static int check_member(const json_t *sig, const char *key, json_type type, struct err *err)
{
	const json_t *value = json_member(sig, key);

	if (value != NULL && json_typeof(value) != type)
		return err_set(err, ERR_INVALID, "a signature whose %s is a %s", key,
			       json_type_name(value));
	return 0;
}

static int check_plain(const json_t *sig, struct err *err)
{
	const json_t *task = json_member(sig, "task");
	size_t len = json_string_length(task);
	int rc;

	if (!json_is_string(task) || json_is_python_number(task) || len == 0)
		return err_set(err, ERR_INVALID, "a signature without a task");
	if (len > BOUND_TASK_NAME_BYTES)
		return err_set(err, ERR_TOOBIG, "a signature whose task has %zu bytes", len);
	rc = check_member(sig, "args", JSON_ARRAY, err);
	if (rc == 0)
		rc = check_member(sig, "kwargs", JSON_OBJECT, err);
	return rc < 0 ? rc : check_member(sig, "options", JSON_OBJECT, err);
}

static int check_tasks(struct check *c, const json_t *tasks, const char *what, size_t depth,
		       struct err *err)
{
	int rc = 0;

	if (!json_is_array(tasks))
		return err_set(err, ERR_INVALID, "a %s whose tasks are a %s", what,
			       json_type_name(tasks));
	for (size_t i = 0; rc == 0 && i < json_array_size(tasks); i++)
		rc = check_tree(c, json_array_get(tasks, i), depth + 1, err);
	return rc;
}

static int check_chord(struct check *c, const json_t *sig, size_t depth, struct err *err)
{
	const json_t *header = canvas_tasks(sig), *body = canvas_body(sig);
	int rc;

	if (body == NULL)
		return err_set(err, ERR_INVALID, "a chord without a body");
	if (json_is_object(header))
		rc = check_tree(c, header, depth + 1, err);
	else
		rc = check_tasks(c, header, "chord", depth, err);
	return rc < 0 ? rc : check_tree(c, body, depth + 1, err);
}

/* {task, it} of maps, and n of chunks. */
static int check_map(const json_t *sig, bool chunks, struct err *err)
{
	const json_t *n = canvas_kwarg(sig, "n");

	if (!json_is_object(canvas_kwarg(sig, "task")) &&
	    !json_is_string(canvas_kwarg(sig, "task")))
		return err_set(err, ERR_INVALID, "a map without a task");
	if (!json_is_array(canvas_kwarg(sig, "it")))
		return err_set(err, ERR_INVALID, "a map of what is no list");
	if (chunks && (!json_is_integer(n) || json_integer_value(n) < 1))
		return err_set(err, ERR_INVALID, "chunks of no size");
	return 0;
}

static int check_tree(struct check *c, const json_t *sig, size_t depth, struct err *err)
{
	enum canvas_type type = canvas_type(sig);
	int rc;

	if (!json_is_object(sig))
		return err_set(err, ERR_INVALID, "a %s is not a signature", json_type_name(sig));
	if (depth > BOUND_CANVAS_DEPTH)
		return err_set(err, ERR_TOOBIG, "signatures nested more than %d deep",
			       BOUND_CANVAS_DEPTH);
	if (++c->count > BOUND_CANVAS_SIZE)
		return err_set(err, ERR_TOOBIG, "more than %d signatures in one",
			       BOUND_CANVAS_SIZE);
	rc = check_plain(sig, err);
	if (rc < 0)
		return rc;
	switch (type) {
	case CANVAS_CHAIN:
	case CANVAS_GROUP:
		return check_tasks(c, canvas_tasks(sig), type == CANVAS_CHAIN ? "chain" : "group",
				   depth, err);
	case CANVAS_CHORD:
		return check_chord(c, sig, depth, err);
	case CANVAS_XMAP:
	case CANVAS_XSTARMAP:
	case CANVAS_CHUNKS:
		return check_map(sig, type == CANVAS_CHUNKS, err);
	case CANVAS_UNKNOWN:
		return err_set(err, ERR_INVALID, "a signature of the unknown type %.40s",
			       json_member_str(sig, "subtask_type")
				       ? json_member_str(sig, "subtask_type")
				       : "(no text)");
	case CANVAS_PLAIN:
	default:
		return 0;
	}
}

int signature_check(const json_t *signature, struct err *err)
{
	struct check c = {0};

	return check_tree(&c, signature, 1, err);
}

static int64_t size_of_tree(const json_t *sig, size_t depth);

static int64_t size_of_tasks(const json_t *tasks, size_t depth)
{
	int64_t size = 0;

	for (size_t i = 0; i < json_array_size(tasks); i++)
		size += size_of_tree(json_array_get(tasks, i), depth + 1);
	return size;
}

/* The last element that counts at all. */
static int64_t size_of_chain(const json_t *tasks, size_t depth)
{
	for (size_t i = json_array_size(tasks); i-- > 0;) {
		int64_t size = size_of_tree(json_array_get(tasks, i), depth + 1);

		if (size > 0)
			return size;
	}
	return 0;
}

static int64_t size_of_tree(const json_t *sig, size_t depth)
{
	if (!json_is_object(sig) || depth > BOUND_CANVAS_DEPTH)
		return 0;
	switch (canvas_type(sig)) {
	case CANVAS_GROUP:
		return size_of_tasks(canvas_tasks(sig), depth);
	case CANVAS_CHAIN:
		return size_of_chain(canvas_tasks(sig), depth);
	case CANVAS_CHORD:
		return size_of_tree(canvas_body(sig), depth + 1);
	case CANVAS_UNKNOWN:
		return 0;
	case CANVAS_PLAIN:
	case CANVAS_XMAP:
	case CANVAS_XSTARMAP:
	case CANVAS_CHUNKS:
	default:
		return 1;
	}
}

int64_t signature_size(const json_t *signature)
{
	return size_of_tree(signature, 1);
}
