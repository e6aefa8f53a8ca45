/*
 * broker.c: which kind of broker it is, by its URL, and its functions.
 */
#include <stdio.h>
#include <stdlib.h>

#include "amqp_broker.h"
#include "driver.h"
#include "mem.h"
#include "redis_broker.h"

/* The first that takes the URL; Redis says what is wrong with all others. */
static const struct broker_driver *const drivers[] = {&broker_driver_redis, &broker_driver_amqp};

static bool is_said(const char *url)
{
	return url != NULL && url[0] != '\0';
}

static const struct broker_driver *choose(const struct settings *s)
{
	const char *url = is_said(s->broker_read_url) ? s->broker_read_url : s->broker_url;

	for (size_t i = 0; i < ARRAY_LEN(drivers); i++) {
		if (drivers[i]->takes(url))
			return drivers[i];
	}
	return &broker_driver_redis;
}

bool broker_is_amqp(const struct settings *s)
{
	return choose(s) == &broker_driver_amqp;
}

int broker_reach(struct broker *b, usec_t deadline, char detail[64], struct err *err)
{
	(void)snprintf(detail, 64, "answers");
	return b->amqp ? amqp_broker_reach(b, deadline, detail, err) : 0;
}

int broker_open(const struct settings *s, struct broker **ret, struct err *err)
{
	struct broker *b = broker_new(choose(s));
	int rc = b->driver->open(b, s, err);

	if (rc < 0) {
		broker_close(b, 0);
		return rc;
	}
	*ret = b;
	return 0;
}

int broker_check_queues(const struct settings *s, struct err *err)
{
	struct broker *b = broker_new(choose(s));
	int rc = transport_options_read(s, TRANSPORT_BROKER, &b->options, NULL, err);

	if (rc == 0)
		rc = queue_defs_read(s, &b->defs, err);
	if (rc == 0)
		rc = broker_take_queues(b, s, err);
	broker_close(b, 0);
	return rc;
}

void broker_close(struct broker *b, usec_t deadline)
{
	if (b != NULL)
		b->driver->close(b, deadline);
}

void broker_place(const struct broker *b, struct broker_place *ret)
{
	b->driver->place(b, ret);
}

const struct redis_address *broker_address(const struct broker *b)
{
	return b->amqp ? NULL : &b->address;
}

const struct redis_address *broker_write_address(const struct broker *b)
{
	if (b->amqp != NULL)
		return NULL;
	return b->writing ? &b->write_address : &b->address;
}

struct redis_link *broker_link(struct broker *b)
{
	return b->amqp ? NULL : b->link;
}

struct amqp_client *broker_amqp(const struct broker *b)
{
	return b->amqp ? b->amqp->client : NULL;
}

const char *broker_where(const struct broker *b)
{
	return b->driver->where(b);
}

bool broker_ready(const struct broker *b)
{
	return b->driver->ready(b);
}

int broker_connect(struct broker *b, const struct presence *p, struct err *err)
{
	return b->driver->connect(b, p, err);
}

int broker_claim(struct broker *b, size_t max, struct delivery *ret, size_t *ret_count,
		 struct err *err)
{
	return b->driver->claim(b, max, ret, ret_count, err);
}

int broker_claim_ahead(struct broker *b, size_t max, struct err *err)
{
	return b->driver->claim_ahead != NULL ? b->driver->claim_ahead(b, max, err) : 0;
}

int broker_claim_answer(struct broker *b, struct delivery *ret, size_t *ret_count, struct err *err)
{
	return b->driver->claim_answer(b, ret, ret_count, err);
}

void broker_received(struct broker *b, const char *mark)
{
	b->driver->received(b, mark);
}

void broker_full(struct broker *b)
{
	if (b->driver->full != NULL)
		b->driver->full(b);
}

void broker_end_claims(struct broker *b)
{
	if (b->driver->end != NULL)
		b->driver->end(b);
}

bool broker_is_dry(const struct broker *b)
{
	return b->driver->is_dry != NULL && b->driver->is_dry(b);
}

int broker_wait(struct broker *b, int wake_fd, usec_t deadline, struct err *err)
{
	return b->driver->wait(b, wake_fd, deadline, err);
}

int broker_purge(struct broker *b, int64_t *ret_erased, struct err *err)
{
	return b->driver->purge(b, ret_erased, err);
}

void broker_interrupt(struct broker *b)
{
	b->driver->interrupt(b);
}

int broker_route_begin(struct broker *b, const struct presence *p, struct err *err)
{
	return b->driver->route_begin(b, p, err);
}

void broker_route_reach(struct broker *b, const char *engine, bool reached)
{
	b->driver->route_reach(b, engine, reached);
}

int broker_route(struct broker *b, struct broker_call *calls, size_t count, usec_t deadline,
		 enum broker_turn *ret_turn, struct err *err)
{
	return b->driver->route(b, calls, count, deadline, ret_turn, err);
}

int broker_route_return(struct broker *b, const struct broker_call *calls, size_t count,
			bool leaves, usec_t deadline, bool *ret_done, struct err *err)
{
	return b->driver->route_return(b, calls, count, leaves, deadline, ret_done, err);
}

void broker_route_pass(struct broker *b)
{
	b->driver->route_pass(b);
}

void broker_route_drain(struct broker *b, bool draining)
{
	b->driver->route_drain(b, draining);
}

int broker_route_leave(struct broker *b, const char *const *busy, size_t count, usec_t deadline,
		       int64_t *ret_moved, struct err *err)
{
	return b->driver->route_leave(b, busy, count, deadline, ret_moved, err);
}

bool broker_route_alone(const struct broker *b)
{
	return b->route.alone;
}

void broker_step_push(const struct broker *b, struct settle_steps *s, const char *queue,
		      int priority, char *envelope, size_t len)
{
	b->driver->step_push(b, s, queue, priority, envelope, len);
}

void broker_step_route(const struct broker *b, struct settle_steps *s, const char *exchange,
		       const char *routing_key, int priority, char *envelope, size_t len)
{
	b->driver->step_route(b, s, exchange, routing_key, priority, envelope, len);
}

void broker_step_once(const struct broker *b, struct settle_steps *s, const char *what)
{
	b->driver->step_once(b, s, what);
}

void broker_settle(struct broker *b, const struct settlement *s,
		   void (*done)(void *arg, const struct err *err), void *arg)
{
	b->driver->settle(b, s, done, arg);
}

int broker_begin(struct broker *b, const char *tag, const char *id, usec_t deadline, int64_t *ret,
		 struct err *err)
{
	return b->driver->begin(b, tag, id, deadline, ret, err);
}

void broker_step_begun(const struct broker *b, struct settle_steps *s, const char *id,
		       const char *tag)
{
	b->driver->step_begun(b, s, id, tag);
}

int broker_perform(struct broker *b, struct settle_steps *steps, usec_t deadline, struct err *err)
{
	return b->driver->perform(b, steps, deadline, err);
}

int broker_publish(struct broker *b, const char *queue, int priority, const char *envelope,
		   size_t len, usec_t deadline, struct err *err)
{
	return b->driver->publish(b, queue, priority, envelope, len, deadline, err);
}

bool broker_holds(struct broker *b, const struct delivery_ref *ref)
{
	return b->driver->holds(b, ref);
}

int broker_delay(struct broker *b, const struct delivery_ref *ref, usec_t due, struct err *err)
{
	return b->driver->delay(b, ref, due, err);
}

void broker_renew(struct broker *b, const struct delivery_ref *refs, size_t count,
		  void (*done)(void *arg), void *arg)
{
	b->driver->renew(b, refs, count, done, arg);
}

usec_t broker_renew_interval(const struct broker *b)
{
	return b->driver->renew_interval(b);
}

int broker_find_unacked(struct broker *b, const char *group_id, const struct str_list *accept,
			struct message **ret, struct err *err)
{
	return b->driver->find_unacked(b, group_id, accept, ret, err);
}

int broker_restore_dead(struct broker *b, const struct presence *p, bool own_only,
			int64_t *ret_restored, struct err *err)
{
	return b->driver->restore_dead(b, p, own_only, ret_restored, err);
}

int broker_restore_stale(struct broker *b, const struct presence *p, bool foreign_only,
			 int64_t *ret_restored, struct err *err)
{
	return b->driver->restore_stale(b, p, foreign_only, ret_restored, err);
}

int broker_trim_dead(struct broker *b, int64_t most, int64_t *ret_dropped, int64_t *ret_left,
		     struct err *err)
{
	return b->driver->trim_dead(b, most, ret_dropped, ret_left, err);
}

int broker_restore_lost(struct broker *b, const struct presence *p, uint64_t *held, size_t count,
			int64_t *ret_restored, struct err *err)
{
	return b->driver->restore_lost(b, p, held, count, ret_restored, err);
}

int broker_fetch(struct broker *b, const struct delivery_ref *refs, size_t count, usec_t deadline,
		 struct delivery *ret, struct err *err)
{
	return b->driver->fetch(b, refs, count, deadline, ret, err);
}

int broker_give_back(struct broker *b, const struct delivery_ref *refs, size_t count,
		     usec_t deadline, struct err *err)
{
	return b->driver->give_back(b, refs, count, deadline, err);
}
