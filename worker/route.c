/*
 * Station 3 for calls of conversations: they go to the node that has the conversation, or stay. See
 * broker.h for how.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "fault.h"
#include "log.h"
#include "mem.h"
#include "route.h"

#define CALL_TIMEOUT (5 * USEC_PER_SEC)
#define TURN_TIMEOUT (20 * USEC_PER_SEC) /* longer than a lease: then they go on as they are */
#define PAUSE_FIRST  1			 /* ms between two looks whether it is our turn */
#define PAUSE_MOST   20
#define AWAY_MS	     100
#define AWAY_MOST    (1 * USEC_PER_SEC) /* then others that know the conversations may have them */

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

/* They are nobody's any more: whoever takes them next has them anew. True when it is done. */
static bool put_back(struct worker *w, struct broker_call *calls, size_t count, bool leaves,
		     struct err *err, int *ret)
{
	bool done = false;

	*ret = broker_route_return(w->broker, calls, count, leaves, clock_deadline(CALL_TIMEOUT),
				   &done, err);
	for (size_t i = 0; *ret == 0 && done && i < count; i++)
		calls[i].routed = BROKER_CALL_GONE;
	return *ret == 0 && done;
}

/* Where calls are not routed in the Redis that knows the conversations, it is asked before. */
static int route(struct worker *w, struct broker_call *calls, size_t count, enum broker_turn *ret,
		 struct err *err)
{
	_cleanup_free_ char(*engines)[ENGINE_KEY_SIZE] = NULL;
	_cleanup_free_ const char **names = NULL;
	int rc = 0;

	if (shared_state_apart(w->shared)) {
		engines = xcalloc(count + 1, sizeof(*engines));
		names = xcalloc(count + 1, sizeof(*names));
		for (size_t i = 0; i < count; i++)
			names[i] = calls[i].conversation;
		rc = fleet_engines_of(w->fleet, names, count, engines, err);
		for (size_t i = 0; i < count; i++)
			calls[i].engine = engines[i];
	}
	if (rc == 0)
		rc = broker_route(w->broker, calls, count, clock_deadline(CALL_TIMEOUT), ret, err);
	for (size_t i = 0; i < count; i++)
		calls[i].engine = NULL;
	return rc;
}

/* Once: true when all is said about them. */
static bool ask_once(struct worker *w, struct request *const *list, size_t count,
		     struct broker_call *calls, struct err *err, int *ret)
{
	enum broker_turn turn = BROKER_TURN_OTHERS;

	fill(list, count, calls);
	*ret = route(w, calls, count, &turn, err);
	if (*ret < 0 || turn == BROKER_TURN_OTHERS)
		return false;
	return turn == BROKER_TURN_OURS || put_back(w, calls, count, false, err, ret);
}

/* Where conversations are known apart from the broker, that may be away while the broker is there.
 */
static bool is_unknowable(const struct worker *w, int rc, usec_t since)
{
	return rc < 0 && shared_state_apart(w->shared) && broker_ready(w->broker) &&
	       clock_mono() - since >= AWAY_MOST;
}

/* False when the worker stops before, or is not told whose they are; without an answer of the
 * broker calls stay where they are. */
static bool ask(struct worker *w, struct request *const *list, size_t count,
		struct broker_call *calls)
{
	usec_t began = clock_mono(), deadline = began + TURN_TIMEOUT;
	int pause = PAUSE_FIRST;

	while (!atomic_load(&w->stopping)) {
		struct err err = {0};
		int rc;

		watchdog_progress(&w->watchdog);
		if (ask_once(w, list, count, calls, &err, &rc))
			return true;
		if (is_unknowable(w, rc, began)) {
			log_warning("calls of conversations are put back: %s", err.msg);
			return false;
		}
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
	if (atomic_load(&w->stopping))
		return false;
	fill(list, count, calls);
	broker_route_pass(w->broker);
	return true;
}

/* At the end, or when nobody says whose they are: those who took later calls, and wait for these,
 * put theirs back before. */
static bool leave_in_turn(struct worker *w, struct request *const *list, size_t count,
			  struct broker_call *calls)
{
	usec_t deadline = clock_deadline(CALL_TIMEOUT);

	fill(list, count, calls);
	while (clock_mono() < deadline) {
		struct err err = {0};
		int rc;

		watchdog_progress(&w->watchdog);
		if (put_back(w, calls, count, true, &err, &rc))
			return true;
		if (rc < 0)
			break;
		poll(NULL, 0, PAUSE_MOST);
	}
	broker_route_pass(w->broker);
	return false;
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
		if (strcmp(c->node, presence_node(r->worker->presence)) != 0)
			state_count(&r->worker->state, COUNT_ROUTED);
		break;
	case BROKER_CALL_GONE:
		log_debug("Task %s[%s] was put back", r->shown, r->id);
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
	FAULT_POINT("route.claimed");
	if (!ask(w, list, count, calls) && !leave_in_turn(w, list, count, calls)) {
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

bool route_held(struct request *r)
{
	enum broker_turn turn = BROKER_TURN_OTHERS;
	struct broker_call call;
	struct err err = {0};

	fill(&r, 1, &call);
	if (route(r->worker, &call, 1, &turn, &err) == 0 && turn == BROKER_TURN_OURS)
		return obey(r, &call);
	settle_release(r); /* into our own list, which is handed over */
	return false;
}

void route_hand_over(struct worker *w)
{
	char *busy[POOL_MAX];
	size_t count = lanes_busy(&w->lanes, busy, POOL_MAX);

	route_leave(w, (const char *const *)busy, count);
	while (count > 0)
		free(busy[--count]);
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
