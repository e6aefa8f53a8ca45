/*
 * Waiting for messages: up to BROKER_WAKE_MAX connections of the consumer thread sleep in BLMOVE
 * from a list's right end to the same right end, which changes nothing and returns as soon as there
 * is something to take. Further lists are polled.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "redis_broker.h"

#define WAKE_PATIENCE	(5 * USEC_PER_SEC)    /* for the answer once a BLMOVE is over */
#define POLL_LISTS	(100 * USEC_PER_MSEC) /* lists without a connection of their own */
#define POLL_OLD_SERVER (20 * USEC_PER_MSEC)  /* all lists, where BLMOVE does not exist */

size_t broker_wake_count(const struct broker *b)
{
	size_t first_steps = b->inner + b->consumed;

	if (b->no_blmove)
		return 0;
	return first_steps < BROKER_WAKE_MAX ? first_steps : BROKER_WAKE_MAX;
}

/* Makes sure that a BLMOVE is outstanding on connection `i`. */
static int ask(struct broker *b, size_t i, struct err *err)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_URL_BYTES * 4);
	const char *key = b->lists[i]->key; /* the first step comes first */

	if (b->asked[i])
		return 0;
	redis_command(&commands, "BLMOVE %s %s RIGHT RIGHT %f", key, key,
		      (double)b->options.polling_interval / (double)USEC_PER_SEC);
	b->asked[i] = true;
	b->heard_at[i] = clock_mono();
	return redis_send(b->waking[i], &commands, err);
}

/* 1 when something is there, 0 when the sleep just ended. */
static int answered(struct broker *b, size_t i, struct err *err)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	int rc = redis_receive(b->waking[i], &reply, err);

	/* The answer is the message itself, which may be long. */
	b->heard_at[i] = clock_mono();
	if (rc <= 0)
		return rc;
	b->asked[i] = false;
	if (redis_reply_type(reply) == REDIS_ERROR) {
		struct slice text = redis_reply_str(reply);

		if (text.len >= 9 && memcmp(text.data, "WRONGTYPE", 9) == 0)
			return 1; /* the next claim says so, and it is not asked again */
		if (text.len < 11 || memcmp(text.data, "ERR unknown", 11) != 0)
			return err_set(err, ERR_FAILED, "Redis: %.*s", (int)text.len, text.data);
		log_warning("this Redis has no BLMOVE (6.2 and later do): lists are polled");
		b->no_blmove = true;
		return 1;
	}
	return redis_reply_type(reply) != REDIS_NIL;
}

/* A peer that vanished says nothing when the sleep is over either. */
static int check_awake(const struct broker *b, size_t i, struct err *err)
{
	usec_t patience = b->options.polling_interval + WAKE_PATIENCE;

	if (!b->asked[i] || clock_mono() - b->heard_at[i] <= patience)
		return 0;
	return err_set(err, ERR_TIMEOUT, "a waiting connection does not answer");
}

int redis_broker_wait(struct broker *b, int wake_fd, usec_t deadline, struct err *err)
{
	struct pollfd fds[BROKER_WAKE_MAX + 1];
	size_t count = broker_wake_count(b);
	bool polled = b->list_count > count;
	usec_t poll_at = clock_deadline(b->no_blmove ? POLL_OLD_SERVER : POLL_LISTS);
	int rc;

	b->dry = false; /* what it hears of, and what it does not wait for, is claimed next */
	for (size_t i = 0; i < count; i++) {
		rc = b->lists[i]->no_list ? 0 : ask(b, i, err);
		if (rc < 0)
			return rc;
		polled |= b->lists[i]->no_list;
		fds[i] = (struct pollfd){.fd = redis_fd(b->waking[i]), .events = POLLIN};
	}
	fds[count] = (struct pollfd){.fd = wake_fd, .events = POLLIN};
	if (deadline > poll_at && polled)
		deadline = poll_at;
	rc = poll(fds, count + 1, clock_left_ms(deadline));
	if (rc < 0 && errno != EINTR)
		return err_set_errno(err, ERR_FAILED, errno, "poll");
	for (size_t i = 0; i < count; i++) {
		int got = fds[i].revents != 0 ? answered(b, i, err) : check_awake(b, i, err);

		if (got < 0)
			return got;
	}
	return 0;
}
