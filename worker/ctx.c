/*
 * What a task may ask for while it runs: the functions of task.h.
 */
#include "ctx.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "json.h"
#include "mem.h"
#include "row.h"

#define SLEEP_SLICE_MS 50 /* how soon a sleeping task sees that it is cancelled */

const char *task_ctx_id(const struct task_ctx *ctx)
{
	return ctx->request->id;
}

const struct settings *task_ctx_settings(const struct task_ctx *ctx)
{
	return &ctx->worker->settings;
}

struct sandbox *task_ctx_sandbox(struct task_ctx *ctx)
{
	return ctx->worker->sandbox;
}

bool task_cancelled(const struct task_ctx *ctx)
{
	return atomic_load(&ctx->request->cancel);
}

const atomic_bool *task_cancel_flag(const struct task_ctx *ctx)
{
	return &ctx->request->cancel;
}

bool task_sleep(struct task_ctx *ctx, usec_t deadline)
{
	while (!task_cancelled(ctx)) {
		int left = clock_left_ms(deadline);

		if (left == 0)
			return true;
		poll(NULL, 0, left < 0 || left > SLEEP_SLICE_MS ? SLEEP_SLICE_MS : left);
	}
	return false;
}

/* Takes `argument`. */
static void set_exception(struct task_ctx *ctx, const char *module, const char *type,
			  json_t *argument)
{
	free(ctx->exc_module);
	free(ctx->exc_type);
	json_decref(ctx->exc_message);
	ctx->exc_module = xstrdup(module);
	ctx->exc_type = xstrdup(type);
	ctx->exc_message = json_pack("[o]", argument);
}

void task_ctx_set_exception(struct task_ctx *ctx, const char *module, const char *type,
			    const char *text)
{
	set_exception(ctx, module, type, json_text(text, strlen(text), false));
}

int task_raise(struct task_ctx *ctx, struct err *err, const char *module, const char *type,
	       const char *fmt, ...)
{
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_ERROR_TEXT);
	va_list ap;

	va_start(ap, fmt);
	buf_vappendf(&text, fmt, ap);
	va_end(ap);
	task_ctx_set_exception(ctx, module, type, text.data);
	return err_set(err, ERR_FAILED, "%s: %s", type, text.data);
}

int task_raise_value(struct task_ctx *ctx, struct err *err, const char *module, const char *type,
		     const json_t *value)
{
	set_exception(ctx, module, type, json_incref((json_t *)(uintptr_t)value));
	return err_set(err, ERR_FAILED, "%s", type);
}

int64_t task_ctx_retries(const struct task_ctx *ctx)
{
	return ctx->request->message->retries;
}

int task_retry(struct task_ctx *ctx, usec_t countdown, struct err *err)
{
	ctx->countdown = countdown;
	return err_set(err, ERR_RETRY, "to be retried");
}

struct task_record *task_ctx_record(struct task_ctx *ctx)
{
	return &ctx->record;
}

static int note_run(void *arg, const char *container, bool again, struct err *err)
{
	return row_note_run(arg, container, again, err);
}

void task_ctx_bind_run(struct task_ctx *ctx, struct sandbox_run *run)
{
	run->cancel = &ctx->request->cancel;
	run->leave = &ctx->worker->releasing;
	run->begun = ctx->begun;
	run->note = note_run;
	run->note_arg = ctx;
	way_out_bind(ctx, run);
}

const struct store_task *task_ctx_row(const struct task_ctx *ctx)
{
	return &ctx->row;
}

json_t *task_ctx_exception(const struct task_ctx *ctx)
{
	return json_pack("{s:s, s:O, s:s}", "exc_type", ctx->exc_type, "exc_message",
			 ctx->exc_message, "exc_module", ctx->exc_module);
}

void task_ctx_done(struct task_ctx *ctx)
{
	if (ctx->record.cleanup != NULL)
		ctx->record.cleanup(ctx->record.cleanup_arg);
	policy_unref(ctx->policy);
	json_decref((json_t *)(uintptr_t)ctx->row.params);
	free(ctx->exc_module);
	free(ctx->exc_type);
	json_decref(ctx->exc_message);
}
