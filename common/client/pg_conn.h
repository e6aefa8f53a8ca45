/*
 * pg_conn.h: the inside of the PostgreSQL client, shared by its files.
 *
 *   pg.c       the pool: borrow, return, remake
 *   pg_conn.c  one connection: connect, run a statement with deadlines
 *   pg_prepared.c  the statements it keeps prepared
 *   pg_error.c what SQLSTATEs and libpq's words mean for us
 *   pg_listen.c  notifications
 *   pg_url.c   URLs as SQLAlchemy writes them
 */
#ifndef CELERIAC_PG_CONN_H
#define CELERIAC_PG_CONN_H

#include "pg.h"

#define PG_CONNECT_TIMEOUT (5 * USEC_PER_SEC)
#define PG_STATEMENT_TIMEOUT                                                                       \
	(60 * USEC_PER_SEC)		   /* the server's own limit, set on each connection */
#define PG_ANSWER_GRACE (5 * USEC_PER_SEC) /* a server silent this much longer is gone */
#define PG_PARAMS_MAX	64		   /* of one statement */

struct pg_conn; /* libpq's own tags: struct pg_conn is PGconn, struct pg_result is PGresult */

/* A statement that was seen on a connection. */
struct pg_prepared {
	char *sql;
	bool done; /* the server has it */
};
#define PG_PREPARED_MAX 48
#define PG_NAME_SIZE	32

struct pg {
	struct pg_pool *pool;
	struct pg *next_idle;
	struct pg_conn *conn; /* NULL: none, or it failed */
	usec_t patience;      /* with one statement */
	usec_t deadline;      /* monotonic, of the loan's statements, 0 = none: pg_hurry */
	usec_t lent_at;	      /* monotonic */
	struct pg_prepared prepared[PG_PREPARED_MAX];
	size_t prepared_count;
	size_t largest; /* bytes of a statement or result that went over `conn` */
};
/* libpq's buffers stay as large as what went through them: one that was lent for more is closed. */
#define PG_KEPT_BYTES (1u << 20)

/* Connects until the monotonic `deadline`, at most PG_CONNECT_TIMEOUT. `url` is libpq's. */
int pg_conn_open(struct pg *c, const char *url, const char *application_name, usec_t deadline,
		 struct err *err) must_check;
/* False when an idle connection has something to say: that can only be its end. Never blocks. */
bool pg_conn_is_quiet(const struct pg *c);
/* Rolls back what is open; closes the connection when that does not work. */
void pg_conn_clean(struct pg *c);
void pg_conn_close(struct pg *c);

/* NULL when the statement is seen for the first time, or there is no room to remember it. */
struct pg_prepared *pg_prepared_seen(struct pg *c, const char *sql);
void pg_prepared_name(const struct pg *c, const struct pg_prepared *p, char ret[PG_NAME_SIZE]);
/* With the connection they are gone. */
void pg_prepared_forget(struct pg *c);
/* Did a prepared statement fail for being prepared? Pure. */
bool pg_prepared_is_stale(const struct pg_result *r);

/* Sets `err` from a failed result (sql: to name the line of a script, or NULL). Returns -code. */
int pg_error_from_result(const struct pg_result *r, const char *sql, struct err *err);
/* Sets `err` from libpq's words about a connection. Returns -code. */
int pg_error_from_text(const char *text, struct err *err);
/* The code for a SQLSTATE of five characters; `ret_transient` says whether to try again. Pure. */
enum err_code pg_error_classify(const char *sqlstate, bool *ret_transient);

/* libpq's form of `url`, checked. The caller frees it; it may hold a password. Pure. */
int pg_url_parse(const char *url, char **ret, struct err *err) must_check;

#endif
