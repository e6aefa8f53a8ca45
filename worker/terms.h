/*
 * terms.h: what sandbox_settings grant one call.
 */
#ifndef CELERIAC_WORKER_TERMS_H
#define CELERIAC_WORKER_TERMS_H

#include "ctx.h"

/*
 * Fills ctx->terms: by the row of the tool or of its task, that of the project before the one for
 * all, else by the settings. ERR_INVALID names the row and what is wrong in it; ERR_DENIED: a mount
 * is refused, which is recorded.
 */
int terms_read(struct task_ctx *ctx, struct err *err) must_check;

#endif
