/*
 * http_tool.c: one row of http_tools.
 */
#include "json.h"
#include "mem.h"
#include "session.h"

/* The project's own row goes before the one for all. */
static int load(struct pg *c, const char *name, const char *project, json_t **ret, struct err *err)
{
	_cleanup_pg_result_ struct pg_result *r = NULL;
	const struct pg_param params[] = {PG_TEXT(name), project ? PG_TEXT(project) : PG_NULL};
	int rc = pg_exec(
		c,
		"SELECT to_jsonb(t) FROM celeriac.http_tools t WHERE name = $1 AND enabled AND "
		"(project_id = $2 OR project_id IS NULL) ORDER BY project_id NULLS LAST "
		"LIMIT 1",
		params, ARRAY_LEN(params), &r, err);

	if (rc < 0)
		return rc;
	if (pg_rows(r) == 0)
		return err_set(err, ERR_NOTFOUND, "there is no HTTP tool '%.64s'", name);
	return json_load_python(pg_text(r, 0, 0), pg_length(r, 0, 0), ret, err);
}

int store_load_http_tool(struct store *s, const char *name, const char *project, json_t **ret,
			 struct err *err)
{
	struct pg *c;
	int rc = session_begin(s, &c, err);

	if (rc < 0)
		return rc;
	return session_end(s, c, load(c, name, project, ret, err), err);
}
