/*
 * redis_link_write.c: whoever hands over an item while the owner sleeps writes it, and all that was
 * queued meanwhile. What cannot be written at once, or fails, is the owner's: callbacks run there
 * alone.
 */
#include "redis_link.h"

#define WRITE_ROUNDS 3 /* then the owner, which may wait for the lock, goes on */

/* What is queued, or nothing; then an owner that sleeps sleeps on, and whoever comes next may
 * write. */
static struct link_list take_queue(struct redis_link *l)
{
	struct link_list items;

	mutex_lock(&l->lock);
	items = l->queue;
	l->queue = (struct link_list){0};
	if (!items.head) {
		l->sleeping = !l->awake;
		l->holding = l->untimed = link_holds(l);
	}
	mutex_unlock(&l->lock);
	return items;
}

static void put_back(struct redis_link *l, struct link_list *rest)
{
	mutex_lock(&l->lock);
	if (l->queue.head)
		rest->last->next = l->queue.head;
	else
		l->queue.last = rest->last;
	l->queue.head = rest->head;
	mutex_unlock(&l->lock);
}

/* False when something of it is left to the owner, and all that came after. */
static bool write_items(struct redis_link *l, struct link_list *items)
{
	struct err err;

	while (items->head) {
		struct link_item *item = items->head;

		if (item->batch && !item->fault)
			link_write_batch(l, item);
		if (item->fault)
			break;
		link_take_work(l, link_list_pop(items));
	}
	/* of an error the owner hears when it tries itself */
	if (link_send_work(l, &err) < 0 || l->next_send || items->head) {
		if (items->head)
			put_back(l, items);
		return false;
	}
	return true;
}

void link_write_at_once(struct redis_link *l, struct link_item *own)
{
	bool written = false;

	if (!mutex_try(&l->work_lock)) {
		link_wake(l);
		return;
	}
	for (int round = 0; round < WRITE_ROUNDS && l->conn && !l->next_send; round++) {
		struct link_list items = take_queue(l);

		written = !items.head;
		if (written || !write_items(l, &items))
			break;
	}
	if (written && own)
		link_become_reader(l, own);
	mutex_unlock(&l->work_lock);
	if (!written)
		link_wake(l);
}
