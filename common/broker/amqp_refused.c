/*
 * amqp_refused.c: queues that RabbitMQ does not let us have, which keep us from no others. Where
 * Celery's worker ends.
 */
#include "amqp_broker.h"

#include "clock.h"
#include "log.h"

#define MAKE_AGAIN (10 * USEC_PER_SEC)
/* Where being refused costs us the deliveries of all others: at first, then twice as long. */
#define COSTLY_AGAIN (30 * USEC_PER_SEC)
#define DOUBLINGS    7 /* an hour */

/* For good: it was declared otherwise or cannot be, is somebody else's, or may not be ours. */
static bool is_refusal(int rc, const struct err *err)
{
	return (rc == -ERR_CONFLICT || rc == -ERR_DENIED || rc == -ERR_INVALID ||
		rc == -ERR_UNSUPPORTED) &&
	       !err_is_transient(err);
}

/* What is refused to a consumer ends its channel. With command-invalid, not-implemented and
 * internal-error, as RabbitMQ 4.3 answers to a transient queue, the server ends the connection. */
static bool is_costly(int rc, bool consuming)
{
	return consuming || rc == -ERR_INVALID || rc == -ERR_UNSUPPORTED;
}

bool amqp_refuse(struct broker *b, size_t i, int rc, bool consuming, const struct err *err)
{
	struct amqp_refused *r = &b->amqp->refused[i];
	usec_t again = MAKE_AGAIN;

	if (!is_refusal(rc, err))
		return false;
	if (is_costly(rc, consuming)) {
		again = COSTLY_AGAIN << r->costly;
		r->costly += r->costly < DOUBLINGS;
	}
	r->again_at = clock_deadline(again);
	if (!atomic_exchange(&b->queues[i]->refused, true))
		log_error("queue %s cannot be consumed: %s. Others are meanwhile.",
			  b->queues[i]->name, err->msg);
	return true;
}

void amqp_admit(struct broker *b, size_t i)
{
	b->amqp->refused[i] = (struct amqp_refused){0};
	if (atomic_exchange(&b->queues[i]->refused, false))
		log_info("queue %s can be consumed", b->queues[i]->name);
}

bool amqp_is_put_off(const struct broker *b, size_t i)
{
	return atomic_load(&b->queues[i]->refused) && clock_mono() < b->amqp->refused[i].again_at;
}

void amqp_put_off_none(struct broker *b)
{
	for (size_t i = 0; i < BOUND_QUEUES; i++)
		b->amqp->refused[i].again_at = 0;
}
