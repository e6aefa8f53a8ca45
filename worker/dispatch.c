/*
 * From the name of a tool to the task behind it.
 */
#include "dispatch.h"

#include <poll.h>
#include <stdlib.h>

#include "gate.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "record.h"
#include "row.h"
#include "task_house.h"

#define RETRY_MS 250 /* between two tries during an outage */

static int bind(struct task_ctx *ctx, const struct task *target, json_t ***values, struct err *err)
{
	_cleanup_json_ json_t *none = json_array();
	_cleanup_free_ json_t **bound = xcalloc(target->param_count + 1, sizeof(json_t *));
	int rc = task_bind(target, none, ctx->resolved, bound, err);

	if (rc < 0) {
		task_ctx_set_exception(ctx, "builtins",
				       rc == -ERR_INVALID ? "TypeError" : "ValueError", err->msg);
		record_arguments(ctx, err->msg);
		return rc;
	}
	free(*values);
	*values = TAKE(bound);
	ctx->task = target;
	return 0;
}

/* False: the worker stops first. An error without an exception that is not about the name is one of
 * the database, which somebody will mend. */
static bool resolve(struct task_ctx *ctx, json_t *const *values, const struct task **ret,
		    int *ret_rc, struct err *err)
{
	bool said = false;

	for (;;) {
		*ret_rc = ctx->task->resolve(ctx, values, ret, &ctx->resolved, err);
		if (*ret_rc == 0 || ctx->exc_type != NULL || row_is_refused(err))
			return true;
		if (!said)
			log_warning("Task %s[%s]: waiting: %s", ctx->request->shown,
				    ctx->request->id, err->msg);
		said = true;
		if (atomic_load(&ctx->worker->releasing))
			return false;
		poll(NULL, 0, RETRY_MS);
	}
}

enum dispatch dispatch_call(struct task_ctx *ctx, json_t ***values)
{
	const struct task *target = NULL;
	struct err err = {0};
	int rc;

	if (ctx->task->resolve == NULL)
		return DISPATCH_GO;
	if (!resolve(ctx, *values, &target, &rc, &err))
		return DISPATCH_ABANDONED;
	if (rc == 0)
		rc = bind(ctx, target, values, &err);
	if (rc == 0)
		return gate_pass(ctx, *values) ? DISPATCH_GO : DISPATCH_REFUSED;
	if (ctx->exc_type == NULL)
		task_ctx_set_exception(ctx, "builtins", "ValueError", err.msg);
	gate_record(ctx, true, USEC_NEVER);
	return DISPATCH_REFUSED;
}
