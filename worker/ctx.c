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
#include "record.h"
#include "row.h"
#include "timelimit.h"

#define SLEEP_SLICE_MS 50 /* how soon a sleeping task sees that it is cancelled */

void task_ctx_show(struct task_ctx *ctx)
{
	const struct request *r = ctx->request;
	const struct message *m = r->message;

	ctx->shown = (struct task_request){
		.id = r->id,
		.name = r->name,
		.root_id = m->root_id,
		.parent_id = m->parent_id,
		.group = m->group,
		.group_index = m->group_index,
		.retries = m->retries,
		.eta = m->eta,
		.expires = m->expires,
		.time_limit = r->hard_limit,
		.soft_time_limit = r->soft_limit,
		.hostname = ctx->worker->settings.worker_hostname,
		.queue = r->delivery.queue,
		.exchange = m->exchange,
		.routing_key = m->routing_key,
		.priority = m->priority,
		.redelivered = m->redelivered,
		.reply_to = m->reply_to,
		.args = m->args,
		.kwargs = m->kwargs,
		.headers = m->headers,
		.properties = m->properties,
		.stamped_headers = m->stamped_headers,
		.stamps = m->stamps,
	};
}

const struct task_request *task_ctx_request(const struct task_ctx *ctx)
{
	return &ctx->shown;
}

enum task_cause task_why_cancelled(const struct task_ctx *ctx)
{
	const struct request *r = ctx->request;

	if (!task_cancelled(ctx))
		return TASK_NOT_CANCELLED;
	if (atomic_load(&r->terminated) != 0)
		return TASK_REVOKED_RUNNING;
	switch (atomic_load(&r->limit_hit)) {
	case LIMIT_HARD:
		return TASK_TIME_LIMIT;
	case LIMIT_SOFT:
		return TASK_SOFT_TIME_LIMIT;
	default:
		return TASK_SHUTDOWN;
	}
}

const char *task_ctx_id(const struct task_ctx *ctx)
{
	return ctx->request->id;
}

const struct settings *task_ctx_settings(const struct task_ctx *ctx)
{
	return &ctx->worker->settings;
}

struct fleet *task_ctx_fleet(struct task_ctx *ctx)
{
	return ctx->worker->fleet;
}

struct sandbox *task_ctx_sandbox(struct task_ctx *ctx)
{
	return ctx->sandbox;
}

bool task_cancelled(const struct task_ctx *ctx)
{
	return atomic_load(&ctx->request->cancel);
}

const atomic_bool *task_cancel_flag(const struct task_ctx *ctx)
{
	return &ctx->request->cancel;
}

usec_t task_clock(void)
{
	return clock_mono();
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

int task_retry_with(struct task_ctx *ctx, const struct task_retry *how, struct err *err)
{
	struct task_retry h = {0};

	/* A module knows as many members as there were when it was compiled. */
	memcpy(&h, how, how->size < sizeof(h) ? how->size : sizeof(h));
	ctx->eta = h.countdown == 0 ? h.eta : 0;
	ctx->countdown = h.countdown > 0    ? h.countdown
			 : h.countdown == 0 ? ctx->request->options->default_retry_delay
					    : 0;
	ctx->max_retries = h.max_retries;
	return err_set(err, ERR_RETRY, "to be retried");
}

int task_retry(struct task_ctx *ctx, usec_t countdown, struct err *err)
{
	if (countdown == 0)
		countdown = TASK_NONE;
	else if (countdown < 0)
		countdown = 0;
	return task_retry_with(ctx, TASK_RETRY(.countdown = countdown), err);
}

int task_reject(struct task_ctx *ctx, const char *reason, bool requeue, struct err *err)
{
	json_decref(ctx->reason);
	ctx->reason = reason ? json_text(reason, strlen(reason), false) : NULL;
	ctx->requeue = requeue;
	return err_set(err, ERR_REJECT, "to be rejected");
}

int task_ignore(unused_arg struct task_ctx *ctx, struct err *err)
{
	return err_set(err, ERR_IGNORE, "to be ignored");
}

bool task_ctx_is_signal(int rc)
{
	return rc == -ERR_RETRY || rc == -ERR_REJECT || rc == -ERR_IGNORE;
}

struct task_record *task_ctx_record(struct task_ctx *ctx)
{
	return &ctx->record;
}

static void run_began(void *arg, const char *container, bool again)
{
	struct task_ctx *ctx = arg;

	record_exec(ctx, container, again);
	ctx->begun = true;
}

static int note_run(void *arg, const char *container, bool again, struct err *err)
{
	return row_note_run(arg, container, again, err);
}

void task_ctx_bind_run(struct task_ctx *ctx, struct sandbox_run *run)
{
	ctx->run = run;
	run->terms = &ctx->terms;
	run->cancel = &ctx->request->cancel;
	run->leave = &ctx->worker->releasing;
	run->begun = ctx->begun;
	run->began = run_began;
	run->note = note_run;
	run->note_arg = ctx;
	way_out_bind(ctx, run);
}

bool task_ctx_in_sandbox(const struct task_ctx *ctx)
{
	return ctx->in_sandbox;
}

const struct sandbox_terms *task_ctx_terms(const struct task_ctx *ctx)
{
	return &ctx->terms;
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

void task_ctx_repr(const struct task_ctx *ctx, struct buf *out)
{
	const json_t *arg;
	size_t i;

	buf_appendf(out, "%s(", ctx->exc_type);
	json_array_foreach(ctx->exc_message, i, arg)
	{
		if (i > 0)
			buf_append_str(out, ", ");
		json_repr(arg, BOUND_REPR_BYTES, out);
	}
	buf_append_char(out, ')');
}

void task_ctx_done(struct task_ctx *ctx)
{
	if (ctx->record.cleanup != NULL)
		ctx->record.cleanup(ctx->record.cleanup_arg);
	policy_unref(ctx->policy);
	sandbox_terms_done(&ctx->terms);
	json_decref(ctx->denied);
	json_decref(ctx->resolved);
	json_decref(ctx->record.detail);
	json_decref((json_t *)(uintptr_t)ctx->row.params);
	free(ctx->exc_module);
	free(ctx->exc_type);
	json_decref(ctx->exc_message);
	json_decref(ctx->reason);
}
