/*
 * What a task may say and send while it runs: states of its own, further tasks, its log. See
 * task.h.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "bounds.h"
#include "canvas.h"
#include "codec.h"
#include "ctx.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "settle.h"

#define STATE_BYTES 64

/* ---- states ---- */

static int check_state(const char *state, const json_t *meta, struct err *err)
{
	static const char *const exceptions[] = {"FAILURE", "RETRY", "REVOKED"};
	size_t len = strnlen(state, STATE_BYTES + 1);

	if (len == 0 || len > STATE_BYTES)
		return err_set(err, ERR_INVALID, "a state has 1 to %d bytes", STATE_BYTES);
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)state[i] <= ' ' || (unsigned char)state[i] >= 0x7f)
			return err_set(err, ERR_INVALID, "a state is a word of visible letters");
	}
	for (size_t i = 0; i < ARRAY_LEN(exceptions); i++) {
		if (strcmp(state, exceptions[i]) == 0 && json_member_str(meta, "exc_type") == NULL)
			return err_set(err, ERR_INVALID,
				       "the state %s needs an exception: {exc_type, exc_message, "
				       "exc_module}",
				       state);
	}
	return 0;
}

int task_update_state(struct task_ctx *ctx, const char *state, const json_t *meta, struct err *err)
{
	int rc = check_state(state, meta, err);

	if (rc == 0)
		rc = settle_own_state(ctx->request, state, meta, err);
	return rc < 0 ? err_wrap(err, "update_state") : 0;
}

/* ---- further tasks ---- */

/* The options with an id: theirs, the signature's, or one made of `seed`. Given. */
static json_t *with_id(const json_t *signature, const json_t *options, const char *seed)
{
	const char *own = json_member_str(json_object_get(signature, "options"), "task_id");
	json_t *all = options ? json_copy((json_t *)(uintptr_t)options) : json_object();
	char id[UUID_SIZE];

	if (json_member_str(all, "task_id") != NULL)
		return all;
	uuid8(seed, id);
	json_object_set_new(all, "task_id", json_string(own ? own : id));
	return all;
}

int task_send_signature(struct task_ctx *ctx, const json_t *signature, const json_t *options,
			char ret_id[TASK_ID_SIZE], struct err *err)
{
	struct request *r = ctx->request;
	unsigned number = ctx->sent++;
	/* a retry of the task sends others than the run before */
	_cleanup_free_ char *seed =
		xasprintf("%s %lld sent %u", r->id, (long long)r->message->retries, number);
	_cleanup_json_ json_t *all = NULL;
	struct canvas canvas = {0};
	json_t *child;
	size_t i;
	int rc;

	if (options != NULL && !json_is_object(options))
		return err_set(err, ERR_INVALID, "send_task: options must be dict, not %s",
			       json_type_name(options));
	all = with_id(signature, options, seed);
	rc = canvas_send(r, signature, all, seed, &canvas, err);
	if (rc == 0)
		rc = request_publish(r, number, &canvas.steps, err);
	if (rc == 0) {
		json_array_foreach(canvas.children, i, child) task_add_child(ctx, child);
		if (ret_id != NULL)
			snprintf(ret_id, TASK_ID_SIZE, "%s", json_member_str(all, "task_id"));
	}
	canvas_done(&canvas);
	return rc < 0 ? err_wrap(err, "send_task") : 0;
}

static json_t *copy_or(const json_t *value, json_t *otherwise)
{
	if (value == NULL)
		return otherwise;
	json_decref(otherwise);
	return json_incref((json_t *)(uintptr_t)value);
}

int task_send(struct task_ctx *ctx, const char *name, const json_t *args, const json_t *kwargs,
	      const json_t *options, char ret_id[TASK_ID_SIZE], struct err *err)
{
	_cleanup_json_ json_t *signature =
		json_pack("{s:s, s:o, s:o, s:{}, s:n, s:b}", "task", name, "args",
			  copy_or(args, json_array()), "kwargs", copy_or(kwargs, json_object()),
			  "options", "subtask_type", "immutable", 0);

	if (signature == NULL)
		return err_set(err, ERR_INVALID, "send_task: a name that is not UTF-8");
	return task_send_signature(ctx, signature, options, ret_id, err);
}

/* ---- log ---- */

static enum log_level level_of(enum task_log_level level)
{
	return level >= TASK_LOG_CRITICAL  ? LOG_LEVEL_CRITICAL
	       : level >= TASK_LOG_ERROR   ? LOG_LEVEL_ERROR
	       : level >= TASK_LOG_WARNING ? LOG_LEVEL_WARNING
	       : level >= TASK_LOG_INFO	   ? LOG_LEVEL_INFO
					   : LOG_LEVEL_DEBUG;
}

void task_log(struct task_ctx *ctx, enum task_log_level level, const char *fmt, ...)
{
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_LOG_LINE);
	va_list ap;

	if (!log_enabled(level_of(level)))
		return;
	va_start(ap, fmt);
	buf_vappendf(&text, fmt, ap);
	va_end(ap);
	log_at(level_of(level), "%s[%s]: %s", ctx->request->shown, ctx->request->id,
	       text.data ? text.data : "");
}
