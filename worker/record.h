/*
 * record.h: what the worker writes into the audit, beside the calls themselves.
 */
#ifndef CELERIAC_WORKER_RECORD_H
#define CELERIAC_WORKER_RECORD_H

#include "ctx.h"

/* About this call. Strings may be NULL and hold no secret. */
void record_event(const struct task_ctx *ctx, const char *decision, const char *kind,
		  const char *target, const char *reason, usec_t duration, const json_t *detail);
/* Its arguments do not fit the task's parameters; of tasks that have a row. */
void record_arguments(const struct task_ctx *ctx, const char *why);
/* Code begins to run in a container. `again`: once more, what was begun before is gone. */
void record_exec(const struct task_ctx *ctx, const char *container, bool again);

/* An engine_event_fn: a container was made or removed, or could not be. `worker`: struct worker. */
void record_container(void *worker, const struct engine_event *event);
/* A message that is not trusted: of a type that is refused, or signed by nobody who may. `from`: a
 * queue, or "control"; `id` and `task` as far as it says, or NULL. */
void record_refused(struct worker *w, const char *from, const char *id, const char *task,
		    const char *why);
/* A login_refused_fn: a service did not take our credentials. Likewise. */
void record_login(void *worker, const char *service, const char *where, const char *reason,
		  uint64_t times);

#endif
