/*
 * task.c: who has a task. Each function is one statement that changes a row or does not; what is
 * there instead is read afterwards.
 */
#include "session.h"

#include <stdio.h>
#include <stdlib.h>

#include "bounds.h"
#include "json.h"
#include "mem.h"

/*
 * Inserts, or begins a row of an earlier retry of the same call anew. The last condition finds our
 * own begin again whose answer was lost: the same delivery, in the same life of the same worker.
 */
static const char sql_begin[] =
	"INSERT INTO celeriac.tool_results AS old (task_id, kind, tool, conversation_id, "
	"project_id, params,"
	" retries, worker, epoch, delivery, traceparent)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
	" ON CONFLICT (task_id) DO UPDATE SET kind = excluded.kind, tool = excluded.tool,"
	" conversation_id = excluded.conversation_id, project_id = excluded.project_id,"
	" params = excluded.params, retries = excluded.retries, worker = excluded.worker,"
	" epoch = excluded.epoch, delivery = excluded.delivery,"
	" traceparent = excluded.traceparent, state = 'running', status = NULL,"
	" exit_code = NULL, result = NULL, result_text = NULL, stdout = NULL, stderr = NULL, error "
	"= NULL,"
	" attempt = CASE WHEN old.retries < excluded.retries THEN 1 ELSE old.attempt END,"
	" container_id = NULL, started_at = now(), finished_at = NULL"
	" WHERE old.tool = excluded.tool"
	" AND old.conversation_id IS NOT DISTINCT FROM excluded.conversation_id"
	" AND old.project_id IS NOT DISTINCT FROM excluded.project_id"
	" AND (old.retries < excluded.retries OR (old.retries = excluded.retries"
	" AND old.state = 'running' AND old.delivery = excluded.delivery"
	" AND old.worker = excluded.worker AND old.epoch = excluded.epoch))"
	" RETURNING attempt";

static const char sql_look[] = "SELECT state, attempt, worker, epoch, coalesce(container_id, ''),"
			       " coalesce(result_text, result::text, 'null'),"
			       " tool = $2 AND conversation_id IS NOT DISTINCT FROM $3"
			       " AND project_id IS NOT DISTINCT FROM $4"
			       " FROM celeriac.tool_results WHERE task_id = $1";

/* From a dead owner, or again by the delivery that has done so and did not hear of it. */
static const char sql_take_over[] =
	"UPDATE celeriac.tool_results SET worker = $2, epoch = $3, retries = $4, delivery = $5,"
	" container_id = NULL, started_at = now()"
	" WHERE task_id = $1 AND state = 'running' AND retries <= $4 AND ((worker = $6 AND epoch = "
	"$7)"
	" OR (worker = $2 AND epoch = $3 AND retries = $4 AND delivery = $5))"
	" RETURNING attempt";

/* Hints, since the container and its agent know the truth: the commit does not wait for the disk.
 */
static const char sql_note_run[] =
	"UPDATE celeriac.tool_results SET container_id = $5, attempt = greatest(attempt, $6)"
	" WHERE task_id = $1 AND worker = $2"
	" AND epoch = $3 AND retries = $4 AND state = 'running'"
	" RETURNING set_config('synchronous_commit', 'off', true)";

static int64_t field_number(const struct pg_result *r, size_t row, size_t column)
{
	const char *text = pg_text(r, row, column);
	return text ? strtoll(text, NULL, 10) : 0;
}

/* 1 and the attempt when the row is ours, 0 when it is not. */
static int try_begin(struct pg *c, const struct store_task *t, int *ret_attempt, struct err *err)
{
	_cleanup_buf_ struct buf arguments = BUF_INIT(2 * (size_t)BOUND_BODY_BYTES);
	_cleanup_pg_result_ struct pg_result *r = NULL;
	if (t->params)
		json_dump_strict(t->params, &arguments);
	else
		buf_append_str(&arguments, "{}");
	int rc = buf_status(&arguments, err);
	if (rc < 0)
		return err_wrap(err, "params");
	const struct decimal retries = decimal(t->retries), epoch = decimal(t->epoch);
	const struct pg_param params[] = {
		PG_TEXT(t->task_id),	  PG_TEXT(t->kind),	   PG_TEXT(t->tool),
		PG_TEXT(t->conversation), PG_TEXT(t->project),	   PG_TEXT(arguments.data),
		PG_TEXT(retries.text),	  PG_TEXT(t->worker),	   PG_TEXT(epoch.text),
		PG_TEXT(t->delivery),	  PG_TEXT(t->traceparent),
	};
	rc = pg_exec(c, sql_begin, params, ARRAY_LEN(params), &r, err);
	if (rc < 0 || pg_rows(r) == 0)
		return rc;
	*ret_attempt = (int)field_number(r, 0, 0);
	return 1;
}

static void copy_text(char *out, size_t size, const char *text)
{
	snprintf(out, size, "%s", text ? text : "");
}

/* 1 and what the row says, 0 when there is none. */
static int look(struct pg *c, const struct store_task *t, struct store_begin *ret, struct err *err)
{
	_cleanup_pg_result_ struct pg_result *r = NULL;
	const struct pg_param params[] = {PG_TEXT(t->task_id), PG_TEXT(t->tool),
					  PG_TEXT(t->conversation), PG_TEXT(t->project)};
	int rc = pg_exec(c, sql_look, params, ARRAY_LEN(params), &r, err);
	if (rc < 0 || pg_rows(r) == 0)
		return rc;
	/* Whoever sends an id again must not learn what another project's call returned. */
	if (strcmp(pg_text(r, 0, 6) ? pg_text(r, 0, 6) : "f", "t") != 0)
		return err_set(
			err, ERR_CONFLICT,
			"task %s is another call, with another tool, conversation or project",
			t->task_id);
	const char *state = pg_text(r, 0, 0);
	struct store_begin found = {.verdict = STORE_RUNNING,
				    .attempt = (int)field_number(r, 0, 1),
				    .epoch = field_number(r, 0, 3)};
	copy_text(found.worker, sizeof(found.worker), pg_text(r, 0, 2));
	copy_text(found.container, sizeof(found.container), pg_text(r, 0, 4));
	if (!state || strcmp(state, "running") != 0) {
		found.verdict = STORE_FINISHED;
		found.failed = state && strcmp(state, "failed") == 0;
		rc = json_load_python(pg_text(r, 0, 5), pg_length(r, 0, 5), &found.result, err);
		if (rc < 0)
			return err_wrap(err, "stored result");
	}
	*ret = found;
	return 1;
}

static int begin_task(struct pg *c, const struct store_task *t, struct store_begin *ret,
		      struct err *err)
{
	/* A row that blocks the insert may be pruned before it is looked at. */
	for (int tries = 0; tries < 3; tries++) {
		int attempt;
		int rc = try_begin(c, t, &attempt, err);
		if (rc < 0)
			return rc;
		if (rc > 0) {
			*ret = (struct store_begin){
				.verdict = STORE_BEGUN, .attempt = attempt, .epoch = t->epoch};
			copy_text(ret->worker, sizeof(ret->worker), t->worker);
			return 0;
		}
		rc = look(c, t, ret, err);
		if (rc != 0)
			return rc < 0 ? rc : 0;
	}
	err_set(err, ERR_CONFLICT, "the row of task %s comes and goes", t->task_id);
	return err_transient(err);
}

int store_begin_task(struct store *s, const struct store_task *t, struct store_begin *ret,
		     struct err *err)
{
	struct pg *c;
	int rc = task_check(t, err);
	if (rc == 0)
		rc = session_begin(s, &c, err);
	if (rc < 0)
		return rc;
	return session_end(s, c, begin_task(c, t, ret, err), err);
}

static int take_over(struct pg *c, const struct store_task *t, const char *old_worker,
		     int64_t old_epoch, int *ret_attempt, struct err *err)
{
	_cleanup_pg_result_ struct pg_result *r = NULL;
	const struct decimal epoch = decimal(t->epoch), retries = decimal(t->retries),
			     old = decimal(old_epoch);
	const struct pg_param params[] = {
		PG_TEXT(t->task_id),   PG_TEXT(t->worker),   PG_TEXT(epoch.text),
		PG_TEXT(retries.text), PG_TEXT(t->delivery), PG_TEXT(old_worker),
		PG_TEXT(old.text),
	};
	int rc = pg_exec(c, sql_take_over, params, ARRAY_LEN(params), &r, err);
	if (rc < 0)
		return rc;
	if (pg_rows(r) == 0)
		return err_set(err, ERR_CONFLICT, "task %s is no longer %s@%" PRId64 "'s",
			       t->task_id, old_worker, old_epoch);
	*ret_attempt = (int)field_number(r, 0, 0);
	return 0;
}

int store_take_over(struct store *s, const struct store_task *t, const char *old_worker,
		    int64_t old_epoch, int *ret_attempt, struct err *err)
{
	struct pg *c;
	int rc = task_check(t, err);
	if (rc == 0)
		rc = session_begin(s, &c, err);
	if (rc < 0)
		return rc;
	rc = take_over(c, t, old_worker, old_epoch, ret_attempt, err);
	return session_end(s, c, rc, err);
}

static int note_run(struct pg *c, const struct store_task *t, int attempt, const char *container,
		    struct err *err)
{
	_cleanup_pg_result_ struct pg_result *r = NULL;
	const struct decimal epoch = decimal(t->epoch), retries = decimal(t->retries),
			     number = decimal(attempt);
	const struct pg_param params[] = {PG_TEXT(t->task_id), PG_TEXT(t->worker),
					  PG_TEXT(epoch.text), PG_TEXT(retries.text),
					  PG_TEXT(container),  PG_TEXT(number.text)};
	int rc = pg_exec(c, sql_note_run, params, ARRAY_LEN(params), &r, err);
	if (rc < 0)
		return rc;
	if (pg_rows(r) == 0)
		return err_set(err, ERR_CONFLICT, "task %s is no longer ours", t->task_id);
	return 0;
}

int store_note_run(struct store *s, const struct store_task *t, int attempt, const char *container,
		   struct err *err)
{
	struct pg *c;
	int rc = task_check(t, err);
	if (rc == 0)
		rc = session_begin(s, &c, err);
	if (rc < 0)
		return rc;
	return session_end(s, c, note_run(c, t, attempt, container, err), err);
}
