/*
 * celery.backend_cleanup: results in Redis expire by themselves; what is left to do there is to
 * look after chords that nobody triggered, and what is kept about those that are over. In a
 * database the old rows are deleted.
 */
#include "mem.h"
#include "tasks.h"

static int run_cleanup(struct task_ctx *ctx, unused_arg json_t *const *values, json_t **ret_result,
		       struct err *err)
{
	int rc = task_cleanup_backend(ctx, err);

	if (rc == 0)
		*ret_result = json_null();
	return rc;
}

const struct task task_celery_backend_cleanup = {
	.name = "celery.backend_cleanup",
	.run = run_cleanup,
	.flags = TASK_ACKS_LATE,
	.help = "forgets old results in a database; looks for chords that nobody triggered",
};
