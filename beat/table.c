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
#include "json.h"
#include "log.h"
#include "mem.h"
#include "store.h"
#include "thread.h"

#define RETRY	(2 * USEC_PER_SEC)
#define REFRESH (300 * USEC_PER_SEC) /* without a word from the database */
#define PAUSE	(1 * USEC_PER_SEC)   /* between two statements that write what ran */

struct table {
	struct store *store;
	struct store_watch *watch;
	pthread_t thread;
	atomic_bool stopping;
	int wake_fd, fd;
	struct mutex lock;
	json_t *rows;	 /* guarded by lock: not taken yet, or NULL */
	json_t *runs;	 /* guarded by lock: by name, not written yet */
	usec_t write_at; /* monotonic: not before */
	bool refused;	 /* to write them, and that was said */
};

static void signal_fd(int fd)
{
	uint64_t one = 1;
	ssize_t n = write(fd, &one, sizeof(one));

	(void)n;
}

static void clear_fd(int fd)
{
	uint64_t count;
	ssize_t n = read(fd, &count, sizeof(count));

	(void)n;
}

/* ---- what ran ---- */

static json_t *take_runs(struct table *t)
{
	json_t *list = json_array(), *run;
	const char *name;

	mutex_lock(&t->lock);
	json_object_foreach(t->runs, name, run) json_array_append(list, run);
	json_object_clear(t->runs);
	mutex_unlock(&t->lock);
	return list;
}

/* They were not written; what ran meanwhile is newer. */
static void put_back(struct table *t, const json_t *list)
{
	json_t *run;
	size_t i;

	mutex_lock(&t->lock);
	json_array_foreach((json_t *)(uintptr_t)list, i, run)
	{
		const char *name = json_member_str(run, "name");
		if (!json_object_get(t->runs, name))
			json_object_set(t->runs, name, run);
	}
	mutex_unlock(&t->lock);
}

static bool has_runs(struct table *t)
{
	bool some;

	mutex_lock(&t->lock);
	some = json_object_size(t->runs) > 0;
	mutex_unlock(&t->lock);
	return some;
}

/* A role that may not write them is asked again now and then: it may be given the right. */
static int write_runs(struct table *t, struct err *err)
{
	_cleanup_json_ json_t *list = NULL;
	int rc;

	if (clock_mono() < t->write_at || !has_runs(t))
		return 0;
	list = take_runs(t);
	rc = store_note_periodic_tasks(t->store, list, err);
	t->write_at = clock_deadline(rc < 0 && !err_is_transient(err) ? REFRESH : PAUSE);
	if (rc < 0)
		put_back(t, list);
	if (rc < 0 && err_is_transient(err))
		return rc;
	if (rc < 0 && !t->refused)
		log_warning("beat: last runs cannot be written to periodic_tasks: %s", err->msg);
	t->refused = rc < 0;
	return 0;
}

void table_note(struct table *t, const char *name, usec_t last_run_at, int64_t total_run_count)
{
	char iso[CLOCK_ISO_SIZE];
	bool first;

	clock_iso(last_run_at, iso);
	mutex_lock(&t->lock);
	first = json_object_size(t->runs) == 0;
	json_object_set_new(t->runs, name,
			    json_pack("{s:s, s:s, s:I}", "name", name, "last_run_at", iso,
				      "total_run_count", (json_int_t)total_run_count));
	mutex_unlock(&t->lock);
	if (first)
		signal_fd(t->wake_fd);
}

/* ---- what is to run ---- */

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

/* Waits for a word from the database; whether the rows are to be read again. */
static int await_change(struct table *t, usec_t refresh, bool *ret_read, struct err *err)
{
	char table[STORE_TABLE_SIZE];
	usec_t until = has_runs(t) && t->write_at < refresh ? t->write_at : refresh;
	int rc = store_watch_wait(t->watch, t->wake_fd, until, table, err);

	clear_fd(t->wake_fd);
	if (rc < 0)
		return rc;
	*ret_read = clock_mono() >= refresh || (rc == 1 && strcmp(table, "periodic_tasks") == 0);
	return 0;
}

/* Reads once, then after each change; an error when the database is to be asked anew. */
static int follow(struct table *t, struct err *err)
{
	int rc = store_watch_open(t->watch, err);
	usec_t refresh = 0;
	bool read = true;

	while (rc == 0 && !atomic_load(&t->stopping)) {
		if (read) {
			rc = read_rows(t, err);
			refresh = clock_deadline(REFRESH);
		}
		if (rc == 0)
			rc = write_runs(t, err);
		if (rc == 0)
			rc = await_change(t, refresh, &read, err);
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
	t->runs = json_object();
	t->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
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
		json_decref(t->runs);
		close(t->wake_fd);
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
	signal_fd(t->wake_fd);
	pthread_join(t->thread, NULL);
	store_watch_free(t->watch);
	store_close(t->store);
	json_decref(t->rows);
	json_decref(t->runs);
	close(t->wake_fd);
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

	if (!t)
		return NULL;
	clear_fd(t->fd); /* before: what is read from now on makes it readable again */
	mutex_lock(&t->lock);
	rows = TAKE(t->rows);
	mutex_unlock(&t->lock);
	return rows;
}

void table_give_back(struct table *t, json_t *rows)
{
	mutex_lock(&t->lock);
	if (t->rows == NULL)
		t->rows = TAKE(rows);
	mutex_unlock(&t->lock);
	json_decref(rows);
}
