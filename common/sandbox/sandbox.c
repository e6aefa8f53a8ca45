/*
 * The sandbox as callers see it: a run (upkeep.c: a reset, an end). What is transient is waited out
 * for a while.
 */
#include "sandbox_internal.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "codec.h"
#include "engine_role.h"
#include "log.h"
#include "mem.h"
#include "verdict.h"

#define PAUSE_FIRST_MS 50
#define PAUSE_LAST_MS  2000
#define SETTLE_TRIES                                                                               \
	20 /* times SETTLE_MS: an engine may be behind in noticing that a container ended */
#define SETTLE_MS 50

int sandbox_open_at(const struct settings *settings, const char *host, const char *cert_path,
		    int control, struct redis_link *link, const char *key_prefix,
		    const struct presence *presence, struct sandbox **ret, struct err *err)
{
	const struct engine_config config = {.role = engine_way(settings) == ENGINE_WAY_ROLE ? host
											     : NULL,
					     .control = control,
					     .host = host,
					     .tls_verify = settings->docker_tls_verify,
					     .plain_tcp = settings->docker_plain_tcp,
					     .cert_path = cert_path,
					     .api_version = settings->docker_api_version,
					     .instance = settings->instance,
					     .mounts = &settings->sandbox_mount_allow};
	struct sandbox *s = xcalloc(1, sizeof(*s));
	int rc = engine_open(&config, &s->engine, err);

	if (rc < 0) {
		free(s);
		return rc;
	}
	s->settings = settings;
	sandbox_terms_init(settings, true, &s->terms);
	sandbox_terms_digest(settings, &s->terms, s->policy);
	s->presence = presence;
	s->away_since = clock_mono();
	mutex_init(&s->preparing);
	mutex_init(&s->lock);
	sandbox_live_init(&s->live);
	sandbox_pool_init(&s->pool);
	sandbox_images_init(&s->images);
	sandbox_packages_init(&s->packages);
	sandbox_index_init(&s->index, link, key_prefix, settings->instance, presence);
	sandbox_streams_init(&s->streams, link, key_prefix);
	*ret = s;
	return 0;
}

int sandbox_open(const struct settings *settings, struct redis_link *link, const char *key_prefix,
		 const struct presence *presence, struct sandbox **ret, struct err *err)
{
	return sandbox_open_at(settings, engine_hosts(settings), settings->docker_cert_path, -1,
			       link, key_prefix, presence, ret, err);
}

void sandbox_on_event(struct sandbox *s, engine_event_fn *fn, void *arg)
{
	engine_on_event(s->engine, fn, arg);
}

void sandbox_close_all(struct sandbox *s)
{
	if (s == NULL)
		return;
	sandbox_watch_done(s);
	sandbox_pool_done(s);
	sandbox_images_done(&s->images);
	sandbox_packages_done(&s->packages);
	sandbox_live_done(&s->live);
	sandbox_index_done(&s->index);
	sandbox_streams_done(&s->streams);
	engine_close(s->engine);
	mutex_done(&s->lock);
	mutex_done(&s->preparing);
	free(s->languages);
	free(s);
}

bool sandbox_ready(const struct sandbox *s)
{
	struct mutex *lock = (struct mutex *)(uintptr_t)&s->lock;
	bool ready;

	mutex_lock(lock);
	ready = s->ready;
	mutex_unlock(lock);
	return ready;
}

/* A run, as often as it takes to have its end. */
struct errand {
	struct sandbox *s;
	const struct sandbox_run *run;
	struct session se;
	struct sandbox_stream *stream; /* its output while it is going, or NULL */
	bool begun;		       /* by us: it is not begun once more */
	bool unheard;		       /* unless its agent knows nothing of it */
};

static void renew(void *arg)
{
	struct errand *e = arg;

	sandbox_session_renew(e->s, &e->se);
}

/* Somebody has paused the container, or stopped the engine's machinery. */
static enum run_place look_at_place(void *arg)
{
	struct errand *e = arg;
	struct engine_container c;
	struct err ignored;
	int rc = engine_inspect(e->s->engine, e->se.live->container, &c, &ignored);

	if (rc == -ERR_NOTFOUND || (rc == 0 && !c.running))
		return RUN_PLACE_GONE;
	return rc == 0 && strcmp(c.status, "paused") == 0 ? RUN_PLACE_STOPPED : RUN_PLACE_FINE;
}

/* The agent was lost in the middle: what the engine says of its container, which may be behind in
 * noticing an end. False when it is gone. */
static bool look_at_container(struct sandbox *s, struct session *se, int tries,
			      struct engine_container *ret)
{
	struct err err;

	*ret = (struct engine_container){.running = true};
	for (int i = 0; i < tries && ret->running; i++) {
		if (i > 0)
			poll(NULL, 0, SETTLE_MS);
		if (engine_inspect(s->engine, se->live->container, ret, &err) == -ERR_NOTFOUND)
			return false;
	}
	return true;
}

static void settle_without_agent(struct sandbox *s, struct session *se, bool silent,
				 struct sandbox_outcome *o)
{
	struct engine_container c;
	bool exists = look_at_container(s, se, silent ? 1 : SETTLE_TRIES, &c);
	/* Who stands still has not used up its time. */
	bool timed_out = silent && strcmp(c.status, "paused") != 0;
	struct err err;

	o->ended = SANDBOX_ENDED_CONTAINER;
	sandbox_verdict_without_agent(timed_out, exists, c.running, c.oom_killed, &o->status,
				      &o->exit_code);
	if (sandbox_session_end(s, se, &err) < 0) {
		log_debug("a lost sandbox stays until a sweep: %s", err.msg);
		/* Nothing proves that the run has ended. */
		o->status = SANDBOX_LOST;
	}
}

static void end(struct sandbox *s, struct session *se, struct sandbox_outcome *o)
{
	struct err err;

	if (sandbox_session_end(s, se, &err) == 0)
		return;
	log_debug("a used sandbox stays until a sweep: %s", err.msg);
	if (o->status == SANDBOX_TIMEOUT)
		o->status = SANDBOX_LOST;
}

/* Away from a run that may be going on; it is found again. */
static int leave(struct errand *e, struct sandbox_outcome *o, struct err *err)
{
	sandbox_session_doubt(e->s, &e->se);
	sandbox_outcome_done(o);
	e->begun = true;
	return err_set(err, ERR_UNAVAILABLE, "the stream of a run was cut");
}

/* 0: the outcome stands. */
static int settle(struct errand *e, enum run_fate fate, struct sandbox_outcome *o, struct err *err)
{
	struct session *se = &e->se;
	struct sandbox *s = e->s;
	struct engine_container c;

	memcpy(o->container, se->live->container, sizeof(o->container));
	switch (fate) {
	case RUN_LEFT:
		sandbox_session_doubt(s, se);
		sandbox_outcome_done(o);
		return err_set(err, ERR_CANCELLED, "the run is left to itself");
	case RUN_TAKEN:
		return leave(e, o, err);
	case RUN_CUT:
	case RUN_UNHEARD:
		e->unheard = fate == RUN_UNHEARD;
		if (look_at_container(s, se, SETTLE_TRIES, &c) && c.running)
			return leave(e, o, err);
		settle_without_agent(s, se, false, o);
		return 0;
	case RUN_LOST:
	case RUN_SILENT:
		settle_without_agent(s, se, fate == RUN_SILENT, o);
		return 0;
	case RUN_UNBEGUN:
		sandbox_outcome_done(o);
		if (sandbox_session_end(s, se, err) < 0)
			return -err->code;
		return err_set(err, ERR_UNAVAILABLE, "the sandbox was paused");
	case RUN_SPENT:
		end(s, se, o);
		return 0;
	case RUN_MISSING:
		if (!se->stale)
			break;
		/* It is nowhere, and its container was made on other terms. */
		sandbox_outcome_done(o);
		if (sandbox_session_end(s, se, err) < 0)
			return -err->code;
		return err_set(err, ERR_UNAVAILABLE, "the settings of the sandbox have changed");
	case RUN_FINE:
		break;
	}
	/* A container of one run goes when its outcome is safe: sandbox_acknowledge. */
	sandbox_session_keep(s, se);
	return 0;
}

static int lost(struct errand *e, struct sandbox_outcome *ret)
{
	sandbox_session_keep(e->s, &e->se);
	*ret = (struct sandbox_outcome){.status = SANDBOX_LOST, .exit_code = VERDICT_KILLED};
	return 0;
}

/* Nothing has begun: what was made for it is not kept. */
static void give_up(struct errand *e)
{
	struct err second;

	if (!e->run->one_shot || e->run->begun || e->begun)
		sandbox_session_doubt(e->s, &e->se);
	else if (sandbox_session_end(e->s, &e->se, &second) < 0)
		log_debug("a sandbox stays until a sweep: %s", second.msg);
}

static int attempt(struct errand *e, struct sandbox_outcome *ret, struct err *err)
{
	struct sandbox *s = e->s;
	struct run_plan plan = {.run = e->run,
				.language = sandbox_language_find(e->run->language),
				.settings = s->settings,
				.terms = e->run->terms,
				.begun = e->begun,
				.streams = &s->streams,
				.stream = &e->stream,
				.tick = renew,
				.look = look_at_place,
				.arg = e};
	enum run_fate fate;
	int rc = sandbox_need(s, err);

	if (rc == 0)
		rc = sandbox_need_language(s, e->run->language, err);
	if (rc == 0)
		rc = sandbox_session_open(s, e->run, !e->begun, &e->se, err);
	if (rc < 0)
		return rc;
	if (e->se.live == NULL)
		return lost(e, ret);
	plan.container = e->se.live->container;
	plan.follow_only = (e->begun && !e->unheard) || e->se.stale;
	plan.note =
		(e->se.reused ? RUN_NOTE_REUSED : 0) | (e->se.restarted ? RUN_NOTE_RESTARTED : 0);
	rc = sandbox_run_execute(e->se.live->link, &plan, ret, &fate, err);
	if (rc < 0) {
		give_up(e);
		return rc;
	}
	rc = settle(e, fate, ret, err);
	if (rc == 0)
		sandbox_stream_end(TAKE(e->stream), sandbox_status_text(ret->status));
	return rc;
}

static bool is_cancelled(const struct sandbox_run *run)
{
	return run->cancel && atomic_load_explicit(run->cancel, memory_order_acquire);
}

/* Without an end: whoever takes the task over goes on with it. */
static void leave_stream(struct errand *e)
{
	sandbox_stream_leave(TAKE(e->stream));
}

struct sandbox_patience sandbox_patience(void)
{
	return (struct sandbox_patience){.deadline = clock_deadline(SANDBOX_RETRY_TIME),
					 .pause_ms = PAUSE_FIRST_MS};
}

bool sandbox_try_again(struct sandbox *s, struct sandbox_patience *p, const struct err *why)
{
	if (why->code == ERR_UNAVAILABLE)
		sandbox_look(s);
	/* One call may take longer than all the time there is, and so may a machine that stands
	 * still: the first failure is no reason to give up. */
	if (!err_is_transient(why) || (p->tried && clock_left_ms(p->deadline) <= p->pause_ms))
		return false;
	p->tried = true;
	log_debug("sandbox: another try in %d ms: %s", p->pause_ms, why->msg);
	poll(NULL, 0, p->pause_ms);
	p->pause_ms = 2 * p->pause_ms < PAUSE_LAST_MS ? 2 * p->pause_ms : PAUSE_LAST_MS;
	return true;
}

static bool is_left(const struct sandbox_run *run)
{
	return run->leave && atomic_load_explicit(run->leave, memory_order_acquire);
}

static int run_on_terms(struct sandbox *s, const struct sandbox_run *run,
			struct sandbox_outcome *ret, struct err *err)
{
	_cleanup_(leave_stream) struct errand e = {.s = s, .run = run};
	struct sandbox_patience patience = sandbox_patience();
	int rc = sandbox_check_run(run, s->settings, err);

	if (rc < 0)
		return rc;
	for (;;) {
		bool had_begun = e.begun;
		struct err step;

		if (is_left(run) || (is_cancelled(run) && !e.begun))
			return err_set(err, ERR_CANCELLED, "cancelled before it began");
		rc = attempt(&e, ret, &step);
		if (rc == 0)
			return 0;
		if (e.begun && !had_begun)
			patience.deadline = clock_deadline(SANDBOX_WAIT_TIME);
		if (e.se.elsewhere || !sandbox_try_again(s, &patience, &step)) {
			*err = step;
			return err_wrap(err, "sandbox");
		}
	}
}

int sandbox_execute(struct sandbox *s, const struct sandbox_run *run, struct sandbox_outcome *ret,
		    struct err *err)
{
	struct sandbox_run on = *run;

	if (on.terms == NULL)
		on.terms = &s->terms;
	atomic_fetch_add(&s->busy, 1);
	int rc = run_on_terms(s, &on, ret, err);
	atomic_fetch_sub(&s->busy, 1);
	return rc;
}

void sandbox_acknowledge(struct sandbox *s, const struct sandbox_run *run,
			 const struct sandbox_outcome *o)
{
	struct live *live;

	if (run->one_shot) {
		if (o->container[0])
			sandbox_container_drop(s, o->container);
		return;
	}
	live = run->task_id ? sandbox_live_take(s, run->conversation) : NULL;
	if (live == NULL)
		return;
	sandbox_run_acknowledge(live->link, run->task_id);
	sandbox_live_put(s, live);
}
