/*
 * redis_link_item.c: the items of a link and the lists they are in.
 */
#include "redis_link.h"

#include <stdlib.h>

#include "mem.h"

/* ---- lists ---- */

void link_list_append(struct link_list *list, struct link_item *item)
{
	item->next = NULL;
	if (list->last)
		list->last->next = item;
	else
		list->head = item;
	list->last = item;
}

struct link_item *link_list_pop(struct link_list *list)
{
	struct link_item *item = list->head;

	if (!item)
		return NULL;
	list->head = item->next;
	if (!list->head)
		list->last = NULL;
	item->next = NULL;
	return item;
}

/* ---- items ---- */

struct link_item *link_item_new(struct buf *commands, size_t count, unsigned flags)
{
	struct link_item *item = xcalloc(1, sizeof(*item) + count * sizeof(item->replies[0]));

	item->commands = *commands;
	*commands = BUF_INIT(commands->limit);
	item->counted = item->commands.len;
	item->count = count;
	item->flags = flags;
	return item;
}

void link_item_rewind(struct link_item *item)
{
	while (item->got > 0) {
		item->got--;
		redis_reply_free(TAKE(item->replies[item->got]));
	}
	item->sent = 0;
}

void link_item_free(struct link_item *item)
{
	link_item_rewind(item);
	buf_done(&item->commands);
	if (item->waiter) {
		mutex_done(&item->waiter->lock);
		cond_done(&item->waiter->changed);
		free(item->waiter);
	}
	free(item->fault);
	free(item);
}

/* Hands the item to the caller who waits for it, unless it no longer does. */
static void finish_waiter(struct link_item *item, const struct err *err)
{
	struct link_waiter *w = item->waiter;
	bool abandoned;

	if (err && err != item->fault) {
		item->fault = xmalloc(sizeof(*err));
		*item->fault = *err;
	}
	mutex_lock(&w->lock);
	abandoned = w->state == ITEM_ABANDONED;
	w->state = ITEM_FINISHED;
	cond_signal(&w->changed);
	mutex_unlock(&w->lock);
	if (abandoned)
		link_item_free(item);
}

void link_item_finish(struct redis_link *l, struct link_item *item, const struct err *err)
{
	if (item == l->reader)
		link_dismiss_reader(l);
	if (item->is_written)
		l->batches--;
	atomic_fetch_sub_explicit(&l->backlog, item->counted, memory_order_relaxed);
	if (item->waiter) {
		finish_waiter(item, err);
		return;
	}
	if (item->done)
		item->done(item->arg, err ? NULL : item->replies, err ? 0 : item->got, err);
	link_item_free(item);
}
