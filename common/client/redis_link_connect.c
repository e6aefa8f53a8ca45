/*
 * redis_link_connect.c: the connector thread of a link.
 */
#include "redis_link.h"

#include <stdlib.h>
#include <string.h>

#include "backoff.h"
#include "bounds.h"
#include "clock.h"
#include "mem.h"

#define SENTINEL_INTERVAL (2 * USEC_PER_SEC) /* who is the master now? */

/* Every script is known before the first command of a caller is sent. What there was no memory for
 * is refused by redis_exchange, and tried again with a new connection. */
static int load_scripts(struct redis *r, struct buf *scripts, size_t count, struct err *err)
{
	_cleanup_free_ struct redis_reply **replies = NULL;
	int rc;

	if (count == 0)
		return 0;
	replies = xcalloc(count, sizeof(struct redis_reply *));
	rc = redis_exchange(r, scripts, count, replies, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < count; i++) {
		if (rc == 0 && redis_reply_type(replies[i]) == REDIS_ERROR) {
			rc = redis_reply_to_err(replies[i], err);
			rc = err_wrap(err, "script %zu", i);
		}
		redis_reply_free(replies[i]);
	}
	return rc;
}

static int connect_once(struct redis_link *l, struct buf *scripts, size_t count, struct redis **ret,
			struct err *err)
{
	struct redis *r;
	int rc = redis_open_cancellable(&l->address, l->name, REDIS_CONNECT_TIMEOUT, l->cancel_fd,
					&r, err);

	if (rc < 0)
		return rc;
	rc = load_scripts(r, scripts, count, err);
	if (rc < 0) {
		redis_close(r);
		return rc;
	}
	*ret = r;
	return 0;
}

/* Until there is something to do; the sentinels are asked now and then meanwhile. */
static void await_news_locked(struct redis_link *l) REQUIRES(l->lock);
static void await_news_locked(struct redis_link *l)
{
	bool changed;

	if (!l->address.site->sentinel) {
		cond_wait(&l->connector_news, &l->lock);
		return;
	}
	if (cond_wait_until(&l->connector_news, &l->lock, clock_deadline(SENTINEL_INTERVAL)))
		return;
	mutex_unlock(&l->lock);
	changed = redis_sentinel_watch(l->address.site, l->cancel_fd);
	mutex_lock(&l->lock);
	(void)link_news_locked(l);
	mutex_unlock(&l->lock);
	/* whoever writes for the owner lets it sleep on */
	if (changed)
		link_wake(l);
	mutex_lock(&l->lock);
}

/* Waits until a connection is wanted and the pause is over; false when the link ends. */
static bool await_order_locked(struct redis_link *l, usec_t *delay) REQUIRES(l->lock);
static bool await_order_locked(struct redis_link *l, usec_t *delay)
{
	usec_t until;

	while (!l->connect_wanted && !l->connect_quit)
		await_news_locked(l);
	if (l->connect_at_once)
		*delay = 0;
	l->connect_at_once = false;
	until = clock_deadline(*delay > 0 ? backoff_jitter(*delay) : 0);
	while (!l->connect_quit && *delay > 0)
		if (!cond_wait_until(&l->connector_news, &l->lock, until))
			break;
	return !l->connect_quit;
}

void *link_connector_main(void *arg)
{
	struct redis_link *l = arg;
	struct buf scripts = BUF_INIT(BOUND_REDIS_COMMAND);
	usec_t delay = 0;

	mutex_lock(&l->lock);
	while (await_order_locked(l, &delay)) {
		struct redis *made = NULL;
		struct err err;
		size_t count;
		bool wake;
		int rc;

		buf_reset(&scripts);
		count = link_scripts_locked(l, &scripts);
		mutex_unlock(&l->lock);

		rc = connect_once(l, &scripts, count, &made, &err);

		mutex_lock(&l->lock);
		delay = backoff_next(delay, LINK_RETRY_MAX);
		if (rc == 0) {
			l->made = made;
			l->connect_wanted = false;
		} else {
			if (!l->made_error)
				l->made_error = xmalloc(sizeof(*l->made_error));
			*l->made_error = err;
		}
		wake = link_news_locked(l);
		mutex_unlock(&l->lock);
		if (wake)
			link_wake(l);
		mutex_lock(&l->lock);
	}
	mutex_unlock(&l->lock);
	buf_done(&scripts);
	return NULL;
}
