/*
 * A worker that is drained: its conversations are others', while it goes on with everything else.
 * Done by the consumer's thread between two claims.
 */
#include <stdlib.h>
#include <utlist.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "panel.h"
#include "route.h"

#define LOOK (1 * USEC_PER_SEC)

static int newest_first(const struct request *a, const struct request *b)
{
	return a->number < b->number ? 1 : -1;
}

/* What waits behind a call that runs comes after it, elsewhere. */
static void release_waiting(struct worker *w)
{
	struct request *list = lanes_take_conversations(&w->lanes), *next;

	LL_SORT(list, newest_first);
	for (; list != NULL; list = next) {
		next = list->next;
		settle_release(list);
	}
}

/* Calls of a conversation in which one still runs come back to us by way of the others, one hop
 * further, so this is done ever more rarely. */
static void hand_over(struct worker *w)
{
	struct drain *d = &w->drain;

	d->busy = lanes_conversations(&w->lanes);
	d->again_at = clock_deadline(d->pause);
	route_hand_over(w);
	if (!broker_route_alone(w->broker))
		d->pause *= 2;
}

void drain_begin(struct worker *w)
{
	broker_route_drain(w->broker, true);
	release_waiting(w);
	w->drain = (struct drain){.pause = LOOK, .look_at = clock_deadline(LOOK)};
	hand_over(w);
	log_warning("draining: conversations are handed over, and no others are taken");
}

void drain_end(struct worker *w)
{
	broker_route_drain(w->broker, false);
	log_warning("conversations are taken again");
}

void drain_look(struct worker *w)
{
	struct drain *d = &w->drain;
	usec_t now = clock_mono();
	size_t busy;

	if (!atomic_load_explicit(&w->draining, memory_order_relaxed) || now < d->look_at)
		return;
	d->look_at = now + LOOK;
	busy = lanes_conversations(&w->lanes);
	if (busy == 0)
		route_leave(w, NULL, 0);
	else if ((busy < d->busy || broker_route_alone(w->broker)) && now >= d->again_at)
		hand_over(w);
}

/* ---- remote control ---- */

static int turn(struct worker *w, bool on, const char *said, json_t **ret)
{
	if (w->fleet == NULL) {
		*ret = panel_nok("there are no conversations without a database");
		return 0;
	}
	if (atomic_exchange(&w->draining, on) != on)
		consumer_order_drain(w, on);
	*ret = panel_ok("%s", said);
	return 0;
}

int control_drain(struct worker *w, unused_arg json_t *const *values, json_t **ret,
		  unused_arg struct err *err)
{
	return turn(w, true, "conversations are handed over", ret);
}

int control_undrain(struct worker *w, unused_arg json_t *const *values, json_t **ret,
		    unused_arg struct err *err)
{
	return turn(w, false, "conversations are taken again", ret);
}
