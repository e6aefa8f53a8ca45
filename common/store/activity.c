/*
 * activity.c: rows of the audit.
 */
#include <stdlib.h>

#include "json.h"
#include "mem.h"
#include "session.h"

static const char insert[] =
	"INSERT INTO celeriac.activity_events (at, decision, kind, tool, target, conversation_id, "
	"project_id, task_id, actor, reason, duration_ms, detail) "
	"SELECT to_timestamp(at), decision, kind, tool, target, conversation_id, project_id, "
	"task_id, actor, reason, duration_ms, coalesce(detail, '{}') "
	"FROM jsonb_to_recordset($1::jsonb) AS e(at double precision, decision text, kind text, "
	"tool text, target text, conversation_id text, project_id text, task_id text, actor text, "
	"reason text, duration_ms bigint, detail jsonb)";

int store_add_activity(struct store *s, const json_t *events, struct err *err)
{
	_cleanup_free_ char *text = json_dumps(events, JSON_COMPACT);
	struct pg_param param = PG_TEXT(text);
	struct pg *c;
	int rc;

	if (text == NULL)
		return err_set(err, ERR_NOMEM, "audit");
	rc = session_begin(s, &c, err);
	if (rc < 0)
		return rc;
	return session_end(s, c, pg_exec(c, insert, &param, 1, NULL, err), err);
}
