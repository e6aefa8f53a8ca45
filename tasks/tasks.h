/*
 * tasks.h: what the files of tasks/ share: their rows, and helpers that raise as Python would.
 *
 * To add a task: a file with its function and its row, the row here, and in the table of tasks.c.
 */
#ifndef CELERIAC_TASKS_H
#define CELERIAC_TASKS_H

#include "task_house.h"

extern const struct task task_celery_accumulate;
extern const struct task task_celery_backend_cleanup;
extern const struct task task_celery_chain;
extern const struct task task_celery_chord;
extern const struct task task_celery_chord_unlock;
extern const struct task task_celery_chunks;
extern const struct task task_celery_group;
extern const struct task task_celery_map;
extern const struct task task_celery_starmap;
extern const struct task task_celeriac_add;
extern const struct task task_celeriac_echo;
extern const struct task task_celeriac_fail;
extern const struct task task_celeriac_retention;
extern const struct task task_celeriac_retry;
extern const struct task task_celeriac_sleep;
extern const struct task task_celeriac_xsum;
extern const struct task task_mcp_call_tool;
extern const struct task task_mcp_end_session;
extern const struct task task_mcp_stop_server;
extern const struct task task_mcp_test_connection;
extern const struct task task_sandbox_cleanup;
extern const struct task task_sandbox_close;
extern const struct task task_sandbox_execute_code;
extern const struct task task_sandbox_reset_output;
extern const struct task task_tools_call;
extern const struct task task_tools_call_http;
extern const struct task task_tools_execute_code; /* not in the table: as a tool of tools.call */
extern const struct task task_tools_run_custom;
extern const struct task task_tools_run_plugin;

#define raise_value_error(ctx, err, ...) task_raise(ctx, err, "builtins", "ValueError", __VA_ARGS__)
#define raise_type_error(ctx, err, ...)	 task_raise(ctx, err, "builtins", "TypeError", __VA_ARGS__)

/* The exception of Python's own arithmetic for what number.h said in `err`. Returns the code to
 * return. */
int raise_number_error(struct task_ctx *ctx, int rc, struct err *err);

/* A ValueError for arguments that try to have more than there is: recorded as such. */
#define raise_attempt(ctx, err, ...) raise_recorded(ctx, err, "ValueError", __VA_ARGS__)
int raise_recorded(struct task_ctx *ctx, struct err *err, const char *type, const char *fmt, ...)
	printf_like(4, 5);

/* A sealed value of a row did not open, for what seal_open said: one that was sealed for another
 * place or by another key has come from elsewhere, and is recorded. */
void record_unopened(struct task_ctx *ctx, const struct err *why);

/* The exception for what common/sandbox said: PermissionError, ValueError or SandboxError; a
 * cancelled run stays an error for the worker to judge. Returns the code to return. */
int raise_sandbox_error(struct task_ctx *ctx, const char *conversation, struct err *err);
/* ret: never NULL on success; a SandboxError where this worker has no engine. */
int require_sandbox(struct task_ctx *ctx, struct sandbox **ret, struct err *err) must_check;

/* After a call of the store that answered *rc: true, a moment later, when the database is away and
 * the call is to be made again. A task that was cancelled meanwhile: false, and ERR_CANCELLED. */
bool task_asks_again(struct task_ctx *ctx, int *rc, struct err *err) must_check;

#endif
