/*
 * outage.c: a task that needs the database while it is away.
 */
#include "clock.h"
#include "tasks.h"

#define OUTAGE_PAUSE (200 * USEC_PER_MSEC)

bool task_asks_again(struct task_ctx *ctx, int *rc, struct err *err)
{
	if (*rc >= 0 || !err_is_transient(err))
		return false;
	if (task_sleep(ctx, clock_deadline(OUTAGE_PAUSE)))
		return true;
	*rc = err_set(err, ERR_CANCELLED, "the database is away");
	return false;
}
