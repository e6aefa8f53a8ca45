/*
 * database.c: results in PostgreSQL (db+postgresql://), in the tables of Celery's SQLAlchemy
 * backend. Nobody is told when one is written and parts of chords are not counted: clients look,
 * and celery.chord_unlock does.
 */
#include "database.h"

#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "codec.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "url.h"

#define CONNECTIONS  3	/* one of them is the writer's */
#define READ_AT_ONCE 50 /* parameters of a statement */
#define PATIENCE     (5 * USEC_PER_SEC)

/* What follows "db+": the URL of SQLAlchemy. */
static const char *url_of(const struct settings *s)
{
	return strchr(s->result_backend, '+') + 1;
}

static int check_database(const struct backend *b, const struct settings *s, struct err *err)
{
	struct database_names names = {0};
	struct pg_pool *pool = NULL;
	const char *url = url_of(s);
	int rc;

	if (strncmp(url, "postgres", 8) != 0)
		return err_set(err, ERR_UNSUPPORTED,
			       "result_backend: db+%.*s is not built in; db+postgresql:// is",
			       (int)strcspn(url, ":"), url);
	if (b->compression != NULL && s->result_pickle)
		return err_set(err, ERR_INVALID,
			       "result_compression: results in a database are pickled, which "
			       "nobody reads compressed; CELERIAC_RESULT_PICKLE=false serializes "
			       "them");
	rc = database_names_read(s, &names, err);
	database_names_done(&names);
	if (rc < 0)
		return rc;
	rc = pg_pool_new(url, 1, "celeriac-backend", &pool, err);
	pg_pool_free(pool);
	return rc < 0 ? err_wrap(err, "result_backend") : 0;
}

static int open_database(struct backend *b, const struct settings *s,
			 unused_arg const struct backend_links *links, struct err *err)
{
	struct database *d = xcalloc(1, sizeof(*d));
	int rc;

	b->own = d;
	d->backend = b;
	d->pickles = s->result_pickle;
	d->safe = url_safe(s->result_backend);
	d->last = &d->first;
	mutex_init(&d->lock);
	cond_init(&d->work);
	rc = database_names_read(s, &d->names, err);
	if (rc == 0)
		rc = pg_pool_new(url_of(s), CONNECTIONS, "celeriac-backend", &d->pool, err);
	return rc < 0 ? err_wrap(err, "result_backend") : database_writer_start(d, err);
}

static void close_database(struct backend *b, usec_t deadline)
{
	struct database *d = b->own;

	if (d == NULL)
		return;
	database_writer_stop(d, deadline);
	pg_pool_free(d->pool);
	database_table_done(&d->table);
	database_names_done(&d->names);
	cond_done(&d->work);
	mutex_done(&d->lock);
	free(d->safe);
	free(d);
}

static bool database_ready(const struct backend *b)
{
	const struct database *d = b->own;

	return atomic_load(&d->ready);
}

int backend_reach(const struct settings *s, struct err *err)
{
	struct pg_pool *pool = NULL;
	struct pg *c = NULL;
	int rc = pg_pool_new(url_of(s), 1, "celeriac-check", &pool, err);

	if (rc == 0)
		rc = pg_get(pool, clock_deadline(PATIENCE), &c, err);
	if (rc == 0)
		rc = pg_exec(c, "SELECT 1", NULL, 0, NULL, err);
	pg_put(c);
	pg_pool_free(pool);
	return rc;
}

/* ---- reading ---- */

enum { READ_ID, READ_STATUS, READ_TRACEBACK, READ_RESULT };

/* The meta in a row; of a result that cannot be read, why. */
static json_t *meta_of(const struct backend *b, const struct pg_result *rows, size_t row)
{
	const char *traceback = pg_text(rows, row, READ_TRACEBACK);
	const char *status = pg_text(rows, row, READ_STATUS), *id = pg_text(rows, row, READ_ID);
	_cleanup_buf_ struct buf bytes = BUF_INIT(BOUND_RESULT_BYTES);
	json_t *result = NULL, *meta;
	struct err why = {0};
	int rc = 0;

	if (pg_text(rows, row, READ_RESULT) != NULL) {
		rc = base64_decode(pg_text(rows, row, READ_RESULT),
				   pg_length(rows, row, READ_RESULT), &bytes, &why);
		if (rc == 0)
			rc = database_decode(b, (struct slice){bytes.data, bytes.len}, &result,
					     &why);
	}
	meta = json_pack("{s:s, s:s?, s:s?}", "task_id", id, "status", status, "traceback",
			 traceback);
	if (rc == 0)
		json_object_set_new(meta, "result", result ? result : json_null());
	else
		log_error("result of %.80s: %s", id, why.msg);
	return meta;
}

static int read_some(const struct database *d, struct pg *c, const char *const *ids, size_t count,
		     json_t *by_id, struct err *err)
{
	_cleanup_pg_result_ struct pg_result *rows = NULL;
	_cleanup_buf_ struct buf sql = BUF_INIT(BOUND_URL_BYTES * 64);
	struct pg_param params[READ_AT_ONCE];
	int rc;

	/* What is larger than a result may be is not even fetched: a byte that is none instead. */
	buf_appendf(&sql,
		    "SELECT task_id, status, left(traceback, %u), encode(CASE WHEN "
		    "octet_length(result) > %u THEN '\\x00' ELSE result END, 'base64') "
		    "FROM %s WHERE task_id IN (",
		    BOUND_RESULT_BYTES / 4, BOUND_RESULT_BYTES, d->names.task);
	for (size_t i = 0; i < count; i++) {
		buf_appendf(&sql, "%s$%zu", i > 0 ? ", " : "", i + 1);
		params[i] = PG_TEXT(ids[i]);
	}
	buf_append_char(&sql, ')');
	rc = pg_exec(c, sql.data, params, count, &rows, err);
	for (size_t i = 0; rc == 0 && i < pg_rows(rows); i++)
		json_object_set_new(by_id, pg_text(rows, i, READ_ID), meta_of(d->backend, rows, i));
	return rc;
}

static int get_rows(struct backend *b, const char *const *task_ids, size_t count, usec_t deadline,
		    json_t **ret, struct err *err)
{
	struct database *d = b->own;
	_cleanup_json_ json_t *by_id = json_object(), *metas = json_array();
	struct pg *c = NULL;
	int rc;

	if (!atomic_load(&d->ready)) {
		err_set(err, ERR_UNAVAILABLE, "%s is away", d->safe);
		return err_transient(err);
	}
	rc = pg_get(d->pool, deadline, &c, err);
	for (size_t at = 0; rc == 0 && at < count; at += READ_AT_ONCE)
		rc = read_some(d, c, task_ids + at,
			       count - at < READ_AT_ONCE ? count - at : READ_AT_ONCE, by_id, err);
	pg_put(c);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < count; i++) {
		json_t *meta = json_object_get(by_id, task_ids[i]);

		json_array_append_new(metas, meta ? json_incref(meta) : json_null());
	}
	*ret = TAKE(metas);
	return 0;
}

/* ---- celery.backend_cleanup ---- */

static int forget(struct pg *c, const char *table, const char *before, struct err *err)
{
	_cleanup_free_ char *sql =
		xasprintf("DELETE FROM %s WHERE date_done < $1::timestamptz", table);

	return pg_exec(c, sql, (struct pg_param[]){PG_TEXT(before)}, 1, NULL, err);
}

static int clean_database(struct backend *b, struct err *err)
{
	struct database *d = b->own;
	char before[CLOCK_ISO_SIZE];
	struct pg *c = NULL;
	int rc;

	if (b->ttl == 0)
		return 0;
	clock_iso(clock_wall() - b->ttl * USEC_PER_SEC, before);
	rc = pg_get(d->pool, clock_deadline(PATIENCE), &c, err);
	if (rc == 0)
		rc = forget(c, d->names.task, before, err);
	if (rc == 0)
		rc = forget(c, d->names.group, before, err);
	pg_put(c);
	return rc < 0 ? err_wrap(err, "forgetting results") : 0;
}

static const char *const g_schemes[] = {"db+", "database+", NULL};

const struct backend_driver backend_database = {
	.kind = BACKEND_DATABASE,
	.schemes = g_schemes,
	.caps = BACKEND_POLLED,
	.check = check_database,
	.open = open_database,
	.close = close_database,
	.ready = database_ready,
	.encode = database_encode,
	.store = database_store,
	.get_many = get_rows,
	.cleanup = clean_database,
};
