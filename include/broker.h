/*
 * broker.h: the queue of messages: Redis as kombu lays it out (kombu/transport/redis.py), or
 * RabbitMQ. The URL says which (common/broker/driver.h).
 *
 * Of Redis: taking a message and recording it as unacked is one atomic step, in a script that never
 * parses it. Each delivery gets a fresh tag of our own, "celeriac:<node>@<epoch>:<priority
 * step>:<number>", so that a later ack can never touch somebody else's delivery, and so that whose
 * it was can be told after a crash. The consumer thread owns the claiming half; settling and
 * publishing go through a link from any thread.
 */
#ifndef CELERIAC_BROKER_H
#define CELERIAC_BROKER_H

#include "backend.h"
#include "bounds.h"
#include "err.h"
#include "message.h"
#include "presence.h"
#include "redis.h"
#include "settings.h"

struct broker;
struct amqp_client;

#define BROKER_TAG_SIZE	 224
#define BROKER_MARK_SIZE 41

/* A delivery to this life of ours, without its payload: what is enough to find it again. */
struct delivery_ref {
	const char *queue; /* borrowed from the broker */
	uint64_t number;   /* of the tag: rises with every message that is taken */
	int step;	   /* priority step of the list it came from */
};

struct delivery {
	char tag[BROKER_TAG_SIZE];
	struct delivery_ref ref;
	const char *queue; /* the same as in `ref` */
	char *data;	   /* given: free */
	size_t len;
	/* For broker_received, of what says that it was delivered before, wherever it says so; or
	 * "" */
	char mark[BROKER_MARK_SIZE];
};

/* Parses URL and options and starts the link; needs no server yet. [init] */
int broker_open(const struct settings *s, struct broker **ret, struct err *err) must_check;
/* Names the lists of what comes from fanout exchanges after our node, and begins to consume those.
 * Before the consumer begins. [init] */
int broker_join(struct broker *b, const struct settings *s, const struct presence *p,
		struct err *err) must_check;
/* Whether the queues of the settings can be consumed; no server is asked. [init] */
int broker_check_queues(const struct settings *s, struct err *err) must_check;
/* Waits for what was handed over until `deadline`. */
void broker_close(struct broker *b, usec_t deadline);
/* Where messages are taken from when that is a Redis; else NULL. */
const struct redis_address *broker_address(const struct broker *b);
/* Where messages are sent to: the same unless broker_write_url is another server. Then follow-ups
 * and settlement are two steps, at least once. NULL as before. */
const struct redis_address *broker_write_address(const struct broker *b);
struct redis_link *broker_link(struct broker *b); /* NULL as before */
/* The client whose connections messages come by when the broker is a RabbitMQ; else NULL. Borrowed;
 * it lives as long as the broker. */
struct amqp_client *broker_amqp(const struct broker *b);
/* What kombu says of a connection. Borrowed; no password is in it. */
struct broker_place {
	const char *transport; /* "redis", "amqp" */
	const char *host;
	int port;
	const char *user;  /* or NULL */
	const char *vhost; /* of Redis the database as text */
	bool tls;
	const char *login_method; /* or NULL */
	double heartbeat;	  /* seconds */
	char text[24];		  /* where `vhost` may be */
};
void broker_place(const struct broker *b, struct broker_place *ret);
/* All its servers, for messages. */
const char *broker_where(const struct broker *b);
bool broker_ready(const struct broker *b);
/* Whether messages are in RabbitMQ by the settings. Pure. */
bool broker_is_amqp(const struct settings *s);
/* Of RabbitMQ: waits until there is a connection for consuming, at most until `deadline`; `detail`
 * says what was reached. Of Redis nothing is waited for. */
int broker_reach(struct broker *b, usec_t deadline, char detail[64], struct err *err) must_check;

/* ---- the consumer thread ---- */
/* Connects for claiming. To be called again after any error below. */
int broker_connect(struct broker *b, const struct presence *p, struct err *err) must_check;
/* Takes up to `max` (at most BOUND_CLAIM_BATCH) messages in the order of kombu: priority first,
 * then queue, queues in turn. One round trip. Never waits. A message that was delivered before is
 * counted until broker_received; one that was taken redelivery_limit times and never received goes
 * to celeriac:dead: whoever takes it does not live to read it. */
int broker_claim(struct broker *b, size_t max, struct delivery *ret, size_t *ret_count,
		 struct err *err) must_check;
/* Asks for at most `max` more and does not wait: the server is at work while what came before is
 * received. 1: the answer is to be taken next, before anything else that is the consumer's. 0:
 * nothing was asked, where messages come by themselves, or are calls that are routed claim by
 * claim. [consumer] */
int broker_claim_ahead(struct broker *b, size_t max, struct err *err) must_check;
/* As broker_claim, of what broker_claim_ahead asked for. [consumer] */
int broker_claim_answer(struct broker *b, struct delivery *ret, size_t *ret_count,
			struct err *err) must_check;
/* Whoever took the delivery with this mark has read it, and lives. Through the link, not waiting.
 */
void broker_received(struct broker *b, const char *mark);
/* There is no room for more until the next claim: a server that hands out without being asked is
 * told, where others should not wait for us. */
void broker_full(struct broker *b);
/* Nothing is claimed any more: what such a server has handed out and nobody took is others'. Blocks
 * for moments. [after the consumer's end] */
void broker_end_claims(struct broker *b);
/* The last claim saw the end of every list: broker_wait hears of what comes, without another claim
 * before. */
bool broker_is_dry(const struct broker *b);
/* Waits until a message may be there, `wake_fd` is readable or the monotonic `deadline`. Takes
 * nothing. */
int broker_wait(struct broker *b, int wake_fd, usec_t deadline, struct err *err) must_check;
/* Begins to consume `queue`: 1, or 0 when it was consumed already. ERR_TOOBIG. broker_connect must
 * follow a change. */
int broker_add_queue(struct broker *b, const char *queue, struct err *err) must_check;
/* Ends it; what was taken from it stays what it is. False when it was not consumed. Likewise. */
bool broker_cancel_queue(struct broker *b, const char *queue);
/* Empties the lists of all queues that are consumed. Blocks. [init] */
int broker_purge(struct broker *b, int64_t *ret_erased, struct err *err) must_check;

/* ---- any thread ---- */
/* Breaks the consumer thread's connections under it: what waits for one of them fails, and
 * broker_connect makes new ones. */
void broker_interrupt(struct broker *b);
/* The names of what is consumed now; they live as long as the broker. Returns how many. */
size_t broker_queues(const struct broker *b, const char *names[BOUND_QUEUES]);
bool broker_consumes(const struct broker *b, const char *queue);
/* The next one, from *at = 0 on, that the server does not let us have, whatever is tried; the
 * others are consumed meanwhile. NULL: no more. [any] */
const char *broker_next_refused(const struct broker *b, size_t *at);

/*
 * ---- calls of conversations (route.c) ----
 * Whichever node takes a call, the one that has its conversation gets it, in the order in which
 * calls were taken from the queues. Nodes of one deployment find each other in the server that
 * messages are taken from.
 */
/* From now on what is routed to our node is consumed before all else. After broker_join, before the
 * consumer begins. [init] */
int broker_route_begin(struct broker *b, const struct presence *p, struct err *err) must_check;
/* The engine of that name, as the index of conversations has it, is within our reach, or not.
 * Before broker_route_leave. [any] */
void broker_route_reach(struct broker *b, const char *engine, bool reached);
enum broker_routed {
	BROKER_CALL_OURS,  /* to be run here; recorded as `ours` and `new_tag` from now on */
	BROKER_CALL_MOVED, /* to `node`, which may be ourselves, or "*", whoever is next:
			       it comes again */
	BROKER_CALL_GONE   /* somebody put it back */
};
struct broker_call {
	const char *tag, *conversation; /* borrowed; plain text of BOUND_CONVERSATION_ID_BYTES */
	/* Of its container; "" = it has none; NULL = its entry in the index of conversations is
	 * where calls are routed. */
	const char *engine;
	struct delivery_ref ref;
	enum broker_routed routed;
	struct delivery_ref ours;
	char new_tag[BROKER_TAG_SIZE];
	char node[128];
};
enum broker_turn {
	BROKER_TURN_OURS,   /* they are routed */
	BROKER_TURN_OTHERS, /* others have to route first what they took before: to be asked again
			     */
	BROKER_TURN_BACK    /* these never will: broker_route_return */
};
/* For everything that the last claim gave and that is a call of a conversation, in its order. May
 * be repeated after an error. Asked over broker_claim's connection; where that one fails, over that
 * of everything else, until `deadline`. [consumer] */
int broker_route(struct broker *b, struct broker_call *calls, size_t count, usec_t deadline,
		 enum broker_turn *ret_turn, struct err *err) must_check;
/* Puts the same calls back where they came from, unrouted, when those who took theirs later have
 * done so: then *ret_done is true, and all come again in their order. Where that is not wanted
 * (`leaves`), only if somebody before us is dead for certain, or gives his back. May be repeated
 * after an error. Blocks until `deadline`. [consumer] */
int broker_route_return(struct broker *b, const struct broker_call *calls, size_t count,
			bool leaves, usec_t deadline, bool *ret_done, struct err *err) must_check;
/* There was none among them: others need not wait. Does not wait. [consumer] */
void broker_route_pass(struct broker *b);
/* Whether what is routed to us, and what is everybody's, is not taken any more: calls that we take
 * from queues go to others then, or wait for them. Together with broker_route_leave. [consumer] */
void broker_route_drain(struct broker *b, bool draining);
/* Conversations are anybody's from now on, and what waits for us is the next to be taken by others,
 * but for those that we are `busy` with. To be called again with fewer of them, or none, when that
 * is over: each time, calls of those that are left have come one hop further. Nothing is claimed
 * any more, or the worker is drained. [main, consumer] */
int broker_route_leave(struct broker *b, const char *const *busy, size_t count, usec_t deadline,
		       int64_t *ret_moved, struct err *err) must_check;

/* At the last leaving nobody was there who could take them, and nothing has changed. As it. */
bool broker_route_alone(const struct broker *b);

/* ---- exchanges (exchange.c) ---- */
enum exchange_type { EXCHANGE_DIRECT, EXCHANGE_TOPIC, EXCHANGE_FANOUT };
const char *exchange_type_name(enum exchange_type type);
bool exchange_type_parse(const char *name, enum exchange_type *ret);
/* The pattern that kombu keeps of a binding to a topic exchange. Pure. */
void exchange_topic_pattern(const char *routing_key, struct buf *out);
/* Borrowed from the broker, or from who asked. */
struct queue_binding {
	const char *exchange, *routing_key;
	enum exchange_type type;
};
/* How a queue is bound by CELERY_TASK_QUEUES and its like; false: nothing is said of it, and it is
 * bound by its own name. [any] */
bool broker_queue_def(const struct broker *b, const char *queue, struct queue_binding *ret);
/* A message for a queue on a topic or fanout exchange goes there by its exchange, as Celery sends
 * it: *queue becomes NULL. Others stay as they are. [any] */
void broker_address_message(const struct broker *b, const char **queue, const char **exchange,
			    const char **routing_key);

/* ---- any thread, through the link ---- */
enum settle_outcome {
	SETTLE_ACK,	/* done, or never to be run */
	SETTLE_REQUEUE, /* back to where it came from, next to be taken, as if it had never come */
	SETTLE_REJECT,	/* likewise, but it says from now on that it was delivered before */
	SETTLE_DEAD,	/* to the list celeriac:dead with the reason */
	SETTLE_NONE	/* it was acknowledged before: there is no record, and the steps begin with
			   broker_step_once */
};
/*
 * What goes out together with a settlement, in order, before its result: follow-ups, chord sizes.
 * All of it happens once: only while the delivery is still recorded as ours, so that a settlement
 * that is sent again after a lost answer, or one whose message was handed to somebody else, adds
 * nothing.
 */
enum settle_step_kind {
	STEP_PUSH,  /* LPUSH data on the list `key`, as broker_step_push makes it */
	STEP_ROUTE, /* LPUSH on every queue that is bound to an exchange, as broker_step_route makes
		       it */
	STEP_PUBLISH, /* PUBLISH data on the channel `key` */
	STEP_SET,     /* SET key to data, for `ttl` seconds (0 = for ever), and PUBLISH it */
	STEP_GUARD,   /* nothing up to the next STEP_END is done unless `key` exists */
	STEP_ABSENT,  /* nothing up to the next STEP_END is done if `key` exists */
	STEP_END,     /* `key` is "" */
	STEP_DELETE,  /* DEL key */
	STEP_REMOVE,  /* SREM key data */
	STEP_ZREM,    /* ZREM key data */
	STEP_BODY,    /* HSETNX key body data, for `ttl` seconds */
	STEP_ONCE /* no step that follows is done if `key` exists; it is made, for `ttl` seconds */
};
struct settle_step {
	enum settle_step_kind kind;
	char *key, *data;
	size_t len;
	int64_t ttl;
};
/* A builder: steps are given away with it. */
struct settle_steps {
	struct settle_step *items;
	size_t count;
	size_t bytes; /* of all data, and of what its maker stored elsewhere */
};
/* Takes `data` (may be NULL). [any] */
void settle_steps_add(struct settle_steps *s, enum settle_step_kind kind, const char *key,
		      char *data, size_t len, int64_t ttl);
/* The last one added becomes the first. [any] */
void settle_steps_advance(struct settle_steps *s);
void settle_steps_done(struct settle_steps *s);
/* One envelope for a queue: like broker_publish, but as a step. Takes `envelope`. [any] */
void broker_step_push(const struct broker *b, struct settle_steps *s, const char *queue,
		      int priority, char *envelope, size_t len);

/*
 * One envelope for a named exchange: when the step is done, the queues are looked up in the set of
 * its bindings, as kombu does when it publishes; a fanout exchange is a channel. No queue: the
 * message goes to the option deadletter_queue, or is dropped and counted, never an error. Takes
 * `envelope`. [any]
 */
void broker_step_route(const struct broker *b, struct settle_steps *s, const char *exchange,
		       const char *routing_key, int priority, char *envelope, size_t len);
/* How many found no queue. [any] */
uint64_t broker_undeliverable(const struct broker *b);

/* Steps without a delivery that is recorded as ours are done once all the same, however often they
 * are sent: `what` names them among all others for a day. Becomes the first. [any] */
void broker_step_once(const struct broker *b, struct settle_steps *s, const char *what);

struct settlement {
	const char *tag;
	const char *queue; /* of the delivery */
	enum settle_outcome outcome;
	struct settle_steps steps;    /* taken; keys of the backend only when
					 backend_shares_broker */
	struct backend_write *result; /* taken; only when backend_shares_broker; or NULL */
	const char *reason;	      /* for SETTLE_DEAD */
};
/* Steps, result, outcome, all in one script; survives outages; calls `done` (may be NULL) in the
 * link's thread. */
void broker_settle(struct broker *b, const struct settlement *s,
		   void (*done)(void *arg, const struct err *err), void *arg);

/*
 * ---- deliveries that begin to run (begin.lua) ----
 * Noted for messages that were delivered before, in a set "celeriac:begun:<task id>" of their tags:
 * what stays in it was run by somebody who died.
 */
/* Notes that delivery `tag` of task `id` begins to run: *ret is how many of its deliveries began
 * and were not settled, this one included; -1 when the delivery is not recorded as ours any more.
 * Blocks until `deadline`; may be repeated. [any] */
int broker_begin(struct broker *b, const char *tag, const char *id, usec_t deadline, int64_t *ret,
		 struct err *err) must_check;
/* To settle with: the task ended (`tag` NULL), or only this delivery of it is as if it had never
 * begun. [any] */
void broker_step_begun(const struct broker *b, struct settle_steps *s, const char *id,
		       const char *tag);

/* Steps (taken) that belong to no delivery, in one script. Blocks until `deadline`; after a timeout
 * they may still be done. */
int broker_perform(struct broker *b, struct settle_steps *steps, usec_t deadline,
		   struct err *err) must_check;

/* Puts one envelope on a queue: LPUSH on the list of its priority. Blocks until `deadline`. */
int broker_publish(struct broker *b, const char *queue, int priority, const char *envelope,
		   size_t len, usec_t deadline, struct err *err) must_check;
/* The list for a queue and priority, as kombu names it by priority_steps, sep and global_keyprefix.
 * [any] */
void broker_list_key(const struct broker *b, const char *queue, int priority, struct buf *out);

/* Whether it is still ours, as far as is known here. */
bool broker_holds(struct broker *b, const struct delivery_ref *ref);
/* Nothing may be held that long that is due later than this (0 = for ever): such a delivery goes to
 * where messages wait that are due then, at the wall time `due`, and comes again. Blocks.
 * [consumer]
 */
#define BROKER_HOLD_MOST (600 * USEC_PER_SEC)
int broker_delay(struct broker *b, const struct delivery_ref *ref, usec_t due,
		 struct err *err) must_check;

/* Says again that these are held, so that no visibility timeout hands them out. One command,
 * through the link, not waiting; `done` (may be NULL) is called in the link's thread when it was
 * answered or failed. At most BOUND_CLAIM_BATCH. */
void broker_renew(struct broker *b, const struct delivery_ref *refs, size_t count,
		  void (*done)(void *arg), void *arg);
/* How often that is due: a third of the visibility timeout. */
usec_t broker_renew_interval(const struct broker *b);

/* A message that somebody holds and that is a part of a chord of group `group_id`: given
 * (message_free), or NULL. Walks through all that is unacked, in small steps. Blocks. [any] */
int broker_find_unacked(struct broker *b, const char *group_id, const struct str_list *accept,
			struct message **ret, struct err *err) must_check;

/* Puts back what dead workers of our deployment held. With `own_only`, only what earlier lives of
 * this node held, of which it is certain that they are over. 1: there were such, 0: none.
 * *ret_restored is set also on failure.
 * Blocks. [any, one at a time] */
int broker_restore_dead(struct broker *b, const struct presence *p, bool own_only,
			int64_t *ret_restored, struct err *err) must_check;
/* The same of what anybody held longer than the visibility timeout, as kombu's sweepers do, and in
 * turn with them; but not of workers of our deployment that live, which renew it, or, with
 * `foreign_only`, of any Celeriac. What no queue is bound for goes to celeriac:dead. */
int broker_restore_stale(struct broker *b, const struct presence *p, bool foreign_only,
			 int64_t *ret_restored, struct err *err) must_check;
/* Leaves the newest `most` in celeriac:dead, 0 = all; *ret_left is how many those are. *ret_dropped
 * is set also on failure. Blocks. [any] */
int broker_trim_dead(struct broker *b, int64_t most, int64_t *ret_dropped, int64_t *ret_left,
		     struct err *err) must_check;
/* Puts back what this life of ours took without knowing: claims that the server made and whose
 * answer never came. `held`: the numbers of everything that is known, which are sorted by this.
 * [consumer, between claims] */
int broker_restore_lost(struct broker *b, const struct presence *p, uint64_t *held, size_t count,
			int64_t *ret_restored, struct err *err) must_check;

/* ---- what is held without its payload (fetch.c); each blocks until `deadline` [any] ---- */
/* Reads the payloads of at most BOUND_CLAIM_BATCH deliveries: ret[i] is as broker_claim gave it,
 * with `data` NULL when it is no longer ours because somebody put it back. */
int broker_fetch(struct broker *b, const struct delivery_ref *refs, size_t count, usec_t deadline,
		 struct delivery *ret, struct err *err) must_check;
/* Gives at most BOUND_CLAIM_BATCH deliveries back to the front of the lists they came from, one
 * after the other in one step, so that the last is the next to be taken; those that are no longer
 * ours are left alone. */
int broker_give_back(struct broker *b, const struct delivery_ref *refs, size_t count,
		     usec_t deadline, struct err *err) must_check;

#endif
