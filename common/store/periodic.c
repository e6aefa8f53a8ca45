/*
 * periodic.c: rows of periodic_tasks, for beat.
 */
#include "bounds.h"
#include "json.h"
#include "session.h"

static int load(struct pg *c, json_t **ret, struct err *err)
{
	_cleanup_pg_result_ struct pg_result *r = NULL;
	int rc =
		pg_exec(c,
			"SELECT coalesce(jsonb_agg(jsonb_build_object('name', name, 'task', task, "
			"'schedule', schedule, 'args', args, 'kwargs', kwargs, 'options', options, "
			"'last_run_at', last_run_at, 'total_run_count', total_run_count) "
			"ORDER BY id), '[]') FROM celeriac.periodic_tasks WHERE enabled",
			NULL, 0, &r, err);

	return rc < 0 ? rc : json_load_python(pg_text(r, 0, 0), pg_length(r, 0, 0), ret, err);
}

/* A run that is written late never goes over a later one. */
static int note(struct pg *c, const char *runs, size_t len, struct err *err)
{
	const struct pg_param params[] = {{.data = runs, .len = len}};

	return pg_exec(c,
		       "UPDATE celeriac.periodic_tasks AS t SET last_run_at = v.last_run_at, "
		       "total_run_count = v.total_run_count FROM jsonb_to_recordset($1::jsonb) "
		       "AS v (name text, last_run_at timestamptz, total_run_count bigint) "
		       "WHERE t.name = v.name AND (t.last_run_at IS NULL OR "
		       "t.last_run_at < v.last_run_at)",
		       params, 1, NULL, err);
}

int store_note_periodic_tasks(struct store *s, const json_t *runs, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_REDIS_COMMAND);
	struct pg *c;
	int rc;

	json_dump_strict(runs, &text);
	rc = buf_status(&text, err);
	if (rc == 0)
		rc = session_begin(s, &c, err);
	if (rc < 0)
		return rc;
	return session_end(s, c, note(c, text.data, text.len, err), err);
}

int store_load_periodic_tasks(struct store *s, json_t **ret, struct err *err)
{
	struct pg *c;
	int rc = session_begin(s, &c, err);

	if (rc < 0)
		return rc;
	return session_end(s, c, load(c, ret, err), err);
}
