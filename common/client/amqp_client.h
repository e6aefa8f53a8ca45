/*
 * amqp_client.h: the inside of a client, shared by its files.
 *
 *   amqp_client.c    what callers call: hand items over, wait for one, take deliveries, stop
 *   amqp_call.c      … the calls: methods with an answer
 *   amqp_batch.c     batches: built by callers, completed by the owner
 *   amqp_owner.c     the owner thread: news, outages, heartbeats, the end
 *   amqp_consume.c   … the connection that consumes: calls in turn, consumers
 *   amqp_deliver.c   … what it is sent, what is settled
 *   amqp_confirm.c   … the connection that publishes: messages out, confirms in
 *   amqp_connect.c   the connector threads: make new connections, as often as it takes
 *
 *   submit ─▶ queue ─┬─ call ─▶ channel ─▶ sent, answer owed ─▶ finished
 *                    └─ batch ─▶ messages: work ─▶ sent, confirm owed ─▶ settled ─▶ finished
 *
 * `lock` is held for list operations only, never during I/O or a callback.
 */
#ifndef CELERIAC_AMQP_CLIENT_H
#define CELERIAC_AMQP_CLIENT_H

#include <stdatomic.h>

#include "amqp_conn.h"
#include "bounds.h"
#include "thread.h"

#define RETRY_MAX     (1 * USEC_PER_SEC)  /* between connects: an outage's end is noticed soon */
#define SETTLED_AFTER (10 * USEC_PER_SEC) /* such a connection forgets the pauses before it */
#define OUT_MARK      (256u << 10)	  /* bytes to be written beyond which no message is added */

/* ---- items: calls and batches on their way; owned by the list they are in, and by who waits ----
 */
enum item_state { ITEM_PENDING, ITEM_FINISHED, ITEM_ABANDONED };
struct item {
	struct item *next;
	bool is_batch;
	struct err *fault; /* how it failed, or what refused it before it was queued; or NULL */
	amqp_done_fn *done;
	void *arg;
	bool waited; /* somebody waits for it: the rest is in use */
	struct mutex lock;
	struct cond changed;
	/* guarded by lock */
	enum item_state state;
};
struct item_list {
	struct item *head, *last;
};
void amqp_item_list_append(struct item_list *list, struct item *item);
struct item *amqp_item_list_pop(struct item_list *list);

enum call_op { CALL_PLAIN, CALL_CONSUME, CALL_CANCEL };
struct call {
	struct item item;
	uint16_t channel; /* of the connection that consumes */
	enum call_op op;
	struct buf frames; /* of a plain one; the others are made when it is their turn */
	amqp_method_number_t request; /* the last of them, whose answer ends it */
	size_t answers, got;	      /* due, and there */
	bool sent;
	bool again;		   /* of our own, after an outage: a refusal is told as an event */
	struct consumer *consumer; /* CONSUME: owned until it is consumed */
	char *queue;		   /* CANCEL */
	struct amqp_queue_state result;
};
void amqp_call_free(struct call *call);

/* One message. In `work` until it is confirmed; freed with its batch. */
struct pub {
	struct pub *prev, *next; /* in work */
	struct pub *sibling;	 /* of the batch */
	struct amqp_batch *batch;
	char *exchange, *routing_key, *correlation_id; /* by which a return is known; the last may
							  be NULL */
	struct buf head;			       /* the frames before the body */
	char *body;
	size_t len;
	size_t largest; /* bytes of the longest frame of its head */
	uint64_t seq;	/* of this connection's channel; 0 = not sent */
	bool mandatory, told, returned;
};
struct settle {
	struct amqp_ref ref;
	enum amqp_settle how;
};
struct amqp_batch {
	struct item item;
	struct pub *pubs, *last_pub;
	size_t pending; /* messages that are not confirmed */
	size_t bytes;
	unsigned flags; /* enum amqp_batch_flag */
	struct settle *settles;
	size_t settle_count, settle_size;
};
void amqp_batch_destroy(struct amqp_batch *b);

/* ---- the connection that consumes ---- */
struct consumer {
	char *queue;
	unsigned number; /* its tag */
	uint16_t prefetch;
	bool no_ack, exclusive;
	bool active;	  /* the server delivers */
	struct buf table; /* its arguments */
};
void amqp_consumer_free(struct consumer *consumer);
struct channel {
	uint16_t number;
	bool open;
	struct item_list calls; /* one at a time: the first is sent */
};
/* A content that is being received: after its method, until its body is complete. */
struct incoming {
	enum { INCOMING_NONE, INCOMING_HEADER, INCOMING_BODY } state;
	bool skip;     /* its body is not kept … */
	bool oversize; /* … because it is too long */
	struct waiting *node;
	uint64_t tag;
	uint64_t left; /* of the body */
};
/* A delivery that nobody has taken. Its properties are decoded by who takes it. */
struct waiting {
	struct waiting *next;
	struct amqp_ref ref;
	char *queue, *exchange, *routing_key;
	bool redelivered;
	char *properties;
	size_t properties_len;
	struct buf body;
	size_t weight; /* of all of it, against BOUND_AMQP_WAITING */
};
/* Which of the tags that were delivered are unsettled: the first, and those behind it in order. */
enum tag_state { TAG_HELD, TAG_SETTLED, TAG_ACKING /* to be said with the next write */ };
struct tags {
	uint64_t first;
	unsigned char *states;
	size_t at, count, size;
	uint64_t *acking; /* tags */
	size_t acking_count, acking_size;
	uint64_t *owed; /* given back as soon as there is room */
	size_t owed_count, owed_size;
};

/* ---- one of the two connections, and the thread that makes it ---- */
struct slot {
	struct amqp_client *client;
	enum amqp_role role;
	pthread_t connector;
	bool has_connector;
	struct cond connector_news;
	/* guarded by the client's lock */
	bool wanted, at_once, quit; /* a connection; without the pause; no more */
	struct amqp_conn *made;
	struct err *made_error; /* or why not */
	/* the owner's own */
	struct amqp_conn *conn;
	bool ordered;	/* the first connection */
	bool more;	/* was read and is not looked at yet */
	bool attempted; /* until the first attempt has ended, items wait for its outcome */
	bool told, told_transient;
	usec_t opened_at;
};

struct amqp_client {
	struct amqp_address *address;
	char *name;
	struct amqp_events events;
	int wake_fd;	 /* eventfd: there is news for the owner */
	int cancel_fd;	 /* eventfd: connectors must give up */
	int delivery_fd; /* eventfd: there are deliveries */
	pthread_t owner;
	bool has_owner;
	atomic_bool up, blocked; /* relaxed: hints */
	atomic_size_t backlog;	 /* bytes of all batches not finished */
	atomic_uint_fast64_t oversize, given_back, stale, unroutable, reconnects;

	struct mutex lock;
	/* guarded by lock */
	struct item_list queue;
	bool sleeping, stopping, interrupted;
	usec_t stop_at;
	struct waiting *deliveries, *last_delivery;
	size_t waiting_bytes;
	bool wants_room; /* the owner is to be woken when half of the bound is free */
	struct amqp_peer peer;
	struct err *trouble; /* why there is no connection; or NULL */

	/* the owner's own */
	struct slot slots[ROLES];
	struct channel channels[2]; /* of the connection that consumes */
	struct consumer *consumers[BOUND_QUEUES];
	size_t consumer_count;
	unsigned consumer_numbers;
	uint64_t generation; /* 0 = nothing is consumed */
	uint64_t generations;
	struct tags tags;
	struct incoming delivering, returning;
	struct pub *work, *last_work, *next_send;
	struct pub *sending; /* its head is in `out`, its body not whole */
	size_t sent;	     /* bytes of that body */
	uint64_t seq;	     /* last number given to a message */
	bool careful;	     /* the connection ended because of a message, and nobody knows which */
	size_t suspects;     /* messages that go one at a time: one of them closed the channel */
	bool publish_open;   /* the channel */
};

/* Marks news for the owner; true when the caller must call amqp_client_wake after unlocking. */
bool amqp_client_news_locked(struct amqp_client *c) REQUIRES(c->lock);
void amqp_client_wake(struct amqp_client *c);
void amqp_client_enqueue(struct amqp_client *c, struct item *item);
/* True when it was finished before `deadline`; else it is the owner's from now on. */
bool amqp_item_await(struct item *item, usec_t deadline);
/* ERR_TIMEOUT with `what`, and why there is no connection if there is none. */
int amqp_client_timeout(struct amqp_client *c, const char *what, struct err *err);
/* To be waited for. */
void amqp_item_prepare(struct item *item);
/* Completes it, with `err` if not NULL, and frees it unless somebody waits. No lock held. [owner]
 */
void amqp_item_finish(struct amqp_client *c, struct item *item, const struct err *err);
bool amqp_item_abandoned(struct item *item);
void amqp_item_free(struct item *item);

/* ---- the owner's parts ---- */
void *amqp_client_owner_main(void *arg);
void *amqp_client_connector_main(void *arg);

/* amqp_consume.c */
void amqp_consume_begin(struct amqp_client *c); /* a new connection */
void amqp_consume_end(struct amqp_client *c, const struct err *err);
void amqp_consume_add_call(struct amqp_client *c, struct call *call);
/* Sends the calls whose turn it is. */
void amqp_consume_calls(struct amqp_client *c);
int amqp_consume_method(struct amqp_client *c, uint16_t channel, const struct amqp_in_method *m,
			struct err *err) must_check;
struct consumer *amqp_consume_find(struct amqp_client *c, amqp_bytes_t tag);
/* The server ended the connection because of what a call said. */
void amqp_consume_blame(struct amqp_client *c, unsigned class_id, unsigned method_id,
			const struct err *err);
/* Every call that is left fails. */
void amqp_consume_cancel_calls(struct amqp_client *c, const struct err *err);
bool amqp_consume_idle(const struct amqp_client *c);

/* amqp_deliver.c */
int amqp_deliver_method(struct amqp_client *c, const amqp_basic_deliver_t *m,
			struct err *err) must_check;
int amqp_deliver_content(struct amqp_client *c, const struct amqp_in_frame *f,
			 struct err *err) must_check;
void amqp_deliver_end(struct amqp_client *c); /* of a generation: what nobody took is dropped */
void amqp_deliver_drop(struct waiting *w);
/* Settles what a batch says; how many were not ours any more. */
size_t amqp_deliver_settle(struct amqp_client *c, const struct amqp_batch *b);
/* Writes the acks that have come together, and gives back what is owed. */
void amqp_deliver_flush(struct amqp_client *c);

/* amqp_confirm.c */
void amqp_publish_begin(struct amqp_client *c);
/* There is no connection to be had: what does not wait for one fails. */
void amqp_publish_unkept(struct amqp_client *c, struct err *err);
void amqp_publish_end(struct amqp_client *c, struct err *err);
/* A batch that was handed over: goes to work, or fails at once. */
void amqp_publish_add(struct amqp_client *c, struct amqp_batch *b);
/* Fills `out` with messages. */
void amqp_publish_fill(struct amqp_client *c);
int amqp_publish_method(struct amqp_client *c, const struct amqp_in_method *m,
			struct err *err) must_check;
int amqp_publish_content(struct amqp_client *c, const struct amqp_in_frame *f,
			 struct err *err) must_check;
/* The server ended the connection because of what was published. */
void amqp_publish_blame(struct amqp_client *c, const struct err *err);
/* Every batch that is left fails. */
void amqp_publish_cancel(struct amqp_client *c, const struct err *err);

#endif
