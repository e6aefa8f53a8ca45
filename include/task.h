/*
 * task.h: what a task is, and the world it sees while it runs.
 *
 * A task is a row: name, parameters, function. The worker binds the message's arguments to the
 * parameters, in Python's way and with Python's complaints, before the function is called. The
 * function runs in a pool thread; it must look at task_cancelled in anything that lasts.
 */
#ifndef CELERIAC_TASK_H
#define CELERIAC_TASK_H

#include <jansson.h>
#include <stdatomic.h>

#include "err.h"
#include "sandbox.h"
#include "settings.h"
#include "store.h"

struct task_ctx;

enum param_type {
	PARAM_ANY,
	PARAM_STR,
	PARAM_ID,     /* a str that becomes keys, labels and rows: 1 to BOUND_CONVERSATION_ID_BYTES
			 bytes, no control characters */
	PARAM_INT,    /* and, as Python would, bool is refused */
	PARAM_NUMBER, /* int or float, of any size */
	PARAM_BOOL,
	PARAM_LIST,
	PARAM_DICT
};
#define TASK_RETRIES_WITHOUT_END (-1)

struct task_param {
	const char *name;
	enum param_type type;
	bool required;
};

/* `values`: one per parameter, NULL where the caller said nothing or None; borrowed. Returns 0 and
 * a given *ret_result, or a negative code: after task_raise that exception, else one made from
 * `err`. */
typedef int task_run_fn(struct task_ctx *ctx, json_t *const *values, json_t **ret_result,
			struct err *err);

enum task_flag {
	TASK_ACKS_LATE = 1u << 0, /* acked when done, whatever task_acks_late says; every built-in
				     task has it */
	TASK_SANDBOX = 1u << 1,	  /* needs the engine */
	TASK_STORED =
		1u << 2 /* one row in tool_results, begun before and finished after the function */
};

struct task {
	const char *name; /* dotted */
	task_run_fn *run;
	const struct task_param *params;
	size_t param_count;
	unsigned flags;
	const char *lane;    /* parameter whose value names a lane: calls of one lane run one at a
				time, in order */
	int64_t max_retries; /* of task_retry: 0 = 3, as with Celery, or TASK_RETRIES_WITHOUT_END */
	const char *kind;    /* for TASK_STORED: tool_results.kind */
	const char *const
		*secret_params; /* NULL-terminated: redacted in rows, logs and events; or NULL */
	const char *help;
};

/* The built-in table (tasks/tasks.c); NULL when there is none of that name. [any] */
const struct task *task_find(const char *name);
const struct task *const *task_table(size_t *ret_count);

/* Arguments to parameters: positional in order, then by name. On failure the text of an exception
 * as Python words it, naming the argument: of a TypeError for -ERR_INVALID, of a ValueError for
 * -ERR_FAILED. `values` has task->param_count places, borrowed from args and kwargs. [any] */
int task_bind(const struct task *t, const json_t *args, const json_t *kwargs, json_t **values,
	      struct err *err) must_check;

/* ---- inside a running task ---- */
const char *task_ctx_id(const struct task_ctx *ctx);
const struct settings *task_ctx_settings(const struct task_ctx *ctx);
struct sandbox *task_ctx_sandbox(struct task_ctx *ctx);
/* True when the worker wants this task to end: revoked, time limit, shutdown. */
bool task_cancelled(const struct task_ctx *ctx);
const atomic_bool *task_cancel_flag(const struct task_ctx *ctx);
/* Sleeps until `deadline` (monotonic) or cancellation; false when cancelled. */
bool task_sleep(struct task_ctx *ctx, usec_t deadline);
/* Raises a Python exception: module ("builtins", "celeriac"), class and message. Returns
 * -ERR_FAILED. */
int task_raise(struct task_ctx *ctx, struct err *err, const char *module, const char *type,
	       const char *fmt, ...) printf_like(5, 6);
/* The same with `value`, of any kind and length, as the exception's one argument. */
int task_raise_value(struct task_ctx *ctx, struct err *err, const char *module, const char *type,
		     const json_t *value);

/* How often this message was retried. */
int64_t task_ctx_retries(const struct task_ctx *ctx);
/* Asks to be run again, by anybody, after `countdown`; every header and option of the message is
 * kept. Returns -ERR_RETRY, which the task returns at once. Beyond max_retries it is a FAILURE. Not
 * for TASK_STORED tasks. */
int task_retry(struct task_ctx *ctx, usec_t countdown, struct err *err);

/* The row of a TASK_STORED task, filled by the task before it returns, written by the worker after.
 * Pointers must stay valid until the cleanup, which the worker calls once everything is stored. */
struct task_record {
	struct store_finish finish;
	const char *conversation, *project;
	void (*cleanup)(void *arg);
	void *cleanup_arg;
};
struct task_record *task_ctx_record(struct task_ctx *ctx);
/* The identity of the row, for store_describe_files. */
const struct store_task *task_ctx_row(const struct task_ctx *ctx);

#endif
