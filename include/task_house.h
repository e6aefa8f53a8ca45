/*
 * task_house.h: what only the tasks that are built in may see: their table, and services of the
 * worker that are no part of what modules are written against (task.h).
 */
#ifndef CELERIAC_TASK_HOUSE_H
#define CELERIAC_TASK_HOUSE_H

#include "sandbox.h"
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
/* NULL where this worker has no engine. */
struct sandbox *task_ctx_sandbox(struct task_ctx *ctx);

/* The row of a TASK_STORED task, filled by the task before it returns, written by the worker after.
 * Pointers must stay valid until the cleanup, which the worker calls once everything is stored. */
struct task_record {
	struct store_finish finish;
	const char *conversation, *project;
	void (*stored)(void *arg); /* called once the row is written, before cleanup; or NULL */
	void (*cleanup)(void *arg);
	void *cleanup_arg;
};
struct task_record *task_ctx_record(struct task_ctx *ctx);
/* Fills what a run owes to the worker around it: begun, cancel, leave and note, and its way
 * out. Conversation and project must be there already. */
void task_ctx_bind_run(struct task_ctx *ctx, struct sandbox_run *run);
/* The identity of the row, for store_describe_files. */
const struct store_task *task_ctx_row(const struct task_ctx *ctx);

#endif
