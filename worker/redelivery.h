/*
 * redelivery.h: messages that were delivered before: what has a result already, and what kills
 * whoever runs it.
 */
#ifndef CELERIAC_WORKER_REDELIVERY_H
#define CELERIAC_WORKER_REDELIVERY_H

#include "ctx.h"

/*
 * Called before a task runs, after its row, if it has one, said that it may. False: it is settled,
 * and gone.
 *
 * Only deliveries that began to run count, not those that were merely held by a worker that died;
 * and not those that were given back. The count is kept in Redis (broker_begin), because neither
 * kombu's sweeper nor a message says more than that it came before.
 *
 * A task whose reject_on_worker_lost is false is noted from its first delivery on, and was lost
 * with its worker when it comes a second time. Any other message that began more often than
 * CELERIAC_REDELIVERY_LIMIT ends as WorkerLostError and is kept among the dead. With
 * worker_deduplicate_successful_tasks, a task without a row whose stored state is SUCCESS is not
 * run again. A pool thread.
 */
bool redelivery_begin(struct task_ctx *ctx);

#endif
