/*
 * How much may be taken: slots for what is held, by the prefetch count, and their bounds.
 */
#include "bounds.h"
#include "worker.h"

/* So many free slots are worth a claim: this part of all, but not so few that the round trip is
 * most of it, unless they are half of all. */
#define WORTH_PART 8
#define WORTH_FEW  16

static size_t beyond(size_t count, size_t limit)
{
	return count > limit ? count - limit : 0;
}

/* What waits for its time, for its conversation or for the broker's word takes no slot, or a few
 * could keep all others out; but only so many may wait. */
size_t worker_slots_taken(const struct worker *w)
{
	int64_t limit = w->settings.worker_eta_task_limit;
	size_t held = atomic_load(&w->state.held_count),
	       aside = atomic_load(&w->keeper.aside_count),
	       waiting = atomic_load(&w->lanes.waiting),
	       settling = atomic_load(&w->state.settling_count),
	       eta = atomic_load(&w->schedule.counts[HOLD_ETA]),
	       turns = atomic_load(&w->schedule.counts[HOLD_TURN]);

	aside += waiting < BOUND_WAITING ? waiting : BOUND_WAITING;
	aside += settling < BOUND_SETTLING ? settling : BOUND_SETTLING;
	return beyond(held, aside) + beyond(eta, limit > 0 ? (size_t)limit : SIZE_MAX) +
	       beyond(turns, BOUND_PARKED);
}

void worker_set_prefetch(struct worker *w, size_t threads)
{
	const struct settings *s = &w->settings;
	int64_t multiplier = s->worker_disable_prefetch ? 1 : s->worker_prefetch_multiplier;

	atomic_store(&w->prefetch_count,
		     multiplier > 0 ? threads * (size_t)multiplier : SIZE_MAX / 2);
	state_wake_consumer(&w->state);
}

size_t consumer_room(struct worker *w)
{
	if (atomic_load(&w->state.held_bytes) >= BOUND_HELD_BYTES)
		return 0;
	return beyond(atomic_load(&w->prefetch_count), worker_slots_taken(w));
}

bool consumer_is_worth_a_claim(struct worker *w, size_t room)
{
	size_t slots = atomic_load(&w->prefetch_count), few = slots / 2;

	few = few < WORTH_FEW ? few : WORTH_FEW;
	return room > 0 && ((room >= slots / WORTH_PART && room >= few) || pool_is_short(&w->pool));
}

void consumer_hurry(struct worker *w)
{
	if (atomic_load(&w->state.consumer_waits) &&
	    consumer_is_worth_a_claim(w, consumer_room(w)) &&
	    atomic_exchange(&w->state.consumer_waits, false))
		state_wake_consumer(&w->state);
}
