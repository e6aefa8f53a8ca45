/*
 * Orders to the consumer: the queues it consumes belong to its thread alone, so others leave a note
 * and wake it.
 */
#include <stdlib.h>

#include "log.h"
#include "mem.h"
#include "route.h"

struct order {
	char *queue; /* NULL: conversations */
	bool consume;
	struct order *next;
};

void orders_init(struct orders *o)
{
	mutex_init(&o->lock);
	o->first = NULL;
	o->last = &o->first;
}

static struct order *take(struct orders *o)
{
	struct order *order;

	mutex_lock(&o->lock);
	order = o->first;
	if (order != NULL)
		o->first = order->next;
	if (o->first == NULL) {
		o->last = &o->first;
		atomic_store(&o->any, false);
	}
	mutex_unlock(&o->lock);
	return order;
}

static void free_order(struct order *order)
{
	free(order->queue);
	free(order);
}

void orders_done(struct orders *o)
{
	struct order *order;

	while ((order = take(o)) != NULL) {
		free_order(order);
	}
	mutex_done(&o->lock);
}

static void add(struct worker *w, char *queue, bool consume)
{
	struct orders *o = &w->orders;
	struct order *order = xcalloc(1, sizeof(*order));

	order->queue = queue;
	order->consume = consume;
	mutex_lock(&o->lock);
	*o->last = order;
	o->last = &order->next;
	atomic_store(&o->any, true);
	mutex_unlock(&o->lock);
	state_wake_consumer(&w->state);
}

void consumer_order(struct worker *w, const char *queue, bool consume)
{
	add(w, xstrdup(queue), consume);
}

void consumer_order_drain(struct worker *w, bool drain)
{
	add(w, NULL, !drain);
}

static bool obey_one(struct worker *w, const struct order *order)
{
	struct err err = {0};
	int rc;

	if (order->queue == NULL) {
		if (order->consume)
			drain_end(w);
		else
			drain_begin(w);
		return true;
	}
	if (!order->consume) {
		if (!broker_cancel_queue(w->broker, order->queue))
			return false;
		log_info("Canceling queue %s", order->queue);
		return true;
	}
	rc = broker_add_queue(w->broker, order->queue, &err);
	if (rc < 0)
		log_error("queue %s is not consumed: %s", order->queue, err.msg);
	else if (rc == 1)
		log_info("Started consuming from %s", order->queue);
	return rc == 1;
}

bool consumer_is_ordered(const struct worker *w)
{
	return atomic_load_explicit(&w->orders.any, memory_order_relaxed);
}

int consumer_obey(struct worker *w, struct err *err)
{
	bool changed = false;
	struct order *order;

	if (!consumer_is_ordered(w))
		return 0;
	while ((order = take(&w->orders)) != NULL) {
		changed |= obey_one(w, order);
		free_order(order);
	}
	if (changed)
		broadcast_wake(w);
	return changed ? broker_connect(w->broker, w->at_broker, err) : 0;
}
