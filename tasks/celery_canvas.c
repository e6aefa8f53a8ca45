/*
 * celery.group, celery.chain and celery.chord as messages. No Celery of today sends them, as each
 * is taken apart by its sender, but each is there to be called.
 */
#include "json.h"
#include "mem.h"
#include "message.h"
#include "tasks.h"

/* ERR_INVALID and ERR_TOOBIG of a signature as a ValueError. */
static int wrap(struct task_ctx *ctx, int rc, struct err *err)
{
	struct err why = *err;

	if (rc == -ERR_INVALID || rc == -ERR_TOOBIG)
		return raise_value_error(ctx, err, "%s", why.msg);
	return rc;
}

enum group_param { GROUP_TASKS, GROUP_RESULT, GROUP_ID, GROUP_ARGS, GROUP_ADD_TO_PARENT };

static int run_group(struct task_ctx *ctx, json_t *const *values, json_t **ret_result,
		     struct err *err)
{
	_cleanup_json_ json_t *options =
		json_pack("{s:O, s:b}", "group_id", values[GROUP_ID], "add_to_parent", 0);
	json_t *task;
	size_t i;

	json_array_foreach(values[GROUP_TASKS], i, task)
	{
		int rc = task_apply(ctx, task, values[GROUP_ARGS], options, NULL, err);

		if (rc < 0)
			return wrap(ctx, rc, err);
	}
	if (values[GROUP_ADD_TO_PARENT] == NULL || json_is_true(values[GROUP_ADD_TO_PARENT]))
		task_add_child(ctx, values[GROUP_RESULT]);
	*ret_result = json_incref(values[GROUP_RESULT]);
	return 0;
}

static const struct task_param group_params[] = {
	[GROUP_TASKS] = {"tasks", PARAM_LIST, true},
	[GROUP_RESULT] = {"result", PARAM_LIST, true},
	[GROUP_ID] = {"group_id", PARAM_STR, true},
	[GROUP_ARGS] = {"partial_args", PARAM_LIST, true},
	[GROUP_ADD_TO_PARENT] = {"add_to_parent", PARAM_BOOL, false},
};

const struct task task_celery_group = {
	.name = "celery.group",
	.run = run_group,
	.params = group_params,
	.param_count = ARRAY_LEN(group_params),
	.flags = TASK_ACKS_LATE,
	.help = "publishes tasks as a group, and returns its result",
};

static int run_chain(struct task_ctx *ctx, unused_arg json_t *const *values,
		     unused_arg json_t **ret_result, struct err *err)
{
	return task_raise(ctx, err, "builtins", "NotImplementedError", "chain is not a real task");
}

const struct task task_celery_chain = {
	.name = "celery.chain",
	.run = run_chain,
	.flags = TASK_ACKS_LATE | TASK_ANY_ARGUMENTS,
	.help = "is there for its name alone: chains are taken apart by their senders",
};

enum chord_param { CHORD_HEADER, CHORD_BODY, CHORD_ARGS, CHORD_PARAMS };

static int run_chord(struct task_ctx *ctx, json_t *const *values, json_t **ret_result,
		     struct err *err)
{
	_cleanup_json_ json_t *signature =
		json_pack("{s:s, s:[], s:{s:O, s:O}, s:{}, s:s, s:b}", "task", "celery.chord",
			  "args", "kwargs", "header", values[CHORD_HEADER], "body",
			  values[CHORD_BODY], "options", "subtask_type", "chord", "immutable", 0);

	return wrap(ctx, task_apply(ctx, signature, values[CHORD_ARGS], NULL, ret_result, err),
		    err);
}

static const struct task_param chord_params[] = {
	[CHORD_HEADER] = {"header", PARAM_ANY, true},
	[CHORD_BODY] = {"body", PARAM_DICT, true},
	[CHORD_ARGS] = {"partial_args", PARAM_LIST, false},
};

const struct task task_celery_chord = {
	.name = "celery.chord",
	.run = run_chord,
	.params = chord_params,
	.param_count = ARRAY_LEN(chord_params),
	.flags = TASK_ACKS_LATE | TASK_ANY_ARGUMENTS,
	.help = "publishes a chord, and returns the result of its body",
};
