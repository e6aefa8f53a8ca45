/*
 * amqp_open.c: the handshake: start, tune, open, then the channels. Blocks; given up from another
 * thread.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "amqp_conn.h"
#include "bounds.h"
#include "clock.h"
#include "login.h"
#include "mem.h"

#define LEAST_FRAME 4096 /* of AMQP; a server cannot want less */

/* ---- waiting for one method ---- */

static int next_method(struct amqp_conn *c, usec_t deadline, struct amqp_in_method *ret,
		       struct err *err)
{
	struct amqp_in_frame f;

	for (;;) {
		int rc = amqp_conn_next(c, &f, err);

		if (rc == 1 && f.kind == FRAME_METHOD)
			return amqp_conn_method(c, &f, ret, err);
		if (rc == 1 && f.kind == FRAME_HEARTBEAT)
			continue;
		if (rc == 1)
			return err_set(err, ERR_PROTOCOL, "content before the first request");
		if (rc == 0)
			rc = amqp_conn_write(c, err);
		if (rc == 0)
			rc = (int)amqp_conn_fill(c, err);
		if (rc == 0)
			rc = socket_wait(&c->socket,
					 (short)(POLLIN | (c->out.len > 0 ? POLLOUT : 0)), deadline,
					 err);
		if (rc < 0)
			return rc;
	}
}

static int closed_by_server(struct amqp_conn *c, const amqp_connection_close_t *m, struct err *err)
{
	_cleanup_free_ char *where = xasprintf("%s:%d", c->where->host, c->where->port);

	(void)amqp_refusal(m->reply_code, m->reply_text, err);
	if (m->reply_code == 403)
		login_refused("RabbitMQ", where, err->msg);
	return -err->code;
}

static int await(struct amqp_conn *c, amqp_method_number_t id, usec_t deadline, void *ret,
		 struct err *err)
{
	struct amqp_in_method m;
	int rc = next_method(c, deadline, &m, err);

	if (rc < 0)
		return rc;
	if (m.id == AMQP_CONNECTION_CLOSE_METHOD)
		return closed_by_server(c, m.decoded, err);
	if (m.id != id)
		return err_set(err, ERR_PROTOCOL, "%s where %s was due", amqp_method_name(m.id),
			       amqp_method_name(id));
	*(void **)ret = m.decoded;
	return 0;
}

/* ---- who we are and who it is ---- */

static void read_peer(struct amqp_conn *c, const amqp_connection_start_t *start)
{
	for (int i = 0; i < start->server_properties.num_entries; i++) {
		const amqp_table_entry_t *e = &start->server_properties.entries[i];
		_cleanup_free_ char *name =
			xstrndup(e->key.len > 0 ? e->key.bytes : "", e->key.len);
		_cleanup_free_ char *value = NULL;

		if (e->value.kind != AMQP_FIELD_KIND_UTF8 || e->value.value.bytes.len == 0)
			continue;
		value = xstrndup(e->value.value.bytes.bytes, e->value.value.bytes.len);
		if (strcmp(name, "product") == 0)
			(void)snprintf(c->peer.product, sizeof(c->peer.product), "%s", value);
		if (strcmp(name, "version") == 0)
			(void)sscanf(value, "%d.%d.%d", &c->peer.version[0], &c->peer.version[1],
				     &c->peer.version[2]);
	}
}

static int make_table(json_t *object, amqp_pool_t *pool, struct buf *bytes, amqp_table_t *ret,
		      struct err *err)
{
	int rc = amqp_arguments(object, pool, bytes, ret, err);

	json_decref(object);
	return rc;
}

static int say_start_ok(struct amqp_conn *c, const char *name, struct err *err)
{
	const struct amqp_server *s = c->where;
	bool external = c->address->tuning.external;
	_cleanup_buf_ struct buf bytes = BUF_INIT(8192), login = BUF_INIT(2 * BOUND_URL_BYTES);
	amqp_connection_start_ok_t m = {
		.mechanism = amqp_cstring_bytes(external ? "EXTERNAL" : "PLAIN"),
		.locale = amqp_cstring_bytes("en_US"),
	};
	int rc = make_table(json_pack("{s:s, s:s, s:s, s:{s:b, s:b, s:b, s:b, s:b, s:b}}",
				      "product", "Celeriac", "version", CELERIAC_VERSION,
				      "connection_name", name, "capabilities", "publisher_confirms",
				      1, "consumer_cancel_notify", 1, "exchange_exchange_bindings",
				      1, "basic.nack", 1, "connection.blocked", 1,
				      "authentication_failure_close", 1),
			    &c->pool, &bytes, &m.client_properties, err);

	if (rc < 0)
		return rc;
	if (!external) {
		buf_append_char(&login, '\0');
		buf_append_str(&login, s->user);
		buf_append_char(&login, '\0');
		buf_append_str(&login, s->password);
	}
	m.response = amqp_bytes_of(login.data, login.len);
	amqp_put_method(&c->out, 0, AMQP_CONNECTION_START_OK_METHOD, &m);
	wipe(login.data, login.len);
	return 0;
}

/* The lesser of both wishes; 0 is none. */
static unsigned least(unsigned a, unsigned b)
{
	return a == 0 ? b : b == 0 || a < b ? a : b;
}

static int tune(struct amqp_conn *c, const amqp_connection_tune_t *theirs, struct err *err)
{
	int wanted = c->address->tuning.heartbeat;
	unsigned ours = wanted < 0 ? 0 : wanted == 0 ? AMQP_HEARTBEAT : (unsigned)wanted;
	amqp_connection_tune_ok_t m = {
		.channel_max = (uint16_t)least(theirs->channel_max, 16),
		.frame_max = least(theirs->frame_max, BOUND_AMQP_FRAME),
		.heartbeat = (uint16_t)(ours == 0 ? 0 : least(theirs->heartbeat, ours)),
	};

	if (m.frame_max < LEAST_FRAME)
		return err_set(err, ERR_PROTOCOL, "frames of at most %u bytes", m.frame_max);
	c->frame_max = m.frame_max;
	c->heartbeat = (usec_t)m.heartbeat * USEC_PER_SEC;
	amqp_put_method(&c->out, 0, AMQP_CONNECTION_TUNE_OK_METHOD, &m);
	return 0;
}

static int open_channels(struct amqp_conn *c, enum amqp_role role, usec_t deadline, struct err *err)
{
	uint16_t last = role == ROLE_CONSUME ? CHANNEL_DECLARE : CHANNEL_PUBLISH;
	amqp_channel_open_t m = {0};
	amqp_confirm_select_t select = {0};
	void *answer;
	int rc = 0;

	for (uint16_t i = 1; i <= last; i++)
		amqp_put_method(&c->out, i, AMQP_CHANNEL_OPEN_METHOD, &m);
	if (role == ROLE_PUBLISH)
		amqp_put_method(&c->out, CHANNEL_PUBLISH, AMQP_CONFIRM_SELECT_METHOD, &select);
	for (uint16_t i = 1; rc == 0 && i <= last; i++)
		rc = await(c, AMQP_CHANNEL_OPEN_OK_METHOD, deadline, &answer, err);
	if (rc == 0 && role == ROLE_PUBLISH)
		rc = await(c, AMQP_CONFIRM_SELECT_OK_METHOD, deadline, &answer, err);
	return rc;
}

static int shake_hands(struct amqp_conn *c, const char *name, enum amqp_role role, usec_t deadline,
		       struct err *err)
{
	amqp_connection_open_t open = {
		.virtual_host = amqp_cstring_bytes(c->where->vhost),
	};
	amqp_connection_start_t *start;
	amqp_connection_tune_t *tuned;
	void *answer;
	int rc;

	buf_append(&c->out, "AMQP\0\0\x9\x1", 8);
	if ((rc = await(c, AMQP_CONNECTION_START_METHOD, deadline, &start, err)) < 0)
		return rc;
	read_peer(c, start);
	if ((rc = say_start_ok(c, name, err)) < 0)
		return rc;
	rc = await(c, AMQP_CONNECTION_TUNE_METHOD, deadline, &tuned, err);
	if (rc == -ERR_CLOSED) /* what servers do that know no better way */
		return err_set(err, ERR_UNAVAILABLE,
			       "the server closed the connection when we said who we are");
	if (rc < 0 || (rc = tune(c, tuned, err)) < 0)
		return rc;
	amqp_put_method(&c->out, 0, AMQP_CONNECTION_OPEN_METHOD, &open);
	if ((rc = await(c, AMQP_CONNECTION_OPEN_OK_METHOD, deadline, &answer, err)) < 0)
		return rc;
	return open_channels(c, role, deadline, err);
}

static int open_server(struct amqp_address *a, unsigned i, const char *name, enum amqp_role role,
		       int cancel_fd, struct amqp_conn **ret, struct err *err)
{
	usec_t timeout = a->tuning.connect_timeout;
	usec_t deadline = clock_deadline(timeout > 0 ? timeout : AMQP_CONNECT_TIMEOUT);
	const struct amqp_server *s = &a->servers[i];
	struct socket_target target = {.host = s->host, .port = s->port, .tls = &s->tls};
	struct amqp_conn *c = xcalloc(1, sizeof(*c));
	int rc;

	*c = (struct amqp_conn){
		.socket = {.fd = -1, .cancel_fd = cancel_fd},
		.where = s,
		.server = i,
		.address = amqp_address_ref(a),
		.frame_max = BOUND_AMQP_FRAME,
		.out = BUF_INIT(BOUND_LINK_BACKLOG),
		.in = xmalloc(2 * (size_t)BOUND_AMQP_FRAME),
	};
	init_amqp_pool(&c->pool, 4096);
	rc = socket_connect(&c->socket, &target, deadline, err);
	if (rc == 0)
		rc = shake_hands(c, name, role, deadline, err);
	if (rc < 0) {
		amqp_conn_free(c);
		return err_wrap(err, "%s:%d", s->host, s->port);
	}
	c->socket.cancel_fd = -1;
	c->read_at = c->wrote_at = clock_mono();
	*ret = c;
	return 0;
}

int amqp_conn_open(struct amqp_address *a, const char *name, enum amqp_role role, int cancel_fd,
		   struct amqp_conn **ret, struct err *err)
{
	int rc = -ERR_UNAVAILABLE;

	for (size_t left = a->count; left > 0; left--) {
		unsigned i = atomic_load(&a->current);

		rc = open_server(a, i, name, role, cancel_fd, ret, err);
		if (rc == 0 || rc == -ERR_CANCELLED)
			return rc;
		amqp_address_failed(a, i);
	}
	return rc;
}
