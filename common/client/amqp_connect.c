/*
 * amqp_connect.c: the connector threads of a client.
 *
 * They are apart so that the owner keeps its other connection while a connect or a name lookup
 * takes its time.
 */
#include <stdlib.h>

#include "amqp_client.h"
#include "backoff.h"
#include "clock.h"
#include "mem.h"

/* Waits until a connection is wanted and the pause is over; false when the client ends. */
static bool await_order(struct slot *s, usec_t *delay)
{
	struct amqp_client *c = s->client;
	usec_t until;
	bool quit;

	mutex_lock(&c->lock);
	while (!s->wanted && !s->quit)
		cond_wait(&s->connector_news, &c->lock);
	if (s->at_once)
		*delay = 0;
	s->at_once = false;
	until = clock_deadline(*delay > 0 ? backoff_jitter(*delay) : 0);
	while (!s->quit && *delay > 0)
		if (!cond_wait_until(&s->connector_news, &c->lock, until))
			break;
	quit = s->quit;
	mutex_unlock(&c->lock);
	return !quit;
}

static void hand_over(struct slot *s, struct amqp_conn *made, const struct err *failure)
{
	struct amqp_client *c = s->client;
	bool wake;

	mutex_lock(&c->lock);
	if (made) {
		s->wanted = false;
		s->made = made;
		c->peer = made->peer;
		free(TAKE(c->trouble));
	} else {
		free(s->made_error);
		s->made_error = xmalloc(sizeof(*failure));
		*s->made_error = *failure;
		free(c->trouble);
		c->trouble = xmalloc(sizeof(*failure));
		*c->trouble = *failure;
	}
	wake = amqp_client_news_locked(c);
	mutex_unlock(&c->lock);
	if (wake)
		amqp_client_wake(c);
}

void *amqp_client_connector_main(void *arg)
{
	struct slot *s = arg;
	usec_t delay = 0;

	while (await_order(s, &delay)) {
		struct amqp_conn *made = NULL;
		struct err err;
		int rc = amqp_conn_open(s->client->address, s->client->name, s->role,
					s->client->cancel_fd, &made, &err);

		if (rc == -ERR_CANCELLED)
			break;
		hand_over(s, made, &err);
		delay = backoff_next(delay, RETRY_MAX);
	}
	return NULL;
}
