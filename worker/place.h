/*
 * place.h: on which engine a call runs.
 */
#ifndef CELERIAC_WORKER_PLACE_H
#define CELERIAC_WORKER_PLACE_H

#include "ctx.h"

/* May the call run here? Waits while nobody reaches the engine of its conversation, for
 * SANDBOX_ENGINE_GRACE at most. False: the request is gone, to a worker that reaches it, or because
 * this one ends. Before anything of the task has begun. [pool] */
bool place_call(struct task_ctx *ctx);
/* Sets ctx->sandbox, as things are now. [pool] */
void place_choose(struct task_ctx *ctx);

#endif
