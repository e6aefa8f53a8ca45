/*
 * pg.h: PostgreSQL connections for common/store and the database backend of results; nobody else
 * writes SQL.
 *
 * A pool of a few connections, each used by one thread at a time between pg_get and pg_put; made on
 * demand, checked and remade after an outage. All values travel as text parameters, never inside
 * the statement.
 */
#ifndef CELERIAC_PG_H
#define CELERIAC_PG_H

#include "base.h"
#include "err.h"

struct pg_pool;
struct pg;
struct pg_result;

/* `url`: libpq URI; SQLAlchemy's postgresql+driver:// and postgres:// are understood. Connects
 * lazily. [init] */
int pg_pool_new(const char *url, size_t connections, const char *application_name,
		struct pg_pool **ret, struct err *err) must_check;
void pg_pool_free(struct pg_pool *p);

/* Borrows a live connection, waiting until `deadline`. ERR_UNAVAILABLE, ERR_TIMEOUT: transient.
 * [any] */
int pg_get(struct pg_pool *p, usec_t deadline, struct pg **ret, struct err *err) must_check;
/* Until it is returned, answers are waited for until `deadline` only: later the connection is lost,
 * and what was asked may have been done. [owner] */
void pg_hurry(struct pg *c, usec_t deadline);
/* Returns it; one with an open or failed transaction is rolled back. NULL is fine. */
void pg_put(struct pg *c);

/* A parameter: data NULL is SQL NULL; `binary` sends bytea as it is, else text, which ends with a
 * NUL at data[len] and holds none (ERR_INVALID). At most 64 in a statement. */
struct pg_param {
	const char *data;
	size_t len;
	bool binary;
};
#define PG_TEXT(s)     ((struct pg_param){.data = (s), .len = (s) ? strlen(s) : 0})
#define PG_BYTES(p, n) ((struct pg_param){.data = (const char *)(p), .len = (n), .binary = true})
#define PG_NULL	       ((struct pg_param){0})

/*
 * Runs one statement with $1… parameters; what a connection is given again it has the server
 * prepare, so the text should be the same each time. Each statement is bounded by the pool's
 * statement timeout. Lost connection, deadlock, serialisation failure, admin shutdown and full disk
 * are transient. `ret` may be NULL. [owner]
 */
int pg_exec(struct pg *c, const char *sql, const struct pg_param *params, size_t count,
	    struct pg_result **ret, struct err *err) must_check;
/* Runs a whole file of statements without parameters (migrations). */
int pg_script(struct pg *c, const char *sql, struct err *err) must_check;

size_t pg_rows(const struct pg_result *r);
/* Text of a field, NULL for SQL NULL. Borrowed from the result. */
const char *pg_text(const struct pg_result *r, size_t row, size_t column);
size_t pg_length(const struct pg_result *r, size_t row, size_t column);
void pg_result_free(struct pg_result *r);
static inline void cleanup_pg_result_p(struct pg_result **r)
{
	pg_result_free(*r);
}
#define _cleanup_pg_result_ _cleanup_(cleanup_pg_result_p)

/* ---- being told of changes ---- */
struct pg_listener;
/* A connection of its own, not of the pool; connects with pg_listener_open. [init] */
int pg_listener_new(const char *url, const char *application_name, struct pg_listener **ret,
		    struct err *err) must_check;
void pg_listener_free(struct pg_listener *l);
/* Connects (anew) and listens: from now on nothing is missed. [owner] */
int pg_listener_open(struct pg_listener *l, const char *channel, usec_t deadline,
		     struct err *err) must_check;
/* 1 and the payload of a notification, cut to `size`; 0 at the monotonic deadline or when `wake_fd`
 * is readable; an error: it has to be opened again. */
int pg_listener_wait(struct pg_listener *l, int wake_fd, usec_t deadline, char *ret_payload,
		     size_t size, struct err *err) must_check;

/* ---- where a URL leads ---- */
typedef void pg_host_fn(void *arg, const char *host, int port);
/* Every host and address of a database URL, in libpq's form or SQLAlchemy's, of several hosts too;
 * sockets are none. False for what is no such URL. Pure. */
bool pg_url_hosts(const char *url, pg_host_fn *each, void *arg);

#endif
