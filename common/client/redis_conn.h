/*
 * redis_conn.h: the inside of one Redis connection, shared by redis.c (blocking use) and the link
 * (its own loop).
 *
 * Layers, each in its file: bytes (redis_socket.c), replies (redis_reply.c, the only file that
 * knows hiredis), commands (redis_command.c), a connection that is ready for use (redis.c).
 */
#ifndef CELERIAC_REDIS_CONN_H
#define CELERIAC_REDIS_CONN_H

#include <sys/uio.h>

#include "redis.h"

/* How long a server may owe a reply before the connection is taken for dead. No command of ours
 * runs longer. */
#define REDIS_REPLY_TIMEOUT (5 * USEC_PER_SEC)

/* hiredis moves what is left in its buffer after each KiB of replies: reading more at once is
 * slower. */
#define REDIS_READ_SIZE (16u << 10)

struct redis_reader;

struct redis {
	int fd;		/* non-blocking */
	int cancel_fd;	/* readable = give up opening; -1 = none */
	usec_t timeout; /* of each blocking call */
	bool broken;	/* failed once: replies may be out of step, so nothing more is tried */
	char *safe;	/* the address for messages */
	struct redis_reader *reader;
	char data[REDIS_READ_SIZE]; /* just read */
};

/* ---- redis_socket.c: bytes ---- */
/* Connects until the monotonic `deadline`. The reader is not touched. */
int redis_socket_connect(struct redis *r, const struct redis_address *a, usec_t deadline,
			 struct err *err) must_check;
/* Writes what the kernel takes at once: bytes written, 0 when it takes nothing now, or an error. */
ssize_t redis_socket_write(struct redis *r, const struct iovec *iov, size_t count,
			   struct err *err) must_check;
/* Reads what is there into `data`: bytes, 0 when there is nothing now, or an error (ERR_CLOSED at
 * the end). */
ssize_t redis_socket_read(struct redis *r, void *data, size_t size, struct err *err) must_check;
/* Waits for poll(2) `events` until the monotonic `deadline`. ERR_TIMEOUT, ERR_CANCELLED. */
int redis_socket_wait(struct redis *r, short events, usec_t deadline, struct err *err) must_check;
void redis_socket_close(struct redis *r);

/* ---- redis_reply.c: replies ---- */
struct redis_reader *redis_reader_new(void);
void redis_reader_free(struct redis_reader *r);
int redis_reader_feed(struct redis_reader *r, const void *data, size_t len,
		      struct err *err) must_check;
/* 1 and a reply, 0 when none is complete, ERR_PROTOCOL. */
int redis_reader_next(struct redis_reader *r, struct redis_reply **ret, struct err *err) must_check;
/* True for an error reply that begins with `word`. */
bool redis_reply_is_error(const struct redis_reply *r, const char *word);
/* True for an error that says "not this server, or not now": -LOADING, -READONLY, -OOM, -MISCONF
 * and the like. */
bool redis_reply_is_outage(const struct redis_reply *r);
/* An error reply as an error: ERR_FAILED with its text, marked transient when it is an outage.
 * Returns -code. */
int redis_reply_to_err(const struct redis_reply *r, struct err *err);

/* ---- redis_command.c: commands ---- */
void redis_command_va(struct buf *out, const char *fmt, va_list ap);
/* EVALSHA of a script; `args` are keys, then arguments. */
void redis_command_evalsha(struct buf *out, const struct redis_script *s, size_t keys,
			   const struct slice *args, size_t count);

/* ---- redis.c: a connection ---- */
/* Reads once from the socket into the reader: the bytes that came, 0 if there was nothing, or an
 * error. */
ssize_t redis_fill(struct redis *r, struct err *err) must_check;
/* redis_open that gives up (ERR_CANCELLED) when `cancel_fd` becomes readable. */
int redis_open_cancellable(const struct redis_address *a, const char *client_name, usec_t timeout,
			   int cancel_fd, struct redis **ret, struct err *err) must_check;

#endif
