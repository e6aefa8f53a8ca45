/*
 * See reap.h.
 */
#include "reap.h"

#include <string.h>

static const char *const texts[REAP_KINDS] = {
	[REAP_IDLE] = "idle",		[REAP_FORGOTTEN] = "forgotten", [REAP_ORPHAN] = "orphan",
	[REAP_UNSTARTED] = "unstarted", [REAP_LATE] = "late",		[REAP_STOPPED] = "stopped",
	[REAP_UNWANTED] = "unwanted"};

const char *reap_text(enum reap kind)
{
	return texts[kind] ? texts[kind] : "";
}

enum reap reap_kind(struct slice text)
{
	for (int i = REAP_NOT + 1; i < REAP_KINDS; i++)
		if (strlen(texts[i]) == text.len && memcmp(texts[i], text.data, text.len) == 0)
			return (enum reap)i;
	return REAP_NOT;
}

static usec_t least(usec_t a, usec_t b)
{
	return a < b ? a : b;
}

/* Nobody has taken it, so it holds nothing: it goes soon. */
static enum reap judge_spare(const struct reap_case *r, const struct reap_limits *l, usec_t *limit)
{
	*limit = least(l->grace, PRESENCE_TTL);
	if (!r->owner_alive) {
		if (r->owner_gone)
			*limit = 0;
		return REAP_ORPHAN;
	}
	if (r->ours ? !r->kept : !r->c->running)
		return REAP_UNWANTED;
	return REAP_NOT;
}

/* Running, and a conversation's. */
static enum reap judge_conversation(const struct reap_case *r, const struct reap_limits *l,
				    usec_t *limit)
{
	bool known = r->record->known && strcmp(r->record->container, r->c->id) == 0;

	if (known && r->now - r->record->used >= l->idle) {
		*limit = 0;
		return REAP_IDLE;
	}
	if (!r->owner_alive)
		return REAP_ORPHAN;
	*limit = l->idle;
	return known ? REAP_NOT : REAP_FORGOTTEN;
}

static enum reap judge_run(const struct reap_case *r, const struct reap_limits *l, usec_t *limit)
{
	if (!r->owner_alive)
		return REAP_ORPHAN;
	*limit = l->run;
	return r->c->deadline == 0 || r->now >= r->c->deadline ? REAP_LATE : REAP_NOT;
}

static enum reap judge_server(const struct reap_case *r)
{
	if (!r->owner_alive)
		return REAP_ORPHAN;
	return r->c->running ? REAP_NOT : REAP_STOPPED;
}

static bool is(const struct engine_container *c, const char *role)
{
	return strcmp(c->role, role) == 0;
}

enum reap reap_judge(const struct reap_case *r, const struct reap_limits *l, usec_t *limit)
{
	const struct engine_container *c = r->c;

	*limit = l->grace;
	if (strcmp(c->status, "removing") == 0)
		return REAP_STOPPED;
	if (is(c, SANDBOX_ROLE_PROBE) || is(c, SANDBOX_ROLE_HELPER) ||
	    strcmp(c->status, "created") == 0)
		return REAP_UNSTARTED;
	if (is(c, SANDBOX_ROLE_RUN))
		return judge_run(r, l, limit);
	if (is(c, SANDBOX_ROLE_SERVER))
		return judge_server(r);
	if (r->spare)
		return judge_spare(r, l, limit);
	if (!is(c, SANDBOX_ROLE_CONVERSATION) && !is(c, SANDBOX_ROLE_POOL))
		return REAP_NOT; /* of a later version than this one, perhaps */
	if (c->running)
		return judge_conversation(r, l, limit);
	/* its lease says that nobody is at work on it; of one that was taken nobody knows whose it
	 * is */
	*limit = is(c, SANDBOX_ROLE_CONVERSATION) ? 0 : l->grace;
	return REAP_STOPPED;
}
