/*
 * From a conversation to its container: by the link we have, by the index, by the labels, or a new
 * one.
 *
 * The lease keeps two workers apart; the container's name, which follows from the conversation,
 * makes the engine refuse a second one even if a lease was lost. A container that is found is the
 * conversation's only if its labels say so.
 */
#include "sandbox_internal.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "fault.h"
#include "log.h"
#include "mem.h"

static const char *owner(const struct sandbox *s)
{
	return presence_owner(s->presence);
}

static struct live *new_live(const char *conversation, const char *project, const char *container,
			     const char *policy, struct agent_link *link)
{
	struct live *l = xcalloc(1, sizeof(*l));

	memcpy(l->conversation, conversation, strlen(conversation));
	memcpy(l->project, project, strlen(project));
	memcpy(l->container, container, strlen(container));
	memcpy(l->policy, policy, strnlen(policy, sizeof(l->policy) - 1));
	l->link = link;
	return l;
}

/* Whose container is sought. */
struct seeking {
	const char *project; /* NULL = whatever it is bound to */
	bool begun;	     /* a run may be going on in it already */
};

static int check_project(const char *bound, const char *project, struct err *err)
{
	if (project == NULL || strcmp(bound, project) == 0)
		return 0;
	return err_set(err, ERR_DENIED, "the conversation belongs to another project");
}

/* The same of a container that was found; and *ret is the project's name, NULL if nobody knows. */
static int check_container(struct sandbox *s, const struct session *se,
			   const struct engine_container *c, const char *project, const char **ret,
			   struct err *err)
{
	const char *instance = s->settings->instance, *id = se->lease.conversation;

	if (project && !sandbox_container_is_project(instance, c, id, project))
		return err_set(err, ERR_DENIED, "the conversation belongs to another project");
	*ret = c->project;
	if (!sandbox_container_is_pooled(c))
		return 0;
	*ret = project ? project : se->record.known ? se->record.project : NULL;
	return 0;
}

/* Was it made on other terms than are wanted? */
static bool is_of_other_terms(const struct session *se, const char *policy)
{
	return se->policy[0] && strcmp(policy, se->policy) != 0;
}

static bool is_trouble_of_the_agent(int rc)
{
	return rc == -ERR_TIMEOUT || rc == -ERR_PROTOCOL || rc == -ERR_CLOSED ||
	       rc == -ERR_UNSUPPORTED;
}

/* Removes a container that is of no use any more. 0 = there is none now. What was never started
 * held nothing. */
static int clear_away(struct sandbox *s, struct session *se, const struct engine_container *c,
		      struct err *err)
{
	int rc = engine_remove(s->engine, c->id, err);

	if (rc < 0)
		return rc;
	se->restarted = se->restarted || strcmp(c->status, "created") != 0;
	return 0;
}

/* The container of a run of its own that was begun before. 1 = attached, 0 = there is none that is
 * of use. */
static int find_by_task(struct sandbox *s, struct session *se, const struct sandbox_run *run,
			struct err *err)
{
	_cleanup_free_ struct engine_container *list = NULL;
	struct agent_link *link;
	size_t n = 0;
	int rc = engine_list(s->engine, &list, &n, err);

	for (size_t i = 0; rc == 0 && i < n; i++) {
		struct engine_container *c = &list[i];

		sandbox_container_read_name(c);
		if (!sandbox_container_is_run_of(s->settings->instance, c, run->task_id))
			continue;
		rc = -ERR_CLOSED;
		if (strcmp(c->status, "running") == 0)
			rc = agent_link_open(s->engine, c->id, 2, true,
					     clock_deadline(SANDBOX_HELLO_TIME), &link, err);
		if (rc == 0) {
			se->live = new_live(run->conversation, run->project ? run->project : "",
					    c->id, c->policy, link);
			se->stale = is_of_other_terms(se, c->policy);
			sandbox_index_hold(&s->index, c->id,
					   s->settings->sandbox_max_timeout + SANDBOX_LATE);
			return 1;
		}
		if (is_trouble_of_the_agent(rc))
			rc = clear_away(s, se, c, err);
	}
	return rc;
}

/* Attaches to what was found. 1 = done, 0 = it was of no use and is gone: also where it was made on
 * other terms, unless a run that has begun may be going on in it. */
static int join(struct sandbox *s, struct session *se, const struct engine_container *c,
		const struct seeking *seeking, struct err *err)
{
	struct agent_link *link;
	const char *bound = NULL;
	int rc;

	if (!sandbox_container_is_of(s->settings->instance, c, se->lease.conversation))
		return 0;
	rc = check_container(s, se, c, seeking->project, &bound, err);
	if (rc < 0)
		return rc;
	if (!c->running || strcmp(c->status, "running") != 0 ||
	    (is_of_other_terms(se, c->policy) && !seeking->begun))
		return clear_away(s, se, c, err);
	rc = agent_link_open(s->engine, c->id, se->record.epoch + 1, true,
			     clock_deadline(SANDBOX_HELLO_TIME), &link, err);
	if (is_trouble_of_the_agent(rc)) {
		log_debug("sandbox %.12s is of no use: %s", c->id, err->msg);
		return clear_away(s, se, c, err);
	}
	if (rc < 0)
		return rc;
	se->live = new_live(se->lease.conversation, bound ? bound : "", c->id, c->policy, link);
	se->stale = is_of_other_terms(se, c->policy);
	se->live->pooled = sandbox_container_is_pooled(c);
	se->live->project_unknown = bound == NULL;
	return 1;
}

static int find_by_index(struct sandbox *s, struct session *se, const struct seeking *seeking,
			 struct err *err)
{
	struct engine_container c;
	int rc = engine_inspect(s->engine, se->record.container, &c, err);

	if (rc == -ERR_NOTFOUND) {
		se->restarted = true;
		return 0;
	}
	return rc < 0 ? rc : join(s, se, &c, seeking, err);
}

/* After Redis was emptied, or when the engine says that the name is taken. */
static int find_by_label(struct sandbox *s, struct session *se, const struct seeking *seeking,
			 struct err *err)
{
	_cleanup_free_ struct engine_container *list = NULL;
	size_t n = 0;
	int rc = engine_list(s->engine, &list, &n, err);

	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = join(s, se, &list[i], seeking, err);
	return rc;
}

/* The link that we have: 1 it is good, 0 its container was made on other terms and is gone. */
static int use_live(struct sandbox *s, struct session *se, struct live *live,
		    const struct seeking *seeking, struct err *err)
{
	int rc = check_project(live->project, seeking->project, err);

	if (rc < 0) {
		sandbox_live_put(s, live);
		return rc;
	}
	se->stale = is_of_other_terms(se, live->policy);
	if (!se->stale || seeking->begun) {
		se->live = live;
		return 1;
	}
	rc = engine_remove(s->engine, live->container, err);
	if (rc < 0) {
		sandbox_live_put(s, live);
		return rc;
	}
	sandbox_live_free(live);
	se->stale = false;
	se->restarted = true;
	return 0;
}

/* We were attached to a container of the conversation, and so nobody has asked where it is by now.
 */
static bool is_elsewhere(struct sandbox *s, const struct index_record *r)
{
	char engine[ENGINE_KEY_SIZE];

	sandbox_engine_name(s, engine);
	return r->container[0] && r->engine[0] && engine[0] && strcmp(r->engine, engine) != 0;
}

/* 1 found, 0 there is none. */
static int find(struct sandbox *s, struct session *se, const struct seeking *seeking,
		struct err *err)
{
	struct live *live = sandbox_live_take(s, se->lease.conversation);

	/* Somebody who attached after us has a higher epoch, and the agent obeys only the highest.
	 */
	if (live && agent_link_is_quiet(live->link) &&
	    (!se->record.known || (strcmp(se->record.container, live->container) == 0 &&
				   se->record.epoch <= agent_link_epoch(live->link))))
		return use_live(s, se, live, seeking, err);
	se->elsewhere = live && is_elsewhere(s, &se->record);
	sandbox_live_free(live);
	if (se->elsewhere)
		return err_set(err, ERR_UNAVAILABLE, "the conversation is on another engine now");
	if (se->record.container[0])
		return find_by_index(s, se, seeking, err);
	se->restarted = se->record.known;
	return se->record.known ? 0 : find_by_label(s, se, seeking, err);
}

static int attach_new(struct sandbox *s, struct session *se, const struct container_wish *wish,
		      const char *id, struct err *err)
{
	struct agent_link *link;
	int rc = agent_link_open(s->engine, id, se->record.epoch + 1, false,
				 clock_deadline(SANDBOX_HELLO_TIME), &link, err);

	if (rc == 0) {
		FAULT_POINT("session.attached");
		se->live = new_live(wish->conversation, wish->project, id, se->policy, link);
		return 0;
	}
	sandbox_container_drop(s, id);
	return err_wrap(err, "a new sandbox");
}

static int make(struct sandbox *s, struct session *se, const struct sandbox_run *run,
		const char *name, struct err *err)
{
	struct container_wish wish = {.role = run->one_shot ? SANDBOX_ROLE_RUN
							    : SANDBOX_ROLE_CONVERSATION,
				      .conversation = run->conversation,
				      .project = run->project ? run->project : "",
				      .task = run->one_shot && run->task_id ? run->task_id : "",
				      .name = run->one_shot ? NULL : name,
				      .terms = run->terms,
				      .plugin = run->one_shot && run->plugin};
	char id[ENGINE_ID_SIZE];
	struct place place;
	int rc = sandbox_capacity_make_room(s, clock_deadline(SANDBOX_WAIT_TIME), run->cancel,
					    &place, err);

	if (rc < 0)
		return rc;
	rc = sandbox_container_make(s, &wish, id, err);
	if (rc == -ERR_CONFLICT && !run->one_shot) {
		/* Half made by somebody who died, or made by one who lost the lease. */
		const struct seeking seeking = {.project = wish.project};

		rc = find_by_label(s, se, &seeking, err);
		if (rc == 0)
			rc = sandbox_container_make(s, &wish, id, err);
	}
	sandbox_capacity_release(s, &place);
	if (rc < 0 || se->live)
		return rc < 0 ? rc : 0;
	return attach_new(s, se, &wish, id, err);
}

/* One that is ready, or one that is made. */
static int get(struct sandbox *s, struct session *se, const struct sandbox_run *run,
	       struct err *err)
{
	const char *project = run->project ? run->project : "";
	char name[CONTAINER_NAME_SIZE], id[ENGINE_ID_SIZE];
	struct agent_link *link;
	int rc;

	sandbox_container_name(s->settings->instance, run->conversation, project, name);
	/* Those that are ready were made on the terms of the settings. */
	rc = strcmp(se->policy, s->policy) == 0 ? sandbox_pool_take(s, name, false, id, &link, err)
						: 0;
	if (rc > 0) {
		se->live = new_live(run->conversation, project, id, s->policy, link);
		se->live->pooled = true;
		return 0;
	}
	/* Made by one who lost the lease. */
	if (rc == -ERR_CONFLICT)
		rc = find_by_label(s, se, &(struct seeking){.project = project}, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	return make(s, se, run, name, err);
}

/* The same for a run of its own: it is never taken for another, and goes when the run has ended. */
static int get_own(struct sandbox *s, struct session *se, const struct sandbox_run *run,
		   struct err *err)
{
	char name[CONTAINER_NAME_SIZE], id[ENGINE_ID_SIZE];
	struct agent_link *link;
	int rc = 0;

	if (run->task_id && *run->task_id && strcmp(se->policy, s->policy) == 0) {
		sandbox_container_run_name(
			s->settings->instance, run->task_id,
			clock_wall() + s->settings->sandbox_max_timeout + SANDBOX_LATE, name);
		rc = sandbox_pool_take(s, name, run->plugin, id, &link, err);
	}
	if (rc > 0) {
		se->live = new_live(run->conversation, run->project ? run->project : "", id,
				    s->policy, link);
		return 0;
	}
	/* A conflict is one that this very task left within the second. */
	return rc < 0 && rc != -ERR_CONFLICT ? rc : make(s, se, run, NULL, err);
}

/* The entry as it is from now on. */
static void note(struct sandbox *s, struct session *se)
{
	struct index_record *r = &se->record;

	r->known = true;
	memcpy(r->container, se->live->container, sizeof(r->container));
	memcpy(r->project, se->live->project, sizeof(r->project));
	memcpy(r->owner, owner(s), strlen(owner(s)) + 1);
	sandbox_engine_name(s, r->engine);
	r->epoch = agent_link_epoch(se->live->link);
	if (se->live->pooled)
		sandbox_index_take(&s->index, r->container, se->lease.conversation, r->project);
	sandbox_index_save(&s->index, se->lease.conversation, r);
}

static int open_conversation(struct sandbox *s, const struct sandbox_run *run, bool create,
			     struct session *se, struct err *err)
{
	const struct seeking seeking = {.project = create ? run->project ? run->project : "" : NULL,
					.begun = run->begun || !create};
	int rc = se->record.known ? check_project(se->record.project, seeking.project, err) : 0;

	if (rc == 0)
		rc = find(s, se, &seeking, err);
	se->reused = rc > 0;
	if (rc == 0 && create) {
		rc = get(s, se, run, err);
		/* Found after all. */
		se->reused = false;
	}
	return rc < 0 ? rc : 0;
}

/* A run of its own touches no container of the conversation, but what it makes is kept as the
 * conversation's: another project's is refused here as well. */
static int check_one_shot(struct sandbox *s, const struct sandbox_run *run, struct err *err)
{
	_cleanup_free_ struct engine_container *list = NULL;
	const char *project = run->project ? run->project : "";
	struct index_record record = {0};
	size_t n = 0;
	int rc = sandbox_index_read(&s->index, &run->conversation, 1, &record, err);

	if (rc < 0 || record.known)
		return rc < 0 ? rc : check_project(record.project, project, err);
	rc = engine_list(s->engine, &list, &n, err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		if (strcmp(list[i].role, SANDBOX_ROLE_CONVERSATION) == 0 &&
		    strcmp(list[i].conversation, run->conversation) == 0)
			rc = check_project(list[i].project, project, err);
	return rc;
}

int sandbox_session_open(struct sandbox *s, const struct sandbox_run *run, bool create,
			 struct session *ret, struct err *err)
{
	struct session se = {.leased = !run->one_shot};
	int rc;

	if (run->terms)
		sandbox_terms_digest(s->settings, run->terms, se.policy);
	if (run->one_shot) {
		rc = check_one_shot(s, run, err);
		if (rc == 0 && (run->begun || !create) && run->task_id && *run->task_id)
			rc = find_by_task(s, &se, run, err);
		if (rc == 0 && create)
			rc = get_own(s, &se, run, err);
		se.restarted = false;
		*ret = se;
		return rc < 0 ? rc : 0;
	}
	rc = sandbox_index_acquire(&s->index, run->conversation, clock_deadline(SANDBOX_WAIT_TIME),
				   run->cancel, &se.lease, &se.record, err);
	if (rc < 0)
		return rc;
	rc = open_conversation(s, run, create, &se, err);
	ret->elsewhere = se.elsewhere;
	if (rc < 0) {
		sandbox_index_release(&s->index, &se.lease);
		return rc;
	}
	se.restarted = se.restarted && !se.reused;
	/* A new container is in the index before anything runs in it. */
	if (se.live && !se.live->project_unknown &&
	    (!se.reused || strcmp(se.record.owner, owner(s)) != 0))
		note(s, &se);
	FAULT_POINT("session.recorded");
	*ret = se;
	return 0;
}

void sandbox_session_keep(struct sandbox *s, struct session *se)
{
	if (se->live && se->leased && !se->live->project_unknown) {
		note(s, se);
		sandbox_live_put(s, TAKE(se->live));
	}
	sandbox_live_free(TAKE(se->live));
	if (se->leased)
		sandbox_index_release(&s->index, &se->lease);
}

void sandbox_session_doubt(struct sandbox *s, struct session *se)
{
	sandbox_live_free(TAKE(se->live));
	if (se->leased)
		sandbox_index_release(&s->index, &se->lease);
}

int sandbox_session_end(struct sandbox *s, struct session *se, struct err *err)
{
	int rc = 0;

	if (se->leased && sandbox_index_is_lost(&s->index, &se->lease))
		rc = err_set(err, ERR_CONFLICT, "the conversation is another worker's now");
	if (se->live && rc == 0)
		rc = engine_remove(s->engine, se->live->container, err);
	FAULT_POINT("session.removed");
	sandbox_live_free(TAKE(se->live));
	if (se->leased && rc == 0) {
		se->record.container[0] = '\0';
		sandbox_index_save(&s->index, se->lease.conversation, &se->record);
	}
	if (se->leased)
		sandbox_index_release(&s->index, &se->lease);
	return rc;
}

void sandbox_session_renew(struct sandbox *s, struct session *se)
{
	if (!se->leased)
		return;
	sandbox_index_renew(&s->index, &se->lease);
	/* Should Redis have forgotten whose it is, a sweep must not take it for nobody's. */
	if (se->live && se->live->pooled && !se->live->project_unknown)
		sandbox_index_take(&s->index, se->live->container, se->lease.conversation,
				   se->live->project);
}
