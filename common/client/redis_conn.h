/*
 * redis_conn.h: the inside of one Redis connection, shared by redis.c (blocking use) and the link
 * (its own loop).
 *
 * Layers, each in its file: bytes (socket.h), replies (redis_reply.c, the only file that knows
 * hiredis), commands (redis_command.c), a connection that is ready for use (redis.c), who the
 * master is (redis_sentinel.c).
 */
#ifndef CELERIAC_REDIS_CONN_H
#define CELERIAC_REDIS_CONN_H

#include <stdatomic.h>

#include "redis.h"
#include "socket.h"
#include "thread.h"

/* How long a server may owe a reply before the connection is taken for dead, unless socket_timeout
 * says otherwise. No command of ours runs longer. */
#define REDIS_REPLY_TIMEOUT (5 * USEC_PER_SEC)
/* Most of one attempt to connect, unless socket_connect_timeout says otherwise: one that began just
 * before the end of an outage is over soon too. */
#define REDIS_CONNECT_TIMEOUT (3 * USEC_PER_SEC)
/* Silence after which a server is asked whether it is still there (health_check_interval). */
#define REDIS_HEALTH_CHECK (2 * USEC_PER_SEC)

/* hiredis moves what is left in its buffer after each KiB of replies: reading more at once is
 * slower. */
#define REDIS_READ_SIZE (16u << 10)

struct redis_reader;

/* Constant but for refs, current and what is said of the master. */
struct redis_site {
	atomic_int refs;
	atomic_uint current; /* the endpoint that all connections use; moves on when it fails */
	struct redis_endpoint *endpoints;
	size_t count;  /* at least 1 */
	bool sentinel; /* the endpoints are sentinels */
	struct mutex lock;
	/* guarded by lock: the newest that a sentinel has said */
	char *master_host;
	int master_port;
	int64_t master_epoch;
	atomic_uint generation; /* counts masters */
	struct redis_tuning tuning;
	char *safe;
};

struct redis {
	/* broken: failed once, replies may be out of step, so nothing more is tried */
	struct client_socket socket;
	usec_t timeout;	  /* of each blocking call */
	const char *safe; /* the address for messages; of the site */
	struct redis_site *site;
	unsigned endpoint;   /* which one it is … */
	unsigned generation; /* … and of sentinels, which master */
	struct redis_reader *reader;
	char data[REDIS_READ_SIZE]; /* just read */
};

/* ---- redis_tuning.c ---- */
void redis_tuning_copy(const struct redis_tuning *t, struct redis_tuning *ret);

/* ---- redis_address.c: the site ---- */
struct redis_site *redis_site_ref(struct redis_site *s);
void redis_site_unref(struct redis_site *s);
/* `endpoint` is of no use: everybody goes on to the next, unless somebody has said so before. */
void redis_site_failed(struct redis_site *s, unsigned endpoint);

/* ---- redis_sentinel.c ---- */
/*
 * Asks sentinel `i` where the master is. `ret` borrows user, password and TLS from its URL; its
 * host is given. ERR_UNAVAILABLE when it knows none that is up, too few other sentinels, or less
 * than another one has said before.
 */
int redis_sentinel_ask(struct redis_site *s, unsigned i, usec_t deadline, int cancel_fd,
		       struct redis_endpoint *ret, unsigned *ret_generation,
		       struct err *err) must_check;
/* Asks again: true when there is another master than there was. A connection to a master that was
 * replaced may live on for long, and what is written there is lost. */
bool redis_sentinel_watch(struct redis_site *s, int cancel_fd);
/* One field of the reply to SENTINEL MASTER, "" if it is not there. */
struct slice redis_sentinel_field(const struct redis_reply *master, const char *name);

/* ---- redis_reply.c: replies ---- */
struct redis_reader *redis_reader_new(void);
void redis_reader_free(struct redis_reader *r);
int redis_reader_feed(struct redis_reader *r, const void *data, size_t len,
		      struct err *err) must_check;
/* 1 and a reply, 0 when none is complete, ERR_PROTOCOL. */
int redis_reader_next(struct redis_reader *r, struct redis_reply **ret, struct err *err) must_check;
/* True when it was fed bytes that it has not looked at yet. */
bool redis_reader_has_more(const struct redis_reader *r);
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

/* ---- redis.c: a connection ---- */
/* Reads once from the socket into the reader: the bytes that came, 0 if there was nothing, or an
 * error. */
ssize_t redis_fill(struct redis *r, struct err *err) must_check;
/* A connection to one endpoint that has not said anything yet. */
int redis_open_bare(struct redis_site *s, const struct redis_endpoint *e, usec_t deadline,
		    int cancel_fd, struct redis **ret, struct err *err) must_check;
/* redis_open that gives up (ERR_CANCELLED) when `cancel_fd` becomes readable. */
int redis_open_cancellable(const struct redis_address *a, const char *client_name, usec_t timeout,
			   int cancel_fd, struct redis **ret, struct err *err) must_check;

#endif
