/*
 * fanout.h: messages to everybody: remote control, its replies, and events, as kombu's fanout
 * exchanges do it on Redis (kombu/transport/redis.py, kombu/pidbox.py).
 *
 * At most once: what is published while the broker is away is lost, as in Celery. One connection
 * listens and belongs to the control thread; publishing goes through a link of its own, so that
 * neither waits for tasks nor they for it.
 */
#ifndef CELERIAC_FANOUT_H
#define CELERIAC_FANOUT_H

#include "err.h"
#include "redis.h"
#include "settings.h"

struct fanout;

/* Starts the link; needs no server yet. `broker` (or NULL: by the settings) is where messages are
 * taken from: both use the same one of several servers. `write` (or NULL: the same) is where events
 * go. [init] */
int fanout_open(const struct settings *s, const struct redis_address *broker,
		const struct redis_address *write, struct fanout **ret, struct err *err) must_check;
/* Waits for what was published until `deadline`. NULL is fine. */
void fanout_close(struct fanout *f, usec_t deadline);

/* ---- any thread ---- */
/* Hands over one envelope; never waits. */
void fanout_publish(struct fanout *f, const char *exchange, const char *routing_key,
		    struct slice envelope);
/* How many of them the broker has not taken yet; whoever publishes much waits by it. */
size_t fanout_backlog(const struct fanout *f);
bool fanout_up(const struct fanout *f);
/*
 * Puts an envelope on the queue that is bound to the direct `exchange` with `routing_key` and named
 * "<routing_key>.<exchange>"; nothing happens when there is none, and the queue vanishes by itself
 * when nobody takes the reply. Never waits.
 */
void fanout_reply(struct fanout *f, const char *exchange, const char *routing_key,
		  struct slice envelope);
/* Makes known that `queue` is bound to `exchange`, as kombu does when it declares a queue; to be
 * said again now and then, for sets get lost. `pattern` is for topic exchanges, else "". With
 * `permanent` no sweep of kombu's forgets it. Never waits. */
struct fanout_binding {
	const char *exchange, *routing_key, *pattern, *queue;
	bool permanent;
};
void fanout_bind(struct fanout *f, const struct fanout_binding *b);
void fanout_unbind(struct fanout *f, const struct fanout_binding *b);

/* ---- the control thread ---- */
/* Connects and listens to `exchange`. To be called again after an error of fanout_receive. */
int fanout_listen(struct fanout *f, const char *exchange, struct err *err) must_check;
/* Waits until there is a message, `wake_fd` is readable or the monotonic `deadline`; 1 and a
 * message (free), 0, or an error. A connection that no longer answers is found out. */
int fanout_receive(struct fanout *f, int wake_fd, usec_t deadline, char **ret, size_t *ret_len,
		   struct err *err) must_check;

#endif
