/*
 * dead.h: the dead letters: messages that no worker could run, in the list celeriac:dead, each with
 * a line that says why, whence and when, or, on RabbitMQ without a Redis, in the queue
 * celeriac.dead. For an operator's commands; a worker only adds to them (SETTLE_DEAD). One
 * connection of its own, one owner.
 */
#ifndef CELERIAC_DEAD_H
#define CELERIAC_DEAD_H

#include <jansson.h>

#include "buf.h"
#include "err.h"
#include "settings.h"

#define DEAD_ID_SIZE 17

struct dead_letter {
	char id[DEAD_ID_SIZE]; /* of its bytes: the same as long as it lies there */
	int64_t place;	       /* how many older ones there are */
	size_t bytes;	       /* of the whole entry */
	json_t *said;	       /* {"reason", "queue", "at"}, or an empty object */
	char *message;	       /* as it came, or its beginning; NUL behind it */
	size_t len;
	bool whole;
};
void dead_letter_done(struct dead_letter *d);

struct dead;
/* ERR_UNAVAILABLE and what the settings of the broker can be. */
int dead_open(const struct settings *s, struct dead **ret, struct err *err) must_check;
void dead_close(struct dead *d);

/* Called for each, the oldest first; what it is given lives until it returns. Not 0 = enough. */
typedef int dead_each_fn(void *arg, const struct dead_letter *letter);
/* Of each only the first `shown` bytes are read, of the line before it, too: with 0 nothing but its
 * id is known. Those that come meanwhile come last. */
#define DEAD_SHOWN (64 << 10)
int dead_each(struct dead *d, int shown, dead_each_fn *fn, void *arg, struct err *err) must_check;
/* The one of that id, as a whole; given (dead_letter_done). ERR_NOTFOUND. Quick for who asks for
 * them in their order, also when it takes them away. */
int dead_find(struct dead *d, const char *id, struct dead_letter *ret, struct err *err) must_check;
/* Back to the queue it came from, as the last there, at its priority: one step on Redis, at least
 * once on RabbitMQ. What was on a
 * node's own list goes to whichever node comes first. ERR_NOTFOUND: it is gone; ERR_INVALID: no
 * queue is known, or one on a fanout exchange. *ret_queue is given. */
int dead_requeue(struct dead *d, const struct dead_letter *letter, char **ret_queue,
		 struct err *err) must_check;
/* ERR_NOTFOUND: it is gone. */
int dead_drop(struct dead *d, const struct dead_letter *letter, struct err *err) must_check;

#endif
