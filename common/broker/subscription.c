/*
 * One listening connection. See subscription.h.
 */
#include "subscription.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "mem.h"

#define CONNECT_TIMEOUT (4 * USEC_PER_SEC)
#define PING_AFTER	(2 * USEC_PER_SEC) /* of silence, unless health_check_interval says more */
#define PATIENCE	(5 * USEC_PER_SEC) /* for the answer */

int subscription_open(struct subscription *s, const struct redis_address *address,
		      const char *client_name, struct err *err)
{
	subscription_close(s);
	s->heard = clock_mono();
	s->pinged = 0;
	return redis_open(address, client_name, CONNECT_TIMEOUT, &s->redis, err);
}

void subscription_close(struct subscription *s)
{
	redis_close(TAKE(s->redis));
}

static int say(struct subscription *s, const char *command, const char *pattern, struct err *err)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_URL_BYTES * 4);

	redis_command(&commands, "%s %s", command, pattern);
	return redis_send(s->redis, &commands, err);
}

int subscription_add(struct subscription *s, const char *pattern, struct err *err)
{
	return say(s, "PSUBSCRIBE", pattern, err);
}

int subscription_remove(struct subscription *s, const char *pattern, struct err *err)
{
	return say(s, "PUNSUBSCRIBE", pattern, err);
}

/* 1 when `reply` is a message: ["pmessage", pattern, channel, data]. */
static int take_message(struct redis_reply *reply, struct subscription_message *ret,
			struct err *err)
{
	struct slice kind = redis_reply_str(redis_reply_at(reply, 0));

	if (redis_reply_type(reply) == REDIS_ERROR)
		return err_set(err, ERR_FAILED, "Redis: %.*s", (int)redis_reply_str(reply).len,
			       redis_reply_str(reply).data);
	if (redis_reply_count(reply) != 4 || kind.len != 8 || memcmp(kind.data, "pmessage", 8) != 0)
		return 0; /* of PSUBSCRIBE or PING */
	*ret = (struct subscription_message){reply, redis_reply_str(redis_reply_at(reply, 1)),
					     redis_reply_str(redis_reply_at(reply, 3))};
	return 1;
}

static int read_one(struct subscription *s, struct subscription_message *ret, struct err *err)
{
	for (;;) {
		_cleanup_reply_ struct redis_reply *reply = NULL;
		int rc = redis_receive(s->redis, &reply, err);

		if (rc <= 0)
			return rc;
		s->heard = clock_mono();
		s->pinged = 0;
		rc = take_message(reply, ret, err);
		if (rc == 1)
			reply = NULL; /* it is in *ret */
		if (rc != 0)
			return rc;
	}
}

/* Asks for a sign of life after a long silence. */
static int probe(struct subscription *s, usec_t after, struct err *err)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_URL_BYTES);
	usec_t now = clock_mono();

	if (after == 0)
		after = PING_AFTER;
	if (!redis_is_current(s->redis))
		return err_set(err, ERR_CLOSED, "another server is used now");
	if (s->pinged != 0 && now - s->pinged > PATIENCE)
		return err_set(err, ERR_TIMEOUT, "the connection that listens does not answer");
	if (s->pinged != 0 || now - s->heard < after)
		return 0;
	s->pinged = now;
	redis_command(&commands, "PING");
	return redis_send(s->redis, &commands, err);
}

int subscription_receive(struct subscription *s, usec_t health_check, int wake_fd, usec_t deadline,
			 struct subscription_message *ret, struct err *err)
{
	struct pollfd fds[2];
	int rc = read_one(s, ret, err); /* several may have come at once */

	if (rc == 0)
		rc = probe(s, health_check, err);
	if (rc != 0)
		return rc;
	fds[0] = (struct pollfd){.fd = redis_fd(s->redis), .events = POLLIN};
	fds[1] = (struct pollfd){.fd = wake_fd, .events = POLLIN};
	rc = poll(fds, 2, clock_left_ms(deadline));
	if (rc < 0 && errno != EINTR)
		return err_set_errno(err, ERR_FAILED, errno, "poll");
	return rc > 0 && fds[0].revents != 0 ? read_one(s, ret, err) : 0;
}

void subscription_escape(const char *channel, struct buf *out)
{
	for (; *channel != '\0'; channel++) {
		if (strchr("*?[]^\\", *channel) != NULL)
			buf_append_char(out, '\\');
		buf_append_char(out, *channel);
	}
}
