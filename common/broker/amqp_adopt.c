/*
 * The queue of a node that let go of its conversations, or died, is moved to that of another node:
 * in its order, by whoever lets go, or by the one that finds it dead. See amqp_route.c.
 *
 * While it is moved nobody is told to send there (amqp_close.lua), and who was told before is
 * waited for. The queue is consumed by one alone, over a connection of its own: so a node whose
 * lease is over but whose connection the server still keeps loses nothing that it holds.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "amqp_broker.h"
#include "clock.h"
#include "json.h"
#include "log.h"
#include "mem.h"

#define AT_ONCE	 256
#define LOOK_MS	 5
#define REST	 (200 * USEC_PER_MSEC) /* for what a connection that ends has to do */
#define ADOPT_IN (10 * USEC_PER_SEC)

struct move {
	struct broker *broker;
	const char *node;
	bool dead;		 /* it is; else it is ourselves */
	bool empty;		 /* nothing waits there */
	bool alone;		 /* there is nobody to move it to */
	const char *const *busy; /* conversations that stay */
	size_t busy_count;
	char *from, *to; /* queues */
	struct amqp_client *client;
	int64_t movers; /* that are waited for */
	int64_t moved;
};

static void move_done(struct move *m)
{
	amqp_client_free(m->client, clock_deadline(REST));
	free(m->from);
	free(m->to);
}

/* ---- in Redis ---- */

static int run(struct move *m, const struct redis_script *script, const char *const *more,
	       size_t more_count, usec_t deadline, struct redis_reply **ret, struct err *err)
{
	struct broker_routing *r = &m->broker->route;
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	_cleanup_free_ char *leases = xasprintf("%snode:", r->base);
	const char *const fixed[] = {
		"EVALSHA", script->sha, "1",   r->routers, presence_owner(r->presence),
		m->node,   r->base,	leases};
	_cleanup_free_ struct slice *argv =
		xcalloc(ARRAY_LEN(fixed) + more_count + 1, sizeof(*argv));
	size_t argc = 0;
	int rc;

	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		argv[argc++] = slice_of(fixed[i]);
	for (size_t i = 0; i < more_count; i++)
		argv[argc++] = slice_of(more[i]);
	redis_command_argv(&commands, argv, argc);
	rc = redis_link_exchange(m->broker->link, &commands, 1, 0, deadline, ret, err);
	if (rc == 0 && redis_reply_type(*ret) == REDIS_ERROR)
		rc = err_set(err, ERR_FAILED, "Redis: %.*s", (int)redis_reply_str(*ret).len,
			     redis_reply_str(*ret).data);
	return rc;
}

/* Says that it is moved, or goes on saying so: 1, or 0 when there is nothing to do. */
static int say_closing(struct move *m, usec_t deadline, struct err *err)
{
	struct broker_routing *r = &m->broker->route;
	_cleanup_free_ const char **more =
		xcalloc(3 + r->busy.count + m->busy_count + 1, sizeof(*more));
	_cleanup_reply_ struct redis_reply *reply = NULL;
	char was[24], node[128];
	struct slice heir;
	int64_t epoch;
	size_t n = 0;
	int rc;

	snprintf(was, sizeof(was), "%zu", m->dead ? 0 : r->busy.count);
	more[n++] = m->dead ? "1" : "0";
	more[n++] = m->empty ? "1" : "0";
	more[n++] = was;
	for (size_t i = 0; !m->dead && i < r->busy.count; i++)
		more[n++] = r->busy.items[i];
	for (size_t i = 0; i < m->busy_count; i++)
		more[n++] = m->busy[i];
	rc = run(m, &r->leave, more, n, deadline, &reply, err);
	m->alone = rc == 0 && redis_reply_int(redis_reply_at(reply, 0)) == 2;
	if (rc < 0 || redis_reply_int(redis_reply_at(reply, 0)) != 1)
		return rc;
	heir = redis_reply_str(redis_reply_at(reply, 1));
	m->movers = redis_reply_int(redis_reply_at(reply, 2));
	if (m->to == NULL) {
		_cleanup_free_ char *owner = xstrndup(heir.data, heir.len);

		if (!presence_owner_parse(owner, node, &epoch))
			return err_set(err, ERR_PROTOCOL, "%.80s is no owner", owner);
		m->to = amqp_node_queue(m->broker, node);
	}
	return 1;
}

/* 1: the queue is nobody's any more. */
static int say_closed(struct move *m, bool moved, usec_t deadline, struct err *err)
{
	const char *const more[] = {moved ? "1" : "0", m->dead ? "1" : "0",
				    m->busy_count > 0 ? "1" : "0"};
	_cleanup_reply_ struct redis_reply *reply = NULL;
	int rc = run(m, &m->broker->route.release, more, ARRAY_LEN(more), deadline, &reply, err);

	return rc < 0 ? rc : redis_reply_int(reply) == 1;
}

/* ---- in RabbitMQ ---- */

/* What was delivered: published there, confirmed, acknowledged. */
static int move_some(struct move *m, usec_t deadline, size_t *ret_count, struct err *err)
{
	_cleanup_free_ struct amqp_delivery *came = xcalloc(AT_ONCE, sizeof(*came));
	size_t count = amqp_client_take(m->client, came, AT_ONCE);
	struct amqp_batch *batch = amqp_batch_new();
	int rc = 0;

	for (size_t i = 0; i < count; i++) {
		struct amqp_publish p = {.exchange = "",
					 .routing_key = m->to,
					 .mandatory = true,
					 .properties = &came[i].properties,
					 .body = came[i].body,
					 .len = came[i].len};

		/* It has to be that of the connection. */
		free(TAKE(came[i].properties.text[AMQP_USER_ID]));
		if (rc == 0)
			rc = amqp_batch_publish(batch, &p, err);
		amqp_batch_settle(batch, came[i].ref, AMQP_ACK);
		amqp_delivery_done(&came[i]);
	}
	if (rc < 0 || count == 0)
		amqp_batch_free(batch);
	else
		rc = amqp_client_perform(m->client, batch, 0, deadline, err);
	*ret_count = count;
	m->moved += rc == 0 ? (int64_t)count : 0;
	return rc;
}

/* All that is there now: consumed until nothing is ready, and once more after the end of that, when
 * nothing can be on its way to us. */
static int move_all(struct move *m, usec_t deadline, struct err *err)
{
	const struct amqp_consumer consumer = {
		.queue = m->from, .prefetch = AT_ONCE, .exclusive = true};
	uint32_t left = 1;
	int rc = amqp_queue_messages(m->client, m->from, deadline, &left, err);

	while (rc == 0 && left > 0) {
		size_t count = 0;

		if (clock_mono() >= deadline)
			return err_set(err, ERR_TIMEOUT, "%u messages are left", left);
		rc = amqp_client_consume(m->client, &consumer, deadline, err);
		while (rc == 0 && left > 0 && clock_mono() < deadline) {
			rc = move_some(m, deadline, &count, err);
			if (rc == 0)
				rc = amqp_queue_messages(m->client, m->from, deadline, &left, err);
		}
		if (rc == 0)
			rc = amqp_client_cancel(m->client, m->from, deadline, err);
		for (count = 1; rc == 0 && count > 0;)
			rc = move_some(m, deadline, &count, err);
		if (rc == 0)
			rc = amqp_queue_messages(m->client, m->from, deadline, &left, err);
	}
	return rc;
}

/* Until who was told to send there has done so, and all of that is moved. */
static int move_until_over(struct move *m, usec_t deadline, struct err *err)
{
	int64_t waited_for;
	int rc;

	do {
		waited_for = m->movers;
		rc = move_all(m, deadline, err);
		if (rc < 0)
			return rc;
		if (waited_for == 0)
			return 0;
		poll(NULL, 0, LOOK_MS);
		rc = say_closing(m, deadline, err);
	} while (rc == 1 && clock_mono() < deadline);
	return rc < 0 ? rc : err_set(err, ERR_TIMEOUT, "somebody still sends there");
}

static void forget_queue(struct move *m, usec_t deadline)
{
	struct err err;

	if (amqp_client_delete_queue(m->client, m->from, true, true, deadline, NULL, &err) < 0)
		log_debug("%s stays: %s", m->from, err.msg);
}

/* 0 as well when there was nothing to do. */
static int perform(struct move *m, usec_t deadline, struct err *err)
{
	struct err why = {0};
	int rc, closed;

	m->from = amqp_node_queue(m->broker, m->node);
	rc = say_closing(m, deadline, err);
	if (rc <= 0)
		return rc;
	rc = amqp_client_new(m->broker->amqp->address, "celeriac-move", NULL, &m->client, err);
	if (rc == 0)
		rc = move_until_over(m, deadline, err);
	closed = say_closed(m, rc == 0, clock_deadline(REST), &why);
	if (rc == 0 && closed < 0) {
		*err = why;
		rc = closed;
	}
	if (rc == 0 && closed == 1)
		forget_queue(m, deadline);
	return rc;
}

/* ---- our own ---- */

static void note_busy(struct broker_routing *r, const char *const *busy, size_t count)
{
	for (size_t i = 0; i < r->busy.count; i++)
		free(r->busy.items[i]);
	free(r->busy.items);
	r->busy.items = xcalloc(count + 1, sizeof(*r->busy.items));
	for (r->busy.count = 0; r->busy.count < count; r->busy.count++)
		r->busy.items[r->busy.count] = xstrdup(busy[r->busy.count]);
}

/* What came from there and was not taken is back before it is moved. */
static int stop_consuming(struct broker *b, usec_t deadline, uint32_t *ret_left, struct err *err)
{
	struct amqp_broker *a = b->amqp;
	const char *own = b->route.own->name;
	int rc = amqp_client_cancel(a->client, own, deadline, err);

	if (rc == -ERR_NOTFOUND)
		rc = 0;
	for (size_t i = 0; rc == 0 && i < atomic_load(&b->queue_count); i++) {
		if (b->queues[i] == b->route.own)
			a->consuming[i] = false;
	}
	if (rc == 0) {
		amqp_pending_drop(b, true);
		amqp_client_return(a->client, own);
		rc = amqp_client_settled(a->client, deadline, err);
	}
	return rc < 0 ? rc : amqp_queue_messages(a->client, own, deadline, ret_left, err);
}

int amqp_broker_route_leave(struct broker *b, const char *const *busy, size_t count,
			    usec_t deadline, int64_t *ret_moved, struct err *err)
{
	_cleanup_(move_done) struct move m = {.broker = b, .busy = busy, .busy_count = count};
	uint32_t left = 0;
	int rc;

	*ret_moved = 0;
	if (b->route.own == NULL)
		return 0;
	m.node = presence_node(b->route.presence);
	rc = stop_consuming(b, deadline, &left, err);
	m.empty = left == 0;
	if (rc == 0)
		rc = perform(&m, deadline, err);
	if (rc == 0 && !m.alone)
		note_busy(&b->route, busy, count);
	b->route.alone = m.alone;
	*ret_moved = m.moved;
	return rc < 0 ? err_wrap(err, "handing conversations over") : 0;
}

/* ---- those of the dead ---- */

static int adopt(struct broker *b, const char *node, struct err *err)
{
	_cleanup_(move_done) struct move m = {.broker = b, .node = node, .dead = true};
	int rc = perform(&m, clock_deadline(ADOPT_IN), err);

	if (m.moved > 0)
		log_warning("%lld call(s) that waited for node %s are taken over",
			    (long long)m.moved, node);
	return rc < 0 ? err_wrap(err, "calls that wait for node %.80s", node) : 0;
}

/* Names of nodes whose queues may hold something; `sure`: those that said so. */
static int adopt_all(struct broker *b, bool sure, struct err *err)
{
	struct broker_routing *r = &b->route;
	_cleanup_reply_ struct redis_reply *reply = NULL;
	int rc = redis_link_do(b->link, clock_deadline(ADOPT_IN), &reply, err, "SMEMBERS %s%s",
			       r->base, sure ? "left" : "nodes");

	for (size_t i = 0; rc == 0 && i < redis_reply_count(reply); i++) {
		struct slice name = redis_reply_str(redis_reply_at(reply, i));
		_cleanup_free_ char *node = xstrndup(name.data, name.len);
		struct err why = {0};

		if (strcmp(node, presence_node(r->presence)) != 0 && adopt(b, node, &why) < 0)
			log_warning("%s", why.msg);
	}
	return rc;
}

int amqp_broker_restore_dead(struct broker *b, const struct presence *p, bool own_only,
			     int64_t *ret_restored, struct err *err)
{
	_cleanup_(presence_owners_done) struct presence_owners dead = {0};
	int rc;

	*ret_restored = 0; /* the server delivers again what they held */
	if (b->link == NULL)
		return 0;
	rc = presence_find_dead(p, b->link, own_only, &dead, err);
	for (size_t i = 0; rc == 0 && i < dead.count; i++)
		rc = presence_forget(p, b->link, dead.items[i], err);
	if (rc == 0 && b->route.own != NULL)
		rc = adopt_all(b, own_only, err);
	return rc < 0 ? rc : dead.count > 0;
}
