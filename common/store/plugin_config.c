/*
 * plugin_config.c: what a plugin is configured with, as it lies there: sealed.
 */
#include <stdio.h>

#include "mem.h"
#include "session.h"

static const char sql_load[] = "SELECT id, config FROM celeriac.plugin_configs"
			       " WHERE plugin = $1 AND (project_id IS NULL OR project_id = $2)"
			       " ORDER BY project_id NULLS LAST LIMIT 1";

static int load(struct pg *c, const char *plugin, const char *project, char **ret_sealed,
		char ret_place[STORE_PLACE_SIZE], struct err *err)
{
	_cleanup_pg_result_ struct pg_result *r = NULL;
	const struct pg_param params[] = {PG_TEXT(plugin), PG_TEXT(project)};
	int rc = pg_exec(c, sql_load, params, ARRAY_LEN(params), &r, err);

	if (rc < 0)
		return rc;
	if (pg_rows(r) == 0)
		return err_set(err, ERR_NOTFOUND, "plugin %.100s has no configuration", plugin);
	snprintf(ret_place, STORE_PLACE_SIZE, "plugin_configs.config.%s", pg_text(r, 0, 0));
	*ret_sealed = xstrdup(pg_text(r, 0, 1));
	return 0;
}

int store_load_plugin_config(struct store *s, const char *plugin, const char *project,
			     char **ret_sealed, char ret_place[STORE_PLACE_SIZE], struct err *err)
{
	struct pg *c;
	int rc = session_begin(s, &c, err);

	if (rc < 0)
		return rc;
	return session_end(s, c, load(c, plugin, project, ret_sealed, ret_place, err), err);
}
