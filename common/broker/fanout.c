/*
 * The front of what sends to everybody: which kind of broker it is. See fanout.h.
 */
#include <stdlib.h>

#include "amqp_topology.h"
#include "fanout_driver.h"
#include "mem.h"

int fanout_open(const struct settings *s, const struct fanout_place *place, struct fanout **ret,
		struct err *err)
{
	static const struct fanout_place unsaid;
	struct fanout *f = xcalloc(1, sizeof(*f));
	int rc;

	if (place == NULL)
		place = &unsaid;
	f->driver = place->amqp != NULL || (place->redis == NULL && amqp_is_url(s->broker_url))
			    ? &fanout_amqp
			    : &fanout_redis;
	rc = f->driver->open(f, s, place, err);
	if (rc < 0) {
		fanout_close(f, 0);
		return rc;
	}
	*ret = f;
	return 0;
}

int fanout_check(const struct settings *s, struct err *err)
{
	if (s->control_queue_durable && s->control_queue_exclusive)
		return err_set(err, ERR_INVALID,
			       "CELERY_CONTROL_QUEUE_DURABLE and CELERY_CONTROL_QUEUE_EXCLUSIVE "
			       "cannot both be true: an exclusive queue goes with its connection");
	return 0;
}

void fanout_close(struct fanout *f, usec_t deadline)
{
	if (f == NULL)
		return;
	f->driver->close(f, deadline);
	free(f);
}

void fanout_publish(struct fanout *f, const char *exchange, const char *routing_key,
		    struct slice envelope)
{
	f->driver->publish(f, exchange, routing_key, envelope);
}

size_t fanout_backlog(const struct fanout *f)
{
	return f->driver->backlog(f);
}

bool fanout_up(const struct fanout *f)
{
	return f->driver->up(f);
}

void fanout_reply(struct fanout *f, const char *exchange, const char *routing_key,
		  struct slice envelope)
{
	f->driver->reply(f, exchange, routing_key, envelope);
}

void fanout_bind(struct fanout *f, const struct fanout_binding *b)
{
	if (f->driver->bind != NULL)
		f->driver->bind(f, b);
}

void fanout_unbind(struct fanout *f, const struct fanout_binding *b)
{
	if (f->driver->unbind != NULL)
		f->driver->unbind(f, b);
}

void fanout_prepare(struct fanout *f, const char *exchange)
{
	if (f->driver->prepare != NULL)
		f->driver->prepare(f, exchange);
}

int fanout_listen(struct fanout *f, const struct fanout_mailbox *m, struct err *err)
{
	return f->driver->listen(f, m, err);
}

int fanout_receive(struct fanout *f, int wake_fd, usec_t deadline, char **ret, size_t *ret_len,
		   struct err *err)
{
	return f->driver->receive(f, wake_fd, deadline, ret, ret_len, err);
}
