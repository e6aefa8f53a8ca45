/*
 * finish.c: the last write of a task: its row and its files, all or nothing, and only by the life
 * of the worker that has it.
 */
#include "session.h"

#include "bounds.h"
#include "codec.h"
#include "json.h"
#include "mem.h"

static const char sql_finish[] =
	"UPDATE celeriac.tool_results SET state = $5, status = $6, exit_code = $7, stdout = $8,"
	" stderr = $9, error = $10, container_id = coalesce($11, container_id), result = $12,"
	" result_text = $13, detail = coalesce($14::jsonb, '{}'), finished_at = now()"
	" WHERE task_id = $1 AND worker = $2 AND epoch = $3 AND retries = $4 AND state = 'running'"
	" RETURNING 1";

/* Finished already, by us: the answer to our commit was lost. */
static const char sql_finished[] =
	"SELECT 1 FROM celeriac.tool_results WHERE task_id = $1 AND worker = $2 AND epoch = $3"
	" AND retries = $4 AND state <> 'running'";

/* Everything the statements need, as text that PostgreSQL takes. */
struct finish_text {
	struct decimal epoch, retries, exit_code;
	struct buf result, exact;      /* what jsonb takes; what Celery got */
	struct buf out, errors, error; /* cleaned */
	struct buf detail;
};

static void finish_text_done(struct finish_text *text)
{
	buf_done(&text->result);
	buf_done(&text->exact);
	buf_done(&text->out);
	buf_done(&text->errors);
	buf_done(&text->error);
	buf_done(&text->detail);
}

static int clean(const char *what, const char *text, struct buf *out, struct err *err)
{
	utf8_clean(text ? text : "", text ? strlen(text) : 0, true, out);
	int rc = buf_status(out, err);
	return rc < 0 ? err_wrap(err, "%s", what) : 0;
}

static int finish_text_make(struct finish_text *text, const struct store_task *t,
			    const struct store_finish *f, const json_t *result, struct err *err)
{
	text->epoch = decimal(t->epoch);
	text->retries = decimal(t->retries);
	text->exit_code = decimal(f->exit_code);
	json_dump_strict(result, &text->result);
	json_dump_python(result, &text->exact);
	if (f->detail)
		json_dump_strict(f->detail, &text->detail);
	int rc = buf_status(&text->exact, err);
	if (rc == 0)
		rc = buf_status(&text->detail, err);
	if (rc == 0)
		rc = buf_status(&text->result, err);
	if (rc < 0)
		return err_wrap(err, "result");
	rc = clean("stdout", f->stdout_text, &text->out, err);
	if (rc == 0)
		rc = clean("stderr", f->stderr_text, &text->errors, err);
	if (rc == 0)
		rc = clean("error", f->error, &text->error, err);
	return rc;
}

/* 1 when the row is now finished, 0 when it was, by us, before. */
static int finish_row(struct pg *c, const struct store_task *t, const struct store_finish *f,
		      const struct finish_text *text, struct err *err)
{
	_cleanup_pg_result_ struct pg_result *updated = NULL, *before = NULL;
	const char *container = f->container && *f->container ? f->container : NULL;
	const struct pg_param params[] = {
		PG_TEXT(t->task_id),
		PG_TEXT(t->worker),
		PG_TEXT(text->epoch.text),
		PG_TEXT(text->retries.text),
		PG_TEXT(f->failed ? "failed" : "finished"),
		PG_TEXT(f->status),
		PG_TEXT(text->exit_code.text),
		f->stdout_text ? PG_TEXT(text->out.data) : PG_NULL,
		f->stderr_text ? PG_TEXT(text->errors.data) : PG_NULL,
		f->error ? PG_TEXT(text->error.data) : PG_NULL,
		PG_TEXT(container),
		PG_TEXT(text->result.data),
		PG_TEXT(text->exact.data),
		f->detail ? PG_TEXT(text->detail.data) : PG_NULL,
	};
	int rc = pg_exec(c, sql_finish, params, ARRAY_LEN(params), &updated, err);
	if (rc < 0)
		return rc;
	if (pg_rows(updated) > 0)
		return 1;
	rc = pg_exec(c, sql_finished, params, 4, &before, err);
	if (rc < 0)
		return rc;
	if (pg_rows(before) == 0)
		return err_set(err, ERR_CONFLICT, "task %s is no longer ours", t->task_id);
	return 0;
}

static int finish_with_files(struct store *s, struct pg *c, const struct store_task *t,
			     const struct store_finish *f, const struct finish_text *text,
			     struct err *err)
{
	int rc = pg_exec(c, "BEGIN", NULL, 0, NULL, err);
	if (rc < 0)
		return rc;
	rc = finish_row(c, t, f, text, err);
	if (rc > 0)
		rc = output_write(s, c, t, f->files, f->file_count, err);
	if (rc < 0)
		return rc; /* rolled back when the connection is put back */
	return pg_exec(c, "COMMIT", NULL, 0, NULL, err);
}

static int finish_task(struct store *s, const struct store_task *t, const struct store_finish *f,
		       const struct finish_text *text, struct err *err)
{
	struct pg *c;
	int rc = session_begin(s, &c, err);
	if (rc < 0)
		return rc;
	/* Without files it is one statement, and one way there and back. */
	if (f->file_count == 0 && t->retries == 0)
		rc = finish_row(c, t, f, text, err);
	else
		rc = finish_with_files(s, c, t, f, text, err);
	return session_end(s, c, rc < 0 ? rc : 0, err);
}

int store_finish_task(struct store *s, const struct store_task *t, const struct store_finish *f,
		      const json_t *result, struct err *err)
{
	struct finish_text text = {.result = BUF_INIT(2 * (size_t)BOUND_RESULT_BYTES),
				   .exact = BUF_INIT(BOUND_RESULT_BYTES),
				   .out = BUF_INIT(3 * (size_t)BOUND_RESULT_BYTES),
				   .errors = BUF_INIT(3 * (size_t)BOUND_RESULT_BYTES),
				   .error = BUF_INIT(3 * (size_t)BOUND_RESULT_BYTES),
				   .detail = BUF_INIT(BOUND_ERROR_TEXT)};
	int rc = task_check(t, err);
	if (rc == 0)
		rc = finish_text_make(&text, t, f, result, err);
	if (rc == 0)
		rc = finish_task(s, t, f, &text, err);
	finish_text_done(&text);
	return rc;
}
