/*
 * outcome.h: how a task that ran ends: log, event, row, result. Each of these settles the request,
 * which is gone afterwards. A pool thread.
 */
#ifndef CELERIAC_WORKER_OUTCOME_H
#define CELERIAC_WORKER_OUTCOME_H

#include "ctx.h"

void outcome_success(struct task_ctx *ctx, usec_t runtime, const json_t *result);
/* FAILURE with the context's exception: row, then result. */
void outcome_failure(struct task_ctx *ctx);
/* The same of a task that has no row yet, or whose row cannot be written. */
void outcome_failure_unrecorded(struct task_ctx *ctx);
/* The database will never take the row: the task is a FAILURE. */
void outcome_refused(struct task_ctx *ctx, const struct err *err);
/* The row is written before the result, so that a result implies a row. False: the message went
 * back or was dropped. */
bool outcome_keep_row(struct task_ctx *ctx, const json_t *result, bool failed);

/* What clients print of an exception, in the form of Python's tracebacks. Given. */
char *outcome_traceback(const struct request *r, const char *module, const char *type,
			const char *text);

/* retry.c: published again with every header and option kept, then RETRY, then acked: one step. */
void outcome_retry(struct task_ctx *ctx);

#endif
