/*
 * Autoscaling: grows at once, shrinks after a quiet time. See autoscale.h.
 */
#include "autoscale.h"

#include <stdlib.h>

#include "clock.h"
#include "log.h"
#include "worker.h"

int autoscaler_init(struct autoscaler *a, const char *text, struct err *err)
{
	char *end = NULL;
	long max, min = 0;
	bool whole = true;

	if (text == NULL || text[0] == '\0')
		return 0;
	max = strtol(text, &end, 10);
	if (end != text && *end == ',') {
		const char *second = end + 1;

		min = strtol(second, &end, 10);
		whole = end != second;
	}
	if (!whole || *end != '\0' || max < 1 || max > POOL_MAX || min < 0 || min > max)
		return err_set(err, ERR_INVALID,
			       "autoscale: \"%.40s\" is not max,min with %d >= max >= min", text,
			       POOL_MAX);
	*a = (struct autoscaler){.on = true, .max = (size_t)max, .min = (size_t)min};
	return 0;
}

static size_t wanted(const struct worker *w)
{
	const struct autoscaler *a = &w->autoscaler;
	size_t held = worker_slots_taken(w);
	size_t n = held < a->max ? held : a->max;

	if (n < a->min)
		n = a->min;
	return n > 0 ? n : 1;
}

static void resize(struct worker *w, size_t size)
{
	struct err err = {0};
	size_t now = pool_size(&w->pool);

	log_info("Scaling %s %zu processes.", size > now ? "up" : "down",
		 size > now ? size - now : now - size);
	if (pool_resize(&w->pool, size, &err) < 0)
		log_error("Autoscaler: %s", err.msg);
}

void autoscaler_tick(struct worker *w)
{
	struct autoscaler *a = &w->autoscaler;
	uint64_t received = atomic_load(&w->state.counters[COUNT_RECEIVED]);
	usec_t now = clock_mono();
	size_t size, want;

	if (!a->on)
		return;
	if (received != a->received)
		a->last_needed = now;
	a->received = received;
	size = pool_size(&w->pool);
	want = wanted(w);
	if (want > size) {
		a->last_needed = now;
		resize(w, want);
	} else if (want < size && now - a->last_needed > w->settings.autoscale_keepalive) {
		resize(w, want);
	}
}

void autoscaler_update(struct worker *w, int64_t max, int64_t min)
{
	struct autoscaler *a = &w->autoscaler;
	size_t size = pool_size(&w->pool);

	if (max >= 0) {
		a->max = (size_t)max;
		worker_set_prefetch(w, a->max);
	}
	if (min >= 0)
		a->min = (size_t)min;
	if (size > a->max)
		resize(w, a->max > 0 ? a->max : 1);
	else if (size < a->min)
		resize(w, a->min);
}
