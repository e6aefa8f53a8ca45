/*
 * The sandbox as callers see it: a run, a reset, an end. What is transient is waited out for a
 * while.
 */
#include "sandbox_internal.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "verdict.h"

#define PAUSE_FIRST_MS 50
#define PAUSE_LAST_MS  2000
#define SETTLE_TRIES                                                                               \
	20 /* times SETTLE_MS: an engine may be behind in noticing that a container ended */
#define SETTLE_MS 50

int sandbox_open(const struct settings *settings, struct redis_link *link, const char *key_prefix,
		 const struct presence *presence, struct sandbox **ret, struct err *err)
{
	const struct engine_config config = {.host = settings->docker_host,
					     .tls_verify = settings->docker_tls_verify,
					     .cert_path = settings->docker_cert_path,
					     .api_version = settings->docker_api_version,
					     .instance = settings->instance};
	struct sandbox *s = xcalloc(1, sizeof(*s));
	int rc = engine_open(&config, &s->engine, err);

	if (rc < 0) {
		free(s);
		return rc;
	}
	s->settings = settings;
	s->presence = presence;
	mutex_init(&s->preparing);
	mutex_init(&s->lock);
	sandbox_live_init(&s->live);
	sandbox_index_init(&s->index, link, key_prefix, settings->instance, presence);
	*ret = s;
	return 0;
}

void sandbox_close_all(struct sandbox *s)
{
	if (s == NULL)
		return;
	sandbox_live_done(&s->live);
	sandbox_index_done(&s->index);
	engine_close(s->engine);
	mutex_done(&s->lock);
	mutex_done(&s->preparing);
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

struct renewal {
	struct sandbox *s;
	struct session *se;
};

static void renew(void *arg)
{
	struct renewal *r = arg;

	sandbox_session_renew(r->s, r->se);
}

/* The agent was lost in the middle: the engine says what became of its container, and then it goes.
 */
static void settle_without_agent(struct sandbox *s, struct session *se, bool timed_out,
				 struct sandbox_outcome *o)
{
	struct engine_container c = {.running = true};
	bool exists = true;
	struct err err;

	for (int i = 0; i < SETTLE_TRIES && !timed_out && exists && c.running; i++) {
		if (i > 0)
			poll(NULL, 0, SETTLE_MS);
		if (engine_inspect(s->engine, se->live->container, &c, &err) == -ERR_NOTFOUND)
			exists = false;
	}
	sandbox_verdict_without_agent(timed_out, exists, c.running, c.oom_killed, &o->status,
				      &o->exit_code);
	if (sandbox_session_end(s, se, &err) < 0) {
		log_debug("a lost sandbox stays until a sweep: %s", err.msg);
		/* Nothing proves that the run has ended. */
		o->status = SANDBOX_LOST;
	}
}

static void settle(struct sandbox *s, struct session *se, enum run_fate fate,
		   struct sandbox_outcome *o)
{
	struct err err;

	memcpy(o->container, se->live->container, sizeof(o->container));
	o->reused = se->reused;
	o->restarted = se->restarted;
	switch (fate) {
	case RUN_LOST:
	case RUN_SILENT:
		settle_without_agent(s, se, fate == RUN_SILENT, o);
		return;
	case RUN_FINE:
		if (se->leased) {
			sandbox_session_keep(s, se);
			return;
		}
		break;
	case RUN_SPENT:
		break;
	}
	if (sandbox_session_end(s, se, &err) == 0)
		return;
	log_debug("a used sandbox stays until a sweep: %s", err.msg);
	if (fate == RUN_SPENT && o->status == SANDBOX_TIMEOUT)
		o->status = SANDBOX_LOST;
}

static int attempt(struct sandbox *s, const struct sandbox_run *run, struct sandbox_outcome *ret,
		   struct err *err)
{
	struct session se;
	struct renewal renewal = {.s = s, .se = &se};
	struct run_plan plan = {.run = run,
				.language = sandbox_language_find(run->language),
				.settings = s->settings,
				.tick = renew,
				.arg = &renewal};
	enum run_fate fate;
	int rc = sandbox_need(s, err);

	if (rc == 0)
		rc = sandbox_session_open(s, run, true, &se, err);
	if (rc < 0)
		return rc;
	rc = sandbox_run_execute(se.live->link, &plan, ret, &fate, err);
	if (rc < 0) {
		if (run->one_shot) {
			struct err second;

			if (sandbox_session_end(s, &se, &second) < 0)
				log_debug("a sandbox stays until a sweep: %s", second.msg);
		} else {
			sandbox_session_doubt(s, &se);
		}
		return rc;
	}
	settle(s, &se, fate, ret);
	return 0;
}

static bool is_cancelled(const struct sandbox_run *run)
{
	return run->cancel && atomic_load_explicit(run->cancel, memory_order_acquire);
}

int sandbox_execute(struct sandbox *s, const struct sandbox_run *run, struct sandbox_outcome *ret,
		    struct err *err)
{
	usec_t deadline = clock_deadline(SANDBOX_RETRY_TIME);
	int pause = PAUSE_FIRST_MS;
	int rc = sandbox_check_run(run, s->settings, err);

	if (rc < 0)
		return rc;
	for (;;) {
		struct err step;

		if (is_cancelled(run))
			return err_set(err, ERR_CANCELLED, "cancelled before it began");
		rc = attempt(s, run, ret, &step);
		if (rc == 0)
			return 0;
		if (rc == -ERR_UNAVAILABLE)
			sandbox_look(s);
		if (!err_is_transient(&step) || clock_left_ms(deadline) <= pause) {
			*err = step;
			return err_wrap(err, "sandbox");
		}
		log_debug("sandbox: another try in %d ms: %s", pause, step.msg);
		poll(NULL, 0, pause);
		pause = 2 * pause < PAUSE_LAST_MS ? 2 * pause : PAUSE_LAST_MS;
	}
}

static int ask_reset(struct agent_link *l, int64_t *ret_removed, struct err *err)
{
	usec_t deadline = clock_deadline(RUN_SEND_TIME);
	uint32_t run = agent_link_next_run(l);
	struct frame_cursor c;
	struct frame f;
	int rc = agent_link_send(l, FRAME_RESET, 0, run, "", 0, deadline, err);

	if (rc == 0)
		rc = agent_link_flush(l, deadline, err);
	if (rc == 0)
		rc = agent_link_receive(l, deadline, &f, err);
	if (rc < 0)
		return rc;
	c = (struct frame_cursor){.data = f.data, .left = f.len};
	if (f.type != FRAME_RESET_DONE || f.run != run)
		return err_set(err, ERR_PROTOCOL, "a frame of type %u for a reset", f.type);
	*ret_removed = (int64_t)(frame_get_u64(&c) & INT64_MAX);
	if (frame_get_u64(&c) > 0)
		return err_set(err, ERR_FAILED,
			       "the output directory could not be emptied in time");
	return 0;
}

int sandbox_reset_output(struct sandbox *s, const char *conversation, int64_t *ret_removed,
			 struct err *err)
{
	const struct sandbox_run run = {.conversation = conversation};
	struct session se;
	int64_t removed = 0;
	int rc = sandbox_check_conversation(conversation, err);

	if (rc == 0)
		rc = sandbox_session_open(s, &run, false, &se, err);
	if (rc < 0)
		return rc;
	if (se.live)
		rc = ask_reset(se.live->link, &removed, err);
	if (rc < 0 && rc != -ERR_FAILED)
		sandbox_session_doubt(s, &se);
	else
		sandbox_session_keep(s, &se);
	if (rc < 0)
		return err_wrap(err, "sandbox");
	*ret_removed = removed;
	return 0;
}

/* By its labels: the index may be wrong or empty. */
static int remove_all_of(struct sandbox *s, const char *conversation, bool *ret_removed,
			 struct err *err)
{
	_cleanup_free_ struct engine_container *list = NULL;
	size_t n = 0;
	int rc = engine_list(s->engine, &list, &n, err);

	for (size_t i = 0; rc == 0 && i < n; i++) {
		if (strcmp(list[i].role, SANDBOX_ROLE_CONVERSATION) != 0 ||
		    strcmp(list[i].conversation, conversation) != 0)
			continue;
		rc = engine_remove(s->engine, list[i].id, err);
		*ret_removed = true;
	}
	return rc;
}

int sandbox_close(struct sandbox *s, const char *conversation, bool *ret_removed, struct err *err)
{
	struct index_record record;
	struct index_lease lease;
	bool removed = false;
	int rc = sandbox_check_conversation(conversation, err);

	if (rc == 0)
		rc = sandbox_index_acquire(&s->index, conversation,
					   clock_deadline(SANDBOX_WAIT_TIME), NULL, &lease, &record,
					   err);
	if (rc < 0)
		return rc;
	rc = remove_all_of(s, conversation, &removed, err);
	if (rc == 0) {
		sandbox_live_free(sandbox_live_take(s, conversation));
		sandbox_index_forget(&s->index, conversation);
		*ret_removed = removed;
	}
	sandbox_index_release(&s->index, &lease);
	return rc < 0 ? err_wrap(err, "sandbox") : 0;
}
