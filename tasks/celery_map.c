/*
 * celery.map and celery.starmap: one task called for each of a list, in this thread, one after the
 * other; celery.chunks: a group of such starmaps.
 */
#include "json.h"
#include "mem.h"
#include "message.h"
#include "tasks.h"

/* A signature, or a name. */
static int name_of(struct task_ctx *ctx, const json_t *task, const char **ret, struct err *err)
{
	const char *name =
		json_is_object(task) ? json_member_str(task, "task") : json_string_value(task);

	if (name == NULL || json_is_python_number(task))
		return raise_type_error(ctx, err, "a %s is no task", json_type_name(task));
	*ret = name;
	return 0;
}

/* What `*item` gives to a call. */
static int arguments_of(struct task_ctx *ctx, const char *name, json_t *item, json_t **ret,
			struct err *err)
{
	const char *key;
	json_t *value;

	if (json_is_array(item)) {
		*ret = json_incref(item);
		return 0;
	}
	if (!json_is_object(item))
		return raise_type_error(ctx, err,
					"%s() argument after * must be an iterable, not %s", name,
					json_type_name(item));
	*ret = json_array();
	json_object_foreach(item, key, value) json_array_append_new(*ret, json_string(key));
	return 0;
}

static int call_each(struct task_ctx *ctx, json_t *const *values, bool star, json_t **ret_result,
		     struct err *err)
{
	_cleanup_json_ json_t *results = json_array();
	const char *name = NULL;
	json_t *item;
	size_t i;
	int rc = name_of(ctx, values[0], &name, err);

	json_array_foreach(values[1], i, item)
	{
		_cleanup_json_ json_t *args = NULL;
		json_t *result = NULL;

		if (rc == 0 && task_cancelled(ctx))
			rc = err_set(err, ERR_CANCELLED, "cancelled");
		if (rc == 0 && star)
			rc = arguments_of(ctx, name, item, &args, err);
		else if (rc == 0)
			args = json_pack("[O]", item);
		if (rc == 0)
			rc = task_call(ctx, name, args, NULL, &result, err);
		if (rc < 0)
			return rc;
		json_array_append_new(results, result);
	}
	if (rc == 0 && json_array_size(values[1]) == 0)
		rc = task_call_check(ctx, name, err);
	if (rc == 0)
		*ret_result = TAKE(results);
	return rc;
}

static int run_map(struct task_ctx *ctx, json_t *const *values, json_t **ret_result,
		   struct err *err)
{
	return call_each(ctx, values, false, ret_result, err);
}

static int run_starmap(struct task_ctx *ctx, json_t *const *values, json_t **ret_result,
		       struct err *err)
{
	return call_each(ctx, values, true, ret_result, err);
}

/* Published with this task's end; the result is that of the group. */
static int run_chunks(struct task_ctx *ctx, json_t *const *values, json_t **ret_result,
		      struct err *err)
{
	_cleanup_json_ json_t *signature =
		json_pack("{s:s, s:[], s:{s:O, s:O, s:O}, s:{}, s:s, s:b}", "task", "celery.chunks",
			  "args", "kwargs", "task", values[0], "it", values[1], "n", values[2],
			  "options", "subtask_type", "chunks", "immutable", 1);

	return task_apply(ctx, signature, NULL, NULL, ret_result, err);
}

static const struct task_param params[] = {
	{"task", PARAM_ANY, true},
	{"it", PARAM_LIST, true},
	{"n", PARAM_INT, true},
};

const struct task task_celery_map = {
	.name = "celery.map",
	.run = run_map,
	.params = params,
	.param_count = 2,
	.flags = TASK_ACKS_LATE,
	.help = "calls a task for each of a list, and returns the list of its results",
};

const struct task task_celery_starmap = {
	.name = "celery.starmap",
	.run = run_starmap,
	.params = params,
	.param_count = 2,
	.flags = TASK_ACKS_LATE,
	.help = "likewise, with each of the list as the task's arguments",
};

const struct task task_celery_chunks = {
	.name = "celery.chunks",
	.run = run_chunks,
	.params = params,
	.param_count = 3,
	.flags = TASK_ACKS_LATE,
	.help = "publishes starmaps of at most n items each",
};
