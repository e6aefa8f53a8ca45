/*
 * subscription.h: one connection that listens to channels by patterns (PSUBSCRIBE), and finds out
 * when nobody is at its other end. For the thread that opened it.
 */
#ifndef CELERIAC_SUBSCRIPTION_H
#define CELERIAC_SUBSCRIPTION_H

#include "buf.h"
#include "err.h"
#include "redis.h"

struct subscription {
	struct redis *redis; /* NULL: closed */
	usec_t heard;	     /* monotonic: last sign of life */
	usec_t pinged;	     /* 0 = none outstanding */
};

/* What was published. The slices are in `reply`. */
struct subscription_message {
	struct redis_reply *reply; /* given */
	struct slice pattern, data;
};

/* Connects; closes the one before. To be called again after an error of any below. */
int subscription_open(struct subscription *s, const struct redis_address *address,
		      const char *client_name, struct err *err) must_check;
void subscription_close(struct subscription *s);
/* Begins to listen, or ends it. Does not wait. */
int subscription_add(struct subscription *s, const char *pattern, struct err *err) must_check;
int subscription_remove(struct subscription *s, const char *pattern, struct err *err) must_check;
/* Waits until there is a message, `wake_fd` is readable or the monotonic `deadline`; 1 and a
 * message, 0, or an error. It asks for a sign of life after `health_check` of silence (0 = 2 s). */
int subscription_receive(struct subscription *s, usec_t health_check, int wake_fd, usec_t deadline,
			 struct subscription_message *ret, struct err *err) must_check;

/* The name of a channel as a pattern that matches it alone. Pure. */
void subscription_escape(const char *channel, struct buf *out);

#endif
