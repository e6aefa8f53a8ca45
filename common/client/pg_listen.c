/*
 * pg_listen.c: a connection that waits for NOTIFY.
 */
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "mem.h"
#include "pg_conn.h"

struct pg_listener {
	struct pg pg;
	char *url, *application_name;
};

int pg_listener_new(const char *url, const char *application_name, struct pg_listener **ret,
		    struct err *err)
{
	struct pg_listener *l = xcalloc(1, sizeof(*l));
	int rc = pg_url_parse(url, &l->url, err);

	if (rc < 0) {
		free(l);
		return rc;
	}
	l->application_name = xstrdup(application_name);
	l->pg.patience = PG_STATEMENT_TIMEOUT;
	*ret = l;
	return 0;
}

void pg_listener_free(struct pg_listener *l)
{
	if (l == NULL)
		return;
	pg_conn_close(&l->pg);
	wipe(l->url, strlen(l->url));
	free(l->url);
	free(l->application_name);
	free(l);
}

int pg_listener_open(struct pg_listener *l, const char *channel, usec_t deadline, struct err *err)
{
	char *name, *sql;
	int rc = pg_conn_open(&l->pg, l->url, l->application_name, deadline, err);

	if (rc < 0)
		return rc;
	name = PQescapeIdentifier(l->pg.conn, channel, strlen(channel));
	if (name == NULL)
		return pg_error_from_text(PQerrorMessage(l->pg.conn), err);
	sql = xasprintf("LISTEN %s", name);
	PQfreemem(name);
	rc = pg_script(&l->pg, sql, err);
	free(sql);
	if (rc < 0)
		pg_conn_close(&l->pg);
	return rc;
}

/* 1: the socket has something; 0: woken, or the deadline. */
static int wait_readable(struct pg_listener *l, int wake_fd, usec_t deadline, struct err *err)
{
	struct pollfd fds[2] = {{.fd = PQsocket(l->pg.conn), .events = POLLIN},
				{.fd = wake_fd, .events = POLLIN}};
	int n = poll(fds, 2, clock_left_ms(deadline));

	if (n < 0 && errno != EINTR)
		return err_set_errno(err, ERR_FAILED, errno, "poll");
	return n > 0 && fds[0].revents ? 1 : 0;
}

int pg_listener_wait(struct pg_listener *l, int wake_fd, usec_t deadline, char *ret_payload,
		     size_t size, struct err *err)
{
	PGnotify *n;
	int rc;

	if (l->pg.conn == NULL)
		return err_set(err, ERR_CLOSED, "the listener is not connected");
	for (;;) {
		n = PQnotifies(l->pg.conn);
		if (n != NULL) {
			snprintf(ret_payload, size, "%s", n->extra);
			PQfreemem(n);
			return 1;
		}
		rc = wait_readable(l, wake_fd, deadline, err);
		if (rc <= 0)
			return rc;
		if (PQconsumeInput(l->pg.conn) == 0) {
			rc = pg_error_from_text(PQerrorMessage(l->pg.conn), err);
			pg_conn_close(&l->pg);
			return rc;
		}
	}
}
