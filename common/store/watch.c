/*
 * watch.c: changes of what the application configures, as the triggers tell them.
 */
#include <stdlib.h>

#include "clock.h"
#include "mem.h"
#include "session.h"

#define WATCH_CONNECT (10 * USEC_PER_SEC)

struct store_watch {
	struct store *store;
	struct pg_listener *listener;
};

int store_watch_new(struct store *s, struct store_watch **ret, struct err *err)
{
	struct pg_listener *listener;
	int rc = pg_listener_new(s->url, "celeriac-worker-watch", &listener, err);

	if (rc < 0)
		return rc;
	*ret = xcalloc(1, sizeof(**ret));
	(*ret)->store = s;
	(*ret)->listener = listener;
	return 0;
}

void store_watch_free(struct store_watch *w)
{
	if (!w)
		return;
	pg_listener_free(w->listener);
	free(w);
}

/* This connection is the first to know that the database goes. */
static int note_failure(struct store_watch *w, int rc, const struct err *err)
{
	return rc < 0 ? session_end(w->store, NULL, rc, err) : rc;
}

int store_watch_open(struct store_watch *w, struct err *err)
{
	usec_t deadline = clock_deadline(WATCH_CONNECT);

	return note_failure(w, pg_listener_open(w->listener, "celeriac", deadline, err), err);
}

int store_watch_wait(struct store_watch *w, int wake_fd, usec_t deadline,
		     char ret_table[STORE_TABLE_SIZE], struct err *err)
{
	return note_failure(
		w,
		pg_listener_wait(w->listener, wake_fd, deadline, ret_table, STORE_TABLE_SIZE, err),
		err);
}
