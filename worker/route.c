/*
 * Station 3 for calls of conversations: they go to the node that has the conversation, or stay. See
 * broker.h for how.
 */
#include <poll.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "route.h"

#define CALL_TIMEOUT (5 * USEC_PER_SEC)
#define TURN_TIMEOUT (20 * USEC_PER_SEC) /* longer than a lease: then they go on as they are */
#define PAUSE_FIRST  1			 /* ms between two looks whether it is our turn */
#define PAUSE_MOST   20
#define AWAY_MS	     100

bool route_wants(const struct request *r)
{
	return r->worker->fleet != NULL && r->lane != NULL &&
	       sandbox_is_conversation(r->lane, strlen(r->lane));
}

static void fill(struct request *const *list, size_t count, struct broker_call *calls)
{
	for (size_t i = 0; i < count; i++) {
		calls[i] = (struct broker_call){.tag = list[i]->delivery.tag,
						.conversation = list[i]->lane,
						.ref = list[i]->delivery.ref,
						.routed = BROKER_CALL_OURS};
		calls[i].ours = calls[i].ref;
		memcpy(calls[i].new_tag, list[i]->delivery.tag, sizeof(calls[i].new_tag));
	}
}

/* False when the worker stops before; without an answer calls stay where they are. */
static bool ask(struct worker *w, struct request *const *list, size_t count,
		struct broker_call *calls)
{
	usec_t deadline = clock_deadline(TURN_TIMEOUT);
	int pause = PAUSE_FIRST;
	bool routed = false;

	while (!atomic_load(&w->stopping)) {
		struct err err = {0};
		int rc;

		watchdog_progress(&w->watchdog);
		fill(list, count, calls);
		rc = broker_route(w->broker, calls, count, clock_deadline(CALL_TIMEOUT), &routed,
				  &err);
		if (rc == 0 && routed)
			return true;
		if (rc < 0 && !err_is_transient(&err)) {
			log_error("%s", err.msg);
			break;
		}
		if (rc == 0 && clock_mono() >= deadline) {
			log_warning("calls of conversations are run without waiting for other "
				    "workers any longer: one of them lives and does not go on");
			break;
		}
		poll(NULL, 0, rc < 0 ? AWAY_MS : pause);
		pause = 2 * pause < PAUSE_MOST ? 2 * pause : PAUSE_MOST;
	}
	fill(list, count, calls);
	broker_route_pass(w->broker);
	return !atomic_load(&w->stopping);
}

/* False when it is not ours any more. */
static bool obey(struct request *r, const struct broker_call *c)
{
	switch (c->routed) {
	case BROKER_CALL_OURS:
		state_move(&r->worker->state, r, c->new_tag, &c->ours);
		return true;
	case BROKER_CALL_MOVED:
		log_debug("Task %s[%s] goes to node %s", r->shown, r->id, c->node);
		state_count(&r->worker->state, COUNT_ROUTED);
		break;
	case BROKER_CALL_GONE:
		log_debug("Task %s[%s] was put back by another worker", r->shown, r->id);
		break;
	}
	request_forget(r);
	return false;
}

size_t route_calls(struct worker *w, struct request **list, size_t count)
{
	_cleanup_free_ struct broker_call *calls = xcalloc(count + 1, sizeof(*calls));
	size_t left = 0;

	if (w->fleet == NULL)
		return 0;
	if (count == 0) {
		broker_route_pass(w->broker);
		return 0;
	}
	if (!ask(w, list, count, calls)) {
		/* the newest first: each goes to the front */
		while (count > 0)
			settle_release(list[--count]);
		return 0;
	}
	for (size_t i = 0; i < count; i++) {
		if (obey(list[i], &calls[i]))
			list[left++] = list[i];
	}
	return left;
}

void route_leave(struct worker *w, const char *const *busy, size_t count)
{
	struct err err = {0};
	int64_t moved = 0;

	if (w->fleet == NULL || !broker_ready(w->broker))
		return;
	if (broker_route_leave(w->broker, busy, count, clock_deadline(CALL_TIMEOUT), &moved, &err) <
	    0)
		log_warning("conversations are taken over by others as if we had died: %s",
			    err.msg);
	else if (moved > 0)
		log_info("%lld call(s) of conversations are handed over", (long long)moved);
}
