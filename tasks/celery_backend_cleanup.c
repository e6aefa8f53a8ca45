/*
 * celery.backend_cleanup: results in Redis expire by themselves; what is left to do is to look
 * after chords that nobody triggered, and what is kept about those that are over.
 */
#include "mem.h"
#include "tasks.h"

static int run_cleanup(struct task_ctx *ctx, unused_arg json_t *const *values, json_t **ret_result,
		       unused_arg struct err *err)
{
	task_cleanup_backend(ctx);
	*ret_result = json_null();
	return 0;
}

const struct task task_celery_backend_cleanup = {
	.name = "celery.backend_cleanup",
	.run = run_cleanup,
	.flags = TASK_ACKS_LATE,
	.help = "looks for chords that are complete and were never triggered",
};
