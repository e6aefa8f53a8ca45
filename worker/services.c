/*
 * The services thread: makes database and engine usable, at the start and again after each outage,
 * and says each change once.
 */
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "log.h"
#include "worker.h"

#define RETRY (1 * USEC_PER_SEC)
#define LOOK  (2 * USEC_PER_SEC) /* how soon an engine that nobody uses is seen to be away */

/* What was said last about a service, so that it is not said again. */
struct said {
	bool was_up, known;
	char reason[256];
};

static void say(struct said *said, const char *what, bool up, const char *reason)
{
	if (said->known && said->was_up == up && (up || strcmp(said->reason, reason) == 0))
		return;
	if (!up)
		log_error("%s is not usable: %s. Nothing is claimed until it is; trying again.",
			  what, reason);
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
	say(said, "PostgreSQL", up, up ? "" : err.msg);
	if (up)
		state_wake_consumer(&w->state);
}

static void adopt(struct worker *w)
{
	struct err err = {0};
	int64_t adopted = 0;

	if (sandbox_adopt(w->sandbox, &adopted, &err) < 0)
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
	bool adopted;
	usec_t look_at; /* monotonic */
};

static void look_at_engine(struct worker *w, struct engine_watch *watch)
{
	_cleanup_buf_ struct buf notes = BUF_INIT(BOUND_ERROR_TEXT * 4);
	struct err err = {0};
	bool up;

	if (w->sandbox == NULL)
		return;
	if (sandbox_ready(w->sandbox) && clock_mono() >= watch->look_at) {
		sandbox_look(w->sandbox);
		watch->look_at = clock_deadline(LOOK);
	}
	if (sandbox_ready(w->sandbox) || !broker_ready(w->broker))
		return;
	up = sandbox_prepare(w->sandbox, &notes, &err) == 0;
	say(&watch->said, "the container engine", up, up ? "" : err.msg);
	if (!up)
		return;
	if (!watch->adopted) {
		log_notes(notes.data);
		adopt(w);
		sandbox_keep_ready(w->sandbox);
		sandbox_watch(w->sandbox);
		watch->adopted = true;
	}
	state_wake_consumer(&w->state);
}

static void *services_thread(void *arg)
{
	struct worker *w = arg;
	struct services *s = &w->services;
	struct said store = {0};
	struct engine_watch engine = {0};

	mutex_lock(&s->lock);
	while (!s->stopping) {
		mutex_unlock(&s->lock);
		look_at_store(w, &store);
		look_at_engine(w, &engine);
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
