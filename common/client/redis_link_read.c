/*
 * redis_link_read.c: who reads the connection: the owner, or the one who waits for the only reply
 * that is owed, so that it is woken by the server and not by the owner.
 *
 *   link_become_reader ─▶ reader ─┬─ its reply has come, or its deadline ─▶ the owner watches again
 *                                 └─ link_dismiss_reader: the owner has read it, or the connection
 *                                    is gone                              ─▶ waits as others do
 *
 * The owner, which sleeps on an epoll that no longer has the connection's input, is not woken by
 * it, but by its end and when a reply is owed for too long, and may read at any time. A reader uses
 * the connection with work_lock only, and is gone before that is closed.
 */
#include "redis_link.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "clock.h"
#include "mem.h"

void link_watch(struct redis_link *l)
{
	struct epoll_event event = {.events = l->reader ? 0 : EPOLLIN};

	if (!l->conn)
		return;
	if (l->next_send)
		event.events |= EPOLLOUT;
	event.data.fd = l->conn->socket.fd;
	if (event.events == l->watched)
		return;
	if (epoll_ctl(l->watch_fd, EPOLL_CTL_MOD, l->conn->socket.fd, &event) < 0)
		BUG("epoll_ctl: errno %d", errno);
	l->watched = event.events;
}

void link_become_reader(struct redis_link *l, struct link_item *item)
{
	if (l->work.head != item || l->work.last != item || l->reader_leaves || l->fault)
		return;
	if (l->conn->socket.tls) /* may have to write in order to read */
		return;
	if (!redis_is_current(l->conn)) /* the owner, once it reads, gives it up */
		return;
	l->reader = item;
	item->waiter->fd = l->conn->socket.fd;
	link_watch(l);
}

void link_dismiss_reader(struct redis_link *l)
{
	uint64_t one = 1;

	if (!l->reader)
		return;
	l->reader = NULL;
	l->reader_leaves = true;
	if (write(l->reader_fd, &one, sizeof(one)) < 0)
		BUG("eventfd: errno %d", errno);
}

void link_end_reading(struct redis_link *l)
{
	link_dismiss_reader(l);
	while (l->reader_leaves)
		cond_wait(&l->reader_left, &l->work_lock);
}

/* False once `deadline` has come. */
static bool wait_to_read(const struct redis_link *l, int fd, usec_t deadline)
{
	struct pollfd fds[] = {
		{.fd = fd, .events = POLLIN},
		{.fd = l->reader_fd, .events = POLLIN},
	};
	int n = poll(fds, ARRAY_LEN(fds), clock_left_ms(deadline));

	if (n < 0 && errno != EINTR)
		BUG("poll: errno %d", errno);
	return n != 0 && clock_mono() < deadline;
}

/* What was dismissed knows it. */
static void leave(struct redis_link *l)
{
	uint64_t count;

	if (read(l->reader_fd, &count, sizeof(count)) < 0)
		BUG("eventfd: errno %d", errno);
	l->reader_leaves = false;
	cond_signal(&l->reader_left);
}

/* True as long as `item` is owed a reply and nothing is wrong. */
static bool read_some(struct redis_link *l, const struct link_item *item)
{
	struct err err;

	if (link_read_replies(l, item, &err) == 0)
		return l->work.head == item;
	l->fault = xmalloc(sizeof(err));
	*l->fault = err;
	return false;
}

/* Whether there is something that the owner is not woken for by the connection. */
static bool owner_must_look(struct redis_link *l)
{
	bool stopping;

	mutex_lock(&l->lock);
	stopping = l->stopping; /* it waits for the last reply */
	mutex_unlock(&l->lock);
	return stopping || l->fault || (l->work.head && redis_reader_has_more(l->conn->reader));
}

void link_read_own(struct redis_link *l, struct link_item *item, usec_t deadline)
{
	int fd = item->waiter->fd;
	bool stays = true;

	while (stays) {
		bool in_time = wait_to_read(l, fd, deadline);

		mutex_lock(&l->work_lock);
		if (l->reader == item) {
			l->reader = NULL; /* what is completed here dismisses nobody */
			stays = read_some(l, item) && in_time;
			if (stays)
				l->reader = item;
			link_watch(l);
			/* with the lock: without it the link may be gone */
			if (!stays && owner_must_look(l))
				link_wake(l);
		} else {
			leave(l);
			stays = false;
		}
		mutex_unlock(&l->work_lock);
	}
}
