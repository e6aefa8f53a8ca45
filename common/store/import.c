/*
 * import.c: rows that come from elsewhere, added as the owner.
 */
#include <stdlib.h>

#include "bounds.h"
#include "clock.h"
#include "json.h"
#include "mem.h"
#include "session.h"

#define CONNECT (10 * USEC_PER_SEC)

static const char insert_http_tools[] =
	"WITH added AS (INSERT INTO celeriac.http_tools (name, description, method, url, body, "
	"content_type, auth, input_schema, enabled) SELECT name, description, method, url, body, "
	"content_type, auth, input_schema, enabled FROM jsonb_to_recordset($1::jsonb) AS t(name "
	"text, description text, method text, url text, body text, content_type text, auth jsonb, "
	"input_schema jsonb, enabled boolean) ON CONFLICT (name, coalesce(project_id, '')) DO "
	"NOTHING RETURNING 1) SELECT count(*) FROM added";

static const char insert_periodic_tasks[] =
	"WITH added AS (INSERT INTO celeriac.periodic_tasks (name, task, schedule, args, kwargs, "
	"options, enabled, last_run_at, total_run_count) SELECT name, task, schedule, "
	"coalesce(args, '[]'), coalesce(kwargs, '{}'), coalesce(options, '{}'), enabled, "
	"last_run_at, coalesce(total_run_count, 0) FROM jsonb_to_recordset($1::jsonb) AS t(name "
	"text, task text, schedule text, args jsonb, kwargs jsonb, options jsonb, enabled boolean, "
	"last_run_at timestamptz, total_run_count bigint) ON CONFLICT (name) DO NOTHING RETURNING "
	"1) SELECT count(*) FROM added";

static int import_rows(const char *owner_url, const char *insert, const json_t *rows,
		       int64_t *ret_added, struct err *err)
{
	_cleanup_pg_result_ struct pg_result *r = NULL;
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_IMPORT);
	struct pg_pool *pool;
	struct pg *c = NULL;
	int rc;

	json_dump_strict(rows, &text);
	rc = buf_status(&text, err);
	if (rc == 0)
		rc = pg_pool_new(owner_url, 1, "celeriac-import", &pool, err);
	if (rc < 0)
		return rc;
	rc = pg_get(pool, clock_deadline(CONNECT), &c, err);
	if (rc == 0) {
		const struct pg_param param = {.data = text.data, .len = text.len};

		rc = pg_exec(c, insert, &param, 1, &r, err);
	}
	if (rc == 0)
		*ret_added = strtoll(pg_text(r, 0, 0), NULL, 10);
	pg_put(c);
	pg_pool_free(pool);
	return rc;
}

int store_import_http_tools(const char *owner_url, const json_t *tools, int64_t *ret_added,
			    struct err *err)
{
	return import_rows(owner_url, insert_http_tools, tools, ret_added, err);
}

int store_import_periodic_tasks(const char *owner_url, const json_t *rows, int64_t *ret_added,
				struct err *err)
{
	return import_rows(owner_url, insert_periodic_tasks, rows, ret_added, err);
}
