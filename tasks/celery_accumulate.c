/*
 * celery.accumulate: its arguments, or that of the keyword `index` (Task.replace puts it behind a
 * group that takes a task's place).
 */
#include <string.h>

#include "json.h"
#include "mem.h"
#include "message.h"
#include "tasks.h"

/* args[index] of a tuple. */
static int pick(struct task_ctx *ctx, const json_t *args, const json_t *index, json_t **ret,
		struct err *err)
{
	json_int_t count = (json_int_t)json_array_size(args), at;

	if (strcmp(json_type_name(index), "int") != 0 && !json_is_boolean(index))
		return raise_type_error(ctx, err,
					"tuple indices must be integers or slices, not %s",
					json_type_name(index));
	at = json_is_boolean(index) ? json_is_true(index) : json_integer_value(index);
	if (at < 0)
		at += count;
	if (json_is_string(index) || at < 0 || at >= count)
		return task_raise(ctx, err, "builtins", "IndexError", "tuple index out of range");
	*ret = json_incref(json_array_get(args, (size_t)at));
	return 0;
}

static int run_accumulate(struct task_ctx *ctx, unused_arg json_t *const *values,
			  json_t **ret_result, struct err *err)
{
	const struct message *m = task_ctx_message(ctx);
	const json_t *index = json_member(m->kwargs, "index");

	if (index != NULL)
		return pick(ctx, m->args, index, ret_result, err);
	*ret_result = json_incref(m->args);
	return 0;
}

const struct task task_celery_accumulate = {
	.name = "celery.accumulate",
	.run = run_accumulate,
	.flags = TASK_ACKS_LATE | TASK_ANY_ARGUMENTS,
	.help = "returns its arguments, or the one at `index`",
};
