/*
 * fanout_driver.h: a kind of broker, as fanout.c sends to everybody by it.
 */
#ifndef CELERIAC_FANOUT_DRIVER_H
#define CELERIAC_FANOUT_DRIVER_H

#include "fanout.h"

struct fanout {
	const struct fanout_driver *driver;
	void *own; /* the driver's */
};

/* As in fanout.h. */
struct fanout_driver {
	/* Makes f->own. */
	int (*open)(struct fanout *f, const struct settings *s, const struct fanout_place *place,
		    struct err *err);
	/* Frees f->own, which may be NULL. */
	void (*close)(struct fanout *f, usec_t deadline);
	void (*publish)(struct fanout *f, const char *exchange, const char *routing_key,
			struct slice envelope);
	size_t (*backlog)(const struct fanout *f);
	bool (*up)(const struct fanout *f);
	void (*reply)(struct fanout *f, const char *exchange, const char *routing_key,
		      struct slice envelope);
	/* NULL: nobody has to be told. */
	void (*bind)(struct fanout *f, const struct fanout_binding *b);
	void (*unbind)(struct fanout *f, const struct fanout_binding *b);
	void (*prepare)(struct fanout *f, const char *exchange); /* NULL: there is nothing to do */
	int (*listen)(struct fanout *f, const struct fanout_mailbox *m, struct err *err);
	int (*receive)(struct fanout *f, int wake_fd, usec_t deadline, char **ret, size_t *ret_len,
		       struct err *err);
};

extern const struct fanout_driver fanout_redis, fanout_amqp;

#endif
