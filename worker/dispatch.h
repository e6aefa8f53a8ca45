/*
 * dispatch.h: a call that names a tool becomes the call of the task behind it.
 */
#ifndef CELERIAC_WORKER_DISPATCH_H
#define CELERIAC_WORKER_DISPATCH_H

#include "ctx.h"

/*
 * Where the task of `ctx` only stands for others (struct task, resolve): from here on ctx->task is
 * the one meant, *values are its own, and it has passed the gate. False: there is none, it does not
 * take these arguments, or it may not be called; recorded, and raised or ctx->denied.
 */
bool dispatch_call(struct task_ctx *ctx, json_t ***values);

#endif
