/*
 * amqp_topology.h: what exists in RabbitMQ for tasks: queues with their exchanges, the mailbox of
 * remote control, and the cascade of queues that holds messages back (native delayed delivery of
 * Celery 5.5, kombu/transport/native_delayed_delivery.py). All may be repeated; each blocks until
 * the monotonic `deadline`. [any but the client's owner thread]
 */
#ifndef CELERIAC_AMQP_TOPOLOGY_H
#define CELERIAC_AMQP_TOPOLOGY_H

#include "amqp.h"

struct amqp_task_queue {
	const char *name;
	const char *exchange; /* "" = the anonymous one, to which every queue is bound */
	const char *type;     /* of it: direct, topic, fanout */
	const char *routing_key;
	bool durable, exclusive, auto_delete;
	const json_t
		*arguments; /* x-max-priority, x-queue-type, x-dead-letter-exchange …; or NULL */
};
/* A queue that is there is taken as it is, whatever it was declared with, for others may have said
 * it otherwise; so is its exchange. What is missing is made, and bound. *ret_made (may be NULL):
 * the queue was not there. */
int amqp_topology_queue(struct amqp_client *c, const struct amqp_task_queue *q, usec_t deadline,
			bool *ret_made, struct err *err) must_check;

/* An exchange that is there is taken as it is; one that is missing is made. */
int amqp_topology_exchange(struct amqp_client *c, const char *name, const char *type, bool durable,
			   usec_t deadline, struct err *err) must_check;

/* The fanout exchange of remote control ("celery.pidbox", which Python's clients make as well) and
 * our queue of it; *ret has its name. `exclusive` is what every server from RabbitMQ 3.10 to 4.3
 * accepts; after a quick restart the server may keep the one before for a moment: ERR_CONFLICT,
 * which says as well that it is there with other properties. */
struct amqp_mailbox {
	const char *exchange;
	const char *queue; /* "" = the server chooses a name */
	bool exclusive, durable;
	int64_t ttl;	 /* milliseconds that a request waits for its worker; 0 = for ever */
	int64_t expires; /* … and the queue for its consumer; 0 = for ever */
};
int amqp_topology_mailbox(struct amqp_client *c, const struct amqp_mailbox *m, usec_t deadline,
			  struct amqp_queue_state *ret, struct err *err) must_check;

/* ---- messages that are held back ---- */
#define AMQP_DELAY_EXCHANGE "celery_delayed_27" /* where they are published */
#define AMQP_DELAY_MOST	    ((1 << 28) - 1)	/* seconds: eight and a half years */

/* Whether Celery would hold back messages so: one of the queues is a quorum queue by its arguments.
 * Pure. */
bool amqp_is_quorum(const json_t *arguments);
/* Appends the routing key of a message for `routing_key` in `seconds` (1 to AMQP_DELAY_MOST); that
 * of one which was held back before is taken for what it stands for. ERR_TOOBIG: longer than AMQP's
 * 255 bytes. Pure. */
int amqp_delay_key(int64_t seconds, const char *routing_key, struct buf *out,
		   struct err *err) must_check;
/* The cascade of 28 exchanges and queues, of "quorum" or "classic" queues, as Celery's worker makes
 * it. */
int amqp_topology_delay(struct amqp_client *c, const char *queue_type, usec_t deadline,
			struct err *err) must_check;
/* What comes out of the cascade for this queue goes to it. False in *ret_bound for a direct
 * exchange, which cannot take it. */
int amqp_topology_delay_queue(struct amqp_client *c, const struct amqp_task_queue *q,
			      usec_t deadline, bool *ret_bound, struct err *err) must_check;

#endif
