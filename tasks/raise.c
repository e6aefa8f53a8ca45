/*
 * raise.c: what went wrong below, as the exception a Python task would have raised.
 */
#include <stdarg.h>
#include <stdio.h>

#include "bounds.h"
#include "tasks.h"

int raise_number_error(struct task_ctx *ctx, int rc, struct err *err)
{
	struct err why = *err;

	return task_raise(ctx, err, "builtins", rc == -ERR_FAILED ? "OverflowError" : "ValueError",
			  "%s", why.msg);
}

int raise_recorded(struct task_ctx *ctx, struct err *err, const char *type, const char *fmt, ...)
{
	char text[BOUND_ERROR_TEXT];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	task_ctx_audit(ctx, "deny", "privilege", NULL, text, USEC_NEVER, NULL);
	return task_raise(ctx, err, "builtins", type, "%s", text);
}

void record_unopened(struct task_ctx *ctx, const struct err *why)
{
	if (why->code == ERR_DENIED || why->code == ERR_UNSUPPORTED)
		task_ctx_audit(ctx, "deny", "privilege", NULL, why->msg, USEC_NEVER, NULL);
}

int raise_sandbox_error(struct task_ctx *ctx, const char *conversation, struct err *err)
{
	struct err why = *err;

	switch (why.code) {
	case ERR_CANCELLED:
		return -ERR_CANCELLED;
	case ERR_DENIED:
		return raise_recorded(ctx, err, "PermissionError", "conversation_id %s: %s",
				      conversation, why.msg);
	case ERR_INVALID:
		return raise_value_error(ctx, err, "%s", why.msg);
	default:
		if (err_is_transient(&why))
			return -why.code; /* the worker decides whether to wait */
		return task_raise(ctx, err, "celeriac", "SandboxError", "%s", why.msg);
	}
}

int require_sandbox(struct task_ctx *ctx, struct sandbox **ret, struct err *err)
{
	struct sandbox *s = task_ctx_sandbox(ctx);

	if (s == NULL)
		return task_raise(ctx, err, "celeriac", "SandboxError",
				  "this worker has no container engine");
	*ret = s;
	return 0;
}
