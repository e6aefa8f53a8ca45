/*
 * settle.h: stations 8 and 9 for one request: its result, what follows from it, and its message,
 * settled as one step where broker and backend are one Redis.
 */
#ifndef CELERIAC_WORKER_SETTLE_H
#define CELERIAC_WORKER_SETTLE_H

#include "worker.h"

/* Gives a request back to the broker, unrun. [any owner] */
void settle_release(struct request *r);

/* The meta for `state`; false (and nothing to store) when results are off or ignored, or with `err`
 * when it cannot be written. `traceback` and `children` may be NULL. */
bool settle_encode(struct request *r, enum task_state state, const json_t *result,
		   const char *traceback, const json_t *children, struct backend_write *ret,
		   struct err *err);

/* The end of a task: result, follow-ups and ack. What cannot be encoded or followed becomes a
 * FAILURE that can. Waits for a backend that is away; gives the message back when the worker stops
 * meanwhile. */
void settle_result(struct request *r, enum task_state state, const json_t *result,
		   const char *traceback);

/* STARTED, where task_track_started wants it. */
void settle_started(struct request *r);

#endif
