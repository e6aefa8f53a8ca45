/*
 * redis.c: one connection for the thread that owns it: opening, exchanging commands for replies,
 * scripts.
 */
#include "redis_conn.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "login.h"
#include "mem.h"

/* After a failure the replies may be out of step with the commands: nothing more is tried. Returns
 * -code. */
static int give_up(struct redis *r, struct err *err)
{
	r->socket.broken = true;
	return err_wrap(err, "%s", r->safe);
}

static int check_usable(const struct redis *r, struct err *err)
{
	if (r->socket.broken)
		return err_set(err, ERR_CLOSED, "%s: the connection has failed before", r->safe);
	return 0;
}

ssize_t redis_fill(struct redis *r, struct err *err)
{
	ssize_t n = socket_read(&r->socket, r->data, sizeof(r->data), err);

	if (n > 0) {
		int rc = redis_reader_feed(r->reader, r->data, (size_t)n, err);

		if (rc < 0)
			return rc;
	}
	return n;
}

/* What `n` more bytes are good for. */
static void extend(usec_t *deadline, ssize_t n)
{
	if (*deadline != USEC_NEVER)
		*deadline += (usec_t)n * USEC_PER_SEC / BOUND_LEAST_RATE;
}

/* The deadline is that of one who neither says nor takes anything; it moves on with what goes. */
static int wait_for_more(struct redis *r, short events, usec_t deadline, struct err *err)
{
	usec_t still = clock_deadline(r->timeout);

	return socket_wait(&r->socket, events, still < deadline ? still : deadline, err);
}

/* Writes all of `data`. Replies are read meanwhile, else two full sockets would wait for each
 * other. */
static int write_all(struct redis *r, const struct buf *data, usec_t *deadline, struct err *err)
{
	size_t done = 0;

	while (done < data->len) {
		struct iovec v = {.iov_base = data->data + done, .iov_len = data->len - done};
		ssize_t n = socket_write(&r->socket, &v, 1, err);

		if (n < 0)
			return (int)n;
		done += (size_t)n;
		extend(deadline, n);
		if (n == 0) {
			int rc = wait_for_more(r, POLLIN | POLLOUT, *deadline, err);
			if (rc < 0)
				return rc;
			n = redis_fill(r, err);
			if (n < 0)
				return (int)n;
			extend(deadline, n);
		}
	}
	return 0;
}

static int read_reply(struct redis *r, usec_t *deadline, struct redis_reply **ret, struct err *err)
{
	for (;;) {
		int rc = redis_reader_next(r->reader, ret, err);
		ssize_t n;

		if (rc != 0)
			return rc < 0 ? rc : 0;
		n = redis_fill(r, err);
		if (n < 0)
			return (int)n;
		extend(deadline, n);
		if (n == 0) {
			rc = wait_for_more(r, POLLIN, *deadline, err);
			if (rc < 0)
				return rc;
		}
	}
}

int redis_exchange(struct redis *r, struct buf *commands, size_t count, struct redis_reply **ret,
		   struct err *err)
{
	usec_t deadline = clock_deadline(r->timeout);
	int rc = check_usable(r, err);

	if (rc == 0)
		rc = buf_status(commands, err);
	if (rc < 0) {
		buf_reset(commands);
		return rc;
	}
	rc = write_all(r, commands, &deadline, err);
	buf_reset(commands);
	for (size_t i = 0; rc == 0 && i < count; i++) {
		struct redis_reply *reply;

		rc = read_reply(r, &deadline, &reply, err);
		if (rc == 0) {
			ret[i] = reply;
			continue;
		}
		while (i > 0) {
			i--;
			redis_reply_free(TAKE(ret[i]));
		}
		break;
	}
	return rc < 0 ? give_up(r, err) : 0;
}

int redis_do(struct redis *r, struct redis_reply **ret, struct err *err, const char *fmt, ...)
{
	_cleanup_buf_ struct buf out = BUF_INIT(BOUND_REDIS_COMMAND);
	_cleanup_reply_ struct redis_reply *reply = NULL;
	va_list ap;
	int rc;

	va_start(ap, fmt);
	redis_command_va(&out, fmt, ap);
	va_end(ap);
	rc = redis_exchange(r, &out, 1, &reply, err);
	if (rc < 0)
		return rc;
	if (redis_reply_type(reply) == REDIS_ERROR)
		return redis_reply_to_err(reply, err);
	if (ret)
		*ret = TAKE(reply);
	return 0;
}

int redis_send(struct redis *r, struct buf *commands, struct err *err)
{
	usec_t deadline = clock_deadline(r->timeout);
	int rc = check_usable(r, err);

	if (rc == 0)
		rc = buf_status(commands, err);
	if (rc == 0 && write_all(r, commands, &deadline, err) < 0)
		rc = give_up(r, err);
	buf_reset(commands);
	return rc;
}

int redis_send_script(struct redis *r, const struct redis_script *s, size_t keys,
		      const struct slice *args, size_t count, struct err *err)
{
	_cleanup_buf_ struct buf out = BUF_INIT(BOUND_REDIS_COMMAND);

	redis_command_evalsha(&out, s, keys, args, count);
	return redis_send(r, &out, err);
}

int redis_receive_script(struct redis *r, struct redis_reply **ret, struct err *err)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	usec_t deadline = clock_deadline(r->timeout);
	int rc = check_usable(r, err);

	if (rc == 0 && read_reply(r, &deadline, &reply, err) < 0)
		rc = give_up(r, err);
	if (rc < 0)
		return rc;
	if (redis_reply_is_error(reply, "NOSCRIPT"))
		return err_set(err, ERR_NOTFOUND, "%s: the script is not known", r->safe);
	if (redis_reply_type(reply) == REDIS_ERROR)
		return redis_reply_to_err(reply, err);
	*ret = TAKE(reply);
	return 0;
}

int redis_run_script(struct redis *r, const struct redis_script *s, size_t keys,
		     const struct slice *args, size_t count, struct redis_reply **ret,
		     struct err *err)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	int rc = redis_send_script(r, s, keys, args, count, err);

	if (rc == 0)
		rc = redis_receive_script(r, &reply, err);
	if (rc == -ERR_NOTFOUND) {
		rc = redis_do(r, NULL, err, "SCRIPT LOAD %s", s->text);
		if (rc == 0)
			rc = redis_send_script(r, s, keys, args, count, err);
		if (rc == 0)
			rc = redis_receive_script(r, &reply, err);
	}
	if (rc == 0 && ret)
		*ret = TAKE(reply);
	return rc;
}

int redis_fd(const struct redis *r)
{
	return r->socket.fd;
}

int redis_receive(struct redis *r, struct redis_reply **ret, struct err *err)
{
	int rc = check_usable(r, err);

	if (rc < 0)
		return rc;
	for (;;) {
		ssize_t n;

		rc = redis_reader_next(r->reader, ret, err);
		if (rc == 1)
			return 1;
		if (rc < 0)
			return give_up(r, err);
		n = redis_fill(r, err);
		if (n == 0)
			return 0;
		if (n < 0)
			return give_up(r, err);
	}
}

/* The server's words are kept out of an error about AUTH: some servers repeat the arguments there.
 */
static int check_handshake(const struct redis_reply *reply, bool is_auth, struct err *err)
{
	struct slice text = redis_reply_str(reply);
	int word = (int)strcspn(text.len ? text.data : "", " ");

	if (redis_reply_type(reply) != REDIS_ERROR)
		return 0;
	if (redis_reply_is_outage(reply))
		return err_set(err, ERR_UNAVAILABLE, "not ready: %.*s", word, text.data);
	if (redis_reply_is_error(reply, "ERR max number of clients reached"))
		return err_set(err, ERR_UNAVAILABLE, "the server has too many clients");
	if (is_auth)
		return err_set(err, ERR_DENIED, "the server refused the password (%.*s)", word,
			       text.data);
	if (redis_reply_is_error(reply, "NOAUTH"))
		return err_set(err, ERR_DENIED, "the server wants a password");
	if (redis_reply_is_error(reply, "NOPERM"))
		return err_set(err, ERR_DENIED, "not permitted");
	return redis_reply_to_err(reply, err);
}

/* A replica that a sentinel took for the master a moment ago. A server that does not let us ask is
 * believed. */
static int check_role(const struct redis_reply *reply, struct err *err)
{
	struct slice role = redis_reply_count(reply) > 0
				    ? redis_reply_str(redis_reply_at(reply, 0))
				    : (struct slice){.data = "master", .len = 6};

	if (role.len == 6 && memcmp(role.data, "master", 6) == 0)
		return 0;
	return err_set(err, ERR_UNAVAILABLE, "the server is no master");
}

static void tell_refused(const struct redis_endpoint *e, const struct err *err)
{
	_cleanup_free_ char *where =
		e->path ? xstrdup(e->path) : xasprintf("%s:%d", e->host ? e->host : "", e->port);

	login_refused("Redis", where, err->msg);
}

/* AUTH, SELECT, CLIENT SETNAME, ROLE of a sentinel's master, and PING in one round trip; PING tells
 * a server that is still loading. */
static int handshake(struct redis *r, const struct redis_endpoint *e, const char *client_name,
		     struct err *err)
{
	_cleanup_buf_ struct buf out = BUF_INIT(BOUND_REDIS_COMMAND);
	const char *name = r->site->tuning.client_name;
	struct redis_reply *replies[5];
	bool has_auth = e->user[0] != '\0' || e->password[0] != '\0';
	size_t count = 0, name_at, role_at = ARRAY_LEN(replies);
	int rc;

	if (has_auth) {
		if (e->user[0] != '\0')
			redis_command(&out, "AUTH %s %s", e->user, e->password);
		else
			redis_command(&out, "AUTH %s", e->password);
		count++;
	}
	if (e->db != 0) {
		redis_command(&out, "SELECT %d", e->db);
		count++;
	}
	name_at = count++;
	redis_command(&out, "CLIENT SETNAME %s", name ? name : client_name);
	if (r->site->sentinel) {
		redis_command(&out, "ROLE");
		role_at = count++;
	}
	redis_command(&out, "PING");
	count++;
	rc = redis_exchange(r, &out, count, replies, err);
	wipe(out.data, out.size); /* held the password */
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < count; i++) {
		/* The name is a courtesy that a server may not allow. */
		if (rc == 0 && i == role_at)
			rc = check_role(replies[i], err);
		else if (rc == 0 && (i != name_at || redis_reply_is_error(replies[i], "NOAUTH")))
			rc = check_handshake(replies[i], has_auth && i == 0, err);
		redis_reply_free(replies[i]);
	}
	if (rc == -ERR_DENIED)
		tell_refused(e, err);
	return rc < 0 ? give_up(r, err) : 0;
}

int redis_open_bare(struct redis_site *s, const struct redis_endpoint *e, usec_t deadline,
		    int cancel_fd, struct redis **ret, struct err *err)
{
	const struct redis_tuning *t = &s->tuning;
	struct socket_target target = {
		.host = e->host,
		.path = e->path,
		.port = e->port,
		.tls = &e->tls,
		.keepalive = {.off = t->no_keepalive},
	};
	struct redis *r = xcalloc(1, sizeof(*r));
	usec_t now;
	int rc;

	memcpy(target.keepalive.values, t->keepalive, sizeof(t->keepalive));
	*r = (struct redis){
		.socket = {.fd = -1, .cancel_fd = cancel_fd},
		.site = redis_site_ref(s),
		.safe = s->safe,
		.reader = redis_reader_new(),
	};
	rc = socket_connect(&r->socket, &target, deadline, err);
	if (rc < 0) {
		(void)give_up(r, err);
		redis_close(r);
		return rc;
	}
	now = clock_mono();
	r->timeout = deadline == USEC_NEVER ? deadline : deadline > now ? deadline - now : 0;
	*ret = r;
	return 0;
}

/* Endpoint number `i` of the site, or the master that the sentinel there knows. */
static int open_endpoint(struct redis_site *s, unsigned i, const char *client_name, usec_t deadline,
			 int cancel_fd, struct redis **ret, struct err *err)
{
	const struct redis_endpoint *e = &s->endpoints[i];
	struct redis_endpoint master = {0};
	struct redis *r = NULL;
	unsigned generation = 0;
	int rc = 0;

	if (s->sentinel)
		rc = redis_sentinel_ask(s, i, deadline, cancel_fd, &master, &generation, err);
	if (rc == 0)
		rc = redis_open_bare(s, s->sentinel ? &master : e, deadline, cancel_fd, &r, err);
	if (rc == 0)
		rc = handshake(r, s->sentinel ? &master : e, client_name, err);
	free(master.host);
	if (rc < 0) {
		redis_close(r);
		return rc;
	}
	r->endpoint = i;
	r->generation = generation;
	*ret = r;
	return 0;
}

int redis_open_cancellable(const struct redis_address *a, const char *client_name, usec_t timeout,
			   int cancel_fd, struct redis **ret, struct err *err)
{
	struct redis_site *s = a->site;
	const struct redis_tuning *t = &s->tuning;
	usec_t ours = timeout < REDIS_CONNECT_TIMEOUT ? timeout : REDIS_CONNECT_TIMEOUT;
	usec_t most = t->connect_timeout > 0 ? t->connect_timeout : ours;
	usec_t deadline = clock_deadline(most);
	int rc = -ERR_UNAVAILABLE;

	for (size_t left = s->count; left > 0 && rc != -ERR_CANCELLED; left--) {
		unsigned i = atomic_load(&s->current);
		usec_t now = clock_mono();
		usec_t until =
			deadline == USEC_NEVER ? deadline : now + (deadline - now) / (usec_t)left;

		rc = open_endpoint(s, i, client_name, until, cancel_fd, ret, err);
		if (rc == 0) {
			(*ret)->timeout = t->socket_timeout > 0 ? t->socket_timeout : timeout;
			return 0;
		}
		redis_site_failed(s, i);
	}
	return rc;
}

int redis_open(const struct redis_address *a, const char *client_name, usec_t timeout,
	       struct redis **ret, struct err *err)
{
	return redis_open_cancellable(a, client_name, timeout, -1, ret, err);
}

bool redis_is_current(const struct redis *r)
{
	return r->site->sentinel ? atomic_load(&r->site->generation) == r->generation
				 : atomic_load(&r->site->current) == r->endpoint;
}

void redis_close(struct redis *r)
{
	if (!r)
		return;
	socket_close(&r->socket);
	redis_reader_free(r->reader);
	redis_site_unref(r->site);
	free(r);
}
