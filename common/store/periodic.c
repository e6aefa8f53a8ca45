/*
 * periodic.c: rows of periodic_tasks, for beat.
 */
#include "json.h"
#include "session.h"

static int load(struct pg *c, json_t **ret, struct err *err)
{
	_cleanup_pg_result_ struct pg_result *r = NULL;
	int rc =
		pg_exec(c,
			"SELECT coalesce(jsonb_agg(jsonb_build_object('name', name, 'task', task, "
			"'schedule', schedule, 'args', args, 'kwargs', kwargs, 'options', options) "
			"ORDER BY id), '[]') FROM celeriac.periodic_tasks WHERE enabled",
			NULL, 0, &r, err);

	return rc < 0 ? rc : json_load_python(pg_text(r, 0, 0), pg_length(r, 0, 0), ret, err);
}

int store_load_periodic_tasks(struct store *s, json_t **ret, struct err *err)
{
	struct pg *c;
	int rc = session_begin(s, &c, err);

	if (rc < 0)
		return rc;
	return session_end(s, c, load(c, ret, err), err);
}
