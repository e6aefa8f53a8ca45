/*
 * fake_ctx.h: the world of a task without a worker. Defines the functions of task.h, so it is
 * included once per program.
 */
#ifndef CELERIAC_TESTS_FAKE_CTX_H
#define CELERIAC_TESTS_FAKE_CTX_H

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "json.h"
#include "mem.h"
#include "task_house.h"

struct task_ctx {
	int64_t retries;
	usec_t countdown;
	struct settings settings;
	struct sandbox_terms terms;
	struct sandbox *sandbox;
	struct task_record record;
	struct store_task row;
	struct message sent; /* args and kwargs, borrowed */
	bool cleaned;
	atomic_bool cancel;
	char module[64], type[64], message[BOUND_ERROR_TEXT]; /* what was raised, "" if nothing */
	json_t *value; /* with task_raise_value, borrowed from the arguments */
	usec_t slept_until;
};
static struct task_ctx g_ctx;

const char *task_ctx_id(unused_arg const struct task_ctx *ctx)
{
	return "task-1";
}
const struct settings *task_ctx_settings(const struct task_ctx *ctx)
{
	return &ctx->settings;
}
struct sandbox *task_ctx_sandbox(struct task_ctx *ctx)
{
	return ctx->sandbox;
}
struct fleet *task_ctx_fleet(unused_arg struct task_ctx *ctx)
{
	return NULL;
}
bool task_ctx_in_sandbox(unused_arg const struct task_ctx *ctx)
{
	return false;
}
const struct sandbox_egress *task_ctx_way_out(unused_arg struct task_ctx *ctx,
					      unused_arg const char *project)
{
	return NULL;
}
bool task_cancelled(const struct task_ctx *ctx)
{
	return atomic_load(&ctx->cancel);
}
const atomic_bool *task_cancel_flag(const struct task_ctx *ctx)
{
	return &ctx->cancel;
}
bool task_sleep(struct task_ctx *ctx, usec_t deadline)
{
	ctx->slept_until = deadline;
	return !task_cancelled(ctx);
}
int task_raise(struct task_ctx *ctx, struct err *err, const char *module, const char *type,
	       const char *fmt, ...)
{
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_ERROR_TEXT);
	va_list ap;

	va_start(ap, fmt);
	buf_vappendf(&text, fmt, ap);
	va_end(ap);
	snprintf(ctx->module, sizeof(ctx->module), "%s", module);
	snprintf(ctx->type, sizeof(ctx->type), "%s", type);
	snprintf(ctx->message, sizeof(ctx->message), "%s", text.data);
	return err_set(err, ERR_FAILED, "%s: %s", type, text.data);
}
int task_raise_value(struct task_ctx *ctx, struct err *err, const char *module, const char *type,
		     const json_t *value)
{
	ctx->value = (json_t *)(uintptr_t)value;
	return task_raise(ctx, err, module, type, "%.*s", BOUND_ERROR_TEXT - 1,
			  json_string_value(value));
}
int64_t task_ctx_retries(const struct task_ctx *ctx)
{
	return ctx->retries;
}
int task_retry(struct task_ctx *ctx, usec_t countdown, struct err *err)
{
	ctx->countdown = countdown;
	return err_set(err, ERR_RETRY, "to be retried");
}
const struct message *task_ctx_message(const struct task_ctx *ctx)
{
	return &ctx->sent;
}
int task_call_check(struct task_ctx *ctx, const char *name, struct err *err)
{
	return task_find(name) ? 0
			       : task_raise(ctx, err, "celery.exceptions", "NotRegistered", "%s",
					    name);
}
int task_call(struct task_ctx *ctx, const char *name, const json_t *args, const json_t *kwargs,
	      json_t **ret_result, struct err *err)
{
	const struct task *t = task_find(name);
	json_t *values[BOUND_TASK_PARAMS];
	struct err wrong = {0};

	if (task_call_check(ctx, name, err) < 0)
		return -ERR_FAILED;
	if (task_bind(t, args, kwargs, values, &wrong) < 0)
		return task_raise(ctx, err, "builtins", "TypeError", "%s", wrong.msg);
	return t->run(ctx, values, ret_result, err);
}
int task_apply(unused_arg struct task_ctx *ctx, unused_arg const json_t *signature,
	       unused_arg const json_t *args, unused_arg const json_t *options,
	       unused_arg json_t **ret_result, struct err *err)
{
	return err_set(err, ERR_UNSUPPORTED, "nothing is published here");
}
void task_add_child(unused_arg struct task_ctx *ctx, unused_arg json_t *result)
{
}
int task_fail_chord(unused_arg struct task_ctx *ctx, unused_arg const json_t *body,
		    unused_arg const char *text, unused_arg const json_t *cause, struct err *err)
{
	return err_set(err, ERR_UNSUPPORTED, "nothing is published here");
}
struct backend *task_ctx_backend(unused_arg struct task_ctx *ctx)
{
	return NULL;
}
int task_cleanup_backend(struct task_ctx *ctx, unused_arg struct err *err)
{
	ctx->cleaned = true;
	return 0;
}
struct task_record *task_ctx_record(struct task_ctx *ctx)
{
	return &ctx->record;
}
const struct sandbox_terms *task_ctx_terms(const struct task_ctx *ctx)
{
	return &ctx->terms;
}
void task_ctx_bind_run(struct task_ctx *ctx, struct sandbox_run *run)
{
	run->terms = &ctx->terms;
	run->cancel = &ctx->cancel;
}
const struct store_task *task_ctx_row(const struct task_ctx *ctx)
{
	return &ctx->row;
}

struct store *task_ctx_store(unused_arg struct task_ctx *ctx)
{
	return NULL;
}
struct outbound *task_ctx_outbound(unused_arg struct task_ctx *ctx)
{
	return NULL;
}
int task_update_state(unused_arg struct task_ctx *ctx, unused_arg const char *state,
		      unused_arg const json_t *meta, unused_arg struct err *err)
{
	return 0;
}
const struct plugin_index *task_ctx_plugins(unused_arg const struct task_ctx *ctx)
{
	return NULL;
}
struct mcp_sessions *task_ctx_mcp(unused_arg struct task_ctx *ctx)
{
	return NULL;
}
bool task_ctx_may_run(unused_arg struct task_ctx *ctx, unused_arg const char *const *argv,
		      unused_arg char reason[TASK_REASON_SIZE])
{
	return true;
}
const struct seal_keys *task_ctx_seal_keys(unused_arg const struct task_ctx *ctx)
{
	static const struct seal_keys none;

	return &none;
}
bool task_ctx_may(unused_arg struct task_ctx *ctx, unused_arg enum policy_kind kind,
		  unused_arg const char *subject, bool otherwise, unused_arg char reason[TASK_REASON_SIZE])
{
	return otherwise;
}
bool task_ctx_may_reach(unused_arg struct task_ctx *ctx, unused_arg bool tls,
			unused_arg const struct outbound_host *host, unused_arg uint16_t port,
			unused_arg const char *path, unused_arg char reason[TASK_REASON_SIZE])
{
	return true;
}
void task_ctx_audit(unused_arg struct task_ctx *ctx, unused_arg const char *decision,
		    unused_arg const char *kind, unused_arg const char *target,
		    unused_arg const char *reason, unused_arg usec_t duration,
		    unused_arg const json_t *detail)
{
}

static void fake_ctx_reset(void)
{
	if (g_ctx.record.cleanup)
		g_ctx.record.cleanup(g_ctx.record.cleanup_arg);
	g_ctx = (struct task_ctx){.row = {.task_id = "task-1"},
				  .settings = {.sandbox_timeout = 30 * USEC_PER_SEC,
					       .sandbox_max_timeout = 300 * USEC_PER_SEC},
				  .terms = {.network = true,
					    .timeout = 30 * USEC_PER_SEC,
					    .max_timeout = 300 * USEC_PER_SEC}};
}

static json_t *load(const char *text)
{
	struct err err;
	json_t *value = NULL;

	ck_assert_msg(json_load_python(text, strlen(text), &value, &err) == 0, "%s: %s", text,
		      err.msg);
	return value;
}

/*
 * Calls the task as the worker does, with `args` and `kwargs` as JSON; in `out` its result as JSON,
 * or "Type: message" of what it raised.
 */
static int call(const char *name, const char *args, const char *kwargs, struct buf *out)
{
	const struct task *t = task_find(name);
	_cleanup_json_ json_t *list = load(args), *object = load(kwargs), *result = NULL;
	_cleanup_free_ json_t **values = NULL;
	struct err err = {0};
	int rc;

	ck_assert_ptr_nonnull(t);
	values = xcalloc(t->param_count + 1, sizeof(json_t *));
	g_ctx.type[0] = '\0';
	buf_reset(out);
	g_ctx.sent = (struct message){.args = list, .kwargs = object};
	rc = task_bind(t, list, object, values, &err);
	if (rc < 0) {
		buf_appendf(out, "%s: %s", rc == -ERR_INVALID ? "TypeError" : "ValueError",
			    err.msg);
		return rc;
	}
	rc = t->run(&g_ctx, values, &result, &err);
	if (rc == 0)
		json_dump_python(result, out);
	else
		buf_appendf(out, "%s: %s", g_ctx.type, g_ctx.type[0] ? g_ctx.message : err.msg);
	return rc;
}

#endif
