/*
 * The sweep: what is idle, what nobody owns any more, what was half made.
 *
 * Only containers of our instance are seen at all (by label and name), each is looked at again
 * before it goes, and a conversation goes only under its lease, so that no call can be in it. Only
 * a 404 means that one is gone. What is wrong is noted in the index and has its time (reap.h); of
 * several who sweep at once, one counts what it has removed.
 */
#include "sandbox_internal.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "clock.h"
#include "fault.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"

#define STEP (10 * USEC_PER_SEC) /* of a clock, more than it loses or wins by itself */

/* What is known of an owner. */
struct owner {
	char name[PRESENCE_OWNER_SIZE];
	bool alive, gone;
	UT_hash_handle hh;
};
struct suspect {
	struct index_suspect note;
	UT_hash_handle hh;
};

struct sweep {
	struct sandbox *s;
	struct sandbox_report report;
	struct reap_limits limits;
	usec_t now;   /* by Redis */
	bool stepped; /* its clock was set: what it said before says nothing */
	struct engine_container *list;
	struct index_record *records; /* one per container */
	size_t count;
	struct index_suspect *notes;
	struct suspect *suspects, *suspect_rows;
	struct owner *owners;
};

static bool is_conversation(const struct engine_container *c)
{
	return strcmp(c->role, SANDBOX_ROLE_CONVERSATION) == 0;
}

/* Who answers for it: the index knows of adoptions, the label who made it. */
static const char *owner_of(const struct engine_container *c, const struct index_record *r)
{
	return r->owner[0] && strcmp(r->container, c->id) == 0 ? r->owner : c->owner;
}

/* An earlier life of our own node: it is over for certain, while another's lease may only be on its
 * way into a Redis that was emptied. */
static bool is_earlier_life(const struct sandbox *s, const char *owner)
{
	char node[128];
	int64_t epoch;

	return presence_owner_parse(owner, node, &epoch) &&
	       strcmp(node, presence_node(s->presence)) == 0 &&
	       epoch != presence_epoch(s->presence);
}

static int ask_owner(struct sweep *w, const char *name, const struct owner **ret, struct err *err)
{
	struct owner *o;
	int rc = 0;

	HASH_FIND_STR(w->owners, name, o);
	if (o == NULL) {
		bool alive = false;

		rc = presence_alive(w->s->presence, w->s->index.link, name, &alive, err);
		if (rc < 0)
			return rc;
		o = xcalloc(1, sizeof(*o));
		memcpy(o->name, name, strnlen(name, sizeof(o->name) - 1));
		o->alive = alive;
		o->gone = !alive && is_earlier_life(w->s, name);
		HASH_ADD_STR(w->owners, name, o);
	}
	*ret = o;
	return 0;
}

/* Whoever answers for it now; of a run whose maker is dead somebody else may be waiting. */
static int ask_for(struct sweep *w, const struct engine_container *c, const struct index_record *r,
		   const struct owner **ret, struct err *err)
{
	char holder[PRESENCE_OWNER_SIZE];
	int rc = ask_owner(w, owner_of(c, r), ret, err);

	if (rc < 0 || (*ret)->alive || strcmp(c->role, SANDBOX_ROLE_RUN) != 0)
		return rc;
	rc = sandbox_index_holder(&w->s->index, c->id, holder, err);
	return rc < 0 || !holder[0] ? rc : ask_owner(w, holder, ret, err);
}

static const struct index_suspect *note_of(const struct sweep *w, const char *container)
{
	struct suspect *found;

	HASH_FIND_STR(w->suspects, container, found);
	return found ? &found->note : NULL;
}

static int judge(struct sweep *w, const struct engine_container *c, const struct index_record *r,
		 enum reap *ret, usec_t *ret_limit, struct err *err)
{
	const struct owner *owner;
	struct reap_case facts = {.c = c,
				  .record = r,
				  .now = w->now,
				  .spare = sandbox_container_is_spare(c),
				  .ours = strcmp(c->owner, presence_owner(w->s->presence)) == 0};
	int rc = ask_for(w, c, r, &owner, err);

	if (rc < 0)
		return rc;
	facts.owner_alive = owner->alive;
	facts.owner_gone = owner->gone;
	facts.kept = facts.ours && facts.spare && sandbox_pool_has(w->s, c->id);
	*ret = reap_judge(&facts, &w->limits, ret_limit);
	return 0;
}

/* Is it as old by the engine's date? One that the engine's clock has still to come to says nothing.
 */
static bool is_as_old(const struct sweep *w, const struct engine_container *c, usec_t limit)
{
	return c->created > w->now || w->now - c->created >= limit;
}

/* Has that been wrong with it for long enough? Noted if it is new, struck out if all is well. No
 * note makes a container older than it is. */
static bool is_due(struct sweep *w, const struct engine_container *c, enum reap kind, usec_t limit)
{
	const struct index_suspect *note = note_of(w, c->id);
	bool same = note && strcmp(note->what, reap_text(kind)) == 0 && note->since <= w->now &&
		    !w->stepped;

	if (kind == REAP_NOT) {
		if (note)
			sandbox_index_unsuspect(&w->s->index, c->id);
		return false;
	}
	if (limit == 0)
		return true;
	if (!same)
		sandbox_index_suspect(&w->s->index, c->id, reap_text(kind), w->now);
	return same && w->now - note->since >= limit && is_as_old(w, c, limit);
}

/* What happened to one: it is kept, it is gone by somebody else's hand, or we have removed it. */
enum fate { KEPT, GONE, REMOVED };

static int remove_it(struct sweep *w, const struct engine_container *c, enum reap kind,
		     struct err *err)
{
	bool done = false;
	int rc = engine_reap(w->s->engine, c->id, reap_text(kind), &done, err);

	if (rc < 0)
		return rc;
	FAULT_POINT("cleanup.removed");
	sandbox_index_unsuspect(&w->s->index, c->id);
	return done ? REMOVED : GONE;
}

/* As it is now; what only the index knows of it is kept. The verdict may be another by now. */
static int look_again(struct sweep *w, const struct engine_container *c,
		      const struct index_record *record, enum reap *ret, struct err *err)
{
	struct engine_container fresh;
	usec_t limit;
	enum reap kind = REAP_NOT;
	int rc = engine_inspect(w->s->engine, c->id, &fresh, err);

	if (rc < 0)
		return rc;
	sandbox_container_read_name(&fresh);
	if (is_conversation(c)) {
		memcpy(fresh.role, c->role, sizeof(fresh.role));
		memcpy(fresh.conversation, c->conversation, sizeof(fresh.conversation));
		memcpy(fresh.project, c->project, sizeof(fresh.project));
	}
	rc = judge(w, &fresh, record, &kind, &limit, err);
	*ret = rc == 0 && is_due(w, &fresh, kind, limit) ? kind : REAP_NOT;
	return rc;
}

static int reap_other(struct sweep *w, const struct engine_container *c,
		      const struct index_record *record, enum reap *kind, struct err *err)
{
	int rc = look_again(w, c, record, kind, err);

	if (rc == -ERR_NOTFOUND)
		return GONE;
	if (rc < 0 || *kind == REAP_NOT)
		return rc < 0 ? rc : KEPT;
	return remove_it(w, c, *kind, err);
}

/* The same under the conversation's lease, with its entry as it is now. */
static int reap_conversation(struct sweep *w, const struct engine_container *c, enum reap *kind,
			     struct err *err)
{
	struct index_record record;
	struct index_lease lease;
	int rc = sandbox_index_peek(&w->s->index, c->conversation, &lease, &record, err);

	if (rc == -ERR_CONFLICT)
		return KEPT;
	if (rc < 0)
		return rc;
	rc = reap_other(w, c, &record, kind, err);
	if ((rc == REMOVED || rc == GONE) &&
	    (!record.known || strcmp(record.container, c->id) == 0)) {
		record.container[0] = '\0';
		memcpy(record.project, c->project, sizeof(record.project));
		sandbox_live_free(sandbox_live_take(w->s, c->conversation));
		sandbox_index_save(&w->s->index, c->conversation, &record);
	}
	sandbox_index_release(&w->s->index, &lease);
	return rc;
}

static void count(struct sweep *w, const struct engine_container *c, enum reap kind)
{
	log_info("sandbox %.12s removed: %s", c->id, reap_text(kind));
	metric_count(METRIC_REAPED, reap_text(kind), NULL);
	if (kind == REAP_IDLE || kind == REAP_FORGOTTEN)
		w->report.idle++;
	else
		w->report.orphans++;
}

static void sweep_one(struct sweep *w, size_t i)
{
	const struct engine_container *c = &w->list[i];
	const struct index_record *r = &w->records[i];
	enum reap kind = REAP_NOT;
	usec_t limit = 0;
	struct err err;
	int rc = judge(w, c, r, &kind, &limit, &err);

	/* of a time to come, or of one that nobody knows */
	if (r->known && (r->used > w->now || w->stepped)) {
		sandbox_index_touch(&w->s->index, c->conversation);
		kind = kind == REAP_IDLE ? REAP_NOT : kind;
	}
	if (rc == 0)
		rc = !is_due(w, c, kind, limit) ? KEPT
		     : is_conversation(c) && c->conversation[0]
			     ? reap_conversation(w, c, &kind, &err)
			     : reap_other(w, c, r, &kind, &err);
	if (rc < 0) {
		w->report.failed++;
		log_debug("sweep: container %.12s: %s", c->id, err.msg);
	} else if (rc == REMOVED) {
		count(w, c, kind);
	} else {
		w->report.kept += rc == KEPT;
	}
}

/* Was Redis' clock set since we read it last? By our own, that nobody sets. */
static bool has_stepped(struct sandbox *s, usec_t now)
{
	usec_t mono = clock_mono(), step = 0;

	mutex_lock(&s->lock);
	if (s->clocks.redis != 0)
		step = now - s->clocks.redis - (mono - s->clocks.mono);
	s->clocks.redis = now;
	s->clocks.mono = mono;
	mutex_unlock(&s->lock);
	if (step <= STEP && step >= -STEP)
		return false;
	log_warning("the clock of Redis was set by %lld s: what is idle is so from now on",
		    (long long)(step / USEC_PER_SEC));
	return true;
}

static int gather_notes(struct sweep *w, struct err *err)
{
	size_t n = 0;
	int rc = sandbox_index_suspects(&w->s->index, &w->notes, &n, &w->now, err);

	if (rc < 0)
		return rc;
	w->stepped = has_stepped(w->s, w->now);
	w->suspect_rows = xcalloc(n + 1, sizeof(*w->suspect_rows));
	for (size_t i = 0; i < n; i++) {
		struct suspect *row = &w->suspect_rows[i];

		row->note = w->notes[i];
		HASH_ADD_STR(w->suspects, note.container, row);
	}
	return 0;
}

/* The containers of our instance, and what the index knows of each. */
static int gather(struct sweep *w, struct err *err)
{
	_cleanup_free_ const char **names = NULL;
	int rc = engine_list(w->s->engine, &w->list, &w->count, err);

	if (rc == 0)
		rc = sandbox_container_resolve(w->s, w->list, w->count, err);
	if (rc < 0)
		return rc;
	names = xcalloc(w->count + 1, sizeof(*names));
	w->records = xcalloc(w->count + 1, sizeof(*w->records));
	for (size_t i = 0; i < w->count; i++)
		names[i] = w->list[i].conversation;
	rc = sandbox_index_read(&w->s->index, names, w->count, w->records, err);
	return rc < 0 ? rc : gather_notes(w, err);
}

static void sweep_done(struct sweep *w)
{
	struct owner *o, *next;

	HASH_CLEAR(hh, w->suspects);
	HASH_ITER(hh, w->owners, o, next)
	{
		HASH_DEL(w->owners, o);
		free(o);
	}
	free(w->list);
	free(w->records);
	free(w->notes);
	free(w->suspect_rows);
}

int sandbox_cleanup(struct sandbox *s, struct sandbox_report *ret, struct err *err)
{
	const struct settings *st = s->settings;
	_cleanup_(sweep_done) struct sweep w = {.s = s,
						.limits = {.idle = st->sandbox_idle_timeout,
							   .grace = st->sandbox_adopt_grace,
							   .run = st->sandbox_max_timeout}};
	int rc = gather(&w, err);

	if (rc == 0)
		rc = sandbox_mend(s, w.list, w.count, err);
	if (rc < 0)
		return err_wrap(err, "sweep");
	for (size_t i = 0; i < w.count; i++)
		sweep_one(&w, i);
	w.report.orphans += sandbox_container_drop_again(s);
	sandbox_index_clear_places(&s->index);
	sandbox_clear_leftovers(s);
	*ret = w.report;
	return 0;
}
