/*
 * dispatch.h: a call that names a tool becomes the call of the task behind it.
 */
#ifndef CELERIAC_WORKER_DISPATCH_H
#define CELERIAC_WORKER_DISPATCH_H

#include "ctx.h"

enum dispatch {
	DISPATCH_GO,	   /* ctx->task is the one meant, *values are its own, and it has passed the
			      gate; or there was nothing to do */
	DISPATCH_REFUSED,  /* there is none, it does not take these arguments, or it may not be
			      called: recorded, and raised or ctx->denied */
	DISPATCH_ABANDONED /* the worker stops, and what is behind the name was not known yet */
};
/* For a task that only stands for others (struct task, resolve). Waits through an outage of the
 * database. */
enum dispatch dispatch_call(struct task_ctx *ctx, json_t ***values);

#endif
