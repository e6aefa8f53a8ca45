/*
 * How many events of a kind came within a minute. See meter.h.
 *
 * Only what was refused or failed is ever held back: every call that was allowed has its row.
 */
#include "meter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "json.h"
#include "mem.h"

struct meter_count {
	char *key;
	enum meter_space space;
	usec_t began;
	int64_t count, held;
	char *decision, *kind, *tool, *project; /* of what is held */
	UT_hash_handle hh;
};

static char *copy(const char *text)
{
	return text ? xstrdup(text) : NULL;
}

void meter_rest_free(struct meter_rest *r)
{
	if (r == NULL)
		return;
	free(r->decision);
	free(r->kind);
	free(r->tool);
	free(r->project);
	free(r);
}

void meter_init(struct meter *m, const struct audit_limits *limits)
{
	*m = (struct meter){.limits = *limits};
	m->last = &m->first;
}

/* A minute is over: what it held back becomes a rest. */
static void close_count(struct meter *m, struct meter_count *c)
{
	HASH_DEL(m->counts, c);
	m->used[c->space]--;
	if (c->held > 0) {
		struct meter_rest *r = xcalloc(1, sizeof(*r));

		*r = (struct meter_rest){.decision = TAKE(c->decision),
					 .kind = TAKE(c->kind),
					 .tool = TAKE(c->tool),
					 .project = TAKE(c->project),
					 .count = c->held};
		m->held -= c->held;
		*m->last = r;
		m->last = &r->next;
	}
	free(c->decision);
	free(c->kind);
	free(c->tool);
	free(c->project);
	free(c->key);
	free(c);
}

static void close_old(struct meter *m, usec_t now, bool all)
{
	struct meter_count *c, *next;

	HASH_ITER(hh, m->counts, c, next)
	{
		if (all || now - c->began >= METER_SPAN)
			close_count(m, c);
	}
}

void meter_done(struct meter *m)
{
	struct meter_rest *r;

	while ((r = meter_take(m, 0, true)) != NULL)
		meter_rest_free(r);
}

struct meter_rest *meter_take(struct meter *m, usec_t now, bool all)
{
	struct meter_rest *r;

	if (m->first == NULL)
		close_old(m, now, all);
	r = m->first;
	if (r == NULL)
		return NULL;
	m->first = r->next;
	if (m->first == NULL)
		m->last = &m->first;
	r->next = NULL;
	return r;
}

static bool has_room(struct meter *m, enum meter_space space, usec_t now)
{
	if (space == METER_ALL || m->used[space] < METER_KEYS)
		return true;
	close_old(m, now, false);
	return m->used[space] < METER_KEYS;
}

/* The count of this minute; NULL: there is none, and no room for it. Takes `key`. */
static struct meter_count *find(struct meter *m, enum meter_space space, char *key, usec_t now)
{
	_cleanup_free_ char *owned = key;
	struct meter_count *c = NULL;

	HASH_FIND_STR(m->counts, key, c);
	if (c && now - c->began >= METER_SPAN) {
		close_count(m, c);
		c = NULL;
	}
	if (c || !has_room(m, space, now))
		return c;
	c = xcalloc(1, sizeof(*c));
	c->key = TAKE(owned);
	c->space = space;
	c->began = now;
	m->used[space]++;
	HASH_ADD_KEYPTR(hh, m->counts, c->key, strlen(c->key), c);
	return c;
}

static const char *text_of(const char *text)
{
	return text ? text : "";
}

bool meter_holds(struct meter *m, const struct audit_event *e, usec_t now)
{
	const char *tool = e->tool, *project = e->project;
	struct meter_count *c;

	if (m->limits.rows == 0 || strcmp(e->decision, "allow") == 0 ||
	    strcmp(e->kind, "burst") == 0)
		return false;
	c = find(m, METER_TOOLS,
		 xasprintf("row\n%s\n%s\n%s\n%s", e->decision, e->kind, text_of(tool),
			   text_of(project)),
		 now);
	if (c == NULL) {
		tool = NULL;
		c = find(m, METER_PROJECTS,
			 xasprintf("project\n%s\n%s\n%s", e->decision, e->kind, text_of(project)),
			 now);
	}
	if (c == NULL) {
		project = NULL;
		c = find(m, METER_ALL, xasprintf("all\n%s\n%s", e->decision, e->kind), now);
	}
	if (++c->count <= m->limits.rows)
		return false;
	if (c->held++ == 0) {
		c->decision = copy(e->decision);
		c->kind = copy(e->kind);
		c->tool = copy(tool);
		c->project = copy(project);
	}
	m->held++;
	return true;
}

static const char *burst_of(const struct meter *m, const struct audit_event *e, int64_t *ret)
{
	const char *action = json_member_str(e->detail, "action");

	if (strcmp(e->decision, "deny") == 0) {
		*ret = m->limits.denials;
		return "denials";
	}
	*ret = m->limits.containers;
	return strcmp(e->kind, "container") == 0 && action && strcmp(action, "create") == 0
		       ? "containers"
		       : NULL;
}

bool meter_bursts(struct meter *m, const struct audit_event *e, usec_t now, char text[METER_TEXT],
		  struct audit_event *ret)
{
	int64_t limit;
	const char *what = burst_of(m, e, &limit), *project = e->project;
	struct meter_count *c;

	if (what == NULL || limit == 0)
		return false;
	c = find(m, METER_BURSTS, xasprintf("burst\n%s\n%s", what, text_of(project)), now);
	if (c == NULL) {
		project = NULL;
		c = find(m, METER_ALL, xasprintf("bursts\n%s", what), now);
	}
	if (++c->count != limit)
		return false;
	snprintf(text, METER_TEXT, "%lld within a minute", (long long)limit);
	*ret = (struct audit_event){.decision = e->decision,
				    .kind = "burst",
				    .target = what,
				    .project = project,
				    .actor = e->actor,
				    .reason = text,
				    .duration = USEC_NEVER};
	return true;
}
