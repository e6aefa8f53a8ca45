/*
 * amqp_conn.h: one connection to RabbitMQ: the handshake, frames in and out, heartbeats. Belongs to
 * one thread at a time: the connector until it is made, then the owner.
 */
#ifndef CELERIAC_AMQP_CONN_H
#define CELERIAC_AMQP_CONN_H

#include "amqp_site.h"
#include "amqp_wire.h"
#include "socket.h"

/* Channels of the connection that consumes, and the only one of the other. */
#define CHANNEL_CONSUME 1
#define CHANNEL_DECLARE 2
#define CHANNEL_PUBLISH 1

enum amqp_role { ROLE_CONSUME, ROLE_PUBLISH, ROLES };

struct amqp_conn {
	struct client_socket socket;
	const struct amqp_server *where; /* of the address */
	unsigned server;
	struct amqp_address *address; /* a reference */
	size_t frame_max;
	usec_t heartbeat; /* 0 = none */
	struct amqp_peer peer;
	struct buf out; /* to be written */
	char *in;
	size_t in_at, in_len; /* what was read and is not looked at: in[in_at..in_len) */
	amqp_pool_t pool;     /* of the frame that is looked at */
	usec_t read_at, wrote_at;
};

/* Connects to the first server that lets us in, opens the channels of `role`. ERR_UNAVAILABLE,
 * ERR_DENIED, ERR_CANCELLED when `cancel_fd` becomes readable. */
int amqp_conn_open(struct amqp_address *a, const char *name, enum amqp_role role, int cancel_fd,
		   struct amqp_conn **ret, struct err *err) must_check;
/* Ends it without a word. NULL is fine. */
void amqp_conn_free(struct amqp_conn *c);
/* Says so to the server and waits for its answer, so that it has read all that went before; until
 * the monotonic `deadline`. */
void amqp_conn_finish(struct amqp_conn *c, usec_t deadline);
/* Writes what the kernel takes of `out`. */
int amqp_conn_write(struct amqp_conn *c, struct err *err) must_check;
/* Reads once: the bytes that came, or 0 when there is nothing. */
ssize_t amqp_conn_fill(struct amqp_conn *c, struct err *err) must_check;
/* The next frame of what was read: 1, or 0; borrowed until the next call of any of these. */
int amqp_conn_next(struct amqp_conn *c, struct amqp_in_frame *ret, struct err *err) must_check;
int amqp_conn_method(struct amqp_conn *c, const struct amqp_in_frame *f, struct amqp_in_method *ret,
		     struct err *err) must_check;
#define AMQP_REFUSAL_MOST 200 /* bytes of the server's words that an error holds */
/* A server's refusal as an error: its code and words. Returns -code. */
int amqp_refusal(unsigned code, amqp_bytes_t text, struct err *err);

/* An object as a table of the library, in `pool` and `bytes`. NULL is an empty one. */
int amqp_arguments(const json_t *object, amqp_pool_t *pool, struct buf *bytes, amqp_table_t *ret,
		   struct err *err) must_check;

#endif
