/*
 * On which engine a conversation or a run is: what one of several is asked.
 */
#include <stdlib.h>
#include <string.h>

#include "sandbox_internal.h"

void sandbox_engine_name(struct sandbox *s, char out[ENGINE_KEY_SIZE])
{
	mutex_lock(&s->lock);
	memcpy(out, s->engine_name, ENGINE_KEY_SIZE);
	mutex_unlock(&s->lock);
}

usec_t sandbox_away_since(struct sandbox *s)
{
	usec_t since;

	mutex_lock(&s->lock);
	since = s->away_since;
	mutex_unlock(&s->lock);
	return since;
}

int sandbox_has(struct sandbox *s, const char *container, bool *ret, struct err *err)
{
	struct engine_container c;
	int rc = engine_inspect(s->engine, container, &c, err);

	if (rc < 0 && rc != -ERR_NOTFOUND)
		return rc;
	*ret = rc == 0;
	return 0;
}

static bool is_of_conversation(const struct sandbox *s, const struct engine_container *c,
			       const char *conversation)
{
	return sandbox_container_is_of(s->settings->instance, c, conversation);
}

static bool is_of_run(const struct sandbox *s unused_arg, const struct engine_container *c,
		      const char *task_id)
{
	return strcmp(c->role, SANDBOX_ROLE_RUN) == 0 && strcmp(c->task, task_id) == 0;
}

static int look_for(struct sandbox *s, const char *what,
		    bool (*is)(const struct sandbox *s, const struct engine_container *c,
			       const char *what),
		    bool *ret, struct err *err)
{
	_cleanup_free_ struct engine_container *list = NULL;
	bool found = false;
	size_t n = 0;
	int rc = engine_list(s->engine, &list, &n, err);

	for (size_t i = 0; rc == 0 && !found && i < n; i++)
		found = is(s, &list[i], what);
	if (rc == 0)
		*ret = found;
	return rc;
}

int sandbox_has_conversation(struct sandbox *s, const char *conversation, bool *ret,
			     struct err *err)
{
	return look_for(s, conversation, is_of_conversation, ret, err);
}

int sandbox_has_run(struct sandbox *s, const char *task_id, bool *ret, struct err *err)
{
	return look_for(s, task_id, is_of_run, ret, err);
}
