/*
 * redis_broker.h: what the files of the Redis broker share. The claiming half belongs to the
 * consumer thread, the link is for all.
 */
#ifndef CELERIAC_REDIS_BROKER_H
#define CELERIAC_REDIS_BROKER_H

#include <stdatomic.h>

#include "bounds.h"
#include "broker.h"
#include "driver.h"
#include "redis.h"
#include "thread.h"
#include "transport.h"

#define BROKER_WAKE_MAX                                                                            \
	8 /* queues with a blocking connection of their own; the others are polled */

/* One list: a queue at one priority step. */
struct broker_list {
	struct broker_queue *queue;
	int step;
	char *key;    /* with global_keyprefix */
	bool no_list; /* its key was of another type in the last claim; the consumer thread's */
};

/* Constant once it is in the table, but for `consumed`. */
struct broker_queue {
	char *name;
	char *channels; /* of a queue on a fanout exchange: the pattern of what it hears; else NULL
			 */
	char *ending;	/* `, "", "queue"]`, the end of its unacked record */
	struct broker_list lists[PRIORITY_STEPS_MAX];
	size_t list_count;
	bool inner;	      /* of route.c: nobody sees it */
	atomic_bool consumed; /* changed by the consumer thread */
	atomic_bool refused;  /* by the server, for good; likewise */
	size_t place;	      /* among those consumed; the consumer thread's */
};

/* One entry of CELERY_TASK_QUEUES. */
struct queue_def {
	char *name, *exchange, *routing_key;
	/* Of a queue in RabbitMQ. */
	bool durable, exclusive, auto_delete;
	json_t *arguments; /* or NULL */
	enum exchange_type type;
};
struct queue_defs {
	struct queue_def *items;
	size_t count;
	json_t *arguments; /* of queues that are not defined; or NULL */
	size_t consumed; /* the first so many, unless -Q says others; then comes worker_direct's */
};
/* queue_defs.c. Pure. ERR_INVALID says which queue and what. */
int queue_defs_read(const struct settings *s, struct queue_defs *ret, struct err *err) must_check;
void queue_defs_done(struct queue_defs *d);
const struct queue_def *queue_defs_find(const struct queue_defs *d, const char *name);

#define TAKEN_KEY "celeriac:taken:" /* see broker_claim */

#define ROUTE_PLACE_SIZE (PRESENCE_OWNER_SIZE + 24)

/* route.c; all empty unless calls are routed. */
struct broker_routing {
	const struct presence *presence; /* NULL: nothing is routed */
	struct broker_queue *own, *common;
	char *base;   /* "<prefix>celeriac:<instance>:" */
	char *queues; /* of nodes: the names of their lists without the node */
	char *places, *counter, *routers, *lost; /* keys */
	bool alone;				 /* nobody was there at the last leaving */
	atomic_bool draining;			 /* we have no conversations and take none */
	struct mutex lock;
	struct str_list engines; /* guarded by lock: within our reach */
	struct str_list busy;	 /* conversations that stayed ours at the last leaving */
	/* the consumer thread's: "<owner>:<number>" of the last claim, and of the one before */
	char place[ROUTE_PLACE_SIZE], left[ROUTE_PLACE_SIZE];
	struct redis_script script, leave, release, unwind, moved;
};

struct broker {
	const struct broker_driver *driver;
	struct redis_address address;
	struct transport_options options;
	struct queue_defs defs;
	char *fanout_prefix; /* of channels */
	char *heard_prefix;  /* of the lists for what was heard from channels; NULL before
				broker_join */
	atomic_uint_fast64_t undeliverable;
	struct broker_queue *queues[BOUND_QUEUES]; /* the first queue_count */
	atomic_size_t queue_count;
	char *unacked, *unacked_index, *dead; /* keys */
	struct redis_link *link;
	struct redis_address write_address; /* of `writing` */
	struct redis_link *writing;	    /* broker_write_url is another server; or NULL */
	struct redis_script settle, settle_many, restore, stale, begin, give_back, trim;

	/* the consumer thread's */
	struct broker_list **lists; /* of what is consumed: `inner` of route.c, then the others
				       step-major, then queue */
	size_t list_count, inner, consumed;
	struct broker_list **ahead_lists; /* of the claim ahead, in its order … */
	uint64_t ahead_number;		  /* … the first number of what it gives … */
	size_t ahead_max;		  /* … and the most that it may */
	bool dry;			  /* the last claim saw the end of every list */
	struct redis_script claim;
	struct mutex connections; /* over closing and opening them, for broker_interrupt */
	struct redis *claiming;
	usec_t connected_at; /* monotonic */
	struct redis *waking[BROKER_WAKE_MAX];
	bool asked[BROKER_WAKE_MAX];	  /* a BLMOVE is outstanding … */
	usec_t heard_at[BROKER_WAKE_MAX]; /* or asked */
	bool no_blmove;			  /* a server older than 6.2 */
	char *tag_prefix;		  /* "celeriac:<owner>:" */
	char *taken_prefix;		  /* of the counts of what was taken and not received */
	int64_t redelivery_limit;
	uint64_t next_number;
	size_t first_queue; /* round robin */
	struct broker_routing route;
	struct amqp_broker *amqp; /* NULL on Redis */
};

/* ---- redis_broker.c ---- */
/* Empty but for its locks; broker_close. */
struct broker *broker_new(const struct broker_driver *driver);

/* ---- queues.c ---- */
/* Those of the settings: all but those on fanout exchanges, which come with broker_join. */
int broker_take_queues(struct broker *b, const struct settings *s, struct err *err) must_check;
void broker_free_queues(struct broker *b);
/* NULL when it was never consumed. [any] */
struct broker_queue *broker_find_queue(const struct broker *b, const char *name);
const struct broker_list *broker_find_list(const struct broker_queue *q, int step);

/* What is consumed has changed. [consumer] */
void broker_order_lists(struct broker *b);
/* One that nobody else sees, of a single list, before all others. */
int broker_add_inner_queue(struct broker *b, const char *name, struct broker_queue **ret,
			   struct err *err) must_check;

/* ---- route.c ---- */
void broker_route_init(struct broker *b);
void broker_route_done(struct broker *b);
/* In the list of what is within our reach, or out of it. [any] */
void broker_route_note_engine(struct broker *b, const char *engine, bool reached);
/* The next claim has a place of its own. [consumer] */
void broker_route_take_place(struct broker *b);
/* Before the link is used. */
void broker_route_load(struct broker *b);
/* Of a dead owner everything was put back: its calls are anybody's. */
int broker_route_release(struct broker *b, const struct presence *p, const char *owner,
			 struct err *err) must_check;

/* ---- unwind.c ---- */
/* What the dead had taken and not routed goes back in its turn. Answers in *ret_done whether all
 * did; others who live may have to go first. `certain`: who has no lease is dead. */
int broker_route_bury(struct broker *b, const struct presence *p, bool certain, bool *ret_done,
		      struct err *err) must_check;
/* The same of our last claim, whose answer never came. [consumer] */
int broker_route_forgo(struct broker *b, struct err *err) must_check;
/* A claim was refused because something is to be put back before. [consumer] */
int broker_route_blocked(struct broker *b, struct err *err) must_check;

/* ---- fetch.c ---- */
/* The tag of a delivery to this life of ours. */
void broker_tag(const struct broker *b, const struct delivery_ref *ref, char out[BROKER_TAG_SIZE]);
#define BROKER_SCORE_SIZE 24
/* Now, as it stands in the index of unacked messages: the next whole second, which Redis keeps and
 * compares at a third of what a fraction costs, and at which nobody takes a message too early. */
void broker_score(char out[BROKER_SCORE_SIZE]);

/* ---- wake.c ---- */
/* How many of the lists, from the first, have a connection that waits for them. [consumer] */
size_t broker_wake_count(const struct broker *b);

/* ---- exchange.c ---- */
/* As exchange_type_name, "" when nothing is known of it. */
const char *broker_exchange_kind(const struct broker *b, const char *exchange);

/* ---- restore.c ---- */
/* "celeriac:<owner>:<step>:<number>" → its parts; false when it is not of that form. Pure. */
bool broker_split_tag(const char *tag, char owner[PRESENCE_OWNER_SIZE], int *ret_step,
		      uint64_t *ret_number);

/* ---- unacked_record.c ---- */
/* What has to be known of a record to put its message back. */
struct unacked_record {
	char *exchange, *routing_key;
	int priority;  /* 0-9 */
	char *message; /* it says that it was delivered before */
	size_t len;
};
/* `[message, exchange, routing key]`, of whichever worker; ERR_INVALID, ERR_TOOBIG. Pure. */
int unacked_record_read(const char *data, size_t len, struct unacked_record *ret,
			struct err *err) must_check;
void unacked_record_done(struct unacked_record *r);

/* ---- settle.c, settle_many.c, settle_apart.c ---- */
#define SETTLE_STEP_BIT(kind) (1u << (kind))
#define SETTLE_STEP_MESSAGES  (SETTLE_STEP_BIT(STEP_PUSH) | SETTLE_STEP_BIT(STEP_ROUTE))
/* Takes those of the kinds out whose bits are set; both keep their order. Given. Pure. */
struct settle_steps settle_steps_split(struct settle_steps *s, unsigned kinds);
void broker_settle_on(struct broker *b, struct redis_link *link, const struct settlement *s,
		      void (*done)(void *arg, const struct err *err), void *arg);
/* It leaves nothing but a result that is not too large: many of those are settled at once. Pure. */
bool broker_settles_with_others(const struct settlement *s);
void broker_settle_with_others(struct broker *b, const struct settlement *s,
			       void (*done)(void *arg, const struct err *err), void *arg);
/* Takes the steps out that send messages, where these go to another server. Given. */
struct settle_steps broker_split_steps(const struct broker *b, struct settle_steps *steps);
/* Sends `sent` (taken), then settles the rest (whose steps and result are taken). */
void broker_settle_apart(struct broker *b, const struct settlement *rest, struct settle_steps *sent,
			 void (*done)(void *arg, const struct err *err), void *arg);

/* ---- key.c ---- */
/* The end of a list's name: separator and priority step, nothing for the first. */
void broker_append_step(const struct broker *b, int priority, struct buf *out);
/* A fanout channel. Given. */
char *broker_channel(const struct broker *b, const char *exchange, const char *routing_key);

/* Where a node keeps what it heard for a queue; without global_keyprefix. Given. Pure. */
char *broker_heard_list(const char *instance, const char *node, const char *queue);

/* ---- broadcast.c ---- */
/* `owner` is dead: what is put into lists by bindings is not put into its own. */
void broker_forget_heard(struct broker *b, const struct presence *p, const char *owner);

/* ---- what driver.h has of Redis; see there ---- */
void redis_broker_close(struct broker *b, usec_t deadline);
bool redis_broker_ready(const struct broker *b);
int redis_broker_connect(struct broker *b, const struct presence *p, struct err *err) must_check;
int redis_broker_claim(struct broker *b, size_t max, struct delivery *ret, size_t *ret_count,
		       struct err *err) must_check;
int redis_broker_claim_ahead(struct broker *b, size_t max, struct err *err) must_check;
int redis_broker_claim_answer(struct broker *b, struct delivery *ret, size_t *ret_count,
			      struct err *err) must_check;
void redis_broker_received(struct broker *b, const char *mark);
bool redis_broker_is_dry(const struct broker *b);
int redis_broker_wait(struct broker *b, int wake_fd, usec_t deadline, struct err *err) must_check;
int redis_broker_purge(struct broker *b, int64_t *ret_erased, struct err *err) must_check;
void redis_broker_interrupt(struct broker *b);
int redis_broker_route_begin(struct broker *b, const struct presence *p,
			     struct err *err) must_check;
void redis_broker_route_reach(struct broker *b, const char *engine, bool reached);
int redis_broker_route(struct broker *b, struct broker_call *calls, size_t count, usec_t deadline,
		       enum broker_turn *ret_turn, struct err *err) must_check;
int redis_broker_route_return(struct broker *b, const struct broker_call *calls, size_t count,
			      bool leaves, usec_t deadline, bool *ret_done,
			      struct err *err) must_check;
void redis_broker_route_pass(struct broker *b);
void redis_broker_route_drain(struct broker *b, bool draining);
int redis_broker_route_leave(struct broker *b, const char *const *busy, size_t count,
			     usec_t deadline, int64_t *ret_moved, struct err *err) must_check;
void redis_broker_step_push(const struct broker *b, struct settle_steps *s, const char *queue,
			    int priority, char *envelope, size_t len);
void redis_broker_step_route(const struct broker *b, struct settle_steps *s, const char *exchange,
			     const char *routing_key, int priority, char *envelope, size_t len);
void redis_broker_step_once(const struct broker *b, struct settle_steps *s, const char *what);
void redis_broker_settle(struct broker *b, const struct settlement *s,
			 void (*done)(void *arg, const struct err *err), void *arg);
int redis_broker_begin(struct broker *b, const char *tag, const char *id, usec_t deadline,
		       int64_t *ret, struct err *err) must_check;
void redis_broker_step_begun(const struct broker *b, struct settle_steps *s, const char *id,
			     const char *tag);
int redis_broker_perform(struct broker *b, struct settle_steps *steps, usec_t deadline,
			 struct err *err) must_check;
int redis_broker_publish(struct broker *b, const char *queue, int priority, const char *envelope,
			 size_t len, usec_t deadline, struct err *err) must_check;
void redis_broker_renew(struct broker *b, const struct delivery_ref *refs, size_t count,
			void (*done)(void *arg), void *arg);
usec_t redis_broker_renew_interval(const struct broker *b);
int redis_broker_find_unacked(struct broker *b, const char *group_id, const struct str_list *accept,
			      struct message **ret, struct err *err) must_check;
int redis_broker_restore_dead(struct broker *b, const struct presence *p, bool own_only,
			      int64_t *ret_restored, struct err *err) must_check;
int redis_broker_restore_stale(struct broker *b, const struct presence *p, bool foreign_only,
			       int64_t *ret_restored, struct err *err) must_check;
int redis_broker_trim_dead(struct broker *b, int64_t most, int64_t *ret_dropped, int64_t *ret_left,
			   struct err *err) must_check;
int redis_broker_restore_lost(struct broker *b, const struct presence *p, uint64_t *held,
			      size_t count, int64_t *ret_restored, struct err *err) must_check;
int redis_broker_fetch(struct broker *b, const struct delivery_ref *refs, size_t count,
		       usec_t deadline, struct delivery *ret, struct err *err) must_check;
int redis_broker_give_back(struct broker *b, const struct delivery_ref *refs, size_t count,
			   usec_t deadline, struct err *err) must_check;

/* The line before a dead message: {"reason", "queue", "at"}. Given. */
char *broker_dead_line(const char *reason, const char *queue);

#endif
