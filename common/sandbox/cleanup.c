/*
 * The sweep: what is idle, what nobody owns any more, what was half made.
 *
 * Only containers of our instance are seen at all (by label), each is looked at again before it
 * goes, and a conversation goes only under its lease, so that no call can be in it. Only a 404
 * means that one is gone.
 */
#include "sandbox_internal.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "mem.h"

struct sweep {
	struct sandbox *s;
	struct sandbox_report report;
	usec_t now; /* wall */
	struct engine_container *list;
	struct index_record *records; /* one per container */
	size_t count;
	/* the last owner that was asked for: there are few, and they come in runs */
	char asked[PRESENCE_OWNER_SIZE];
	bool asked_alive;
};

#define LEFTOVER_AGE (24 * 3600 * USEC_PER_SEC) /* nobody starts with one of these any more */
#define SPARE_AGE    (120 * USEC_PER_SEC) /* one of our own that we do not know is left over then */

enum judgement { KEEP, IDLE, ORPHAN };

static bool is_conversation(const struct engine_container *c)
{
	return strcmp(c->role, SANDBOX_ROLE_CONVERSATION) == 0;
}

/* Who answers for it: the index knows of adoptions, the label who made it. */
static const char *owner_of(const struct engine_container *c, const struct index_record *r)
{
	return r->owner[0] && strcmp(r->container, c->id) == 0 ? r->owner : c->owner;
}

static int is_alive(struct sweep *w, const char *owner, bool *ret, struct err *err)
{
	int rc;

	if (strcmp(owner, w->asked) != 0) {
		rc = presence_alive(w->s->presence, w->s->index.link, owner, &w->asked_alive, err);
		if (rc < 0)
			return rc;
		memcpy(w->asked, owner, strnlen(owner, sizeof(w->asked) - 1) + 1);
	}
	*ret = w->asked_alive;
	return 0;
}

static int is_orphan(struct sweep *w, const struct engine_container *c,
		     const struct index_record *r, bool *ret, struct err *err)
{
	usec_t since;
	bool alive;
	int rc = is_alive(w, owner_of(c, r), &alive, err);

	*ret = false;
	if (rc < 0 || alive)
		return rc;
	rc = sandbox_index_orphaned_since(&w->s->index, c->id, &since, err);
	if (rc == 0)
		*ret = w->now - since >= w->s->settings->sandbox_adopt_grace;
	return rc;
}

/* One that nobody has taken holds nothing: it goes with its owner. Of one that was taken, but by
 * whom nobody knows, only its age tells; it is written down again as soon as it is used. */
static int judge_pooled(struct sweep *w, const struct engine_container *c, enum judgement *ret,
			struct err *err)
{
	usec_t age = w->now - c->created;
	bool alive;
	int rc;

	*ret = KEEP;
	if (!sandbox_container_is_spare(c)) {
		if (!c->running || age >= w->s->settings->sandbox_idle_timeout)
			*ret = IDLE;
		return 0;
	}
	rc = is_alive(w, c->owner, &alive, err);
	if (rc < 0)
		return rc;
	if (!alive || !c->running ||
	    (strcmp(c->owner, presence_owner(w->s->presence)) == 0 && age >= SPARE_AGE &&
	     !sandbox_pool_has(w->s, c->id)))
		*ret = ORPHAN;
	return 0;
}

static int judge(struct sweep *w, const struct engine_container *c, const struct index_record *r,
		 enum judgement *ret, struct err *err)
{
	const struct settings *st = w->s->settings;
	usec_t age = w->now - c->created;
	bool orphan;
	int rc;

	*ret = ORPHAN;
	if (strcmp(c->status, "created") == 0 || strcmp(c->role, "probe") == 0)
		*ret = age >= st->sandbox_adopt_grace ? ORPHAN : KEEP;
	else if (sandbox_container_is_pooled(c))
		return judge_pooled(w, c, ret, err);
	else if (is_conversation(c) && !c->running && strcmp(c->status, "removing") != 0)
		return 0;
	else if (is_conversation(c) &&
		 w->now - (strcmp(r->container, c->id) == 0 ? r->used : c->created) >=
			 st->sandbox_idle_timeout)
		*ret = IDLE;
	else if (strcmp(c->role, SANDBOX_ROLE_RUN) == 0 &&
		 age >= st->sandbox_max_timeout + SANDBOX_LATE)
		return 0;
	else {
		rc = is_orphan(w, c, r, &orphan, err);
		*ret = rc == 0 && orphan ? ORPHAN : KEEP;
		return rc;
	}
	return 0;
}

/* Under the lease everything is looked at once more: 1 removed, 0 kept. */
static int remove_conversation(struct sweep *w, const struct engine_container *c, struct err *err)
{
	struct index_record record;
	struct engine_container fresh;
	struct index_lease lease;
	enum judgement verdict;
	int rc = sandbox_index_peek(&w->s->index, c->conversation, &lease, &record, err);

	if (rc == -ERR_CONFLICT)
		return 0;
	if (rc < 0)
		return rc;
	rc = engine_inspect(w->s->engine, c->id, &fresh, err);
	if (rc == 0) {
		memcpy(fresh.role, c->role, sizeof(fresh.role));
		memcpy(fresh.conversation, c->conversation, sizeof(fresh.conversation));
		memcpy(fresh.project, c->project, sizeof(fresh.project));
	}
	if (rc == 0)
		rc = judge(w, &fresh, &record, &verdict, err);
	if (rc == 0 && verdict == KEEP) {
		sandbox_index_release(&w->s->index, &lease);
		return 0;
	}
	if (rc == 0)
		rc = engine_remove(w->s->engine, c->id, err);
	if (rc == 0 || rc == -ERR_NOTFOUND) {
		rc = 0;
		if (!record.known || strcmp(record.container, c->id) == 0) {
			record.container[0] = '\0';
			memcpy(record.project, c->project, sizeof(record.project));
			sandbox_live_free(sandbox_live_take(w->s, c->conversation));
			sandbox_index_save(&w->s->index, c->conversation, &record);
		}
	}
	sandbox_index_release(&w->s->index, &lease);
	return rc < 0 ? rc : 1;
}

static int remove_other(struct sweep *w, const struct engine_container *c, struct err *err)
{
	int rc = engine_remove(w->s->engine, c->id, err);

	return rc < 0 && rc != -ERR_NOTFOUND ? rc : 1;
}

static void sweep_one(struct sweep *w, size_t i)
{
	const struct engine_container *c = &w->list[i];
	enum judgement verdict;
	struct err err;
	int rc = judge(w, c, &w->records[i], &verdict, &err);

	if (rc == 0 && verdict != KEEP)
		rc = is_conversation(c) && c->conversation[0] ? remove_conversation(w, c, &err)
							      : remove_other(w, c, &err);
	if (rc < 0) {
		w->report.failed++;
		log_debug("sweep: container %.12s: %s", c->id, err.msg);
	} else if (rc == 0) {
		w->report.kept++;
	} else {
		log_info("sandbox %.12s removed: %s", c->id,
			 verdict == IDLE ? "idle" : "left over");
		w->report.idle += verdict == IDLE;
		w->report.orphans += verdict == ORPHAN;
	}
}

static bool is_ours_to_judge(const struct engine_container *c)
{
	return is_conversation(c) || strcmp(c->role, SANDBOX_ROLE_RUN) == 0 ||
	       strcmp(c->role, SANDBOX_ROLE_SERVER) == 0 || sandbox_container_is_pooled(c) ||
	       strcmp(c->role, "probe") == 0;
}

/* The containers that sandboxes are made of, and what the index knows of each. */
static int gather(struct sweep *w, struct err *err)
{
	_cleanup_free_ const char **names = NULL;
	size_t all = 0;
	int rc = engine_list(w->s->engine, &w->list, &all, err);

	if (rc == 0)
		rc = sandbox_container_resolve(w->s, w->list, all, err);
	if (rc < 0)
		return rc;
	/* the engine's dates are of the machine's clock, ours may be corrected */
	for (size_t i = 0; i < all; i++)
		w->list[i].created -= clock_machine() - clock_wall();
	for (size_t i = 0; i < all; i++)
		if (is_ours_to_judge(&w->list[i]))
			w->list[w->count++] = w->list[i];
	names = xcalloc(w->count + 1, sizeof(*names));
	w->records = xcalloc(w->count + 1, sizeof(*w->records));
	for (size_t i = 0; i < w->count; i++)
		names[i] = w->list[i].conversation;
	return sandbox_index_read(&w->s->index, names, w->count, w->records, err);
}

/* What was made for an agent or a setting of another day. No trouble of the sweep's. */
static void sweep_engine(struct sweep *w)
{
	const struct settings *st = w->s->settings;
	char volume[sizeof(w->s->agent_volume)];
	const char *const agents[] = {volume, NULL};
	const char *const named[] = {st->sandbox_network, st->mcp_network, NULL};
	int64_t old_volumes = 0, old_networks = 0;
	struct err err;

	mutex_lock(&w->s->lock);
	memcpy(volume, w->s->agent_volume, sizeof(volume));
	mutex_unlock(&w->s->lock);
	if (engine_sweep_volumes(w->s->engine, agents, w->now - LEFTOVER_AGE, &old_volumes, &err) <
		    0 ||
	    engine_sweep_networks(w->s->engine, named, w->now - LEFTOVER_AGE, &old_networks, &err) <
		    0)
		log_debug("old volumes and networks: %s", err.msg);
	if (old_volumes + old_networks > 0)
		log_info("left over and removed: %lld volume(s) of agents, %lld network(s)",
			 (long long)old_volumes, (long long)old_networks);
}

int sandbox_cleanup(struct sandbox *s, struct sandbox_report *ret, struct err *err)
{
	struct sweep w = {.s = s, .now = clock_wall()};
	int rc = gather(&w, err);

	for (size_t i = 0; rc == 0 && i < w.count; i++)
		sweep_one(&w, i);
	if (rc == 0)
		sweep_engine(&w);
	free(w.list);
	free(w.records);
	if (rc < 0)
		return err_wrap(err, "sweep");
	*ret = w.report;
	return 0;
}
