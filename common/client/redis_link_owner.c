/*
 * redis_link_owner.c: the owner thread of a link: one loop that takes what was queued, writes it
 * all at once, reads what came and completes items in order.
 */
#include "redis_link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "bounds.h"
#include "clock.h"
#include "log.h"
#include "mem.h"

/* What happened since the last look. */
struct news {
	struct link_list items;
	struct redis *made;
	struct err *made_error;
	bool nothing;
	bool holding;
	bool stopping;
	usec_t stop_at;
};

static void take_news(struct redis_link *l, struct news *ret)
{
	bool holding = link_holds(l);

	mutex_lock(&l->lock);
	holding = holding && !l->stopping;
	*ret = (struct news){
		.items = l->queue,
		.made = l->made,
		.made_error = l->made_error,
		.stopping = l->stopping,
		.stop_at = l->stop_at,
	};
	if (holding && l->queue.head && l->queue.head == l->queue.last && l->queue.last->batch)
		ret->items = (struct link_list){0};
	else
		l->queue = (struct link_list){0};
	l->made = NULL;
	l->made_error = NULL;
	ret->holding = l->holding = holding;
	l->untimed = false;
	ret->nothing = !ret->items.head && !ret->made && !ret->made_error;
	l->sleeping = ret->nothing;
	l->awake = !ret->nothing;
	mutex_unlock(&l->lock);
}

static void order_connection(struct redis_link *l, bool at_once)
{
	mutex_lock(&l->lock);
	l->connect_wanted = true;
	l->connect_at_once = at_once;
	mutex_unlock(&l->lock);
	cond_signal(&l->connector_news);
}

/* One line when trouble begins or changes its kind, one when it is over. */
static void tell_trouble(struct redis_link *l, const struct err *err)
{
	if (l->told && l->told_transient == err_is_transient(err))
		return;
	l->told = true;
	l->told_transient = err_is_transient(err);
	log_warning("%s: %s; trying again until it works", l->name, err->msg);
}

/* Fails what must not wait for a new connection, and keeps the rest in order. */
static void fail_unkept(struct redis_link *l, struct err *err)
{
	struct link_list all = l->work, failed = {0};
	struct link_item *item;

	(void)err_transient(err);
	l->work = (struct link_list){0};
	while ((item = link_list_pop(&all))) {
		link_item_rewind(item);
		link_list_append(item->flags & REDIS_LINK_KEEP ? &l->work : &failed, item);
	}
	l->next_send = l->work.head;
	while ((item = link_list_pop(&failed)))
		link_item_finish(l, item, err);
}

static void close_connection(struct redis_link *l) REQUIRES(l->work_lock);
static void close_connection(struct redis_link *l)
{
	struct redis *conn = TAKE(l->conn); /* nobody writes there or begins to read meanwhile */

	link_end_reading(l);
	if (conn)
		(void)epoll_ctl(l->watch_fd, EPOLL_CTL_DEL, conn->socket.fd, NULL);
	redis_close(conn);
}

static void lose_connection(struct redis_link *l, struct err *err) REQUIRES(l->work_lock);
static void lose_connection(struct redis_link *l, struct err *err)
{
	bool settled = clock_mono() - l->opened_at >= LINK_SETTLED_AFTER;

	atomic_store_explicit(&l->up, false, memory_order_relaxed);
	close_connection(l);
	l->reloading = false;
	tell_trouble(l, err);
	order_connection(l, settled);
	fail_unkept(l, err);
}

static void adopt_connection(struct redis_link *l, struct redis *made) REQUIRES(l->work_lock);
static void adopt_connection(struct redis_link *l, struct redis *made)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = made->socket.fd};
	struct err err;

	l->conn = made;
	l->attempted = true;
	l->next_send = l->work.head;
	l->opened_at = l->alive_at = clock_mono();
	l->watched = event.events;
	if (epoll_ctl(l->watch_fd, EPOLL_CTL_ADD, made->socket.fd, &event) < 0) {
		(void)err_set_errno(&err, ERR_UNAVAILABLE, errno, "epoll_ctl");
		lose_connection(l, &err);
		return;
	}
	atomic_store_explicit(&l->up, true, memory_order_relaxed);
	/* With commands waiting, their first answer shows whether the server is of use (-READONLY).
	 */
	if (!l->work.head)
		link_tell_over(l);
}

static void accept_items(struct redis_link *l, struct link_list *items)
{
	struct link_item *item;

	while ((item = link_list_pop(items))) {
		if (item->batch && !item->fault)
			link_write_batch(l, item);
		if (item->fault) {
			link_item_finish(l, item, item->fault);
		} else if (l->conn || !l->attempted || (item->flags & REDIS_LINK_KEEP)) {
			link_take_work(l, item);
		} else {
			struct err err;

			(void)err_set(&err, ERR_UNAVAILABLE, "%s: not connected at the moment",
				      l->address.safe);
			link_item_finish(l, item, &err);
		}
	}
}

/* When something is to be done though nothing was heard, at most `until`. */
static usec_t wake_at(const struct redis_link *l, usec_t until)
{
	usec_t patience, owed, check;

	if (!l->conn)
		return until;
	patience = link_patience(l);
	check = patience == USEC_NEVER ? patience : l->alive_at + patience;
	/* a reply may be owed from any moment on */
	owed = clock_deadline(link_owed_patience(l));
	until = check < until ? check : until;
	return owed < until ? owed : until;
}

/* Whoever submits may have the connection meanwhile. */
static void wait_for_news(struct redis_link *l, usec_t until) REQUIRES(l->work_lock);
static void wait_for_news(struct redis_link *l, usec_t until)
{
	struct epoll_event events[2];
	uint64_t count;
	int n;

	until = wake_at(l, until);
	link_watch(l);
	mutex_unlock(&l->work_lock);
	n = epoll_wait(l->watch_fd, events, ARRAY_LEN(events), clock_left_ms(until));
	if (n < 0 && errno != EINTR)
		BUG("epoll_wait: errno %d", errno);
	for (int i = 0; i < n; i++)
		if (events[i].data.fd == l->wake_fd &&
		    read(l->wake_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
			BUG("eventfd: errno %d", errno);
	/* Nobody writes any more for one who is awake, who might never get the lock. */
	mutex_lock(&l->lock);
	l->sleeping = false;
	l->awake = true;
	mutex_unlock(&l->lock);
	mutex_lock(&l->work_lock);
}

static void cancel_everything(struct redis_link *l)
{
	struct err err;
	struct news news;
	struct link_item *item;

	atomic_store_explicit(&l->up, false, memory_order_relaxed);
	(void)err_set(&err, ERR_CANCELLED, "%s: the link was closed", l->address.safe);
	while ((item = link_list_pop(&l->work)))
		link_item_finish(l, item, &err);
	for (;;) {
		take_news(l, &news);
		redis_close(news.made);
		free(news.made_error);
		if (!news.items.head)
			return;
		while ((item = link_list_pop(&news.items)))
			link_item_finish(l, item, &err);
	}
}

void *link_owner_main(void *arg)
{
	struct redis_link *l = arg;

	mutex_lock(&l->work_lock);
	order_connection(l, true);
	for (;;) {
		struct news news;
		struct err err;
		bool drained;

		take_news(l, &news);
		if (news.made_error) {
			tell_trouble(l, news.made_error);
			fail_unkept(l, news.made_error);
			free(news.made_error);
			l->attempted = true;
		}
		if (news.made)
			adopt_connection(l, news.made);
		accept_items(l, &news.items);
		/* Asked before pumping: a callback may hand over more. */
		drained = news.nothing && !l->work.head;
		if (l->conn && link_pump(l, &err) < 0)
			lose_connection(l, &err);
		if (news.stopping && (drained || clock_mono() >= news.stop_at))
			break;
		if (news.holding && l->batches == 0)
			continue; /* what was held can go */
		if (news.nothing && !(news.stopping && !l->work.head))
			wait_for_news(l, news.stopping	? news.stop_at
					 : news.holding ? l->hold_until
							: USEC_NEVER);
	}
	cancel_everything(l);
	close_connection(l);
	mutex_unlock(&l->work_lock);
	return NULL;
}
