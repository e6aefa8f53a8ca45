/*
 * Taking over the conversations of workers that are dead, so that a restart costs none its files.
 */
#include "sandbox_internal.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "mem.h"

/* 1 = ours now, 0 = not to be had. */
static int adopt_one(struct sandbox *s, const struct engine_container *c,
		     const struct index_record *r, struct err *err)
{
	const char *owner = r->owner[0] ? r->owner : c->owner;
	char engine[ENGINE_KEY_SIZE];
	bool alive, done = false;
	int rc = presence_alive(s->presence, s->index.link, owner, &alive, err);

	sandbox_engine_name(s, engine);
	if (rc == 0 && !alive)
		rc = sandbox_index_adopt(&s->index, c, engine, owner, &done, err);
	return rc < 0 ? rc : done;
}

int sandbox_adopt(struct sandbox *s, int64_t *ret_adopted, struct err *err)
{
	_cleanup_free_ struct engine_container *list = NULL;
	_cleanup_free_ struct index_record *records = NULL;
	_cleanup_free_ const char **names = NULL;
	int64_t adopted = 0;
	size_t n = 0;
	int rc = engine_list(s->engine, &list, &n, err);

	if (rc == 0)
		rc = sandbox_container_resolve(s, list, n, err);
	if (rc < 0)
		return err_wrap(err, "adopt");
	names = xcalloc(n + 1, sizeof(*names));
	records = xcalloc(n + 1, sizeof(*records));
	for (size_t i = 0; i < n; i++)
		names[i] = list[i].conversation;
	rc = sandbox_index_read(&s->index, names, n, records, err);
	for (size_t i = 0; rc >= 0 && i < n; i++) {
		if (strcmp(list[i].role, SANDBOX_ROLE_CONVERSATION) != 0 || !list[i].running)
			continue;
		rc = adopt_one(s, &list[i], &records[i], err);
		adopted += rc > 0;
	}
	if (rc < 0)
		return err_wrap(err, "adopt");
	if (adopted > 0)
		log_debug("adopted %lld sandboxes", (long long)adopted);
	*ret_adopted = adopted;
	return 0;
}
