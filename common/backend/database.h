/*
 * database.h: what the files of the database backend share: results in the table celery_taskmeta,
 * as the SQLAlchemy models of Celery have it (celery/backends/database/models.py).
 *
 *   database.c         the driver: settings, reading, forgetting
 *   database_row.c     a meta as the columns of a row (pure)
 *   database_table.c   the table as it is there, and the statements for it
 *   database_writer.c  the thread that writes, many rows in one transaction
 */
#ifndef CELERIAC_BACKEND_DATABASE_H
#define CELERIAC_BACKEND_DATABASE_H

#include <stdatomic.h>

#include "buf.h"
#include "driver.h"
#include "pg.h"
#include "thread.h"

/* What is written; the first ones are in every table, which lacks others by Celery's version. */
enum database_column {
	COLUMN_TASK_ID,
	COLUMN_STATUS,
	COLUMN_RESULT,
	COLUMN_DATE_DONE,
	COLUMN_TRACEBACK,
	COLUMN_CHILDREN, /* since 5.7 */
	COLUMN_NAME,	 /* from here on of result_extended */
	COLUMN_ARGS,
	COLUMN_KWARGS,
	COLUMN_WORKER,
	COLUMN_RETRIES,
	COLUMN_QUEUE,
	COLUMN_STAMPS, /* since 5.7 */
	DATABASE_COLUMNS
};
#define COLUMN_EXTENDED COLUMN_NAME

struct database_row {
	struct {
		char *data; /* NULL: SQL NULL */
		size_t len;
	} columns[DATABASE_COLUMNS];
};

/* Where the tables are, quoted for SQL. */
struct database_names {
	char *task, *task_sequence, *group, *group_sequence;
};

/* Statements for the table as it was found. */
struct database_table {
	char *store[2]; /* by enum backend_store_when */
	size_t param_count;
	enum database_column params[DATABASE_COLUMNS]; /* $1… of them */
};

struct database_write {
	struct database_write *next;
	struct database_row *row;
	enum backend_store_when when;
	void (*done)(void *arg, const struct err *err);
	void *arg;
};

struct database {
	const struct backend *backend;
	struct pg_pool *pool; /* one for the writer, others for readers */
	struct database_names names;
	bool pickles; /* results as Celery up to 5.6 has them */
	char *safe;   /* the URL without its password */
	atomic_bool ready;

	struct mutex lock;
	struct cond work;
	struct database_write *first, **last; /* guarded by lock */
	bool stopping;			      /* guarded by lock */
	usec_t stop_at;			      /* guarded by lock: monotonic */
	pthread_t thread;
	bool started;
	struct database_table table; /* the writer's */
	bool prepared, said_away;    /* the writer's */
};

/* ---- database_row.c ---- */
int database_encode(const struct backend *b, const struct task_meta *m, struct backend_write *ret,
		    struct err *err) must_check;
/* The value of a `result` column, of whichever Celery. Given. */
int database_decode(const struct backend *b, struct slice column, json_t **ret,
		    struct err *err) must_check;

/* ---- database_table.c ---- */
/* Of the settings database_table_names and database_table_schemas. ERR_INVALID. */
int database_names_read(const struct settings *s, struct database_names *ret,
			struct err *err) must_check;
void database_names_done(struct database_names *n);
/* Looks at the table, which is made if it is not there. */
int database_table_open(const struct database *d, struct pg *c, struct database_table *ret,
			struct err *err) must_check;
void database_table_done(struct database_table *t);

/* ---- database_writer.c ---- */
int database_writer_start(struct database *d, struct err *err) must_check;
/* What is left is written until the monotonic `deadline`, the rest is cancelled. */
void database_writer_stop(struct database *d, usec_t deadline);
void database_store(struct backend *b, enum backend_store_when when, struct backend_write *w,
		    void (*done)(void *arg, const struct err *err), void *arg);

#endif
