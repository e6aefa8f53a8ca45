/*
 * amqp_owner.c: the owner thread of a client: one loop that reads what came, takes what was queued,
 * and writes all of it at once.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "amqp_client.h"
#include "clock.h"
#include "log.h"
#include "mem.h"

#define READ_ROUNDS 16		       /* before what was queued meanwhile is looked at */
#define FAREWELL    (2 * USEC_PER_SEC) /* for the server to say that it has read everything */

/* What happened since the last look. */
struct news {
	struct item_list items;
	struct amqp_conn *made[ROLES];
	struct err *made_error[ROLES];
	bool nothing, interrupted, stopping;
	usec_t stop_at;
};

static void take_news(struct amqp_client *c, struct news *ret)
{
	mutex_lock(&c->lock);
	*ret = (struct news){
		.items = c->queue,
		.interrupted = c->interrupted,
		.stopping = c->stopping,
		.stop_at = c->stop_at,
	};
	ret->nothing = !c->queue.head && !c->interrupted;
	c->queue = (struct item_list){0};
	c->interrupted = false;
	for (int i = 0; i < ROLES; i++) {
		ret->made[i] = TAKE(c->slots[i].made);
		ret->made_error[i] = TAKE(c->slots[i].made_error);
		ret->nothing &= !ret->made[i] && !ret->made_error[i];
	}
	c->sleeping = ret->nothing;
	mutex_unlock(&c->lock);
}

static void order_connection(struct slot *s, bool at_once)
{
	struct amqp_client *c = s->client;

	mutex_lock(&c->lock);
	s->wanted = true;
	s->at_once |= at_once;
	mutex_unlock(&c->lock);
	cond_signal(&s->connector_news);
}

/* One line when trouble begins or changes its kind, one when it is over. */
static void tell_trouble(struct slot *s, const struct err *err)
{
	if (s->told && s->told_transient == err_is_transient(err))
		return;
	s->told = true;
	s->told_transient = err_is_transient(err);
	log_warning("%s: %s; trying again until it works", s->client->name, err->msg);
}

static void tell_over(struct slot *s)
{
	struct amqp_client *c = s->client;

	if (!s->told)
		return;
	s->told = false;
	log_info("%s: connected again to %s", c->name, c->address->safe);
}

static void lose_connection(struct slot *s, struct err *err)
{
	struct amqp_client *c = s->client;
	bool settled = clock_mono() - s->opened_at >= SETTLED_AFTER;

	(void)err_wrap(err, "%s:%d", s->conn->where->host, s->conn->where->port);
	s->conn->socket.broken = true;
	if (s->role == ROLE_CONSUME)
		amqp_consume_end(c, err);
	amqp_conn_free(TAKE(s->conn));
	if (s->role == ROLE_PUBLISH)
		amqp_publish_end(c, err);
	tell_trouble(s, err);
	order_connection(s, settled);
}

static void adopt(struct slot *s, struct amqp_conn *made)
{
	struct amqp_client *c = s->client;

	if (s->opened_at != 0)
		atomic_fetch_add_explicit(&c->reconnects, 1, memory_order_relaxed);
	s->conn = made;
	s->attempted = true;
	s->opened_at = clock_mono();
	tell_over(s);
	if (s->role == ROLE_CONSUME)
		amqp_consume_begin(c);
	else
		amqp_publish_begin(c);
}

static void take_connections(struct amqp_client *c, struct news *news)
{
	for (int i = 0; i < ROLES; i++) {
		struct slot *s = &c->slots[i];
		struct err *failure = news->made_error[i];

		if (failure) {
			tell_trouble(s, failure);
			s->attempted = true;
			if (s->role == ROLE_PUBLISH)
				amqp_publish_unkept(c, failure);
			free(failure);
		}
		if (news->made[i])
			adopt(s, news->made[i]);
	}
}

static void interrupt(struct amqp_client *c)
{
	for (int i = 0; i < ROLES; i++) {
		struct err err;

		(void)err_set(&err, ERR_CLOSED, "broken off");
		if (c->slots[i].conn)
			lose_connection(&c->slots[i], &err);
	}
}

static void take_items(struct amqp_client *c, struct item_list *items)
{
	struct slot *publish = &c->slots[ROLE_PUBLISH];
	struct item *item;

	while ((item = amqp_item_list_pop(items))) {
		if (!item->is_batch) {
			amqp_consume_add_call(c, (struct call *)item);
			continue;
		}
		if (((struct amqp_batch *)item)->pubs && !publish->ordered) {
			publish->ordered = true;
			order_connection(publish, true);
		}
		amqp_publish_add(c, (struct amqp_batch *)item);
	}
}

/* ---- a live connection ---- */

static int closed_by_server(struct amqp_client *c, struct slot *s, const amqp_connection_close_t *m,
			    struct err *err)
{
	amqp_connection_close_ok_t ok = {0};
	struct err ignored;

	(void)amqp_refusal(m->reply_code, m->reply_text, err);
	if (s->role == ROLE_CONSUME)
		amqp_consume_blame(c, m->class_id, m->method_id, err);
	else if (m->class_id == AMQP_CLASS_BASIC)
		amqp_publish_blame(c, err);
	amqp_put_method(&s->conn->out, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, &ok);
	if (amqp_conn_write(s->conn, &ignored) < 0)
		log_debug("%s: %s", c->name, ignored.msg);
	return err_transient(err);
}

static int connection_method(struct amqp_client *c, struct slot *s, const struct amqp_in_method *m,
			     struct err *err)
{
	const amqp_connection_blocked_t *blocked = m->decoded;
	bool on = m->id == AMQP_CONNECTION_BLOCKED_METHOD;
	_cleanup_free_ char *why = NULL;

	switch (m->id) {
	case AMQP_CONNECTION_CLOSE_METHOD:
		return closed_by_server(c, s, m->decoded, err);
	case AMQP_CONNECTION_BLOCKED_METHOD:
	case AMQP_CONNECTION_UNBLOCKED_METHOD:
		if (s->role != ROLE_PUBLISH)
			return 0;
		why = on ? xstrndup(blocked->reason.len > 0 ? blocked->reason.bytes : "",
				    blocked->reason.len)
			 : xstrdup("");
		atomic_store_explicit(&c->blocked, on, memory_order_relaxed);
		if (c->events.blocked)
			c->events.blocked(c->events.arg, on, why);
		return 0;
	default:
		return err_set(err, ERR_PROTOCOL, "%s of a connection", amqp_method_name(m->id));
	}
}

static int take_frame(struct amqp_client *c, struct slot *s, const struct amqp_in_frame *f,
		      struct err *err)
{
	bool consumes = s->role == ROLE_CONSUME;
	struct amqp_in_method m;
	int rc;

	if (f->kind == FRAME_HEARTBEAT)
		return 0;
	if (f->kind != FRAME_METHOD && f->channel != 1)
		return err_set(err, ERR_PROTOCOL, "content on channel %u", f->channel);
	if (f->kind != FRAME_METHOD)
		return consumes ? amqp_deliver_content(c, f, err) : amqp_publish_content(c, f, err);
	rc = amqp_conn_method(s->conn, f, &m, err);
	if (rc < 0)
		return rc;
	if (f->channel == 0)
		return connection_method(c, s, &m, err);
	if (consumes)
		return amqp_consume_method(c, f->channel, &m, err);
	return f->channel == CHANNEL_PUBLISH ? amqp_publish_method(c, &m, err)
					     : err_set(err, ERR_PROTOCOL, "%s on channel %u",
						       amqp_method_name(m.id), f->channel);
}

static int read_frames(struct amqp_client *c, struct slot *s, struct err *err)
{
	s->more = false;
	for (int round = 0; round < READ_ROUNDS; round++) {
		struct amqp_in_frame f;
		ssize_t n = amqp_conn_fill(s->conn, err);
		int rc;

		if (n <= 0)
			return (int)n;
		while ((rc = amqp_conn_next(s->conn, &f, err)) == 1) {
			rc = take_frame(c, s, &f, err);
			if (rc < 0)
				return rc;
		}
		if (rc < 0)
			return rc;
	}
	/* Under TLS poll(2) need not know of it. */
	s->more = true;
	return 0;
}

/* A server that is silent for two heartbeats is gone; we are not for longer than half of one. */
static int keep_alive(struct slot *s, struct err *err)
{
	struct amqp_conn *conn = s->conn;
	usec_t now = clock_mono(), quiet = now - conn->read_at;

	if (conn->heartbeat == 0)
		return 0;
	if (quiet >= 2 * conn->heartbeat)
		return err_set(err, ERR_TIMEOUT, "no heartbeat for %lld s",
			       (long long)(quiet / USEC_PER_SEC));
	if (now - conn->wrote_at >= conn->heartbeat / 2 && conn->out.len == 0)
		amqp_put_heartbeat(&conn->out);
	return 0;
}

static int write_all(struct amqp_client *c, struct slot *s, struct err *err)
{
	int rc = keep_alive(s, err);

	if (rc == 0)
		rc = amqp_conn_write(s->conn, err);
	/* Messages are added in portions. */
	while (rc == 0 && s->role == ROLE_PUBLISH && s->conn->out.len == 0) {
		amqp_publish_fill(c);
		if (s->conn->out.len == 0)
			break;
		rc = amqp_conn_write(s->conn, err);
	}
	return rc;
}

static void pump(struct amqp_client *c,
		 int (*step)(struct amqp_client *, struct slot *, struct err *))
{
	for (int i = 0; i < ROLES; i++) {
		struct slot *s = &c->slots[i];
		struct err err;

		if (s->conn && step(c, s, &err) < 0)
			lose_connection(s, &err);
	}
}

/* ---- waiting ---- */

static usec_t next_beat(const struct amqp_conn *conn)
{
	usec_t say = conn->wrote_at + conn->heartbeat / 2,
	       hear = conn->read_at + 2 * conn->heartbeat;

	if (conn->heartbeat == 0)
		return USEC_NEVER;
	/* With something to be written it is the kernel that we wait for. */
	return conn->out.len > 0 || hear < say ? hear : say;
}

static void wait_for_news(struct amqp_client *c, usec_t until)
{
	struct pollfd fds[1 + ROLES] = {{.fd = c->wake_fd, .events = POLLIN}};
	uint64_t count;

	for (int i = 0; i < ROLES; i++) {
		const struct amqp_conn *conn = c->slots[i].conn;

		fds[1 + i] = (struct pollfd){.fd = conn ? conn->socket.fd : -1, .events = POLLIN};
		if (!conn)
			continue;
		if (conn->out.len > 0)
			fds[1 + i].events |= POLLOUT;
		if (next_beat(conn) < until)
			until = next_beat(conn);
	}
	if (poll(fds, ARRAY_LEN(fds), clock_left_ms(until)) < 0 && errno != EINTR)
		BUG("poll: errno %d", errno);
	if (fds[0].revents != 0 && read(c->wake_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		BUG("eventfd: errno %d", errno);
}

/* ---- the end ---- */

static void cancel_everything(struct amqp_client *c)
{
	struct news news;
	struct err err;

	(void)err_set(&err, ERR_CANCELLED, "%s: the client was closed", c->address->safe);
	do {
		amqp_publish_cancel(c, &err);
		amqp_consume_cancel_calls(c, &err);
		take_news(c, &news);
		for (int i = 0; i < ROLES; i++) {
			amqp_conn_free(news.made[i]);
			free(news.made_error[i]);
		}
		take_items(c, &news.items);
	} while (!news.nothing);
}

static void finish(struct amqp_client *c, usec_t stop_at)
{
	usec_t end = clock_deadline(FAREWELL);

	cancel_everything(c);
	for (int i = 0; i < ROLES; i++) {
		if (c->slots[i].conn)
			amqp_conn_finish(c->slots[i].conn, stop_at < end ? stop_at : end);
	}
	atomic_store_explicit(&c->up, false, memory_order_relaxed);
	amqp_deliver_end(c);
	amqp_deliver_drop(TAKE(c->returning.node));
	for (int i = 0; i < ROLES; i++)
		amqp_conn_free(TAKE(c->slots[i].conn));
}

static bool is_drained(const struct amqp_client *c, const struct news *news)
{
	return news->nothing && !c->work && amqp_consume_idle(c);
}

static bool has_more(const struct amqp_client *c)
{
	bool more = false;

	for (int i = 0; i < ROLES; i++)
		more |= c->slots[i].conn && c->slots[i].more;
	return more;
}

void *amqp_client_owner_main(void *arg)
{
	struct amqp_client *c = arg;

	order_connection(&c->slots[ROLE_CONSUME], true);
	for (;;) {
		struct news news;
		bool drained;

		take_news(c, &news);
		take_connections(c, &news);
		if (news.interrupted)
			interrupt(c);
		pump(c, read_frames);
		take_items(c, &news.items);
		/* Asked before callbacks of what follows can hand over more. */
		drained = is_drained(c, &news);
		amqp_consume_calls(c);
		amqp_publish_fill(c);
		amqp_deliver_flush(c);
		pump(c, write_all);
		if (news.stopping && (drained || clock_mono() >= news.stop_at)) {
			finish(c, news.stop_at);
			return NULL;
		}
		if (news.nothing && !has_more(c) && !(news.stopping && is_drained(c, &news)))
			wait_for_news(c, news.stopping ? news.stop_at : USEC_NEVER);
	}
}
