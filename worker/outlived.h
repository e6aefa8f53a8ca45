/*
 * outlived.h: late-acked tasks that outlive the connection their message came by.
 *
 * The server delivers such a message again while the first still runs, often to the same worker.
 * The second waits there for the first: when that has ended, with its result stored, the second is
 * acknowledged and not run; when it was given back, it runs. Calls that run in a lane wait there,
 * and have rows by which the second is known.
 */
#ifndef CELERIAC_WORKER_OUTLIVED_H
#define CELERIAC_WORKER_OUTLIVED_H

#include "worker.h"

void outlived_init(struct outlived *o);
void outlived_done(struct outlived *o);
/* Before it runs: true when it waits for an earlier one of its id, or was acknowledged because that
 * one has ended. Such requests come back by consumer_dispatch. [consumer, keeper] */
bool outlived_defer(struct request *r);
/* Its message will be acknowledged: when that cannot be any more, it is known for a while that the
 * task has ended. [any] */
void outlived_ending(struct request *r);
/* `err`: what became of that, and of what follows from the task; NULL = all is there. */
void outlived_ended(const struct request *r, const struct err *err);

#endif
