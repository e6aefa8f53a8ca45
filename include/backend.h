/*
 * backend.h: where results go: Redis, a database, who asked (rpc://), or nowhere. One table of
 * drivers (common/backend/) is behind it.
 */
#ifndef CELERIAC_BACKEND_H
#define CELERIAC_BACKEND_H

#include <jansson.h>

#include "amqp.h"
#include "err.h"
#include "redis.h"
#include "settings.h"

enum task_state { TASK_STARTED, TASK_SUCCESS, TASK_FAILURE, TASK_RETRY, TASK_REVOKED };
const char *task_state_name(enum task_state state);

/* One task meta. Borrowed. */
struct task_meta {
	const char *task_id;
	enum task_state state;
	const char *own_state;	/* instead: one of the task's own, "PROGRESS"; or NULL */
	const json_t *result;	/* the value, or {exc_type, exc_message, exc_module}; NULL = null */
	const char *traceback;	/* or NULL */
	const json_t *children; /* array, or NULL = [] */
	const char *parent_id, *group_id;      /* or NULL */
	const char *reply_to, *correlation_id; /* of the message, for rpc://; or NULL */
	/* result_extended; name NULL = off */
	const char *name, *worker, *queue;
	const json_t *args, *kwargs;
	int64_t retries;
	const json_t *stamped_headers, *stamps; /* array of names and object, or NULL */
};

/* A meta to be written: a key in Redis, the same whichever connection writes it, or a row. */
struct backend_write {
	char *key;
	char *value;
	size_t len;
	int64_t ttl;		  /* seconds, 0 = for ever */
	struct database_row *row; /* of the database, instead of key and value */
};
/* NULL is fine. */
void database_row_free(struct database_row *row);
void backend_write_done(struct backend_write *w);

struct backend;
/* Whether results can be written as the settings say; no server is asked. [init] */
int backend_check(const struct settings *s, struct err *err) must_check;
enum backend_kind { BACKEND_NOWHERE, BACKEND_REDIS, BACKEND_DATABASE, BACKEND_RPC };
/* Of settings that backend_check takes. [any] */
enum backend_kind backend_kind(const struct settings *s);
/* Whether a BACKEND_DATABASE answers; nothing is made there. Blocks. [init] */
int backend_reach(const struct settings *s, struct err *err) must_check;
/* Links that there are, taken where they lead to the Redis of the results: the broker's, unless
 * messages are sent elsewhere, and that of shared_state.h; and the broker's client where that is a
 * RabbitMQ. All NULL: none. Borrowed for as long as the backend lives. */
struct backend_links {
	struct amqp_client *amqp;
	const struct redis_address *broker, *shared;
	struct redis_link *broker_link, *shared_link;
};
/* ERR_UNSUPPORTED names a scheme that is not built. [init] */
int backend_open(const struct settings *s, const struct backend_links *links, struct backend **ret,
		 struct err *err) must_check;
/* Waits for what was handed over until `deadline`. */
void backend_close(struct backend *b, usec_t deadline);
bool backend_ready(const struct backend *b);
/* True when broker and backend are one Redis: result and ack can be one transaction (broker.h). */
bool backend_shares_broker(const struct backend *b);
bool backend_is_disabled(const struct backend *b);
/* The parts of chords are counted where they are stored (chord.h). */
bool backend_counts_chords(const struct backend *b);
/* Or whoever makes a chord sends a celery.chord_unlock, which looks for them; or there are none. */
bool backend_polls_chords(const struct backend *b);

/* The bytes of a meta: pure. ERR_TOOBIG. [any] */
int backend_encode(const struct backend *b, const struct task_meta *m, struct backend_write *ret,
		   struct err *err) must_check;
/* Writes it, through outages, unless SUCCESS is there already; then calls `done` in the owner
 * thread. `w` is taken. [any] */
void backend_store(struct backend *b, struct backend_write *w,
		   void (*done)(void *arg, const struct err *err), void *arg);
/* The meta of a task as it is stored: given, NULL when there is none or it is no object. Blocks
 * until `deadline`. [any] */
int backend_load(struct backend *b, const char *task_id, usec_t deadline, json_t **ret,
		 struct err *err) must_check;

/* Likewise, but only while no worker has begun the task; not told how it went. [any] */
void backend_store_unbegun(struct backend *b, struct backend_write *w);
/* The key of a meta in Redis. Given. */
char *backend_meta_key(const struct backend *b, const char *task_id);
/* Results are compressed (result_compression): the scripts cannot see that one is a SUCCESS. */
bool backend_compresses(const struct backend *b);

/* Python's repr of a stored exception: "RuntimeError('boo')". Given. [any] */
char *backend_exception_repr(const json_t *exception);
/* The metas of `count` tasks: an array of objects, null where nothing is stored. Given. What is
 * stored but no meta is ERR_PROTOCOL. ERR_UNSUPPORTED without a backend. One of a
 * database whose result cannot be read has none. Blocks. [any] */
int backend_get_many(struct backend *b, const char *const *task_ids, size_t count, usec_t deadline,
		     json_t **ret, struct err *err) must_check;

/* Forgets what is older than result_expires, where nobody else does. Blocks. [any] */
int backend_cleanup(struct backend *b, struct err *err) must_check;

#endif
