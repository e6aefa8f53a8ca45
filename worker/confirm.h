/*
 * confirm.h: a thread that waits for the answer to one thing it handed to a link.
 */
#ifndef CELERIAC_WORKER_CONFIRM_H
#define CELERIAC_WORKER_CONFIRM_H

#include "err.h"
#include "thread.h"

struct confirm {
	struct mutex lock;
	struct cond changed;
	bool done;	/* guarded by lock */
	struct err err; /* guarded by lock; code 0 = it went well */
};
void confirm_init(struct confirm *c);
/* For the link to call with a struct confirm. [any] */
void confirm_answer(void *arg, const struct err *err);
/* Waits for the answer, which comes for certain, and ends `c`. */
int confirm_wait(struct confirm *c, struct err *err) must_check;

#endif
