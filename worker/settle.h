/*
 * settle.h: stations 8 and 9 for one request: its result, what follows from it, and its message,
 * settled as one step where broker and backend are one Redis.
 */
#ifndef CELERIAC_WORKER_SETTLE_H
#define CELERIAC_WORKER_SETTLE_H

#include "worker.h"

/* Gives a request back to the broker, unrun. One that was acknowledged is lost, and the log says
 * so. [any owner] */
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

/*
 * It is about to run: an early acknowledgement, or STARTED where track_started wants it. What is
 * acknowledged early is told as STARTED whatever the settings say, and before that, so that one
 * that is lost can be seen. False: it went back.
 */
bool settle_accept(struct request *r);

/* The meta of a task whose result or follow-ups a server refused for good (`reason`): a FAILURE by
 * kombu's exception `type`. False when there are no results, or this one is not wanted. Asks no
 * server. [any] */
bool settle_refused(struct request *r, const char *type, const char *reason,
		    struct backend_write *ret);

/* A state of the task's own, whether results are ignored or not; waits until it is stored. */
int settle_own_state(struct request *r, const char *state, const json_t *result,
		     struct err *err) must_check;

#endif
