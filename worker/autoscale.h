/*
 * autoscale.h: the pool's size by the number of requests (celery/worker/autoscale.py).
 */
#ifndef CELERIAC_WORKER_AUTOSCALE_H
#define CELERIAC_WORKER_AUTOSCALE_H

#include "base.h"
#include "err.h"

struct worker;

/* The control thread's; the numbers are constant while `on` is false. */
struct autoscaler {
	bool on;
	size_t max, min;
	uint64_t received;  /* messages, when last looked */
	usec_t last_needed; /* monotonic: grew, or a message came */
};

/* "10,3" or "10" of --autoscale; "" leaves it off. ERR_INVALID. [init] */
int autoscaler_init(struct autoscaler *a, const char *text, struct err *err) must_check;
/* Looks once; cheap, to be called at least every second. */
void autoscaler_tick(struct worker *w);
/* What is negative stays as it is. */
void autoscaler_update(struct worker *w, int64_t max, int64_t min);

#endif
