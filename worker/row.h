/*
 * row.h: the row of one request in tool_results, seen from the worker.
 */
#ifndef CELERIAC_WORKER_ROW_H
#define CELERIAC_WORKER_ROW_H

#include "ctx.h"

enum row_begin {
	ROW_RUN,      /* the row is ours: run the task */
	ROW_FINISHED, /* it ran before; *ret_result is what it returned, or its exception */
	ROW_ASIDE,    /* somebody alive runs it */
	ROW_REFUSED,  /* the database will never take it: `err` says why */
	ROW_ABANDONED /* the worker stops: give the message back */
};
/* Inserts the row, or finds out whose it is; takes over a dead owner's. Waits out an outage. */
enum row_begin row_begin(struct task_ctx *ctx, json_t *const *values, json_t **ret_result,
			 bool *ret_failed, struct err *err);

/* A run of the task begins, or goes on, in `container`; `again`: for another time, which is written
 * down before (outages are waited out), else it is a hint. */
int row_note_run(struct task_ctx *ctx, const char *container, bool again, struct err *err);

enum row_finish {
	ROW_WRITTEN,
	ROW_LOST,  /* the row is somebody else's now: nothing was written */
	ROW_UNKEPT /* the worker stops, or the database refuses for good (err): nothing was written
		    */
};
/* Writes row and files. Waits out an outage. */
enum row_finish row_finish(struct task_ctx *ctx, const json_t *result, bool failed,
			   struct err *err);

/* Is it this row that the database will not take, for what is in it? Pure. */
bool row_is_refused(const struct err *err);

/* Arguments by name with secrets and long texts left out: what a row, a log or an event may show.
 * Pure. Given. */
json_t *row_params(const struct task *t, json_t *const *values);
#define ROW_HIDDEN "**"
/* The value of the parameter `name` as a row, a log or an event may show it. Given. */
json_t *row_shown_value(const struct task *t, const char *name, json_t *value);
/* Is the parameter `name` of `t` one that nobody may see? */
bool row_is_secret(const struct task *t, const char *name);

/* A message's arguments as they were sent, without secrets: what an extended result may show.
 * Given.
 */
json_t *row_shown_args(const struct task *t, const json_t *args);
json_t *row_shown_kwargs(const struct task *t, const json_t *kwargs);

#endif
