/*
 * watchdog.h: a consumer that stands still although Redis answers is noticed: its connections are
 * broken, which wakes it if it waits for one of them; when that does not help, the process ends, so
 * that whoever supervises it starts another.
 */
#ifndef CELERIAC_WORKER_WATCHDOG_H
#define CELERIAC_WORKER_WATCHDOG_H

#include <stdatomic.h>

#include "base.h"

struct watchdog {
	_Atomic usec_t progress; /* monotonic: when the consumer last went round */
	/* the main thread's */
	usec_t since; /* what it stands still for is counted from here */
	bool warned;
};
enum watchdog_verdict { WATCHDOG_OK, WATCHDOG_REBUILD, WATCHDOG_GIVE_UP };

/* The consumer went round. [any] */
void watchdog_progress(struct watchdog *d);
/* Once per standstill of `limit` REBUILD, after another `limit` GIVE_UP. `answers`: Redis does;
 * time without it does not count. Pure but for `d`. [main] */
enum watchdog_verdict watchdog_judge(struct watchdog *d, usec_t now, usec_t limit, bool answers);

#endif
