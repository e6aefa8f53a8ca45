/*
 * redis_link.c: what callers of a link call, on any thread.
 */
#include "redis_link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "bounds.h"
#include "mem.h"

/* ---- the queue ---- */

bool link_news_locked(struct redis_link *l)
{
	bool wake = l->sleeping;

	l->sleeping = false;
	return wake;
}

void link_wake(struct redis_link *l)
{
	uint64_t one = 1;

	if (write(l->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		BUG("eventfd: errno %d", errno);
}

/* Refuses what would pass the bound of the backlog: it goes through the queue all the same, to keep
 * its place. What is small passes: an ack must not be refused because of the results before it. */
static void count_backlog(struct redis_link *l, struct link_item *item)
{
	size_t len = item->counted;
	size_t before = atomic_fetch_add_explicit(&l->backlog, len, memory_order_relaxed);

	if (item->fault || len <= BOUND_LINK_SMALL || before + len <= BOUND_LINK_BACKLOG)
		return;
	item->fault = xmalloc(sizeof(*item->fault));
	(void)err_set(item->fault, ERR_UNAVAILABLE, "%s: %zu bytes are waiting already",
		      l->address.safe, before);
}

/* The item is somebody else's once it is in the queue, unless it is `own`: the caller waits for it.
 */
static void enqueue(struct redis_link *l, struct link_item *item, struct link_item *own)
{
	bool wake, held, untimed;

	count_backlog(l, item);
	mutex_lock(&l->lock);
	held = l->holding && item->batch && !l->queue.head;
	untimed = held && l->untimed;
	link_list_append(&l->queue, item);
	wake = (!held || untimed) && link_news_locked(l);
	mutex_unlock(&l->lock);
	if (wake && untimed)
		link_wake(l);
	else if (wake)
		link_write_at_once(l, own);
}

void redis_link_submit(struct redis_link *l, struct buf *commands, size_t count, unsigned flags,
		       redis_link_fn *done, void *arg)
{
	struct err err;
	int rc = buf_status(commands, &err);
	struct link_item *item;

	if (rc == 0 && (count == 0 || commands->len == 0))
		BUG("redis_link_submit: nothing to send");
	item = link_item_new(commands, count, flags);
	item->done = done;
	item->arg = arg;
	if (rc < 0) {
		item->fault = xmalloc(sizeof(err));
		*item->fault = err;
	}
	enqueue(l, item, NULL);
}

bool redis_link_join(struct redis_link *l, const struct redis_link_batch *kind, void *entry,
		     size_t bytes)
{
	struct link_item *last;
	bool joined;

	mutex_lock(&l->lock);
	last = l->queue.last;
	joined = last && last->batch == kind && !last->fault && kind->add(last->arg, entry);
	if (joined) {
		last->counted += bytes;
		atomic_fetch_add_explicit(&l->backlog, bytes, memory_order_relaxed);
	}
	mutex_unlock(&l->lock);
	return joined;
}

void redis_link_submit_batch(struct redis_link *l, const struct redis_link_batch *kind,
			     size_t bytes, unsigned flags, void *arg)
{
	struct buf none = BUF_INIT(BOUND_REDIS_COMMAND);
	struct link_item *item = link_item_new(&none, 1, flags);

	item->counted = bytes;
	item->batch = kind;
	item->done = kind->done;
	item->arg = arg;
	enqueue(l, item, NULL);
}

/* True when it was finished before `deadline`; else it is the owner's from now on. */
static bool await_item(struct link_item *item, usec_t deadline)
{
	struct link_waiter *w = item->waiter;
	bool finished;

	mutex_lock(&w->lock);
	while (w->state == ITEM_PENDING)
		if (!cond_wait_until(&w->changed, &w->lock, deadline))
			break;
	finished = w->state == ITEM_FINISHED;
	if (!finished)
		w->state = ITEM_ABANDONED;
	mutex_unlock(&w->lock);
	return finished;
}

int redis_link_exchange(struct redis_link *l, struct buf *commands, size_t count, unsigned flags,
			usec_t deadline, struct redis_reply **ret, struct err *err)
{
	struct link_item *item;
	int rc = buf_status(commands, err);

	if (rc < 0)
		return rc;
	if (count == 0 || commands->len == 0)
		BUG("redis_link_exchange: nothing to send");
	if (pthread_equal(pthread_self(), l->owner))
		BUG("redis_link_exchange: the owner thread would wait for itself");
	item = link_item_new(commands, count, flags);
	item->waiter = xcalloc(1, sizeof(*item->waiter));
	item->waiter->fd = -1;
	mutex_init(&item->waiter->lock);
	cond_init(&item->waiter->changed);
	enqueue(l, item, item);
	if (item->waiter->fd >= 0)
		link_read_own(l, item, deadline);
	if (!await_item(item, deadline))
		return err_set(err, ERR_TIMEOUT, "%s: no reply in time", l->address.safe);
	if (item->fault) {
		*err = *item->fault;
		rc = -err->code;
	} else {
		memcpy(ret, item->replies, count * sizeof(ret[0]));
		item->got = 0;
	}
	link_item_free(item);
	return rc;
}

int redis_link_do(struct redis_link *l, usec_t deadline, struct redis_reply **ret, struct err *err,
		  const char *fmt, ...)
{
	_cleanup_buf_ struct buf out = BUF_INIT(BOUND_REDIS_COMMAND);
	_cleanup_reply_ struct redis_reply *reply = NULL;
	va_list ap;
	int rc;

	va_start(ap, fmt);
	redis_command_va(&out, fmt, ap);
	va_end(ap);
	rc = redis_link_exchange(l, &out, 1, 0, deadline, &reply, err);
	if (rc < 0)
		return rc;
	if (redis_reply_type(reply) == REDIS_ERROR)
		return redis_reply_to_err(reply, err);
	if (ret)
		*ret = TAKE(reply);
	return 0;
}

size_t link_scripts_locked(struct redis_link *l, struct buf *out)
{
	for (size_t i = 0; i < l->script_count; i++)
		redis_command(out, "SCRIPT LOAD %s", l->scripts[i]);
	return l->script_count;
}

void redis_link_add_script(struct redis_link *l, struct redis_script *s)
{
	struct buf load = BUF_INIT(BOUND_REDIS_COMMAND);

	redis_command(&load, "SCRIPT LOAD %s", s->text);
	mutex_lock(&l->lock);
	l->scripts = xrealloc(l->scripts, (l->script_count + 1) * sizeof(l->scripts[0]));
	l->scripts[l->script_count++] = xstrdup(s->text);
	mutex_unlock(&l->lock);
	/* A connection that is there, or on its way, may not have seen it. Whose server has not,
	 * for want of memory for this, loads it when it is called. */
	redis_link_submit(l, &load, 1, REDIS_LINK_KEEP, NULL, NULL);
}

bool redis_link_up(const struct redis_link *l)
{
	return atomic_load_explicit(&l->up, memory_order_relaxed);
}

/* ---- beginning and end ---- */

static int open_descriptors(struct redis_link *l, struct err *err)
{
	struct epoll_event news = {.events = EPOLLIN};

	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	l->reader_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	l->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->wake_fd < 0 || l->reader_fd < 0 || l->cancel_fd < 0)
		return err_set_errno(err, ERR_FAILED, errno, "eventfd");
	l->watch_fd = epoll_create1(EPOLL_CLOEXEC);
	news.data.fd = l->wake_fd;
	if (l->watch_fd < 0 || epoll_ctl(l->watch_fd, EPOLL_CTL_ADD, l->wake_fd, &news) < 0)
		return err_set_errno(err, ERR_FAILED, errno, "epoll");
	return 0;
}

static void close_descriptors(struct redis_link *l)
{
	const int fds[] = {l->wake_fd, l->reader_fd, l->cancel_fd, l->watch_fd};

	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		if (fds[i] >= 0)
			(void)close(fds[i]);
}

static int start(struct redis_link *l, struct err *err)
{
	_cleanup_free_ char *connector_name = xasprintf("%.9s.conn", l->name);
	int rc = open_descriptors(l, err);

	if (rc < 0)
		return rc;
	rc = thread_start(&l->connector, connector_name, link_connector_main, l, err);
	if (rc < 0)
		return rc;
	l->has_connector = true;
	rc = thread_start(&l->owner, l->name, link_owner_main, l, err);
	if (rc < 0)
		return rc;
	l->has_owner = true;
	return 0;
}

int redis_link_new(const struct redis_address *a, const char *name, struct redis_link **ret,
		   struct err *err)
{
	struct redis_link *l = xcalloc(1, sizeof(*l));
	int rc;

	redis_address_copy(a, &l->address);
	l->name = xstrdup(name);
	l->wake_fd = l->reader_fd = l->cancel_fd = l->watch_fd = -1;
	mutex_init(&l->lock);
	mutex_init(&l->work_lock);
	cond_init(&l->connector_news);
	cond_init(&l->reader_left);
	rc = start(l, err);
	if (rc < 0) {
		redis_link_free(l, 0);
		return err_wrap(err, "link %s", name);
	}
	*ret = l;
	return 0;
}

static void stop_owner(struct redis_link *l, usec_t deadline)
{
	mutex_lock(&l->lock);
	l->stopping = true;
	l->stop_at = deadline;
	(void)link_news_locked(l);
	mutex_unlock(&l->lock);
	link_wake(l);
	(void)pthread_join(l->owner, NULL);
}

static void stop_connector(struct redis_link *l)
{
	uint64_t one = 1;

	mutex_lock(&l->lock);
	l->connect_quit = true;
	mutex_unlock(&l->lock);
	cond_signal(&l->connector_news);
	if (write(l->cancel_fd, &one, sizeof(one)) < 0)
		BUG("eventfd: errno %d", errno);
	(void)pthread_join(l->connector, NULL);
}

void redis_link_free(struct redis_link *l, usec_t deadline)
{
	if (!l)
		return;
	if (l->has_owner)
		stop_owner(l, deadline);
	if (l->has_connector)
		stop_connector(l);
	close_descriptors(l);
	redis_close(l->made);
	free(l->made_error);
	for (size_t i = 0; i < l->script_count; i++)
		free(l->scripts[i]);
	free(l->scripts);
	redis_address_done(&l->address);
	cond_done(&l->connector_news);
	cond_done(&l->reader_left);
	mutex_done(&l->lock);
	mutex_done(&l->work_lock);
	free(l->name);
	free(l);
}
