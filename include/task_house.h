/*
 * task_house.h: what only the tasks that are built in may see: their table, and services of the
 * worker that are no part of what modules are written against (task.h).
 */
#ifndef CELERIAC_TASK_HOUSE_H
#define CELERIAC_TASK_HOUSE_H

#include "backend.h"
#include "mcp_sessions.h"
#include "message.h"
#include "outbound.h"
#include "plugins.h"
#include "policy.h"
#include "sandbox.h"
#include "seal.h"
#include "settings.h"
#include "store.h"
#include "task.h"

/* The built-in table (tasks/tasks.c); NULL when there is none of that name. [any] */
const struct task *task_find(const char *name);
const struct task *const *task_table(size_t *ret_count);

/* Arguments to parameters: positional in order, then by name. On failure the text of an exception
 * as Python words it, naming the argument: of a TypeError for -ERR_INVALID, of a ValueError for
 * -ERR_FAILED. `values` has task->param_count places, borrowed from args and kwargs. [any] */
int task_bind(const struct task *t, const json_t *args, const json_t *kwargs, json_t **values,
	      struct err *err) must_check;

/* ---- inside a running task ---- */
const struct settings *task_ctx_settings(const struct task_ctx *ctx);
/* That of the engine the call runs on, and all; NULL where this worker has none. */
struct fleet *task_ctx_fleet(struct task_ctx *ctx);
struct sandbox *task_ctx_sandbox(struct task_ctx *ctx);

/* The message. Borrowed. */
const struct message *task_ctx_message(const struct task_ctx *ctx);

/* ---- canvas from inside a task: task_canvas.c of the worker ---- */
/* Runs another task in this one's place, in this thread: its result, or its exception as this
 * task's. celery.exceptions.NotRegistered when there is none of that name; NotImplementedError for
 * those that need a message of their own: for a row, a sandbox, a lane. */
int task_call(struct task_ctx *ctx, const char *name, const json_t *args, const json_t *kwargs,
	      json_t **ret_result, struct err *err) must_check;
/* The same without the call: whether there is such a task. */
int task_call_check(struct task_ctx *ctx, const char *name, struct err *err) must_check;
/* Publishes a signature together with this task's end, whichever that is but its return to the
 * queue. `args` (array) and `options` (object) may be NULL; `ret_result` (or NULL): the tuple of
 * its result, given. Unless the options say add_to_parent false, that is a child of this task.
 * ERR_INVALID, ERR_TOOBIG: it cannot be followed. */
int task_apply(struct task_ctx *ctx, const json_t *signature, const json_t *args,
	       const json_t *options, json_t **ret_result, struct err *err) must_check;
/* Adds a result tuple to this task's children. */
void task_add_child(struct task_ctx *ctx, json_t *result);
/* The body of a chord fails, with this task's end, as ChordError(text), or the tasks of a group
 * with `cause` (an exception as stored, or NULL). */
int task_fail_chord(struct task_ctx *ctx, const json_t *body, const char *text, const json_t *cause,
		    struct err *err) must_check;
/* The backend, for those who read results. */
struct backend *task_ctx_backend(struct task_ctx *ctx);
/* celery.backend_cleanup: what the worker looks after in the backend is looked at soon; what does
 * not expire by itself is forgotten. Blocks. */
int task_cleanup_backend(struct task_ctx *ctx, struct err *err) must_check;

/* The row of a TASK_STORED task, filled by the task before it returns, written by the worker after.
 * Pointers must stay valid until the cleanup, which the worker calls once everything is stored. */
struct task_record {
	struct store_finish finish;
	const char *conversation, *project;
	json_t *detail;		   /* object for row and audit, no secrets; given; or NULL */
	void (*stored)(void *arg); /* called once the row is written, before cleanup; or NULL */
	void (*cleanup)(void *arg);
	void *cleanup_arg;
};
struct task_record *task_ctx_record(struct task_ctx *ctx);
/* What sandbox_settings and the settings grant this call, as the gate has read them when it came.
 * Borrowed, of the call. */
const struct sandbox_terms *task_ctx_terms(const struct task_ctx *ctx);
/* Fills what a run owes to the worker around it: its terms, begun, cancel, leave and note, and its
 * way out. Conversation and project must be there already. */
void task_ctx_bind_run(struct task_ctx *ctx, struct sandbox_run *run);
/* Whether sandbox_settings want this tool's request made in a container. */
bool task_ctx_in_sandbox(const struct task_ctx *ctx);
/* The identity of the row, for store_describe_files. */
const struct store_task *task_ctx_row(const struct task_ctx *ctx);

/* ---- what tools need of the worker ---- */
/* NULL without a database. */
struct store *task_ctx_store(struct task_ctx *ctx);
struct outbound *task_ctx_outbound(struct task_ctx *ctx);
struct mcp_sessions *task_ctx_mcp(struct task_ctx *ctx);
/* What may be reached while a package of an MCP server is installed; as long as `ctx` lasts. */
const struct sandbox_egress *task_ctx_way_out(struct task_ctx *ctx, const char *project);
const struct seal_keys *task_ctx_seal_keys(const struct task_ctx *ctx);
/* Tools of plugins by name. */
const struct plugin_index *task_ctx_plugins(const struct task_ctx *ctx);

/* The gate, for those who find out by themselves what they are about to call. False: it may not be
 * called, which is recorded; `reason` says why. `otherwise`: what holds where no rule matches. */
#define TASK_REASON_SIZE 256
bool task_ctx_may(struct task_ctx *ctx, enum policy_kind kind, const char *subject, bool otherwise,
		  char reason[TASK_REASON_SIZE]);
bool task_ctx_may_run(struct task_ctx *ctx, const char *const *argv, char reason[TASK_REASON_SIZE]);
bool task_ctx_may_reach(struct task_ctx *ctx, bool tls, const struct outbound_host *host,
			uint16_t port, const char *path, char reason[TASK_REASON_SIZE]);
/* A line of audit about this call. Strings may be NULL and hold no secret; `detail` borrowed. */
void task_ctx_audit(struct task_ctx *ctx, const char *decision, const char *kind,
		    const char *target, const char *reason, usec_t duration, const json_t *detail);

/* The result of every tools.* task. `result` and `content` are given to it (NULL = null, []);
 * `error` NULL = none. Given. [any] */
json_t *tool_result(const char *status, json_t *result, json_t *content, bool is_error,
		    const char *error, usec_t duration);

#endif
