/*
 * Conversations whose container has ended or was removed by somebody else: the index is put right.
 *
 * Always under the conversation's lease; whoever is at work in it finds out by itself.
 */
#include "sandbox_internal.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "log.h"
#include "mem.h"
#include "metrics.h"

/* Removes one that has ended. 0 = there is none any more, 1 = it is running. */
static int clear(struct sandbox *s, const char *container, struct err *err)
{
	struct engine_container c;
	bool done = false;
	int rc = engine_inspect(s->engine, container, &c, err);

	if (rc == -ERR_NOTFOUND) {
		log_info("sandbox %.12s was removed by somebody else", container);
		return 0;
	}
	if (rc < 0 || c.running)
		return rc < 0 ? rc : 1;
	rc = engine_reap(s->engine, container, reap_text(REAP_STOPPED), &done, err);
	if (rc == 0 && done) {
		log_info("sandbox %.12s removed: %s", container, reap_text(REAP_STOPPED));
		metric_count(METRIC_REAPED, reap_text(REAP_STOPPED), NULL);
	}
	return rc;
}

static int mend(struct sandbox *s, const char *conversation, const char *container, struct err *err)
{
	struct index_record record;
	struct index_lease lease;
	int rc = sandbox_index_peek(&s->index, conversation, &lease, &record, err);

	if (rc < 0)
		return rc == -ERR_CONFLICT ? 0 : rc;
	/* where Redis knows of none the next call or sweep finds it, and says that it was there */
	rc = 1;
	if (record.known && strcmp(record.container, container) == 0)
		rc = clear(s, container, err);
	if (rc == 0) {
		record.container[0] = '\0';
		sandbox_live_free(sandbox_live_take(s, conversation));
		sandbox_index_save(&s->index, conversation, &record);
	}
	sandbox_index_release(&s->index, &lease);
	return rc < 0 ? rc : 0;
}

/* The names of conversations that have a container in the list. */
struct listed {
	const char *conversation;
	UT_hash_handle hh;
};

static struct listed *index_list(const struct engine_container *list, size_t count,
				 struct listed rows[])
{
	struct listed *all = NULL, *same;

	for (size_t i = 0; i < count; i++) {
		rows[i].conversation = list[i].conversation;
		HASH_FIND_STR(all, rows[i].conversation, same);
		if (!same)
			HASH_ADD_KEYPTR(hh, all, rows[i].conversation, strlen(rows[i].conversation),
					&rows[i]);
	}
	return all;
}

/* Nothing but its idle time is left of it. */
static void forget(struct sandbox *s, const char *conversation)
{
	struct index_record record;
	struct index_lease lease;
	struct err ignored;

	if (sandbox_index_peek(&s->index, conversation, &lease, &record, &ignored) < 0)
		return;
	if (!record.known)
		sandbox_index_forget(&s->index, conversation);
	sandbox_index_release(&s->index, &lease);
}

/* Is an entry ours to doubt? Only of this engine, and a live worker looks after its own. One that
 * names no engine is of a version that knew only one: of several, any may have the container. */
static bool is_ours(struct sandbox *s, const struct index_record *r)
{
	char engine[ENGINE_KEY_SIZE];
	struct err ignored;
	bool alive = true;

	sandbox_engine_name(s, engine);
	if (r->engine[0] ? strcmp(r->engine, engine) != 0 : s->several)
		return false;
	if (strcmp(r->owner, presence_owner(s->presence)) == 0)
		return true;
	return presence_alive(s->presence, s->index.link, r->owner, &alive, &ignored) == 0 &&
	       !alive;
}

/* One that is said to have a container, and none is in the list. */
static int doubt(struct sandbox *s, const char *conversation, struct err *err)
{
	struct index_record r;
	int rc = sandbox_index_read(&s->index, &conversation, 1, &r, err);

	if (rc < 0)
		return rc;
	if (!r.known)
		forget(s, conversation);
	else if (r.container[0] && is_ours(s, &r))
		rc = mend(s, conversation, r.container, err);
	return rc;
}

int sandbox_mend(struct sandbox *s, const struct engine_container *list, size_t count,
		 struct err *err)
{
	_cleanup_free_ struct listed *rows = xcalloc(count + 1, sizeof(*rows));
	struct listed *all = index_list(list, count, rows), *found;
	char **names = NULL;
	size_t n = 0;
	int rc = sandbox_index_with_containers(&s->index, &names, &n, err);

	for (size_t i = 0; i < n; i++) {
		HASH_FIND_STR(all, names[i], found);
		if (rc == 0 && !found)
			rc = doubt(s, names[i], err);
		free(names[i]);
	}
	free(names);
	HASH_CLEAR(hh, all);
	return rc;
}

int sandbox_mend_all(struct sandbox *s, struct err *err)
{
	_cleanup_free_ struct engine_container *list = NULL;
	size_t n = 0;
	int rc = engine_list(s->engine, &list, &n, err);

	if (rc == 0)
		rc = sandbox_container_resolve(s, list, n, err);
	if (rc == 0)
		rc = sandbox_mend(s, list, n, err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		if (list[i].conversation[0] && !list[i].running &&
		    strcmp(list[i].role, SANDBOX_ROLE_CONVERSATION) == 0 &&
		    strcmp(list[i].status, "created") != 0)
			rc = mend(s, list[i].conversation, list[i].id, err);
	return rc;
}

int sandbox_heed(struct sandbox *s, const struct engine_notice *notice, struct err *err)
{
	struct engine_container told = {0}, *const list[] = {&told};
	int rc = 0;

	memcpy(told.id, notice->id, sizeof(told.id));
	memcpy(told.role, notice->role, sizeof(told.role));
	memcpy(told.conversation, notice->conversation, sizeof(told.conversation));
	/* of one that was taken from a pool only the index knows whose it is */
	if (sandbox_container_is_pooled(&told))
		rc = sandbox_index_read_taken(&s->index, list, 1, err);
	if (rc < 0 || !told.conversation[0] || strcmp(told.role, SANDBOX_ROLE_CONVERSATION) != 0)
		return rc;
	return mend(s, told.conversation, told.id, err);
}
