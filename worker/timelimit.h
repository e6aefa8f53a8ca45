/*
 * timelimit.h: soft and hard time limits (celery/worker/request.py). The message's limits go before
 * those of remote control, those before the settings'. Threads cannot be killed: at a limit the
 * task is told to end, which ends what it runs, and its result says which limit it was.
 */
#ifndef CELERIAC_WORKER_TIMELIMIT_H
#define CELERIAC_WORKER_TIMELIMIT_H

#include "ctx.h"

enum limit_hit { LIMIT_NONE, LIMIT_SOFT, LIMIT_HARD };

/* The clock of `r` runs from now on. A pool thread, before the task. */
void timelimit_start(struct request *r);
/* Tells requests whose time is over; returns the next monotonic deadline. The keeper. */
usec_t timelimit_enforce(struct worker *w, usec_t now);
/* If a limit ended the task, which returned `rc`, sets its exception and returns true. A task may
 * still end in its own way within the soft one, as one that catches SoftTimeLimitExceeded. */
bool timelimit_raise(struct task_ctx *ctx, int rc);

#endif
