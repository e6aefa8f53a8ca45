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
/* The same of the context's exception. */
char *outcome_exception_traceback(const struct task_ctx *ctx);

/* retry.c: published again with every header and option kept, then RETRY, then acked: one step. */
void outcome_retry(struct task_ctx *ctx);
/* The same, if autoretry_for names the context's exception; else false, and nothing happened. */
bool outcome_autoretry(struct task_ctx *ctx);
/* Its countdown: default_retry_delay, or the backoff after so many retries. */
usec_t retry_countdown(const struct task_options *o, int64_t retries);
/* Publishes the message again, as it is. */
void outcome_republish(struct task_ctx *ctx);

/* reject.c: what task_reject and task_ignore asked for. */
void outcome_reject(struct task_ctx *ctx);
void outcome_ignore(struct task_ctx *ctx);

#endif
