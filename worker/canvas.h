/*
 * canvas.h: what follows from a task that is done: callbacks, the next of its chain, errbacks, its
 * part of a chord (celery/app/trace.py, celery/backends/base.py).
 */
#ifndef CELERIAC_WORKER_CANVAS_H
#define CELERIAC_WORKER_CANVAS_H

#include "worker.h"

/* What is settled together with the task's own result. */
struct canvas {
	struct settle_steps steps;
	json_t *children; /* for the task's meta, or NULL */
};
void canvas_done(struct canvas *c);

/*
 * The follow-ups of `r`, which ended in `state` (SUCCESS, FAILURE or REVOKED) with `result` (value
 * or exception, as in a meta). Nothing is sent; a chord's part is recorded. ERR_INVALID,
 * ERR_TOOBIG: its signatures cannot be followed. Transient: the backend is away.
 */
int canvas_continue(struct request *r, enum task_state state, const json_t *result,
		    struct canvas *ret, struct err *err) must_check;

#endif
