/*
 * The agent links of this process between two calls.
 *
 * An engine copies a container's output to everybody attached and waits for the slowest. So when
 * another worker takes a conversation over, our link to it must be closed at once, or it would
 * stand in that worker's way: a thread waits for anything to happen on the links that nobody is
 * using, and closes those.
 */
#include "sandbox_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "log.h"
#include "metrics.h"

#define STOP_SERIAL 0 /* what the watcher's own event is called; links count from 1 */

void sandbox_live_free(struct live *l)
{
	if (l == NULL)
		return;
	agent_link_close(l->link);
	free(l);
}

static int watch(struct live_store *store, int how, int fd, uint64_t serial)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT,
				    .data.u64 = serial};

	return epoll_ctl(store->epoll, how, fd, &event);
}

/* Out of the list, by conversation or, with NULL, by serial. */
static struct live *unlink_locked(struct live_store *store, const char *conversation,
				  uint64_t serial)
{
	for (struct live **p = &store->first; *p; p = &(*p)->next) {
		struct live *l = *p;

		if (conversation ? strcmp(l->conversation, conversation) != 0 : l->serial != serial)
			continue;
		*p = l->next;
		l->next = NULL;
		if (watch(store, EPOLL_CTL_DEL, agent_link_fd(l->link), l->serial) < 0)
			log_debug("a link that was not watched");
		return l;
	}
	return NULL;
}

struct live *sandbox_live_take(struct sandbox *s, const char *conversation)
{
	struct live *l;

	mutex_lock(&s->lock);
	l = unlink_locked(&s->live, conversation, 0);
	mutex_unlock(&s->lock);
	return l;
}

bool sandbox_live_has(struct sandbox *s, const char *conversation)
{
	bool has = false;

	mutex_lock(&s->lock);
	for (const struct live *l = s->live.first; l && !has; l = l->next)
		has = strcmp(l->conversation, conversation) == 0 && agent_link_is_quiet(l->link);
	mutex_unlock(&s->lock);
	return has;
}

static void *watcher(void *arg)
{
	struct sandbox *s = arg;
	struct epoll_event event;
	struct live *l;
	int n;

	for (;;) {
		n = epoll_wait(s->live.epoll, &event, 1, -1);
		if (n < 0 && errno != EINTR)
			return NULL;
		if (n <= 0)
			continue;
		if (event.data.u64 == STOP_SERIAL)
			return NULL;
		mutex_lock(&s->lock);
		l = unlink_locked(&s->live, NULL, event.data.u64);
		mutex_unlock(&s->lock);
		sandbox_live_free(l);
	}
}

/* The thread begins with the first link. */
static bool is_watching_locked(struct sandbox *s)
{
	struct live_store *store = &s->live;
	struct err err;

	if (store->watching)
		return true;
	if (store->epoll < 0)
		store->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (store->stop < 0)
		store->stop = eventfd(0, EFD_CLOEXEC);
	if (store->epoll < 0 || store->stop < 0 ||
	    watch(store, EPOLL_CTL_ADD, store->stop, STOP_SERIAL) < 0)
		return false;
	if (thread_start(&store->watcher, "sandbox-links", watcher, s, &err) < 0) {
		log_debug("sandbox links: %s", err.msg);
		return false;
	}
	store->watching = true;
	return true;
}

/* The one that was used first, when there are too many. */
static struct live *surplus_locked(struct live_store *store)
{
	struct live *last = store->first;
	int n = 0;

	for (struct live *l = store->first; l; l = l->next, n++)
		last = l;
	return n > SANDBOX_LIVE_MAX ? unlink_locked(store, NULL, last->serial) : NULL;
}

void sandbox_live_put(struct sandbox *s, struct live *l)
{
	struct live *too_many = l;

	mutex_lock(&s->lock);
	l->serial = ++s->live.last_serial;
	if (is_watching_locked(s) &&
	    watch(&s->live, EPOLL_CTL_ADD, agent_link_fd(l->link), l->serial) == 0) {
		l->next = s->live.first;
		s->live.first = l;
		too_many = surplus_locked(&s->live);
	}
	mutex_unlock(&s->lock);
	sandbox_live_free(too_many);
}

void sandbox_tell_states(struct sandbox *s)
{
	const char *engine = engine_address(s->engine);
	uint64_t idle = 0, ready;

	mutex_lock(&s->lock);
	for (const struct live *l = s->live.first; l; l = l->next)
		idle++;
	mutex_unlock(&s->lock);
	mutex_lock(&s->pool.lock);
	ready = s->pool.count + s->pool.looking;
	mutex_unlock(&s->pool.lock);
	metric_set(metric_series(METRIC_SANDBOXES, engine, "busy"), atomic_load(&s->busy));
	metric_set(metric_series(METRIC_SANDBOXES, engine, "idle"), idle);
	metric_set(metric_series(METRIC_SANDBOXES, engine, "ready"), ready);
}

void sandbox_live_init(struct live_store *store)
{
	*store = (struct live_store){.epoll = -1, .stop = -1};
}

void sandbox_live_done(struct live_store *store)
{
	const uint64_t one = 1;
	struct live *l;

	if (store->watching) {
		if (write(store->stop, &one, sizeof(one)) < 0)
			log_debug("sandbox links: the watcher cannot be told to stop");
		pthread_join(store->watcher, NULL);
	}
	while ((l = store->first) != NULL) {
		store->first = l->next;
		sandbox_live_free(l);
	}
	if (store->epoll >= 0)
		close(store->epoll);
	if (store->stop >= 0)
		close(store->stop);
}
