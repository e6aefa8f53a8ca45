/*
 * discard.h: messages whose task does not run, or not to its end: of unknown name, revoked,
 * expired, terminated.
 */
#ifndef CELERIAC_WORKER_DISCARD_H
#define CELERIAC_WORKER_DISCARD_H

#include "ctx.h"

/* The task of messages that name none of ours: they end as NotRegistered. */
extern const struct task discard_unregistered;
/* Drops such a message and stores why, as Celery does. */
void discard_unknown(struct request *r);
/* True when it must not run, because it is revoked or expired: it is settled so, and gone. */
bool discard_request(struct request *r);
/* Ended by remote control, whatever it still returned. */
void discard_terminated(struct task_ctx *ctx);

#endif
