/*
 * See watchdog.h.
 */
#include "watchdog.h"

#include "clock.h"

void watchdog_progress(struct watchdog *d)
{
	atomic_store_explicit(&d->progress, clock_mono(), memory_order_relaxed);
}

enum watchdog_verdict watchdog_judge(struct watchdog *d, usec_t now, usec_t limit, bool answers)
{
	usec_t progress = atomic_load_explicit(&d->progress, memory_order_relaxed);

	if (progress > d->since || d->since == 0 || !answers) {
		if (progress > d->since)
			d->warned = false;
		d->since = answers ? progress : now;
	}
	if (limit == 0 || progress == 0 || now - d->since < limit)
		return WATCHDOG_OK;
	if (d->warned)
		return WATCHDOG_GIVE_UP;
	d->warned = true;
	d->since = now;
	return WATCHDOG_REBUILD;
}
