/*
 * http_tool_import.c: rows of http_tools, added as the owner.
 */
#include <stdlib.h>

#include "bounds.h"
#include "clock.h"
#include "json.h"
#include "mem.h"
#include "session.h"

#define CONNECT (10 * USEC_PER_SEC)

static const char insert[] =
	"WITH added AS (INSERT INTO celeriac.http_tools (name, description, method, url, body, "
	"content_type, auth, input_schema, enabled) SELECT name, description, method, url, body, "
	"content_type, auth, input_schema, enabled FROM jsonb_to_recordset($1::jsonb) AS t(name "
	"text, description text, method text, url text, body text, content_type text, auth jsonb, "
	"input_schema jsonb, enabled boolean) ON CONFLICT (name, coalesce(project_id, '')) DO "
	"NOTHING RETURNING 1) SELECT count(*) FROM added";

int store_import_http_tools(const char *owner_url, const json_t *tools, int64_t *ret_added,
			    struct err *err)
{
	_cleanup_pg_result_ struct pg_result *r = NULL;
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_IMPORT);
	struct pg_pool *pool;
	struct pg *c = NULL;
	int rc;

	json_dump_strict(tools, &text);
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
