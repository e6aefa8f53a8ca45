/*
 * The audit in the log.
 */
#include "audit.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "log.h"
#include "mem.h"

static void set(json_t *object, const char *key, const char *value)
{
	if (value)
		json_object_set_new(object, key, json_text(value, strlen(value), true));
}

void audit_log(const struct audit_event *e)
{
	_cleanup_json_ json_t *line = json_object();
	_cleanup_free_ char *text = NULL;

	set(line, "decision", e->decision);
	set(line, "kind", e->kind);
	set(line, "tool", e->tool);
	set(line, "target", e->target);
	set(line, "conversation_id", e->conversation);
	set(line, "project_id", e->project);
	set(line, "task_id", e->task);
	set(line, "actor", e->actor);
	set(line, "reason", e->reason);
	if (e->duration != USEC_NEVER)
		json_object_set_new(line, "duration_ms",
				    json_integer((json_int_t)(e->duration / USEC_PER_MSEC)));
	if (e->detail)
		json_object_set(line, "detail", (json_t *)(uintptr_t)e->detail);
	text = json_dumps(line, JSON_COMPACT | JSON_ENSURE_ASCII);
	if (text)
		log_info("[audit] %s", text);
}
