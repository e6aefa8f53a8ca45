/*
 * What a built-in task may do with other tasks while it runs: the second half of task_house.h.
 */
#include <stdlib.h>

#include "canvas.h"
#include "ctx.h"
#include "json.h"
#include "mem.h"
#include "task_house.h"

const struct message *task_ctx_message(const struct task_ctx *ctx)
{
	return ctx->request->message;
}

struct backend *task_ctx_backend(struct task_ctx *ctx)
{
	return ctx->worker->backend;
}

/* What it asks of its own message is not the caller's to ask. */
static int outcome_of(struct task_ctx *ctx, int rc, struct err *err)
{
	if (rc == -ERR_RETRY)
		return task_raise(ctx, err, "celery.exceptions", "Retry", "Task can be retried");
	return rc;
}

int task_call_check(struct task_ctx *ctx, const char *name, struct err *err)
{
	const struct task *t = worker_find_task(ctx->worker, name);

	if (t == NULL)
		return task_raise(ctx, err, "celery.exceptions", "NotRegistered", "%s", name);
	if ((t->flags & (TASK_STORED | TASK_SANDBOX)) || t->lane != NULL)
		return task_raise(ctx, err, "builtins", "NotImplementedError",
				  "%s cannot run inside %s: send it by itself, in a group", name,
				  ctx->request->name);
	return 0;
}

int task_call(struct task_ctx *ctx, const char *name, const json_t *args, const json_t *kwargs,
	      json_t **ret_result, struct err *err)
{
	const struct task *t = worker_find_task(ctx->worker, name);
	_cleanup_free_ json_t **values = NULL;
	struct err wrong = {0};
	int rc = task_call_check(ctx, name, err);

	if (rc < 0)
		return rc;
	values = xcalloc(t->param_count + 1, sizeof(json_t *));
	rc = task_bind(t, args, kwargs, values, &wrong);
	if (rc < 0)
		return task_raise(ctx, err, "builtins",
				  rc == -ERR_INVALID ? "TypeError" : "ValueError", "%s", wrong.msg);
	return outcome_of(ctx, t->run(ctx, values, ret_result, err), err);
}

void task_add_child(struct task_ctx *ctx, json_t *result)
{
	struct request *r = ctx->request;

	if (r->children == NULL)
		r->children = json_array();
	json_array_append(r->children, result);
}

int task_apply(struct task_ctx *ctx, const json_t *signature, const json_t *args,
	       const json_t *options, json_t **ret_result, struct err *err)
{
	struct request *r = ctx->request;
	struct follower f = canvas_follower(r, &r->applied);
	/* the same ids when it runs again */
	_cleanup_free_ char *seed = xasprintf("%s %zu", r->id, r->applied_count++);
	size_t before = r->applied.count;
	struct signature_plan plan = {0};
	const json_t *child;
	size_t i;
	int rc;

	f.context.seed = seed;
	rc = signature_apply(&f.context, signature, args, NULL, options, &plan, err);
	if (rc == 0)
		rc = canvas_add_plan(&f, &plan, err);
	if (rc < 0) {
		canvas_truncate(&r->applied, before);
		signature_plan_done(&plan);
		return rc;
	}
	json_array_foreach(plan.children, i, child) task_add_child(ctx, (json_t *)(uintptr_t)child);
	if (ret_result != NULL)
		*ret_result = plan.result ? json_incref(plan.result) : json_null();
	signature_plan_done(&plan);
	return 0;
}

int task_fail_chord(struct task_ctx *ctx, const json_t *body, const char *text, const json_t *cause,
		    struct err *err)
{
	struct request *r = ctx->request;
	struct follower f = canvas_follower(r, &r->applied);
	size_t before = r->applied.count;
	int rc = chord_fail(&f, body, text, cause, err);

	if (rc < 0)
		canvas_truncate(&r->applied, before);
	return rc;
}

int task_cleanup_backend(struct task_ctx *ctx, struct err *err)
{
	chord_sweep_hurry(ctx->worker);
	return backend_cleanup(ctx->worker->backend, err);
}
