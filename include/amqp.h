/*
 * amqp.h: RabbitMQ by AMQP 0-9-1: messages, and a client whose owner thread keeps its connections.
 *
 * A client has two connections, because a server that is short of memory stops reading from those
 * that publish: one consumes, acknowledges and declares, the other, made with the first message,
 * publishes with confirms. Heartbeats, confirms and deliveries are the owner thread's alone, which
 * never waits for anybody; all other threads hand it batches and calls.
 *
 * What is delivered belongs to a *generation*: a connection and its channel. When either ends, the
 * server delivers everything unsettled again, so settlements of an earlier generation do nothing.
 */
#ifndef CELERIAC_AMQP_H
#define CELERIAC_AMQP_H

#include <jansson.h>

#include "buf.h"
#include "err.h"
#include "tls.h"

/* ---- where it is ---- */
struct amqp_tuning {
	usec_t connect_timeout; /* of one attempt; 0 = 4 s */
	int heartbeat;		/* seconds that are asked for; 0 = 10, negative = none. The server's
				   wish counts when it is less */
	bool external;		/* login_method EXTERNAL: the certificate says who we are */
	bool shuffle;		/* failover_strategy: the next server is any of the others */
	struct tls_options tls; /* broker_use_ssl */
};
struct amqp_server {
	char *host, *user, *password, *vhost;
	int port;
	struct tls_options tls;
};
/* One or several servers, of which all connections use the same one (failover). Constant but for
 * that. Reference counted, [any]. */
struct amqp_address;
/*
 * amqp://[user[:password]@]host[:port][/vhost], pyamqp:// likewise, amqps:// with TLS and ssl_*
 * parameters in the query; several after each other, separated by ';'. As in kombu: guest:guest, no
 * path or an empty one is the virtual host "/", and one slash of the path is not part of its name.
 * Certificates and host names are verified unless ssl_cert_reqs=none or ssl_check_hostname=false.
 * `tuning` is copied; NULL is the default. ERR_INVALID, ERR_UNSUPPORTED, ERR_TOOBIG; no password in
 * the message. Given. [init]
 */
int amqp_address_parse(const char *url, const struct amqp_tuning *tuning, struct amqp_address **ret,
		       struct err *err) must_check;
/* NULL is none. */
bool amqp_is_url(const char *url);
struct amqp_address *amqp_address_ref(struct amqp_address *a);
void amqp_address_unref(struct amqp_address *a); /* NULL is fine */
size_t amqp_address_count(const struct amqp_address *a);
const struct amqp_server *amqp_address_at(const struct amqp_address *a, size_t i);
const char *amqp_address_safe(const struct amqp_address *a); /* all of it, for messages */

/* ---- messages as bytes: pure, [any] ---- */
/*
 * A header table as an object, and back. Both ways bounded by BOUND_AMQP_DEPTH and what one frame
 * holds. Numbers, booleans, lists, objects, null as they are; a timestamp, a decimal and bytes that
 * are not UTF-8 in kombu's typed form (typed.h); lone surrogates are U+FFFD. Written as py-amqp
 * writes: S, t, I, L, d, A, F, V; typed datetimes as T, decimals as D (as S where 32 bits do not
 * hold them), bytes as S. A key has at most 255 bytes. ERR_PROTOCOL for bytes, ERR_INVALID and
 * ERR_TOOBIG for objects.
 */
int amqp_json_from_table(const void *data, size_t len, json_t **ret, struct err *err) must_check;
int amqp_json_to_table(const json_t *object, struct buf *out, struct err *err) must_check;

/* Text properties in their order on the wire; NULL when absent. */
enum amqp_text {
	AMQP_CONTENT_TYPE,
	AMQP_CONTENT_ENCODING,
	AMQP_CORRELATION_ID,
	AMQP_REPLY_TO,
	AMQP_EXPIRATION,
	AMQP_MESSAGE_ID,
	AMQP_TYPE,
	AMQP_USER_ID,
	AMQP_APP_ID,
	AMQP_TEXTS
};
/* Zero is none of all. Of what is received texts are owned and hold no NUL (a byte that is not
 * UTF-8 is U+FFFD). */
struct amqp_properties {
	char *text[AMQP_TEXTS];
	json_t *headers; /* an object, or NULL */
	bool has_priority, has_timestamp;
	uint8_t priority, delivery_mode; /* mode 0 = absent, 1, 2 = persistent */
	uint64_t timestamp;		 /* seconds since the epoch */
};
/* Of the payload of a content header, from its flags on. Given. ERR_PROTOCOL. */
int amqp_properties_read(const void *data, size_t len, struct amqp_properties *ret,
			 struct err *err) must_check;
/* Appends the same. ERR_INVALID, ERR_TOOBIG: a text beyond 255 bytes, headers beyond a frame. */
int amqp_properties_write(const struct amqp_properties *p, struct buf *out,
			  struct err *err) must_check;
void amqp_properties_done(struct amqp_properties *p);

/* ---- a client [any] ---- */
struct amqp_client;
/* Told by the owner thread: must not block nor call the client, except amqp_client_submit. Each may
 * be NULL. */
struct amqp_events {
	/* Consuming works, from now on in `generation`: also for the first time. */
	void (*up)(void *arg, uint64_t generation);
	/* It does not, for the reason said: what was delivered is the server's again. */
	void (*lost)(void *arg, const struct err *err);
	/* The server does not deliver from `queue` any more (it was deleted, or refused when
	 * consuming began anew); it is consumed again only when somebody asks for it. */
	void (*cancelled)(void *arg, const char *queue, const char *why);
	/* The server takes no messages (a memory or disk alarm), or takes them again. */
	void (*blocked)(void *arg, bool blocked, const char *why);
	/* No queue took a message that may be lost. */
	void (*unrouted)(void *arg, const char *exchange, const char *routing_key);
	void *arg;
};
/* Starts its threads; connects in the background, with capped and jittered backoff, for ever.
 * `name` is that of the threads, and what the server's list of connections shows. */
int amqp_client_new(struct amqp_address *a, const char *name, const struct amqp_events *events,
		    struct amqp_client **ret, struct err *err) must_check;
/* Waits until what was handed over is done or the monotonic `deadline`, closes the connections in
 * order and stops the threads; what is left fails as CANCELLED. Unsettled deliveries are the
 * server's again. NULL is fine. */
void amqp_client_free(struct amqp_client *c, usec_t deadline);
/* Where it connects to. Borrowed. */
struct amqp_address *amqp_client_address(const struct amqp_client *c);
bool amqp_client_up(const struct amqp_client *c);
bool amqp_client_blocked(const struct amqp_client *c);
/* Why there is no connection, as the last attempt to make one ended: true and *ret. False while all
 * is well, and before the first attempt has ended. */
bool amqp_client_trouble(struct amqp_client *c, struct err *ret);
/* Of the server that is connected, or was last: "RabbitMQ" and its version as numbers, zeros before
 * the first connection. */
struct amqp_peer {
	char product[32];
	int version[3];
};
void amqp_client_peer(struct amqp_client *c, struct amqp_peer *ret);
struct amqp_counts {
	uint64_t oversize;   /* deliveries beyond BOUND_MESSAGE_BYTES: rejected unread */
	uint64_t given_back; /* that came while BOUND_AMQP_WAITING was reached: requeued when there
				is room; dropped if they are consumed with no_ack */
	uint64_t stale;	     /* settlements of an earlier generation */
	uint64_t unroutable; /* mandatory messages that no queue took */
	uint64_t reconnects;
};
void amqp_client_counts(struct amqp_client *c, struct amqp_counts *ret);
/* Breaks the connections under the owner thread, which makes new ones. */
void amqp_client_interrupt(struct amqp_client *c);

/* ---- calls: wait for the server's answer until the monotonic `deadline` ---- */
/*
 * They outlive outages until then (ERR_TIMEOUT: it may still be done), so they are for what may be
 * done twice. What the server refuses is an error with its own words: ERR_NOTFOUND (404),
 * ERR_CONFLICT (406 other properties, 405 somebody else's), ERR_DENIED (403), ERR_UNSUPPORTED (540,
 * 541); the channel that it closed for that is opened again, and nobody else notices.
 */
struct amqp_queue {
	const char *name; /* "" = the server chooses one */
	bool passive;	  /* only ask */
	bool durable, exclusive, auto_delete;
	const json_t *arguments; /* or NULL */
};
struct amqp_queue_state {
	char name[256];
	uint32_t messages, consumers;
};
/* `ret` may be NULL. */
int amqp_client_declare_queue(struct amqp_client *c, const struct amqp_queue *q, usec_t deadline,
			      struct amqp_queue_state *ret, struct err *err) must_check;
struct amqp_exchange {
	const char *name, *type;
	bool passive, durable, auto_delete, internal;
	const json_t *arguments;
};
int amqp_client_declare_exchange(struct amqp_client *c, const struct amqp_exchange *e,
				 usec_t deadline, struct err *err) must_check;
struct amqp_binding {
	const char *exchange, *routing_key;
	const char *to; /* a queue, or … */
	bool to_exchange;
	const json_t *arguments;
};
int amqp_client_bind(struct amqp_client *c, const struct amqp_binding *b, usec_t deadline,
		     struct err *err) must_check;
int amqp_client_unbind(struct amqp_client *c, const struct amqp_binding *b, usec_t deadline,
		       struct err *err) must_check;
/* *ret_messages (may be NULL): how many went with it. */
int amqp_client_delete_queue(struct amqp_client *c, const char *queue, bool if_unused,
			     bool if_empty, usec_t deadline, uint32_t *ret_messages,
			     struct err *err) must_check;
int amqp_client_purge(struct amqp_client *c, const char *queue, usec_t deadline,
		      uint32_t *ret_messages, struct err *err) must_check;
int amqp_client_delete_exchange(struct amqp_client *c, const char *exchange, usec_t deadline,
				struct err *err) must_check;

/* ---- consuming ---- */
struct amqp_consumer {
	const char *queue;
	uint16_t prefetch; /* unsettled at most, of this consumer alone; 0 = 65535 */
	bool no_ack, exclusive;
	const json_t *arguments; /* or NULL */
};
/* Begins to consume, or consumes with another prefetch: what was delivered stays so. Consumed again
 * after every outage. ERR_TOOBIG beyond BOUND_QUEUES, else as a call. */
int amqp_client_consume(struct amqp_client *c, const struct amqp_consumer *consumer,
			usec_t deadline, struct err *err) must_check;
/* Ends it; what was delivered stays so. ERR_NOTFOUND when it was not consumed. */
int amqp_client_cancel(struct amqp_client *c, const char *queue, usec_t deadline,
		       struct err *err) must_check;

struct amqp_ref {
	uint64_t generation, tag;
};
struct amqp_delivery {
	struct amqp_ref ref;
	char *queue, *exchange, *routing_key;
	bool redelivered;
	struct amqp_properties properties;
	struct err *fault; /* properties that cannot be read, which are empty then; or NULL */
	char *body;	   /* NUL-terminated */
	size_t len;
};
void amqp_delivery_done(struct amqp_delivery *d);
/* Up to `max` that came, given; returns how many. Never waits. */
size_t amqp_client_take(struct amqp_client *c, struct amqp_delivery *ret, size_t max);
/* What came from `queue` (NULL: from any) and nobody took is the server's again. Does not wait. */
void amqp_client_return(struct amqp_client *c, const char *queue);
/* Waits until the server has taken every settlement that was handed over. As a call. */
int amqp_client_settled(struct amqp_client *c, usec_t deadline, struct err *err) must_check;
/* Readable while amqp_client_take would give some. */
int amqp_client_fd(const struct amqp_client *c);

/* ---- publishing and settling ---- */
enum amqp_settle {
	AMQP_ACK,
	AMQP_REJECT, /* to the dead letter exchange of the queue, if it has one */
	AMQP_REQUEUE
};
struct amqp_publish {
	const char *exchange, *routing_key;
	bool mandatory; /* no queue takes it: ERR_NOTFOUND … */
	bool told;	/* … or, if it is mandatory, an event and no failure */
	const struct amqp_properties *properties;
	const void *body;
	size_t len;
};
/* A builder: messages, and what is settled once the server has confirmed all of them. */
struct amqp_batch;
struct amqp_batch *amqp_batch_new(void);
void amqp_batch_free(struct amqp_batch *b); /* NULL is fine */
/* Everything is copied. ERR_INVALID, ERR_TOOBIG; the batch is as it was. */
int amqp_batch_publish(struct amqp_batch *b, const struct amqp_publish *p,
		       struct err *err) must_check;
void amqp_batch_settle(struct amqp_batch *b, struct amqp_ref ref, enum amqp_settle how);
size_t amqp_batch_size(const struct amqp_batch *b); /* bytes of its messages */

enum amqp_batch_flag {
	AMQP_KEEP = 1u << 0 /* messages survive an outage: sent again until they are confirmed, at
			       least once */
};
/*
 * `err` NULL: confirmed, and the settlements are on their way. Else nothing was settled, and
 * messages may or may not have been taken: ERR_NOTFOUND unroutable or no such exchange,
 * ERR_UNAVAILABLE refused for now or the connection was lost, ERR_DENIED, ERR_TOOBIG longer than
 * the server's max_message_size, ERR_INVALID. ERR_CONFLICT: all is done but what was of an earlier
 * generation. Called by the owner thread.
 */
typedef void amqp_done_fn(void *arg, const struct err *err);
/* Hands over `b` (taken). `done` may be NULL. Without KEEP it fails at once while publishing is
 * impossible for lack of a connection, but waits for the outcome of the very first attempt to
 * connect. ERR_UNAVAILABLE beyond BOUND_LINK_BACKLOG. Batches of one thread are published in their
 * order, but for those that an outage or a refusal sends again. */
void amqp_client_submit(struct amqp_client *c, struct amqp_batch *b, unsigned flags,
			amqp_done_fn *done, void *arg);
/* The same and waits (ERR_TIMEOUT: it may still be done). */
int amqp_client_perform(struct amqp_client *c, struct amqp_batch *b, unsigned flags,
			usec_t deadline, struct err *err) must_check;

#endif
