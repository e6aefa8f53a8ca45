/*
 * What is held for later. See schedule.h.
 */
#include "schedule.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "json.h"
#include "limits.h"
#include "mem.h"

/* ---- a heap whose items know their places ---- */

static bool is_before(const struct held *a, const struct held *b)
{
	return a->due != b->due ? a->due < b->due : a->ref.number < b->ref.number;
}

static void put(struct heap *h, size_t place, struct held *item)
{
	h->items[place] = item;
	item->place = (uint32_t)place;
}

static void sift_up(struct heap *h, struct held *item)
{
	size_t at = item->place;

	while (at > 0 && is_before(item, h->items[(at - 1) / 2])) {
		put(h, at, h->items[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	put(h, at, item);
}

static void sift_down(struct heap *h, struct held *item)
{
	size_t at = item->place;

	for (size_t child = 2 * at + 1; child < h->count; child = 2 * at + 1) {
		if (child + 1 < h->count && is_before(h->items[child + 1], h->items[child]))
			child++;
		if (!is_before(h->items[child], item))
			break;
		put(h, at, h->items[child]);
		at = child;
	}
	put(h, at, item);
}

static void heap_add(struct heap *h, struct held *item)
{
	if (h->count == h->size) {
		h->size = h->size ? h->size + h->size / 2 : 64;
		h->items = xrealloc(h->items, h->size * sizeof(struct held *));
	}
	put(h, h->count++, item);
	sift_up(h, item);
}

static void heap_remove(struct heap *h, struct held *item)
{
	struct held *last = h->items[--h->count];

	if (last != item) {
		put(h, item->place, last);
		sift_up(h, last);
		sift_down(h, last);
	}
	if (h->count == 0) {
		free(h->items);
		*h = (struct heap){0};
	}
}

/* ---- the schedule ---- */

void schedule_init(struct schedule *s)
{
	mutex_init(&s->lock);
}

void schedule_done(struct schedule *s)
{
	struct held *h, *following;

	DL_FOREACH_SAFE(s->all, h, following)
	{
		free(h);
	}
	s->all = NULL;
	for (size_t i = 0; i < HOLDS; i++) {
		free(s->heaps[i].items);
	}
	mutex_done(&s->lock);
}

struct held *held_new(const struct delivery_ref *ref, const struct task *task, const char *id,
		      size_t bytes)
{
	size_t len = strlen(id) + 1;
	struct held *h = xcalloc(1, sizeof(*h) + len);

	h->ref = *ref;
	h->task = task;
	h->bytes = (uint32_t)bytes;
	memcpy(h->id, id, len);
	return h;
}

static size_t memory_of(struct held *h)
{
	return malloc_usable_size(h) + 2 * sizeof(void *);
}

static void enter_heap(struct schedule *s, struct held *h, enum hold hold, usec_t due)
	REQUIRES(s->lock)
{
	h->hold = (uint8_t)hold;
	h->due = due;
	heap_add(&s->heaps[hold], h);
	atomic_fetch_add(&s->counts[hold], 1);
}

static void leave_heap(struct schedule *s, struct held *h) REQUIRES(s->lock)
{
	heap_remove(&s->heaps[h->hold], h);
	atomic_fetch_sub(&s->counts[h->hold], 1);
}

void schedule_add(struct schedule *s, struct held *h, enum hold hold, usec_t due)
{
	mutex_lock(&s->lock);
	enter_heap(s, h, hold, due);
	DL_APPEND(s->all, h);
	mutex_unlock(&s->lock);
	atomic_fetch_add(&s->bytes, memory_of(h));
}

static void remove_locked(struct schedule *s, struct held *h) REQUIRES(s->lock)
{
	leave_heap(s, h);
	if (s->walk == h)
		s->walk = h->next;
	DL_DELETE(s->all, h);
	h->prev = h->next = NULL;
	atomic_fetch_sub(&s->bytes, memory_of(h));
}

size_t schedule_count(const struct schedule *s)
{
	size_t count = 0;

	for (size_t i = 0; i < HOLDS; i++) {
		count += atomic_load(&s->counts[i]);
	}
	return count;
}

usec_t schedule_next_due(struct schedule *s, enum hold hold)
{
	const struct heap *h = &s->heaps[hold];
	usec_t due;

	if (atomic_load_explicit(&s->counts[hold], memory_order_relaxed) == 0)
		return USEC_NEVER;
	mutex_lock(&s->lock);
	due = h->count > 0 ? h->items[0]->due : USEC_NEVER;
	mutex_unlock(&s->lock);
	return due;
}

struct held *schedule_take(struct schedule *s, enum hold hold, usec_t now, size_t max, size_t bytes,
			   bool latest_first, size_t *ret_count)
{
	const struct heap *heap = &s->heaps[hold];
	struct held *list = NULL, **last = &list;
	size_t count = 0, sum = 0;

	mutex_lock(&s->lock);
	while (count < max && heap->count > 0 && heap->items[0]->due <= now) {
		struct held *h = heap->items[0];

		sum += h->bytes;
		if (count > 0 && sum > bytes)
			break;
		count++;
		remove_locked(s, h);
		if (latest_first) {
			h->next = list;
			list = h;
		} else {
			*last = h;
			last = &h->next;
		}
	}
	mutex_unlock(&s->lock);
	*ret_count = count;
	return list;
}

struct held *schedule_take_newest(struct schedule *s, size_t max, size_t *ret_count)
{
	struct held *list = NULL, **last = &list;
	size_t count = 0;

	mutex_lock(&s->lock);
	for (; count < max && s->all != NULL; count++) {
		struct held *h = s->all->prev; /* utlist: the head's prev is the tail */

		remove_locked(s, h);
		*last = h;
		last = &h->next;
	}
	mutex_unlock(&s->lock);
	*ret_count = count;
	return list;
}

void schedule_rewind(struct schedule *s)
{
	mutex_lock(&s->lock);
	s->walk = s->all;
	mutex_unlock(&s->lock);
}

size_t schedule_walk(struct schedule *s, struct delivery_ref *out, size_t max)
{
	size_t count = 0;

	mutex_lock(&s->lock);
	for (; s->walk != NULL && count < max; s->walk = s->walk->next) {
		out[count++] = s->walk->ref;
	}
	mutex_unlock(&s->lock);
	return count;
}

size_t schedule_numbers(struct schedule *s, uint64_t *out, size_t max)
{
	size_t count = 0;

	mutex_lock(&s->lock);
	for (const struct held *h = s->all; h != NULL && count < max; h = h->next) {
		out[count++] = h->ref.number;
	}
	mutex_unlock(&s->lock);
	return count;
}

/* ---- for remote control ---- */

size_t schedule_look(struct schedule *s, const json_t *ids, unsigned holds, struct held_look *out,
		     size_t max)
{
	size_t count = 0;

	mutex_lock(&s->lock);
	for (const struct held *h = s->all; h != NULL && count < max; h = h->next) {
		if ((holds & (1u << h->hold)) == 0 ||
		    (ids != NULL && json_object_get(ids, h->id) == NULL))
			continue;
		out[count++] = (struct held_look){h->ref, h->task, h->bytes, h->hold};
	}
	mutex_unlock(&s->lock);
	return count;
}

void schedule_hurry(struct schedule *s, const json_t *ids, json_t *found)
{
	if (schedule_count(s) == 0)
		return;
	mutex_lock(&s->lock);
	for (struct held *h = s->all; h != NULL; h = h->next) {
		if (json_object_get(ids, h->id) == NULL)
			continue;
		json_object_set_new(found, h->id, json_true());
		leave_heap(s, h);
		enter_heap(s, h, HOLD_HURRY, 0);
	}
	mutex_unlock(&s->lock);
}

void schedule_reset_turns(struct schedule *s, struct limits *l, const struct task *task, usec_t now)
{
	mutex_lock(&s->lock);
	for (struct held *h = s->all; h != NULL; h = h->next) {
		if (h->hold != HOLD_TURN || h->task != task)
			continue;
		leave_heap(s, h);
		enter_heap(s, h, HOLD_TURN, limits_take_turn(l, task->name, now));
	}
	mutex_unlock(&s->lock);
}
