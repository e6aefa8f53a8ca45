/*
 * fanout.h: messages to everybody: remote control, its replies, and events, as kombu sends them
 * (kombu/pidbox.py, celery/events/): by channels on Redis, by exchanges on RabbitMQ. One table of
 * drivers (common/broker/fanout_driver.h) is behind it.
 *
 * At most once: what is published while the broker is away is lost, as in Celery. One connection
 * listens and belongs to the control thread; publishing goes through another one of its own, so
 * that neither waits for tasks nor they for it.
 */
#ifndef CELERIAC_FANOUT_H
#define CELERIAC_FANOUT_H

#include "amqp.h"
#include "err.h"
#include "redis.h"
#include "settings.h"

struct fanout;

/* Where messages are taken from, so that both use the same one of several servers, and where events
 * go to, if that is another Redis. Each NULL: by the settings. */
struct fanout_place {
	const struct redis_address *redis, *write;
	struct amqp_address *amqp;
};
/* Begins to connect; needs no server yet. ERR_INVALID, ERR_UNSUPPORTED. [init] */
int fanout_open(const struct settings *s, const struct fanout_place *place, struct fanout **ret,
		struct err *err) must_check;
/* Whether the settings of mailboxes go together; no server is asked. [init] */
int fanout_check(const struct settings *s, struct err *err) must_check;
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
 * Puts an envelope on the queue that is bound to the direct `exchange` with `routing_key` (on Redis
 * the one named "<routing_key>.<exchange>"); nothing happens when there is none, and the queue
 * vanishes by itself when nobody takes the reply. Never waits.
 */
void fanout_reply(struct fanout *f, const char *exchange, const char *routing_key,
		  struct slice envelope);
/* Makes known that `queue` is bound to `exchange`, as kombu does when it declares a queue on Redis;
 * to be said again now and then, for sets get lost. On RabbitMQ a queue is bound by fanout_receive,
 * as soon as it is there, and stays bound; mailboxes are bound by fanout_listen. For the control
 * thread. `pattern` is for
 * topic exchanges, else "". With `permanent` no sweep of kombu's forgets it. Never waits. */
struct fanout_binding {
	const char *exchange, *routing_key, *pattern, *queue;
	bool permanent;
};
void fanout_bind(struct fanout *f, const struct fanout_binding *b);
void fanout_unbind(struct fanout *f, const struct fanout_binding *b);

/* ---- the events thread ---- */
/* Sees to it that the topic exchange of events is there, where there is such a thing: until then
 * nothing is up. Waits for a second at most. */
void fanout_prepare(struct fanout *f, const char *exchange);

/* ---- the control thread ---- */
struct fanout_mailbox {
	const char *exchange, *reply_exchange, *queue; /* celery.pidbox, reply.…, <node>.… */
};
/* Connects and listens to what is published to the exchange of `m`. To be called again after an
 * error of fanout_receive. */
int fanout_listen(struct fanout *f, const struct fanout_mailbox *m, struct err *err) must_check;
/* Waits until there is a message, `wake_fd` is readable or the monotonic `deadline`; 1 and a
 * message (free), 0, or an error. A connection that no longer answers is found out. */
int fanout_receive(struct fanout *f, int wake_fd, usec_t deadline, char **ret, size_t *ret_len,
		   struct err *err) must_check;

#endif
