/*
 * The consumer and what it holds for later. See schedule.h for what is kept of each, worker.h for
 * the contracts.
 *
 * A task whose eta has come and that finds no slot is given back to the front of its queue, at its
 * priority: any worker may run it, and the first of several comes first again. One that waited for
 * its turn keeps it and waits here, since elsewhere it would have to wait for another.
 */
#include <stdlib.h>

#include "bounds.h"
#include "clock.h"
#include "discard.h"
#include "log.h"
#include "mem.h"
#include "route.h"

#define CALL_TIMEOUT (5 * USEC_PER_SEC)
#define AGAIN	     (1 * USEC_PER_SEC) /* for what may not be given back */

void due_park(struct request *r, enum hold hold, usec_t due)
{
	struct held *h = held_new(&r->delivery.ref, r->task, r->id, r->bytes);

	h->has_turn = r->has_turn;
	h->redelivered = r->message->redelivered;
	schedule_add(&r->worker->schedule, h, hold, due);
	request_forget(r);
}

/* Back to where they were. */
static void keep(struct worker *w, struct held *list)
{
	struct held *next;

	for (; list != NULL; list = next) {
		next = list->next;
		schedule_add(&w->schedule, list, list->hold, list->due);
	}
}

static void free_list(struct held *list)
{
	struct held *next;

	for (; list != NULL; list = next) {
		next = list->next;
		free(list);
	}
}

/* What was read again goes on, as if it had just come. */
static void go_on(struct worker *w, const struct held *h, struct delivery *d)
{
	struct request *r;

	if (d->data == NULL) {
		log_debug("Task %s[%s] was put back by another worker", h->task->name, h->id);
		return;
	}
	r = consumer_decode(w, d);
	if (r == NULL)
		return;
	r->has_turn = h->has_turn;
	r->message->redelivered |= h->redelivered;
	if (discard_request(r))
		return;
	/* who is drained runs none: whoever has the conversation now gets it */
	if (!atomic_load(&w->draining) || !route_wants(r) || route_held(r))
		consumer_schedule(r);
}

static int serve(struct worker *w, enum hold hold, usec_t now, size_t max, size_t *served,
		 struct err *err)
{
	struct delivery_ref refs[BOUND_CLAIM_BATCH];
	_cleanup_free_ struct delivery *batch = NULL;
	struct held *list;
	size_t count = 0, i = 0;
	usec_t come = 0; /* with the least rate */
	int rc;

	if (max > BOUND_CLAIM_BATCH)
		max = BOUND_CLAIM_BATCH;
	list = schedule_take(&w->schedule, hold, now, max, BOUND_FETCH_BYTES, false, &count);
	if (count == 0)
		return 0;
	for (const struct held *h = list; h != NULL; h = h->next) {
		refs[i++] = h->ref;
		come += (usec_t)h->bytes * USEC_PER_SEC / BOUND_LEAST_RATE;
	}
	batch = xcalloc(count, sizeof(*batch));
	rc = broker_fetch(w->broker, refs, count, clock_deadline(CALL_TIMEOUT + come), batch, err);
	if (rc < 0) {
		keep(w, list);
		return rc;
	}
	i = 0;
	for (const struct held *h = list; h != NULL; h = h->next) {
		go_on(w, h, &batch[i++]);
	}
	free_list(list);
	*served += count;
	return 0;
}

int due_serve(struct worker *w, size_t room, size_t *ret_served, struct err *err)
{
	size_t hurried = 0, served = 0;
	int rc = serve(w, HOLD_HURRY, 0, BOUND_CLAIM_BATCH, &hurried, err);

	if (rc == 0)
		rc = serve(w, HOLD_TURN, clock_mono(), room, &served, err);
	if (rc == 0)
		rc = serve(w, HOLD_ETA, clock_wall(), room - served, &served, err);
	*ret_served = hurried + served;
	return rc;
}

/* Fills `refs` from the list; what is of a queue that we do not consume stays ours, since nobody
 * else may. Returns the rest of the list. */
static struct held *collect(struct worker *w, struct held *list, struct delivery_ref *refs,
			    struct held **chunk, size_t *count)
{
	struct held *next, **last = chunk;

	for (; list != NULL && *count < BOUND_CLAIM_BATCH; list = next) {
		next = list->next;
		if (!broker_consumes(w->broker, list->ref.queue)) {
			schedule_add(&w->schedule, list, HOLD_ETA, clock_wall() + AGAIN);
			continue;
		}
		refs[(*count)++] = list->ref;
		*last = list;
		last = &list->next;
	}
	*last = NULL;
	return list;
}

static void count_requeued(struct worker *w, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		state_count(&w->state, COUNT_REQUEUED);
	}
}

int due_yield(struct worker *w, struct err *err)
{
	struct delivery_ref refs[BOUND_CLAIM_BATCH];
	size_t count = 0, total = 0;
	struct held *list = schedule_take(&w->schedule, HOLD_ETA, clock_wall(), SIZE_MAX, SIZE_MAX,
					  true, &count);
	int rc = 0;

	while (rc == 0 && list != NULL) {
		struct held *chunk = NULL;

		count = 0;
		list = collect(w, list, refs, &chunk, &count);
		if (count > 0)
			rc = broker_give_back(w->broker, refs, count, clock_deadline(CALL_TIMEOUT),
					      err);
		if (rc < 0) {
			keep(w, chunk);
			break;
		}
		free_list(chunk);
		total += count;
		if (consumer_room(w) > 0 && !atomic_load(&w->stopping))
			break; /* the first ones may run here after all */
	}
	keep(w, list);
	count_requeued(w, total);
	if (total > 0)
		log_info("%zu task(s) whose time has come go back to their queues: no slot is free",
			 total);
	return rc;
}

usec_t due_wake_at(struct worker *w, bool room)
{
	usec_t eta = schedule_next_due(&w->schedule, HOLD_ETA), at = USEC_NEVER,
	       wall = clock_wall();

	if (schedule_next_due(&w->schedule, HOLD_HURRY) != USEC_NEVER)
		return 0;
	if (eta != USEC_NEVER)
		at = clock_deadline(eta > wall ? eta - wall : 0);
	if (room) {
		usec_t turn = schedule_next_due(&w->schedule, HOLD_TURN);

		at = turn < at ? turn : at;
	}
	return at;
}

void due_release_all(struct worker *w, usec_t deadline)
{
	struct delivery_ref refs[BOUND_CLAIM_BATCH];
	struct err err = {0};
	size_t count = 0, total = 0;
	struct held *list;

	while ((list = schedule_take_newest(&w->schedule, BOUND_CLAIM_BATCH, &count)) != NULL) {
		size_t i = 0;

		for (const struct held *h = list; h != NULL; h = h->next) {
			refs[i++] = h->ref;
		}
		free_list(list);
		if (broker_give_back(w->broker, refs, count, deadline, &err) < 0) {
			log_warning("%zu held message(s) are restored by the next worker: %s",
				    count + schedule_count(&w->schedule), err.msg);
			break;
		}
		total += count;
	}
	count_requeued(w, total);
	if (total > 0)
		log_info("%zu held task(s) go back to their queues", total);
}
