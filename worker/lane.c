/*
 * Lanes: a conversation's calls run one at a time in the order they arrived, and hold no thread
 * while they wait.
 */
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "mem.h"
#include "worker.h"

struct lane {
	char *name;
	struct request *first, **last; /* waiting */
	UT_hash_handle hh;
};

void lanes_init(struct lanes *l)
{
	mutex_init(&l->lock);
	atomic_init(&l->waiting, 0);
	l->map = NULL;
}

static void remove_lane(struct lanes *l, struct lane *lane)
{
	HASH_DEL(l->map, lane);
	free(lane->name);
	free(lane);
}

void lanes_done(struct lanes *l)
{
	struct lane *lane, *following;

	HASH_ITER(hh, l->map, lane, following)
	{
		remove_lane(l, lane);
	}
	mutex_done(&l->lock);
}

bool lanes_enter(struct lanes *l, struct request *r)
{
	struct lane *lane = NULL;

	if (r->lane == NULL)
		return true;
	mutex_lock(&l->lock);
	HASH_FIND_STR(l->map, r->lane, lane);
	if (lane != NULL) {
		request_transition(r, REQUEST_WAITING);
		r->next = NULL;
		*lane->last = r;
		lane->last = &r->next;
		atomic_fetch_add(&l->waiting, 1);
		mutex_unlock(&l->lock);
		return false;
	}
	lane = xcalloc(1, sizeof(*lane));
	lane->name = xstrdup(r->lane);
	lane->last = &lane->first;
	HASH_ADD_KEYPTR(hh, l->map, lane->name, strlen(lane->name), lane);
	r->lane_held = true;
	mutex_unlock(&l->lock);
	return true;
}

struct request *lanes_leave(struct lanes *l, struct request *r)
{
	struct lane *lane = NULL;
	struct request *next = NULL;

	mutex_lock(&l->lock);
	r->lane_held = false;
	HASH_FIND_STR(l->map, r->lane, lane);
	if (lane == NULL)
		BUG("request %s left a lane that is not there", r->id);
	next = l->closed ? NULL : lane->first;
	if (lane->first == NULL) {
		remove_lane(l, lane);
	} else if (next != NULL) {
		lane->first = next->next;
		if (lane->first == NULL)
			lane->last = &lane->first;
		next->next = NULL;
		next->lane_held = true;
		atomic_fetch_sub(&l->waiting, 1);
	}
	mutex_unlock(&l->lock);
	return next;
}

struct request *lanes_drain(struct lanes *l)
{
	struct request *all = NULL, **last = &all;
	struct lane *lane, *following;

	mutex_lock(&l->lock);
	l->closed = true;
	atomic_store(&l->waiting, 0);
	HASH_ITER(hh, l->map, lane, following)
	{
		*last = lane->first;
		while (*last != NULL) {
			last = &(*last)->next;
		}
		lane->first = NULL;
		lane->last = &lane->first;
	}
	mutex_unlock(&l->lock);
	return all;
}

static bool is_conversation(const struct lane *lane)
{
	return sandbox_is_conversation(lane->name, strlen(lane->name));
}

struct request *lanes_take_conversations(struct lanes *l)
{
	struct request *all = NULL, **last = &all;
	struct lane *lane, *following;

	mutex_lock(&l->lock);
	HASH_ITER(hh, l->map, lane, following)
	{
		if (!is_conversation(lane))
			continue;
		*last = TAKE(lane->first);
		lane->last = &lane->first;
		for (; *last != NULL; last = &(*last)->next)
			atomic_fetch_sub(&l->waiting, 1);
	}
	mutex_unlock(&l->lock);
	return all;
}

size_t lanes_conversations(struct lanes *l)
{
	struct lane *lane, *following;
	size_t n = 0;

	mutex_lock(&l->lock);
	HASH_ITER(hh, l->map, lane, following)
	{
		n += is_conversation(lane);
	}
	mutex_unlock(&l->lock);
	return n;
}

size_t lanes_busy(struct lanes *l, char **ret, size_t max)
{
	struct lane *lane, *following;
	size_t n = 0;

	mutex_lock(&l->lock);
	HASH_ITER(hh, l->map, lane, following)
	{
		if (n < max)
			ret[n++] = xstrdup(lane->name);
	}
	mutex_unlock(&l->lock);
	return n;
}

struct request *lanes_take_waiting(struct lanes *l, struct request *r)
{
	struct request *waiting = NULL;
	struct lane *lane = NULL;

	mutex_lock(&l->lock);
	if (r->lane_held)
		HASH_FIND_STR(l->map, r->lane, lane);
	if (lane != NULL) {
		waiting = TAKE(lane->first);
		lane->last = &lane->first;
		for (const struct request *q = waiting; q != NULL; q = q->next)
			atomic_fetch_sub(&l->waiting, 1);
	}
	mutex_unlock(&l->lock);
	return waiting;
}
