/*
 * database_writer.c: the thread that writes rows. What has gathered while a transaction was under
 * way is the next one; a row that is refused is refused alone. While the database is away
 * everything waits, and is tried again.
 */
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "database.h"
#include "log.h"
#include "mem.h"

#define BATCH	    100 /* rows of a transaction */
#define IDLE	    (1 * USEC_PER_SEC)
#define PATIENCE    (5 * USEC_PER_SEC) /* with connecting */
#define RETRY_AFTER (500 * USEC_PER_MSEC)

void database_store(struct backend *b, enum backend_store_when when, struct backend_write *w,
		    void (*done)(void *arg, const struct err *err), void *arg)
{
	struct database *d = b->own;
	struct database_write *job = xcalloc(1, sizeof(*job));

	*job = (struct database_write){.row = TAKE(w->row), .when = when, .done = done, .arg = arg};
	backend_write_done(w);
	mutex_lock(&d->lock);
	*d->last = job;
	d->last = &job->next;
	cond_signal(&d->work);
	mutex_unlock(&d->lock);
}

static void finish(struct database_write *job, const struct err *err)
{
	if (job->done != NULL)
		job->done(job->arg, err);
	database_row_free(job->row);
	free(job);
}

/* ---- one connection's worth ---- */

static int write_row(struct database *d, struct pg *c, const struct database_write *job,
		     struct err *err)
{
	struct pg_param params[DATABASE_COLUMNS];

	for (size_t i = 0; i < d->table.param_count; i++) {
		enum database_column column = d->table.params[i];
		const char *data = job->row->columns[column].data;
		size_t len = job->row->columns[column].len;
		bool binary = column == COLUMN_RESULT || column == COLUMN_CHILDREN ||
			      column == COLUMN_ARGS || column == COLUMN_KWARGS ||
			      column == COLUMN_STAMPS;

		params[i] = data == NULL ? PG_NULL : binary ? PG_BYTES(data, len) : PG_TEXT(data);
	}
	return pg_exec(c, d->table.store[job->when], params, d->table.param_count, NULL, err);
}

static int write_all(struct database *d, struct pg *c, const struct database_write *jobs,
		     struct err *err)
{
	int rc = pg_exec(c, "BEGIN", NULL, 0, NULL, err);

	for (; rc == 0 && jobs != NULL; jobs = jobs->next)
		rc = write_row(d, c, jobs, err);
	return rc < 0 ? rc : pg_exec(c, "COMMIT", NULL, 0, NULL, err);
}

/* It is not the row that is refused: worth waiting for, and to look at the table again. */
static bool is_away(const struct err *err)
{
	return err_is_transient(err) || err->code == ERR_NOTFOUND || err->code == ERR_DENIED;
}

/* One after the other; what is left (of which the first is not done) when the database goes away.
 */
static struct database_write *write_each(struct database *d, struct database_write *jobs,
					 struct err *err)
{
	while (jobs != NULL) {
		struct database_write *job = jobs, *next = job->next;
		struct pg *c = NULL;
		struct err one = {0};
		int rc = pg_get(d->pool, clock_deadline(PATIENCE), &c, &one);

		if (rc == 0)
			rc = write_row(d, c, job, &one);
		pg_put(c);
		if (rc < 0 && is_away(&one)) {
			*err = one;
			return jobs;
		}
		finish(job, rc < 0 ? &one : NULL);
		jobs = next;
	}
	return NULL;
}

static int prepare(struct database *d, struct pg *c, struct err *err)
{
	struct database_table table = {0};
	int rc;

	if (d->prepared)
		return 0;
	rc = database_table_open(d, c, &table, err);
	if (rc < 0)
		return rc;
	database_table_done(&d->table);
	d->table = table;
	d->prepared = true;
	return 0;
}

/* What is left of the jobs when the database is away: then `err` is set. */
static struct database_write *write_jobs(struct database *d, struct database_write *jobs,
					 struct err *err)
{
	struct pg *c = NULL;
	int rc = pg_get(d->pool, clock_deadline(PATIENCE), &c, err);
	bool opened;

	if (rc == 0)
		rc = prepare(d, c, err);
	opened = rc == 0;
	if (opened && jobs != NULL)
		rc = write_all(d, c, jobs, err);
	pg_put(c); /* rolls back what failed */
	if (!opened || (rc < 0 && is_away(err)))
		return jobs;
	if (rc < 0) {
		*err = (struct err){0};
		return write_each(d, jobs, err);
	}
	while (jobs != NULL) {
		struct database_write *next = jobs->next;

		finish(jobs, NULL);
		jobs = next;
	}
	return NULL;
}

/* ---- the thread ---- */

static void tell(struct database *d, const struct err *err)
{
	bool away = err->code != 0;

	atomic_store(&d->ready, !away);
	if (away) {
		d->prepared = false;
		if (!d->said_away)
			log_error("result backend: %s: %s. Trying again.", d->safe, err->msg);
	} else if (d->said_away) {
		log_info("result backend: %s works again", d->safe);
	}
	d->said_away = away;
}

/* Waits for something to write, or the time to look at the connection; takes a batch. */
static struct database_write *take_batch(struct database *d) REQUIRES(d->lock);
static struct database_write *take_batch(struct database *d)
{
	struct database_write *batch = d->first, **end = &batch;

	for (size_t i = 0; i < BATCH && *end != NULL; i++)
		end = &(*end)->next;
	d->first = *end;
	*end = NULL;
	if (d->first == NULL)
		d->last = &d->first;
	return batch;
}

/* They come first the next time. */
static void put_back(struct database *d, struct database_write *jobs) REQUIRES(d->lock);
static void put_back(struct database *d, struct database_write *jobs)
{
	struct database_write **end = &jobs;

	if (jobs == NULL)
		return;
	while (*end != NULL)
		end = &(*end)->next;
	*end = d->first;
	if (d->first == NULL)
		d->last = end;
	d->first = jobs;
}

static bool is_over(const struct database *d) REQUIRES(d->lock);
static bool is_over(const struct database *d)
{
	return d->stopping && (d->first == NULL || clock_mono() >= d->stop_at);
}

static void *writer_thread(void *arg)
{
	struct database *d = arg;
	usec_t wake_at = 0;

	mutex_lock(&d->lock);
	while (!is_over(d)) {
		struct database_write *batch;
		struct err err = {0};

		if (clock_mono() < wake_at && (d->first == NULL || !atomic_load(&d->ready))) {
			cond_wait_until(&d->work, &d->lock, wake_at);
			continue;
		}
		batch = take_batch(d);
		mutex_unlock(&d->lock);
		batch = write_jobs(d, batch, &err);
		tell(d, &err);
		wake_at = clock_deadline(err.code != 0 ? RETRY_AFTER : IDLE);
		mutex_lock(&d->lock);
		put_back(d, batch);
	}
	mutex_unlock(&d->lock);
	return NULL;
}

int database_writer_start(struct database *d, struct err *err)
{
	int rc = thread_start(&d->thread, "results", writer_thread, d, err);

	d->started = rc == 0;
	return rc;
}

void database_writer_stop(struct database *d, usec_t deadline)
{
	struct err cancelled;

	if (!d->started)
		return;
	err_set(&cancelled, ERR_CANCELLED, "the worker ends");
	mutex_lock(&d->lock);
	d->stopping = true;
	d->stop_at = deadline;
	cond_signal(&d->work);
	mutex_unlock(&d->lock);
	pthread_join(d->thread, NULL);
	d->started = false;
	while (d->first != NULL) {
		struct database_write *job = d->first;

		d->first = job->next;
		finish(job, &cancelled);
	}
	d->last = &d->first;
}
