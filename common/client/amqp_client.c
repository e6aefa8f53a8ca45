/*
 * amqp_client.c: what callers of a client call, on any thread; beginning and end.
 */
#include "amqp_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "mem.h"

/* ---- items ---- */

void amqp_item_list_append(struct item_list *list, struct item *item)
{
	item->next = NULL;
	if (list->last)
		list->last->next = item;
	else
		list->head = item;
	list->last = item;
}

struct item *amqp_item_list_pop(struct item_list *list)
{
	struct item *item = list->head;

	if (!item)
		return NULL;
	list->head = item->next;
	if (!list->head)
		list->last = NULL;
	item->next = NULL;
	return item;
}

void amqp_item_prepare(struct item *item)
{
	item->waited = true;
	mutex_init(&item->lock);
	cond_init(&item->changed);
}

void amqp_item_free(struct item *item)
{
	if (item->waited) {
		mutex_done(&item->lock);
		cond_done(&item->changed);
	}
	free(item->fault);
	item->fault = NULL;
	if (item->is_batch)
		amqp_batch_destroy((struct amqp_batch *)item);
	else
		amqp_call_free((struct call *)item);
}

bool amqp_item_await(struct item *item, usec_t deadline)
{
	bool finished;

	mutex_lock(&item->lock);
	while (item->state == ITEM_PENDING)
		if (!cond_wait_until(&item->changed, &item->lock, deadline))
			break;
	finished = item->state == ITEM_FINISHED;
	if (!finished)
		item->state = ITEM_ABANDONED;
	mutex_unlock(&item->lock);
	return finished;
}

int amqp_client_timeout(struct amqp_client *c, const char *what, struct err *err)
{
	(void)err_set(err, ERR_TIMEOUT, "%s: %s", c->address->safe, what);
	mutex_lock(&c->lock);
	if (c->trouble)
		(void)err_set(err, ERR_TIMEOUT, "%s: %s", what, c->trouble->msg);
	mutex_unlock(&c->lock);
	return -err->code;
}

bool amqp_item_abandoned(struct item *item)
{
	bool abandoned;

	if (!item->waited)
		return false;
	mutex_lock(&item->lock);
	abandoned = item->state == ITEM_ABANDONED;
	mutex_unlock(&item->lock);
	return abandoned;
}

/* Hands the item to the caller who waits for it, unless it no longer does. */
static void finish_waiter(struct item *item, const struct err *err)
{
	bool abandoned;

	if (err && err != item->fault) {
		free(item->fault);
		item->fault = xmalloc(sizeof(*err));
		*item->fault = *err;
	}
	mutex_lock(&item->lock);
	abandoned = item->state == ITEM_ABANDONED;
	item->state = ITEM_FINISHED;
	cond_signal(&item->changed);
	mutex_unlock(&item->lock);
	if (abandoned)
		amqp_item_free(item);
}

void amqp_item_finish(struct amqp_client *c, struct item *item, const struct err *err)
{
	if (item->is_batch)
		atomic_fetch_sub_explicit(&c->backlog, ((struct amqp_batch *)item)->bytes,
					  memory_order_relaxed);
	if (item->waited) {
		finish_waiter(item, err);
		return;
	}
	if (item->done)
		item->done(item->arg, err);
	amqp_item_free(item);
}

/* ---- the queue ---- */

bool amqp_client_news_locked(struct amqp_client *c)
{
	bool wake = c->sleeping;

	c->sleeping = false;
	return wake;
}

static void signal_fd(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		BUG("eventfd: errno %d", errno);
}

void amqp_client_wake(struct amqp_client *c)
{
	signal_fd(c->wake_fd);
}

void amqp_client_enqueue(struct amqp_client *c, struct item *item)
{
	bool wake;

	mutex_lock(&c->lock);
	amqp_item_list_append(&c->queue, item);
	wake = amqp_client_news_locked(c);
	mutex_unlock(&c->lock);
	if (wake)
		amqp_client_wake(c);
}

void amqp_client_interrupt(struct amqp_client *c)
{
	bool wake;

	mutex_lock(&c->lock);
	c->interrupted = true;
	wake = amqp_client_news_locked(c);
	mutex_unlock(&c->lock);
	if (wake)
		amqp_client_wake(c);
}

/* ---- what it is like ---- */

struct amqp_address *amqp_client_address(const struct amqp_client *c)
{
	return c->address;
}

bool amqp_client_up(const struct amqp_client *c)
{
	return atomic_load_explicit(&c->up, memory_order_relaxed);
}

bool amqp_client_blocked(const struct amqp_client *c)
{
	return atomic_load_explicit(&c->blocked, memory_order_relaxed);
}

bool amqp_client_trouble(struct amqp_client *c, struct err *ret)
{
	bool trouble;

	mutex_lock(&c->lock);
	trouble = c->trouble != NULL;
	if (trouble)
		*ret = *c->trouble;
	mutex_unlock(&c->lock);
	return trouble;
}

void amqp_client_peer(struct amqp_client *c, struct amqp_peer *ret)
{
	mutex_lock(&c->lock);
	*ret = c->peer;
	mutex_unlock(&c->lock);
}

void amqp_client_counts(struct amqp_client *c, struct amqp_counts *ret)
{
	*ret = (struct amqp_counts){
		.oversize = atomic_load_explicit(&c->oversize, memory_order_relaxed),
		.given_back = atomic_load_explicit(&c->given_back, memory_order_relaxed),
		.stale = atomic_load_explicit(&c->stale, memory_order_relaxed),
		.unroutable = atomic_load_explicit(&c->unroutable, memory_order_relaxed),
		.reconnects = atomic_load_explicit(&c->reconnects, memory_order_relaxed),
	};
}

/* ---- deliveries ---- */

int amqp_client_fd(const struct amqp_client *c)
{
	return c->delivery_fd;
}

static void give(struct waiting *w, struct amqp_delivery *ret)
{
	struct err err;

	*ret = (struct amqp_delivery){
		.ref = w->ref,
		.queue = TAKE(w->queue),
		.exchange = TAKE(w->exchange),
		.routing_key = TAKE(w->routing_key),
		.redelivered = w->redelivered,
		.len = w->body.len,
	};
	/* Never failed, or it would not be here. */
	if (buf_take(&w->body, &ret->body, NULL, &err) < 0)
		BUG("a delivery without its body: %s", err.msg);
	if (amqp_properties_read(w->properties, w->properties_len, &ret->properties, &err) < 0) {
		ret->fault = xmalloc(sizeof(err));
		*ret->fault = err;
	}
	amqp_deliver_drop(w);
}

/* The first `max`, and whether there were any left. */
static struct waiting *take_list(struct amqp_client *c, size_t max, bool *ret_wake)
{
	struct waiting *first, *last = NULL;
	uint64_t count;

	mutex_lock(&c->lock);
	first = c->deliveries;
	for (struct waiting *w = first; w && max > 0; w = w->next, max--) {
		last = w;
		c->waiting_bytes -= w->weight;
	}
	if (last) {
		c->deliveries = last->next;
		last->next = NULL;
	} else {
		first = NULL;
	}
	if (!c->deliveries) {
		c->last_delivery = NULL;
		if (read(c->delivery_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
			BUG("eventfd: errno %d", errno);
	}
	*ret_wake = c->wants_room && c->waiting_bytes <= BOUND_AMQP_WAITING / 2 &&
		    amqp_client_news_locked(c);
	mutex_unlock(&c->lock);
	return first;
}

size_t amqp_client_take(struct amqp_client *c, struct amqp_delivery *ret, size_t max)
{
	bool wake;
	struct waiting *w = take_list(c, max, &wake);
	size_t count = 0;

	if (wake)
		amqp_client_wake(c);
	while (w) {
		struct waiting *next = w->next;

		give(w, &ret[count++]);
		w = next;
	}
	return count;
}

void amqp_client_return(struct amqp_client *c, const char *queue)
{
	struct amqp_batch *batch = amqp_batch_new();
	struct waiting *w, *next, *left = NULL, *last = NULL, *out = NULL;

	mutex_lock(&c->lock);
	for (w = c->deliveries; w; w = next) {
		next = w->next;
		if (!queue || strcmp(w->queue, queue) == 0) {
			c->waiting_bytes -= w->weight;
			w->next = out;
			out = w;
			continue;
		}
		*(last ? &last->next : &left) = w;
		last = w;
	}
	if (last)
		last->next = NULL;
	c->deliveries = left;
	c->last_delivery = last;
	mutex_unlock(&c->lock); /* the descriptor may say that there are some: none are taken */
	for (; out; out = next) {
		next = out->next;
		amqp_batch_settle(batch, out->ref, AMQP_REQUEUE);
		amqp_deliver_drop(out);
	}
	amqp_client_submit(c, batch, 0, NULL, NULL);
}

void amqp_delivery_done(struct amqp_delivery *d)
{
	free(d->queue);
	free(d->exchange);
	free(d->routing_key);
	amqp_properties_done(&d->properties);
	free(d->fault);
	free(d->body);
	*d = (struct amqp_delivery){0};
}

/* ---- beginning and end ---- */

static int start_threads(struct amqp_client *c, struct err *err)
{
	static const char *const suffixes[ROLES] = {"in", "out"};
	int rc;

	for (int i = 0; i < ROLES; i++) {
		_cleanup_free_ char *name = xasprintf("%.9s.%s", c->name, suffixes[i]);

		rc = thread_start(&c->slots[i].connector, name, amqp_client_connector_main,
				  &c->slots[i], err);
		if (rc < 0)
			return rc;
		c->slots[i].has_connector = true;
	}
	rc = thread_start(&c->owner, c->name, amqp_client_owner_main, c, err);
	c->has_owner = rc == 0;
	return rc;
}

static int start(struct amqp_client *c, struct err *err)
{
	int *fds[] = {&c->wake_fd, &c->cancel_fd, &c->delivery_fd};

	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		*fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (*fds[i] < 0)
			return err_set_errno(err, ERR_FAILED, errno, "eventfd");
	}
	return start_threads(c, err);
}

int amqp_client_new(struct amqp_address *a, const char *name, const struct amqp_events *events,
		    struct amqp_client **ret, struct err *err)
{
	struct amqp_client *c = xcalloc(1, sizeof(*c));
	int rc;

	c->address = amqp_address_ref(a);
	c->name = xstrdup(name);
	if (events)
		c->events = *events;
	c->wake_fd = c->cancel_fd = c->delivery_fd = -1;
	mutex_init(&c->lock);
	for (int i = 0; i < ROLES; i++) {
		c->slots[i].client = c;
		c->slots[i].role = (enum amqp_role)i;
		cond_init(&c->slots[i].connector_news);
	}
	c->channels[0].number = CHANNEL_CONSUME;
	c->channels[1].number = CHANNEL_DECLARE;
	rc = start(c, err);
	if (rc < 0) {
		amqp_client_free(c, 0);
		return err_wrap(err, "client %s", name);
	}
	*ret = c;
	return 0;
}

static void stop_owner(struct amqp_client *c, usec_t deadline)
{
	bool wake;

	mutex_lock(&c->lock);
	c->stopping = true;
	c->stop_at = deadline;
	wake = amqp_client_news_locked(c);
	mutex_unlock(&c->lock);
	if (wake)
		amqp_client_wake(c);
	(void)pthread_join(c->owner, NULL);
}

static void stop_connector(struct slot *s)
{
	struct amqp_client *c = s->client;

	mutex_lock(&c->lock);
	s->quit = true;
	mutex_unlock(&c->lock);
	cond_signal(&s->connector_news);
	signal_fd(c->cancel_fd);
	(void)pthread_join(s->connector, NULL);
}

static void free_rest(struct amqp_client *c)
{
	int fds[] = {c->wake_fd, c->cancel_fd, c->delivery_fd};

	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		if (fds[i] >= 0)
			(void)close(fds[i]);
	for (size_t i = 0; i < c->consumer_count; i++)
		amqp_consumer_free(c->consumers[i]);
	for (int i = 0; i < ROLES; i++) {
		amqp_conn_free(c->slots[i].made);
		free(c->slots[i].made_error);
		cond_done(&c->slots[i].connector_news);
	}
	free(c->trouble);
	free(c->tags.states);
	free(c->tags.acking);
	free(c->tags.owed);
	amqp_address_unref(c->address);
	mutex_done(&c->lock);
	free(c->name);
	free(c);
}

void amqp_client_free(struct amqp_client *c, usec_t deadline)
{
	if (!c)
		return;
	if (c->has_owner)
		stop_owner(c, deadline);
	for (int i = 0; i < ROLES; i++)
		if (c->slots[i].has_connector)
			stop_connector(&c->slots[i]);
	free_rest(c);
}
