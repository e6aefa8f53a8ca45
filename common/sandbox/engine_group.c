/*
 * engine_group.c: what bounds a container from outside, for kernels that do not show it inside.
 */
#include "engine_internal.h"

static uint64_t member(const json_t *object, const char *key)
{
	json_int_t n = json_integer_value(json_member(object, key));

	return n > 0 ? (uint64_t)n : 0;
}

void engine_group_parse(const json_t *stats, struct engine_group *ret)
{
	const json_t *pids = json_member(stats, "pids_stats"),
		     *memory = json_member(stats, "memory_stats");

	/* A group has at least the process that it was made for. Where there is none, the rest is
	 * about the whole machine. */
	ret->own = member(pids, "current") > 0;
	ret->pids = member(pids, "limit");
	ret->memory = member(memory, "limit");
}

int engine_direct_group(struct engine *e, const char *id, struct engine_group *ret, struct err *err)
{
	_cleanup_json_ json_t *stats = NULL;
	char path[160];
	int rc;

	if (!engine_is_name(id, ENGINE_ID_SIZE))
		return err_set(err, ERR_INVALID, "container id");
	snprintf(path, sizeof(path), "/containers/%s/stats?stream=false&one-shot=true", id);
	rc = engine_call(e, "GET", path, NULL, ENGINE_LIMIT_LOOK, &stats, err);
	if (rc < 0)
		return rc;
	if (!json_is_object(stats))
		return err_set(err, ERR_PROTOCOL, "engine: /stats is not an object");
	engine_group_parse(stats, ret);
	return 0;
}
