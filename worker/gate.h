/*
 * gate.h: the one gate before every call of a tool or sandbox task, and the record behind it.
 */
#ifndef CELERIAC_WORKER_GATE_H
#define CELERIAC_WORKER_GATE_H

#include "ctx.h"

/* Asks the policy whether the task may be called for its project. False: it may not, which is
 * recorded; of a tool ctx->denied is the result that says so, of anything else PermissionError is
 * raised. Tasks without a row in the database need not ask. */
bool gate_pass(struct task_ctx *ctx, json_t *const *values);
/* A call that was let pass has ended: allow, or error where the worker itself failed. */
void gate_record(struct task_ctx *ctx, bool failed, usec_t duration);

/* The quota of its project, if it has one: a denial is recorded and told as the others are.
 * GATE_ABANDONED: Redis is away and the worker ends. Whoever entered must leave, with
 * ctx->ran. */
enum gate_quota { GATE_OPEN, GATE_CLOSED, GATE_ABANDONED };
enum gate_quota gate_enter(struct task_ctx *ctx);
void gate_leave(struct task_ctx *ctx);

#endif
