/*
 * Fanout on Redis: PSUBSCRIBE and PUBLISH of channels "/<db>.<exchange>[/<routing key>]", and the
 * binding sets that tell kombu which queues there are. See fanout.h.
 */
#include "fanout.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "mem.h"
#include "redis_broker.h"

extern const char script_fanout_reply[];

#define CONNECT_TIMEOUT (4 * USEC_PER_SEC)
#define PING_AFTER	(2 * USEC_PER_SEC) /* of silence, unless health_check_interval says more */
#define PATIENCE	(5 * USEC_PER_SEC) /* for the answer */
#define REPLY_TTL_MS	"60000" /* whoever asks waits for seconds, and takes replies as they come */

struct fanout {
	struct redis_address address;
	struct transport_options options;
	char *prefix; /* of channels */
	struct redis_link *link;
	struct redis_link *writing; /* of events, when they go to another server; or NULL */
	struct redis_script reply;
	atomic_size_t backlog;

	/* the control thread's */
	struct redis *listening;
	usec_t heard;  /* monotonic: last sign of life */
	usec_t pinged; /* 0 = none outstanding */
};

int fanout_open(const struct settings *s, const struct redis_address *broker,
		const struct redis_address *write, struct fanout **ret, struct err *err)
{
	struct fanout *f = xcalloc(1, sizeof(*f));
	int rc = transport_options_read(s, TRANSPORT_BROKER, &f->options, NULL, err);

	if (rc == 0 && broker != NULL)
		redis_address_copy(broker, &f->address);
	else if (rc == 0)
		rc = redis_address_parse_tuned(s->broker_url, &f->options.connection, &f->address,
					       err);
	if (rc == 0) {
		f->prefix = transport_fanout_prefix(&f->options, f->address.first->db);
		rc = redis_link_new(&f->address, "celeriac-fanout", &f->link, err);
	}
	if (rc == 0 && write != NULL && !redis_address_equal(write, &f->address))
		rc = redis_link_new(write, "celeriac-events", &f->writing, err);
	if (rc < 0) {
		fanout_close(f, 0);
		return rc;
	}
	redis_script_init(&f->reply, script_fanout_reply);
	redis_link_add_script(f->link, &f->reply);
	*ret = f;
	return 0;
}

void fanout_close(struct fanout *f, usec_t deadline)
{
	if (f == NULL)
		return;
	if (f->writing != NULL)
		redis_link_free(f->writing, deadline);
	if (f->link != NULL)
		redis_link_free(f->link, deadline);
	redis_close(f->listening);
	transport_options_done(&f->options);
	redis_address_done(&f->address);
	free(f->prefix);
	free(f);
}

/* Given. */
static char *channel_of(const struct fanout *f, const char *exchange, const char *routing_key)
{
	const struct transport_options *o = &f->options;
	bool keyed = o->fanout_patterns && routing_key[0] != '\0';

	return xasprintf("%s%s%s%s%s", o->global_keyprefix, f->prefix, exchange, keyed ? "/" : "",
			 keyed ? routing_key : "");
}

static void published(void *arg, unused_arg struct redis_reply *const *replies,
		      unused_arg size_t count, unused_arg const struct err *err)
{
	struct fanout *f = arg;

	atomic_fetch_sub(&f->backlog, 1);
}

size_t fanout_backlog(const struct fanout *f)
{
	return atomic_load(&f->backlog);
}

bool fanout_up(const struct fanout *f)
{
	return redis_link_up(f->writing ? f->writing : f->link);
}

void fanout_publish(struct fanout *f, const char *exchange, const char *routing_key,
		    struct slice envelope)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	_cleanup_free_ char *channel = channel_of(f, exchange, routing_key);

	redis_command(&commands, "PUBLISH %s %b", channel, envelope.data, envelope.len);
	atomic_fetch_add(&f->backlog, 1);
	redis_link_submit(f->writing ? f->writing : f->link, &commands, 1, 0, published, f);
}

void fanout_reply(struct fanout *f, const char *exchange, const char *routing_key,
		  struct slice envelope)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	_cleanup_free_ char *queue = xasprintf("%s.%s", routing_key, exchange);
	const struct transport_options *o = &f->options;

	redis_command(&commands, "EVALSHA %s 1 %s_kombu.binding.%s %s %s %b %s %s %s", f->reply.sha,
		      o->global_keyprefix, exchange, routing_key, queue, envelope.data,
		      envelope.len, REPLY_TTL_MS, o->sep, o->global_keyprefix);
	redis_link_submit(f->link, &commands, 1, 0, NULL, NULL);
}

static void change_binding(struct fanout *f, const char *command, const struct fanout_binding *b)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	const struct transport_options *o = &f->options;
	_cleanup_free_ char *member =
		xasprintf("%s%s%s%s%s", b->routing_key, o->sep, b->pattern, o->sep, b->queue);

	redis_command(&commands, "%s %s_kombu.binding.%s %s", command, o->global_keyprefix,
		      b->exchange, member);
	if (b->permanent)
		redis_command(&commands, "%s %s_kombu.binding_permanent.%s %s", command,
			      o->global_keyprefix, b->exchange, member);
	redis_link_submit(f->link, &commands, b->permanent ? 2 : 1, REDIS_LINK_KEEP, NULL, NULL);
}

void fanout_bind(struct fanout *f, const struct fanout_binding *b)
{
	change_binding(f, "SADD", b);
}

void fanout_unbind(struct fanout *f, const struct fanout_binding *b)
{
	change_binding(f, "SREM", b);
}

/* The name of a channel as a pattern that matches it alone. */
static void append_escaped(const char *text, struct buf *out)
{
	for (; *text != '\0'; text++) {
		if (strchr("*?[]^\\", *text) != NULL)
			buf_append_char(out, '\\');
		buf_append_char(out, *text);
	}
}

int fanout_listen(struct fanout *f, const char *exchange, struct err *err)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_URL_BYTES * 4);
	_cleanup_buf_ struct buf pattern = BUF_INIT(BOUND_URL_BYTES);
	_cleanup_free_ char *channel = channel_of(f, exchange, "");
	int rc;

	redis_close(TAKE(f->listening));
	rc = redis_open(&f->address, "celeriac-control", CONNECT_TIMEOUT, &f->listening, err);
	if (rc < 0)
		return rc;
	append_escaped(channel, &pattern);
	redis_command(&commands, "PSUBSCRIBE %s", pattern.data);
	f->heard = clock_mono();
	f->pinged = 0;
	return redis_send(f->listening, &commands, err);
}

/* 1 when `reply` is a message: ["pmessage", pattern, channel, data]. */
static int take_message(const struct redis_reply *reply, char **ret, size_t *ret_len,
			struct err *err)
{
	struct slice kind = redis_reply_str(redis_reply_at(reply, 0));
	struct slice data;

	if (redis_reply_type(reply) == REDIS_ERROR)
		return err_set(err, ERR_FAILED, "Redis: %.*s", (int)redis_reply_str(reply).len,
			       redis_reply_str(reply).data);
	if (redis_reply_count(reply) != 4 || kind.len != 8 || memcmp(kind.data, "pmessage", 8) != 0)
		return 0; /* of PSUBSCRIBE or PING */
	data = redis_reply_str(redis_reply_at(reply, 3));
	*ret = xmemdup(data.data, data.len);
	*ret_len = data.len;
	return 1;
}

static int read_one(struct fanout *f, char **ret, size_t *ret_len, struct err *err)
{
	for (;;) {
		_cleanup_reply_ struct redis_reply *reply = NULL;
		int rc = redis_receive(f->listening, &reply, err);

		if (rc <= 0)
			return rc;
		f->heard = clock_mono();
		f->pinged = 0;
		rc = take_message(reply, ret, ret_len, err);
		if (rc != 0)
			return rc;
	}
}

/* Asks for a sign of life after a long silence. */
static int probe(struct fanout *f, struct err *err)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_URL_BYTES);
	usec_t now = clock_mono(), after = f->options.connection.health_check_interval;

	if (after == 0)
		after = PING_AFTER;
	if (!redis_is_current(f->listening))
		return err_set(err, ERR_CLOSED, "another server is used now");
	if (f->pinged != 0 && now - f->pinged > PATIENCE)
		return err_set(err, ERR_TIMEOUT, "the control connection does not answer");
	if (f->pinged != 0 || now - f->heard < after)
		return 0;
	f->pinged = now;
	redis_command(&commands, "PING");
	return redis_send(f->listening, &commands, err);
}

int fanout_receive(struct fanout *f, int wake_fd, usec_t deadline, char **ret, size_t *ret_len,
		   struct err *err)
{
	struct pollfd fds[2];
	int rc = read_one(f, ret, ret_len, err); /* several may have come at once */

	if (rc == 0)
		rc = probe(f, err);
	if (rc != 0)
		return rc;
	fds[0] = (struct pollfd){.fd = redis_fd(f->listening), .events = POLLIN};
	fds[1] = (struct pollfd){.fd = wake_fd, .events = POLLIN};
	rc = poll(fds, 2, clock_left_ms(deadline));
	if (rc < 0 && errno != EINTR)
		return err_set_errno(err, ERR_FAILED, errno, "poll");
	return rc > 0 && fds[0].revents != 0 ? read_one(f, ret, ret_len, err) : 0;
}
