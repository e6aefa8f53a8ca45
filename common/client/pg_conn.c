/*
 * pg_conn.c: one PostgreSQL connection. libpq is used without blocking throughout, so that a server
 * which hangs is noticed by a deadline and not by the operator.
 */
#include "pg_conn.h"

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "login.h"
#include "mem.h"

static int wait_for(PGconn *conn, short events, usec_t deadline, struct err *err)
{
	struct pollfd fd = {.fd = PQsocket(conn), .events = events};

	for (;;) {
		int n = poll(&fd, 1, clock_left_ms(deadline));

		if (n > 0)
			return 0;
		if (n == 0)
			return err_set(err, ERR_TIMEOUT, "the database does not answer");
		if (errno != EINTR)
			return err_set_errno(err, ERR_FAILED, errno, "poll");
	}
}

static void on_notice(void *arg, const PGresult *r)
{
	const char *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);

	(void)arg;
	log_debug("database: %s", text ? text : "notice");
}

/* ---- connecting ---- */

static PGconn *start_connect(const char *url, const char *application_name)
{
	/* What stands before dbname can be overridden by the URL. */
	const char *const keys[] = {
		"client_encoding",
		"fallback_application_name",
		"keepalives_idle",
		"keepalives_interval",
		"keepalives_count",
		"dbname",
		NULL,
	};
	const char *const values[] = {"UTF8", application_name, "30", "10", "3", url, NULL};

	return PQconnectStartParams(keys, values, 1);
}

/* Why there is no connection. */
static int refusal(PGconn *conn, struct err *err)
{
	int rc = pg_error_from_text(PQerrorMessage(conn), err);
	const char *host = PQhost(conn), *port = PQport(conn);

	if (rc == -ERR_DENIED) {
		_cleanup_free_ char *where = xasprintf("%s:%s", host ? host : "", port ? port : "");

		login_refused("PostgreSQL", where, err->msg);
	}
	return rc;
}

static int finish_connect(PGconn *conn, usec_t deadline, struct err *err)
{
	PostgresPollingStatusType state = PGRES_POLLING_WRITING;

	if (PQstatus(conn) == CONNECTION_BAD)
		return refusal(conn, err);
	while (state != PGRES_POLLING_OK) {
		int rc = wait_for(conn, state == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline,
				  err);

		if (rc < 0)
			return rc;
		state = PQconnectPoll(conn);
		if (state == PGRES_POLLING_FAILED)
			return refusal(conn, err);
	}
	return 0;
}

int pg_conn_open(struct pg *c, const char *url, const char *application_name, usec_t deadline,
		 struct err *err)
{
	usec_t limit = clock_deadline(PG_CONNECT_TIMEOUT);
	char timeout[64];
	int rc;

	pg_conn_close(c);
	c->conn = start_connect(url, application_name);
	if (!c->conn)
		BUG("no memory for a database connection");
	(void)PQsetNoticeReceiver(c->conn, on_notice, NULL);
	rc = finish_connect(c->conn, limit < deadline ? limit : deadline, err);
	if (rc == 0 && PQsetnonblocking(c->conn, 1) != 0)
		rc = err_set(err, ERR_FAILED, "libpq does not become non-blocking");
	if (rc == 0) {
		(void)snprintf(timeout, sizeof(timeout), "SET statement_timeout = %lld",
			       (long long)(PG_STATEMENT_TIMEOUT / USEC_PER_MSEC));
		rc = pg_script(c, timeout, err);
	}
	if (rc < 0)
		pg_conn_close(c);
	return rc;
}

bool pg_conn_is_quiet(const struct pg *c)
{
	struct pollfd fd = {.fd = c->conn ? PQsocket(c->conn) : -1, .events = POLLIN};

	return fd.fd >= 0 && PQstatus(c->conn) == CONNECTION_OK && poll(&fd, 1, 0) == 0;
}

void pg_conn_close(struct pg *c)
{
	if (c->conn)
		PQfinish(TAKE(c->conn));
	pg_prepared_forget(c);
	c->largest = 0;
}

static void note_size(struct pg *c, size_t bytes)
{
	if (bytes > c->largest)
		c->largest = bytes;
}

void pg_conn_clean(struct pg *c)
{
	struct err err;

	if (!c->conn || PQstatus(c->conn) != CONNECTION_OK || c->largest > PG_KEPT_BYTES) {
		pg_conn_close(c); /* which rolls back as well */
		return;
	}
	switch (PQtransactionStatus(c->conn)) {
	case PQTRANS_IDLE:
		return;
	case PQTRANS_INTRANS:
	case PQTRANS_INERROR:
		if (pg_script(c, "ROLLBACK", &err) < 0)
			pg_conn_close(c);
		return;
	case PQTRANS_ACTIVE:
	case PQTRANS_UNKNOWN:
		break;
	}
	pg_conn_close(c);
}

/* ---- statements ---- */

/* The connection is of no more use. Returns -code. */
static int lose(struct pg *c, struct err *err)
{
	pg_conn_close(c);
	return -err->code;
}

/* Everything is written while notices and early errors are read, else two full sockets would wait
 * for each other. */
static int flush(struct pg *c, usec_t deadline, struct err *err)
{
	int left, rc;

	while ((left = PQflush(c->conn)) == 1) {
		rc = wait_for(c->conn, POLLIN | POLLOUT, deadline, err);
		if (rc < 0)
			return rc;
		if (!PQconsumeInput(c->conn))
			return pg_error_from_text(PQerrorMessage(c->conn), err);
	}
	return left < 0 ? pg_error_from_text(PQerrorMessage(c->conn), err) : 0;
}

/* The next result, NULL after the last. */
static int next_result(struct pg *c, usec_t deadline, PGresult **ret, struct err *err)
{
	while (PQisBusy(c->conn)) {
		int rc = wait_for(c->conn, POLLIN, deadline, err);

		if (rc < 0)
			return rc;
		if (!PQconsumeInput(c->conn))
			return pg_error_from_text(PQerrorMessage(c->conn), err);
	}
	*ret = PQgetResult(c->conn);
	return 0;
}

static bool is_ok(const PGresult *r)
{
	ExecStatusType status = PQresultStatus(r);

	return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ||
	       status == PGRES_EMPTY_QUERY;
}

/* It is what libpq has to say of the connection: nothing that follows can be believed, or may come.
 */
static bool is_libpqs_own(const PGresult *r)
{
	return !is_ok(r) && PQresultErrorField(r, PG_DIAG_SQLSTATE) == NULL;
}

/* Reads all results; gives the first that failed, else the last. */
static int collect(struct pg *c, usec_t deadline, PGresult **ret, struct err *err)
{
	_cleanup_pg_result_ PGresult *kept = NULL;

	for (;;) {
		PGresult *r = NULL;
		int rc = next_result(c, deadline, &r, err);

		/* What the server said before it closed the connection tells more than that it
		 * closed it. */
		if (rc < 0 && !(kept && !is_ok(kept)))
			return rc;
		if (rc < 0 || !r)
			break;
		if (PQresultStatus(r) == PGRES_COPY_IN || PQresultStatus(r) == PGRES_COPY_OUT ||
		    PQresultStatus(r) == PGRES_COPY_BOTH) {
			PQclear(r);
			return err_set(err, ERR_UNSUPPORTED, "COPY");
		}
		if (kept && !is_ok(kept)) {
			PQclear(r);
			continue;
		}
		PQclear(kept);
		kept = r;
		if (is_libpqs_own(r))
			break;
	}
	if (!kept)
		return err_set(err, ERR_PROTOCOL, "the database gave no result");
	*ret = TAKE(kept);
	return 0;
}

/* Runs what has been given to libpq. `script` names lines in errors, or is NULL. */
static int run(struct pg *c, bool sent, const char *script, PGresult **ret, struct err *err)
{
	_cleanup_pg_result_ PGresult *r = NULL;
	usec_t patience = clock_deadline(c->patience);
	usec_t deadline = c->deadline > 0 && c->deadline < patience ? c->deadline : patience;
	int rc;

	if (!sent) {
		(void)pg_error_from_text(PQerrorMessage(c->conn), err);
		return lose(c, err);
	}
	rc = flush(c, deadline, err);
	if (rc == 0)
		rc = collect(c, deadline, &r, err);
	if (rc < 0)
		return lose(c, err);
	note_size(c, PQresultMemorySize(r));
	if (!is_ok(r)) {
		rc = pg_error_from_result(r, script, err);
		if (pg_prepared_is_stale(r)) {
			err_transient(err);
			return lose(c, err);
		}
		/* Also for a server that has become a standby or is out of something: another may
		 * answer. */
		return PQstatus(c->conn) == CONNECTION_OK && rc != -ERR_UNAVAILABLE &&
				       !is_libpqs_own(r)
			       ? rc
			       : lose(c, err);
	}
	if (ret)
		*ret = TAKE(r);
	return 0;
}

static int check_connected(const struct pg *c, struct err *err)
{
	return c->conn ? 0 : err_set(err, ERR_CLOSED, "the database connection was lost before");
}

static int prepare(struct pg *c, struct pg_prepared *p, const char *name, struct err *err)
{
	if (p->done)
		return 0;
	int rc = run(c, PQsendPrepare(c->conn, name, p->sql, 0, NULL) == 1, NULL, NULL, err);
	if (rc == 0)
		p->done = true;
	return rc;
}

int pg_exec(struct pg *c, const char *sql, const struct pg_param *params, size_t count,
	    struct pg_result **ret, struct err *err)
{
	const char *values[PG_PARAMS_MAX];
	int lengths[PG_PARAMS_MAX], formats[PG_PARAMS_MAX];
	char name[PG_NAME_SIZE];
	size_t bytes = 0;
	int rc = check_connected(c, err);

	if (rc < 0)
		return rc;
	if (count > PG_PARAMS_MAX)
		BUG("pg_exec: %zu parameters", count);
	for (size_t i = 0; i < count; i++) {
		const struct pg_param *p = &params[i];

		if (p->len > INT32_MAX)
			return err_set(err, ERR_TOOBIG, "parameter $%zu has %zu bytes", i + 1,
				       p->len);
		if (p->data && !p->binary) {
			if (memchr(p->data, '\0', p->len))
				return err_set(err, ERR_INVALID, "parameter $%zu holds a NUL",
					       i + 1);
			if (p->data[p->len] != '\0')
				BUG("pg_exec: text parameter $%zu does not end with NUL", i + 1);
		}
		values[i] = p->data;
		lengths[i] = (int)p->len;
		formats[i] = p->binary;
		bytes += p->data ? p->len : 0;
	}
	note_size(c, bytes);
	struct pg_prepared *p = pg_prepared_seen(c, sql);
	if (!p)
		return run(c,
			   PQsendQueryParams(c->conn, sql, (int)count, NULL, values, lengths,
					     formats, 0) == 1,
			   NULL, ret, err);
	pg_prepared_name(c, p, name);
	rc = prepare(c, p, name, err);
	if (rc < 0)
		return rc;
	return run(c,
		   PQsendQueryPrepared(c->conn, name, (int)count, values, lengths, formats, 0) == 1,
		   NULL, ret, err);
}

int pg_script(struct pg *c, const char *sql, struct err *err)
{
	int rc = check_connected(c, err);

	return rc < 0 ? rc : run(c, PQsendQuery(c->conn, sql) == 1, sql, NULL, err);
}

/* ---- results ---- */

size_t pg_rows(const struct pg_result *r)
{
	return (size_t)PQntuples(r);
}

const char *pg_text(const struct pg_result *r, size_t row, size_t column)
{
	return PQgetisnull(r, (int)row, (int)column) ? NULL : PQgetvalue(r, (int)row, (int)column);
}

size_t pg_length(const struct pg_result *r, size_t row, size_t column)
{
	return (size_t)PQgetlength(r, (int)row, (int)column);
}

void pg_result_free(struct pg_result *r)
{
	PQclear(r);
}
