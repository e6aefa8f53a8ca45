/*
 * The services thread: makes database and engine usable, at the start and again after each outage,
 * and says each change once.
 */
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "log.h"
#include "mem.h"
#include "worker.h"

#define RETRY (1 * USEC_PER_SEC)
#define LOOK  (2 * USEC_PER_SEC) /* how soon an engine that nobody uses is seen to be away */

/* What was said last about a service, so that it is not said again. */
struct said {
	bool was_up, known;
	char reason[256];
};

/* `vital`: without it nothing is claimed. */
static void say(struct said *said, const char *what, bool vital, bool up, const char *reason)
{
	if (said->known && said->was_up == up && (up || strcmp(said->reason, reason) == 0))
		return;
	if (!up)
		log_error("%s is not usable: %s. %s until it is; trying again.", what, reason,
			  vital ? "Nothing is claimed" : "New conversations go elsewhere");
	else if (said->known)
		log_info("%s is usable again", what);
	said->known = true;
	said->was_up = up;
	snprintf(said->reason, sizeof(said->reason), "%s", reason);
}

static void look_at_store(struct worker *w, struct said *said)
{
	struct err err = {0};
	int version;
	bool up;

	if (w->store == NULL || (atomic_load(&w->store_usable) && store_ready(w->store)))
		return;
	up = store_check(w->store, &version, &err) == 0;
	atomic_store(&w->store_usable, up);
	say(said, "PostgreSQL", true, up, up ? "" : err.msg);
	if (up)
		state_wake_consumer(&w->state);
}

static void adopt(struct sandbox *s)
{
	struct err err = {0};
	int64_t adopted = 0;

	if (sandbox_adopt(s, &adopted, &err) < 0)
		log_warning("conversations of dead workers were not adopted: %s", err.msg);
	else if (adopted > 0)
		log_info("adopted %lld conversation(s) of workers that died", (long long)adopted);
}

static void log_notes(const char *line)
{
	while (*line != '\0') {
		size_t len = strcspn(line, "\n");

		log_info("sandboxes: %.*s", (int)len, line);
		line += len + (line[len] == '\n');
	}
}

struct engine_watch {
	struct said said;
	bool known;		    /* it was ready before */
	usec_t look_at;		    /* monotonic */
	char name[ENGINE_KEY_SIZE]; /* in the index, as others were told that we reach it; or "" */
};

/* Others may send us calls of conversations that are there, or not. */
static void tell_reach(struct worker *w, struct sandbox *s, struct engine_watch *watch)
{
	char name[ENGINE_KEY_SIZE] = "";

	if (sandbox_ready(s))
		sandbox_engine_name(s, name);
	if (strcmp(name, watch->name) == 0 || atomic_load(&w->stopping))
		return;
	if (watch->name[0])
		broker_route_reach(w->broker, watch->name, false);
	if (name[0])
		broker_route_reach(w->broker, name, true);
	memcpy(watch->name, name, sizeof(name));
}

static void look(struct worker *w, struct sandbox *s, struct engine_watch *watch)
{
	if (!sandbox_ready(s) || clock_mono() < watch->look_at)
		return;
	sandbox_look(s);
	if (fleet_count(w->fleet) > 1 && sandbox_ready(s))
		sandbox_count(s);
	watch->look_at = clock_deadline(LOOK);
}

static void prepare(struct worker *w, struct sandbox *s, const char *what,
		    struct engine_watch *watch)
{
	_cleanup_buf_ struct buf notes = BUF_INIT(BOUND_ERROR_TEXT * 4);
	struct err err = {0};
	bool up = sandbox_prepare(s, &notes, &err) == 0;

	say(&watch->said, what, fleet_count(w->fleet) == 1, up, up ? "" : err.msg);
	if (!up)
		return;
	if (fleet_count(w->fleet) > 1)
		sandbox_count(s);
	if (!watch->known) {
		log_notes(notes.data);
		adopt(s);
		sandbox_keep_ready(s);
		sandbox_watch(s);
		watch->known = true;
	}
	state_wake_consumer(&w->state);
}

static void look_at_engine(struct worker *w, size_t i, struct engine_watch *watch)
{
	struct sandbox *s = fleet_at(w->fleet, i);
	_cleanup_free_ char *what =
		xasprintf("the container engine%s%s", fleet_count(w->fleet) > 1 ? " " : "",
			  fleet_count(w->fleet) > 1 ? fleet_address(w->fleet, i) : "");

	look(w, s, watch);
	if (!sandbox_ready(s) && broker_ready(w->broker))
		prepare(w, s, what, watch);
	tell_reach(w, s, watch);
}

static void look_at_engines(struct worker *w, struct engine_watch *watch)
{
	bool adopts = atomic_exchange(&w->somebody_died, false);

	for (size_t i = 0; w->fleet != NULL && i < fleet_count(w->fleet); i++) {
		look_at_engine(w, i, &watch[i]);
		if (adopts && sandbox_ready(fleet_at(w->fleet, i)))
			adopt(fleet_at(w->fleet, i));
	}
}

static void *services_thread(void *arg)
{
	struct worker *w = arg;
	struct services *s = &w->services;
	struct said store = {0};
	struct engine_watch engines[FLEET_MAX] = {0};

	mutex_lock(&s->lock);
	while (!s->stopping) {
		mutex_unlock(&s->lock);
		look_at_store(w, &store);
		look_at_engines(w, engines);
		if (w->mcp)
			mcp_sessions_sweep(w->mcp);
		mutex_lock(&s->lock);
		if (!s->stopping)
			cond_wait_until(&s->changed, &s->lock, clock_deadline(RETRY));
	}
	mutex_unlock(&s->lock);
	return NULL;
}

int services_start(struct worker *w, struct err *err)
{
	int rc = thread_start(&w->services.thread, "services", services_thread, w, err);

	w->services.started = rc == 0;
	return rc;
}

void services_stop(struct worker *w)
{
	struct services *s = &w->services;

	if (!s->started)
		return;
	mutex_lock(&s->lock);
	s->stopping = true;
	cond_signal(&s->changed);
	mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	s->started = false;
}
