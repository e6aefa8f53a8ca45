/*
 * table.c: a thread that waits for the database to say that the table changed.
 */
#include "table.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "store.h"
#include "thread.h"

#define RETRY	(2 * USEC_PER_SEC)
#define REFRESH (300 * USEC_PER_SEC) /* without a word from the database */

struct table {
	struct store *store;
	struct store_watch *watch;
	pthread_t thread;
	atomic_bool stopping;
	int stop_fd, fd;
	struct mutex lock;
	json_t *rows; /* guarded by lock: not taken yet, or NULL */
};

static void signal_fd(int fd)
{
	uint64_t one = 1;
	ssize_t n = write(fd, &one, sizeof(one));

	(void)n;
}

static int read_rows(struct table *t, struct err *err)
{
	json_t *rows = NULL;
	int rc = store_load_periodic_tasks(t->store, &rows, err);

	if (rc < 0)
		return rc;
	mutex_lock(&t->lock);
	json_decref(t->rows);
	t->rows = rows;
	mutex_unlock(&t->lock);
	signal_fd(t->fd);
	return 0;
}

/* Reads once, then after each change; an error when the database is to be asked anew. */
static int follow(struct table *t, struct err *err)
{
	char table[STORE_TABLE_SIZE];
	int rc = store_watch_open(t->watch, err);

	if (rc == 0)
		rc = read_rows(t, err);
	while (rc == 0 && !atomic_load(&t->stopping)) {
		rc = store_watch_wait(t->watch, t->stop_fd, clock_deadline(REFRESH), table, err);
		if (rc == 1 && strcmp(table, "periodic_tasks") != 0)
			rc = 0;
		else if (rc >= 0 && !atomic_load(&t->stopping))
			rc = read_rows(t, err);
	}
	return rc;
}

static void *table_thread(void *arg)
{
	struct table *t = arg;
	bool said = false;

	while (!atomic_load(&t->stopping)) {
		struct err err = {0};
		if (follow(t, &err) == 0)
			continue;
		if (!said)
			log_error("beat: periodic_tasks cannot be read: %s; trying again until it "
				  "works",
				  err.msg);
		said = true;
		usec_t until = clock_deadline(RETRY);
		while (!atomic_load(&t->stopping) && clock_mono() < until)
			usleep(50000);
	}
	return NULL;
}

int table_open(const struct settings *s, struct table **ret, struct err *err)
{
	struct table *t;
	int rc;

	*ret = NULL;
	if (s->database_url == NULL || s->database_url[0] == '\0')
		return 0;
	t = xcalloc(1, sizeof(*t));
	mutex_init(&t->lock);
	t->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	t->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rc = store_open(s, &t->store, err);
	if (rc == 0)
		rc = store_watch_new(t->store, &t->watch, err);
	if (rc == 0)
		rc = thread_start(&t->thread, "table", table_thread, t, err);
	if (rc < 0) {
		atomic_store(&t->stopping, true);
		store_watch_free(t->watch);
		store_close(t->store);
		close(t->stop_fd);
		close(t->fd);
		mutex_done(&t->lock);
		free(t);
		return rc;
	}
	*ret = t;
	return 0;
}

void table_close(struct table *t)
{
	if (!t)
		return;
	atomic_store(&t->stopping, true);
	signal_fd(t->stop_fd);
	pthread_join(t->thread, NULL);
	store_watch_free(t->watch);
	store_close(t->store);
	json_decref(t->rows);
	close(t->stop_fd);
	close(t->fd);
	mutex_done(&t->lock);
	free(t);
}

bool table_ready(const struct table *t)
{
	return store_ready(t->store);
}

int table_fd(const struct table *t)
{
	return t ? t->fd : -1;
}

json_t *table_take(struct table *t)
{
	json_t *rows;
	uint64_t count;

	if (!t)
		return NULL;
	mutex_lock(&t->lock);
	rows = TAKE(t->rows);
	mutex_unlock(&t->lock);
	if (rows) {
		ssize_t n = read(t->fd, &count, sizeof(count));
		(void)n;
	}
	return rows;
}
