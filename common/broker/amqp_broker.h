/*
 * amqp_broker.h: what the files of the RabbitMQ broker share. Messages come by one client's
 * connection; what needs steps of its own (dead letters, deliveries that begin) is in the Redis
 * that a deployment shares, by the broker's link. Without one (`link` NULL) dead letters are in a
 * queue, and how often a message began is not counted.
 *
 * The server counts a delivery as ours as long as the connection lives that it came by. So what we
 * hold is a table of our own, with the messages: it is empty again after an outage, and everything
 * in it comes anew.
 */
#ifndef CELERIAC_AMQP_BROKER_H
#define CELERIAC_AMQP_BROKER_H

#include "amqp.h"
#include "amqp_topology.h"
#include "redis_broker.h"

/* Without a Redis: what no worker could run. */
#define AMQP_DEAD_QUEUE "celeriac.dead"

/* A delivery that is not settled. */
struct amqp_held;

/* One that is not handed out yet. */
struct amqp_pending {
	struct amqp_delivery delivery;
	char mark[BROKER_MARK_SIZE]; /* "" unless it came before */
	int64_t taken;		     /* and how often nobody lived to read it */
};

struct amqp_known; /* a queue that is there, as far as we know */

struct amqp_broker {
	struct amqp_address *address;
	struct amqp_client *client;
	int news_fd;		      /* eventfd: `outages` has risen */
	atomic_uint_fast64_t outages; /* of consuming, and of single queues */
	usec_t connect_timeout;
	int heartbeat;	  /* seconds, as asked for */
	bool external;	  /* login */
	int64_t dead_max; /* of the queue of dead letters; 0 = any number */

	struct mutex lock;
	struct amqp_held *held;		    /* guarded by lock: by number */
	atomic_size_t held_count, own_held; /* all of them; of our own queue (amqp_route.c) */
	struct amqp_known *known;	    /* guarded by lock */

	/* the consumer thread's */
	uint64_t seen;		      /* of `outages`, when everything was declared last */
	bool told;		      /* that there is a connection */
	uint32_t prefetch;	      /* of each consumer; 0: nothing is consumed yet … */
	uint32_t own_prefetch;	      /* … of that of our own queue */
	struct amqp_pending *pending; /* from pending_at on */
	size_t pending_at, pending_count;
	size_t room;		      /* for more than the last claim gave */
	bool consuming[BOUND_QUEUES]; /* by the table of queues */
	struct amqp_refused {
		usec_t again_at; /* it is asked for again */
		int costly;	 /* refusals in a row, amqp_refused.c */
	} refused[BOUND_QUEUES];
	char *queue_prefix; /* of our own queues on fanout exchanges */
	bool cascade;	    /* it is there */
};

/* ---- amqp_broker.c ---- */
int amqp_broker_reach(struct broker *b, usec_t deadline, char detail[64],
		      struct err *err) must_check;

/* ---- amqp_held.c [any] ---- */
/* Takes `data`. Returns its number. */
uint64_t amqp_held_add(struct broker *b, struct amqp_ref ref, char *data, size_t len);
/* Of a call that another node sent on, or we to ourselves. */
struct amqp_way {
	char *queue; /* from which it was taken first; NULL: it was not sent on */
	int hops;
	int64_t deliveries; /* before, as a quorum queue counts them */
};
/* Takes what `way` has. */
void amqp_held_came(struct broker *b, uint64_t number, struct amqp_way *way);
/* *ret_queue (may be NULL) is given, NULL when it was not sent on; nothing changes when it is not
 * held. */
void amqp_held_way(struct broker *b, uint64_t number, char **ret_queue, int *ret_hops);
int64_t amqp_held_deliveries(struct broker *b, uint64_t number);
bool amqp_held_ref(struct broker *b, uint64_t number, struct amqp_ref *ret);
bool amqp_held_has(struct broker *b, uint64_t number);
/* A copy; false when it is not held any more. */
bool amqp_held_copy(struct broker *b, uint64_t number, char **ret, size_t *ret_len);
/* The end of it; `ret` (may be NULL) is given. */
bool amqp_held_take(struct broker *b, uint64_t number, struct amqp_ref *ret_ref, char **ret,
		    size_t *ret_len);
/* All of them are the server's again. */
void amqp_held_forget(struct broker *b);
/* Of a tag of ours. */
uint64_t amqp_tag_number(const char *tag);

/* ---- amqp_refused.c [consumer] ---- */
/* Notes that queue `i` was refused, to be made or to be `consuming`; false when that is not for
 * good. */
bool amqp_refuse(struct broker *b, size_t i, int rc, bool consuming, const struct err *err);
void amqp_admit(struct broker *b, size_t i);
/* It was refused a moment ago. */
bool amqp_is_put_off(const struct broker *b, size_t i);
void amqp_put_off_none(struct broker *b);

/* ---- amqp_queues.c ---- */
/* By what name the server knows a queue: those on fanout exchanges are one for each node. Given. */
char *amqp_queue_name(const struct broker *b, const char *queue);
bool amqp_queue_is(const struct broker *b, const char *queue, const char *name);
/* Makes it with its exchange, unless we know it to be there. [any, blocks] */
int amqp_queue_ensure(struct broker *b, const char *queue, usec_t deadline,
		      struct err *err) must_check;
/* Ready messages; 0 as well where there is no such queue. [any, blocks] */
int amqp_queue_messages(struct amqp_client *c, const char *name, usec_t deadline, uint32_t *ret,
			struct err *err) must_check;
/* The queue of a node. */
int amqp_node_queue_ensure(struct broker *b, const char *name, usec_t deadline,
			   struct err *err) must_check;
int amqp_exchange_ensure(struct broker *b, const char *exchange, usec_t deadline,
			 struct err *err) must_check;
/* It may be gone. */
void amqp_known_forget(struct broker *b);
/* Makes what is consumed, and ends what is not any more. [consumer] */
int amqp_queues_declare(struct broker *b, usec_t deadline, struct err *err) must_check;
/* Lets so many more deliveries come from each queue than are held. [consumer] */
int amqp_queues_consume(struct broker *b, size_t room, usec_t deadline, struct err *err) must_check;
/* Nothing more comes from queues of tasks until the next claim. What others could run should not
 * wait for us, and the windows of those queues know nothing of what we have of our own. [consumer]
 */
void amqp_queues_pause(struct broker *b);
void amqp_broker_full(struct broker *b);
void amqp_broker_end(struct broker *b);
/* The way for messages of `queue` through the cascade. [consumer] */
int amqp_queue_delays(struct broker *b, const char *queue, usec_t deadline,
		      struct err *err) must_check;
int amqp_broker_purge(struct broker *b, int64_t *ret_erased, struct err *err) must_check;

/* ---- amqp_claim.c ---- */
int amqp_broker_connect(struct broker *b, const struct presence *p, struct err *err) must_check;
int amqp_broker_claim(struct broker *b, size_t max, struct delivery *ret, size_t *ret_count,
		      struct err *err) must_check;
int amqp_broker_wait(struct broker *b, int wake_fd, usec_t deadline, struct err *err) must_check;
int amqp_broker_fetch(struct broker *b, const struct delivery_ref *refs, size_t count,
		      usec_t deadline, struct delivery *ret, struct err *err) must_check;
int amqp_broker_give_back(struct broker *b, const struct delivery_ref *refs, size_t count,
			  usec_t deadline, struct err *err) must_check;

/* ---- amqp_taken.c [consumer] ---- */
/* Takes up to `max` from the client unless some are left. */
void amqp_pending_fill(struct broker *b, size_t max);
/* The next, or NULL. */
struct amqp_pending *amqp_pending_next(struct broker *b);
/* All that are left; the server's again, or it has them already. */
void amqp_pending_drop(struct broker *b, bool give_back);
/* How many of them are handed out now, at most `max`: those that came before are counted. Blocks.
 */
size_t amqp_pending_choose(struct broker *b, size_t max);
void amqp_broker_received(struct broker *b, const char *mark);
/* How often a quorum queue says that it was delivered before; 0 as well when it says nothing. Pure.
 */
int64_t amqp_delivery_count(const struct amqp_delivery *d);

/* ---- amqp_route.c, amqp_adopt.c; all but what is of driver.h only while calls are routed ---- */
#define AMQP_WAY_HEADER "x-celeriac-way"
/* Of the one whose calls wait there. Given. */
char *amqp_node_queue(const struct broker *b, const char *node);
/* Takes the header of a call that was sent on, where it may be believed, and puts back where the
 * call came from. */
void amqp_way_take(struct broker *b, struct amqp_delivery *d, struct amqp_way *ret);
/* Nobody moves our own queue now. Blocks. [consumer] */
bool amqp_route_may_consume(struct broker *b);
int amqp_broker_route_begin(struct broker *b, const struct presence *p, struct err *err) must_check;
void amqp_broker_route_reach(struct broker *b, const char *engine, bool reached);
int amqp_broker_route(struct broker *b, struct broker_call *calls, size_t count, usec_t deadline,
		      enum broker_turn *ret_turn, struct err *err) must_check;
void amqp_broker_route_drain(struct broker *b, bool draining);
int amqp_broker_route_leave(struct broker *b, const char *const *busy, size_t count,
			    usec_t deadline, int64_t *ret_moved, struct err *err) must_check;
int amqp_broker_restore_dead(struct broker *b, const struct presence *p, bool own_only,
			     int64_t *ret_restored, struct err *err) must_check;

/* ---- amqp_settle.c ---- */
void amqp_broker_step_push(const struct broker *b, struct settle_steps *s, const char *queue,
			   int priority, char *envelope, size_t len);
void amqp_broker_step_route(const struct broker *b, struct settle_steps *s, const char *exchange,
			    const char *routing_key, int priority, char *envelope, size_t len);
void amqp_broker_settle(struct broker *b, const struct settlement *s,
			void (*done)(void *arg, const struct err *err), void *arg);
int amqp_broker_perform(struct broker *b, struct settle_steps *steps, usec_t deadline,
			struct err *err) must_check;
int amqp_broker_publish(struct broker *b, const char *queue, int priority, const char *envelope,
			size_t len, usec_t deadline, struct err *err) must_check;
int amqp_broker_begin(struct broker *b, const char *tag, const char *id, usec_t deadline,
		      int64_t *ret, struct err *err) must_check;
int amqp_broker_delay(struct broker *b, const struct delivery_ref *ref, usec_t due,
		      struct err *err) must_check;

#endif
