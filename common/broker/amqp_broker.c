/*
 * The RabbitMQ broker: opening and closing, and its row in the table of drivers.
 */
#include "amqp_broker.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "shared_state.h"
#include "url.h"

extern const char script_settle[], script_trim[];

#define LOOK_MS	     20
#define CALL_TIMEOUT (5 * USEC_PER_SEC)
#define DEAD_KEY     "celeriac:dead"
#define RENEW_NEVER  (3600 * USEC_PER_SEC)

static bool takes(const char *url)
{
	static const char *const schemes[] = {"amqp://", "amqps://", "pyamqp://"};

	for (size_t i = 0; url != NULL && i < ARRAY_LEN(schemes); i++) {
		if (strncmp(url, schemes[i], strlen(schemes[i])) == 0)
			return true;
	}
	return false;
}

/* ---- told by the client's owner thread ---- */

static void tell(struct amqp_broker *a)
{
	uint64_t one = 1;
	ssize_t n;

	atomic_fetch_add(&a->outages, 1);
	n = write(a->news_fd, &one, sizeof(one));
	(void)n;
}

static void on_lost(void *arg, unused_arg const struct err *err)
{
	struct broker *b = arg;

	amqp_held_forget(b);
	amqp_known_forget(b);
	tell(b->amqp);
}

static void on_cancelled(void *arg, const char *queue, const char *why)
{
	struct broker *b = arg;

	log_warning("the broker delivers no more from queue %s: %s", queue, why);
	amqp_known_forget(b);
	tell(b->amqp);
}

static void on_blocked(unused_arg void *arg, bool blocked, const char *why)
{
	if (blocked)
		log_warning("the broker takes no messages: %s", why);
	else
		log_info("the broker takes messages again");
}

static void on_unrouted(void *arg, const char *exchange, const char *routing_key)
{
	struct broker *b = arg;

	if (strcmp(broker_exchange_kind(b, exchange), "fanout") == 0)
		return; /* nobody listens */
	atomic_fetch_add(&b->undeliverable, 1);
	log_warning("a message for exchange %.80s with routing key %.80s is dropped: no queue is "
		    "bound for it",
		    exchange, routing_key);
}

/* ---- opening ---- */

static bool is_other(const char *url, const struct settings *s)
{
	return url != NULL && url[0] != '\0' && strcmp(url, s->broker_url) != 0;
}

static int open_client(struct broker *b, const struct settings *s, struct err *err)
{
	struct amqp_broker *a = b->amqp;
	const struct amqp_tuning tuning = {.connect_timeout = s->broker_connection_timeout,
					   .heartbeat =
						   s->broker_heartbeat == 0 ? -1 : a->heartbeat,
					   .external = a->external,
					   .shuffle = b->options.connection.shuffle,
					   .tls = b->options.connection.tls};
	const struct amqp_events events = {.lost = on_lost,
					   .cancelled = on_cancelled,
					   .blocked = on_blocked,
					   .unrouted = on_unrouted,
					   .arg = b};
	int rc;

	if (is_other(s->broker_read_url, s) || is_other(s->broker_write_url, s))
		return err_set(err, ERR_UNSUPPORTED,
			       "CELERY_BROKER_READ_URL and CELERY_BROKER_WRITE_URL: messages come "
			       "from RabbitMQ and go there by one URL");
	rc = amqp_address_parse(s->broker_url, &tuning, &a->address, err);

	if (rc < 0)
		return err_wrap(err, "URL of the broker");
	return amqp_client_new(a->address, "celeriac-broker", &events, &a->client, err);
}

/* What Redis keeps for us, under the names that it has where Redis is the broker. */
static int open_state(struct broker *b, const struct settings *s, struct err *err)
{
	int rc;

	b->dead = xstrdup(DEAD_KEY);
	b->redelivery_limit = s->redelivery_limit;
	if (!shared_state_said(s))
		return 0;
	rc = shared_state_place(s, &b->address, err);
	if (rc < 0)
		return rc;
	free(b->dead);
	free(b->options.global_keyprefix);
	b->options.global_keyprefix = xstrdup(b->address.key_prefix);
	b->dead = xasprintf("%s" DEAD_KEY, b->options.global_keyprefix);
	b->taken_prefix = xasprintf("%s" TAKEN_KEY, b->options.global_keyprefix);
	/* settle.lua looks for deliveries there, and finds none */
	b->unacked = xasprintf("%s%s", b->options.global_keyprefix, b->options.unacked_key);
	b->unacked_index =
		xasprintf("%s%s", b->options.global_keyprefix, b->options.unacked_index_key);
	redis_script_init(&b->settle, script_settle);
	redis_script_init(&b->trim, script_trim);
	rc = redis_link_new(&b->address, "celeriac-steps", &b->link, err);
	if (rc < 0)
		return rc;
	redis_link_add_script(b->link, &b->settle);
	redis_link_add_script(b->link, &b->trim);
	return 0;
}

static int open_amqp(struct broker *b, const struct settings *s, struct err *err)
{
	_cleanup_buf_ struct buf notes = BUF_INIT(BOUND_ERROR_TEXT * 4);
	struct amqp_broker *a;
	int rc = transport_options_read(s, TRANSPORT_BROKER, &b->options, &notes, err);

	if (rc == 0)
		rc = queue_defs_read(s, &b->defs, err);
	if (rc == 0)
		rc = broker_take_queues(b, s, err);
	if (rc < 0)
		return rc;
	a = b->amqp = xcalloc(1, sizeof(*a));
	mutex_init(&a->lock);
	a->dead_max = s->dead_max;
	a->connect_timeout = s->broker_connection_timeout;
	a->heartbeat = (int)((s->broker_heartbeat + USEC_PER_SEC - 1) / USEC_PER_SEC);
	a->external = strcmp(s->broker_login_method, "EXTERNAL") == 0;
	a->queue_prefix = xasprintf("celeriac.%s.%s.", s->instance, s->node);
	a->news_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (a->news_fd < 0)
		return err_set_errno(err, ERR_FAILED, errno, "eventfd");
	transport_options_tell(TRANSPORT_BROKER, &notes);
	rc = open_state(b, s, err);
	return rc < 0 ? rc : open_client(b, s, err);
}

static void close_amqp(struct broker *b, usec_t deadline)
{
	struct amqp_broker *a = b->amqp;

	if (a != NULL) {
		/* In this order: what was sent is settled in Redis, and then acknowledged. */
		if (a->client != NULL)
			amqp_pending_drop(b, false);
		amqp_client_free(a->client, deadline);
		if (a->address != NULL)
			amqp_address_unref(a->address);
		amqp_held_forget(b);
		amqp_known_forget(b);
		if (a->news_fd >= 0)
			close(a->news_fd);
		mutex_done(&a->lock);
		free(a->queue_prefix);
	}
	redis_broker_close(b, deadline);
	free(a);
}

/* ---- what it is ---- */

static const char *where(const struct broker *b)
{
	return amqp_address_safe(b->amqp->address);
}

static void place(const struct broker *b, struct broker_place *ret)
{
	const struct amqp_server *at = amqp_address_at(b->amqp->address, 0);

	*ret = (struct broker_place){.transport = "amqp",
				     .host = at->host,
				     .port = at->port,
				     .user = at->user,
				     .vhost = at->vhost,
				     .tls = at->tls.on,
				     .login_method = b->amqp->external ? "EXTERNAL" : "PLAIN",
				     .heartbeat = b->amqp->heartbeat};
}

static bool ready(const struct broker *b)
{
	return amqp_client_up(b->amqp->client) && (b->link == NULL || redis_link_up(b->link));
}

static void interrupt(struct broker *b)
{
	amqp_client_interrupt(b->amqp->client);
}

int amqp_broker_reach(struct broker *b, usec_t deadline, char detail[64], struct err *err)
{
	struct amqp_client *c = b->amqp->client;
	struct amqp_peer peer;

	while (!amqp_client_up(c)) {
		struct err trouble;

		if (amqp_client_trouble(c, &trouble)) {
			*err = trouble;
			return -trouble.code;
		}
		if (clock_mono() >= deadline)
			return err_set(err, ERR_TIMEOUT, "no connection in time");
		poll(NULL, 0, LOOK_MS);
	}
	amqp_client_peer(c, &peer);
	(void)snprintf(detail, 64, "answers: %s %d.%d.%d", peer.product, peer.version[0],
		       peer.version[1], peer.version[2]);
	return 0;
}

/* ---- what the server does by itself ---- */

static void renew(unused_arg struct broker *b, unused_arg const struct delivery_ref *refs,
		  unused_arg size_t count, void (*done)(void *arg), void *arg)
{
	if (done != NULL)
		done(arg);
}

static usec_t renew_interval(unused_arg const struct broker *b)
{
	return RENEW_NEVER;
}

static int find_unacked(unused_arg struct broker *b, unused_arg const char *group_id,
			unused_arg const struct str_list *accept, struct message **ret,
			unused_arg struct err *err)
{
	*ret = NULL;
	return 0;
}

static int restore_stale(unused_arg struct broker *b, unused_arg const struct presence *p,
			 unused_arg bool only, int64_t *ret_restored, unused_arg struct err *err)
{
	*ret_restored = 0;
	return 0;
}

static int restore_lost(unused_arg struct broker *b, unused_arg const struct presence *p,
			unused_arg uint64_t *held, unused_arg size_t count, int64_t *ret_restored,
			unused_arg struct err *err)
{
	*ret_restored = 0;
	return 0;
}

/* The queue drops the oldest itself. */
static int trim_dead(struct broker *b, int64_t most, int64_t *ret_dropped, int64_t *ret_left,
		     struct err *err)
{
	uint32_t left = 0;
	int rc;

	if (b->link != NULL)
		return redis_broker_trim_dead(b, most, ret_dropped, ret_left, err);
	rc = amqp_queue_messages(b->amqp->client, AMQP_DEAD_QUEUE, clock_deadline(CALL_TIMEOUT),
				 &left, err);
	*ret_dropped = 0;
	*ret_left = left;
	return rc;
}

/* Without a Redis nothing is noted. */
static void step_once(const struct broker *b, struct settle_steps *s, const char *what)
{
	if (b->link != NULL)
		redis_broker_step_once(b, s, what);
}

static void step_begun(const struct broker *b, struct settle_steps *s, const char *id,
		       const char *tag)
{
	if (b->link != NULL)
		redis_broker_step_begun(b, s, id, tag);
}

/* ---- calls of conversations ---- */

static int route_return(struct broker *b, const struct broker_call *calls, size_t count,
			unused_arg bool leaves, usec_t deadline, bool *ret_done, struct err *err)
{
	int rc = 0;

	for (size_t i = count; rc == 0 && i > 0; i--)
		rc = amqp_broker_give_back(b, &calls[i - 1].ref, 1, deadline, err);
	*ret_done = rc == 0;
	return rc;
}

static void route_pass(unused_arg struct broker *b)
{
}

static bool holds(struct broker *b, const struct delivery_ref *ref)
{
	return amqp_held_has(b, ref->number);
}

const struct broker_driver broker_driver_amqp = {
	.takes = takes,
	.open = open_amqp,
	.close = close_amqp,
	.place = place,
	.where = where,
	.ready = ready,
	.interrupt = interrupt,
	.connect = amqp_broker_connect,
	.claim = amqp_broker_claim,
	.full = amqp_broker_full,
	.end = amqp_broker_end,
	.wait = amqp_broker_wait,
	.received = amqp_broker_received,
	.purge = amqp_broker_purge,
	.fetch = amqp_broker_fetch,
	.give_back = amqp_broker_give_back,
	.holds = holds,
	.delay = amqp_broker_delay,
	.renew = renew,
	.renew_interval = renew_interval,
	.find_unacked = find_unacked,
	.restore_dead = amqp_broker_restore_dead,
	.restore_stale = restore_stale,
	.restore_lost = restore_lost,
	.trim_dead = trim_dead,
	.route_begin = amqp_broker_route_begin,
	.route_reach = amqp_broker_route_reach,
	.route = amqp_broker_route,
	.route_return = route_return,
	.route_pass = route_pass,
	.route_drain = amqp_broker_route_drain,
	.route_leave = amqp_broker_route_leave,
	.step_push = amqp_broker_step_push,
	.step_route = amqp_broker_step_route,
	.step_once = step_once,
	.step_begun = step_begun,
	.begin = amqp_broker_begin,
	.settle = amqp_broker_settle,
	.perform = amqp_broker_perform,
	.publish = amqp_broker_publish,
};
