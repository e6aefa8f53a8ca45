/*
 * The chords thread: bodies of chords that are complete, but that nobody published, because whoever
 * returned the last part died before it did, or because a worker older than Celery 5.7 counted a
 * part twice. One worker at a time does this, by a lock in Redis; every step is small and bounded.
 *
 * What a body is, only messages tell: those that our workers run, which record it, and those that
 * are still unacked. A chord that only Python workers with early acknowledgement had to do with,
 * and whose last one died between counting its part and publishing the body, cannot be healed; that
 * is said.
 */
#include <string.h>

#include "broker.h"
#include "canvas.h"
#include "clock.h"
#include "json.h"
#include "log.h"
#include "mem.h"

#define TICK_MAX   (5 * USEC_PER_SEC)
#define TICK_MIN   (250 * USEC_PER_MSEC)
#define PASS_EVERY (60 * USEC_PER_SEC) /* between two walks over all keys */
#define SCANS	   20		       /* steps of the walk in one tick */
#define PATIENCE   (5 * USEC_PER_SEC)
#define LEASE_MORE (2 * USEC_PER_SEC)

struct sweep {
	struct worker *worker;
	usec_t tick;
	char cursor[CHORD_CURSOR_SIZE]; /* of the walk */
	usec_t next_pass;		/* monotonic */
};

/* The body is there, or it is looked for in messages that are unacked. */
static int find_body(struct sweep *s, const char *group_id, struct chord_set *set, struct err *err)
{
	_cleanup_message_ struct message *m = NULL;
	int rc;

	if (set->body != NULL)
		return 0;
	rc = broker_find_unacked(s->worker->broker, group_id, &s->worker->settings.accept_content,
				 &m, err);
	if (rc == 0 && m != NULL)
		set->body = json_incref(json_member(m->embed, "chord"));
	return rc;
}

static int publish(struct sweep *s, const char *group_id, const struct chord_set *set,
		   struct err *err)
{
	const struct settings *settings = &s->worker->settings;
	const json_t *last = json_array_get(set->parts, json_array_size(set->parts) - 1);
	struct settle_steps steps = {0};
	struct follower f = {.worker = s->worker,
			     .steps = &steps,
			     .context = {.task_id = json_string_value(json_array_get(last, 1)),
					 .default_queue = settings->task_default_queue,
					 .priority = -1}};
	int rc;

	if (f.context.task_id == NULL)
		f.context.task_id = group_id;
	rc = chord_trigger(&f, group_id, set->body, set, err);
	if (rc == 0 && steps.count > 0)
		rc = broker_perform(s->worker->broker, &steps, clock_deadline(PATIENCE), err);
	settle_steps_done(&steps);
	return rc;
}

static int heal(struct sweep *s, const char *group_id, struct chord_set *set, struct err *err)
{
	int rc = find_body(s, group_id, set, err);

	if (rc == 0 && set->body == NULL) {
		log_error("Chord %.80s is complete, but nobody published its body, and no message "
			  "that tells what that is is left: it will never run",
			  group_id);
		backend_chord_give_up(s->worker->backend, group_id);
		return 0;
	}
	if (rc == 0)
		rc = publish(s, group_id, set, err);
	if (rc == 0)
		log_warning("Chord %.80s was complete, but nobody had published its body: done now",
			    group_id);
	return rc;
}

static void look(struct sweep *s, const char *group_id)
{
	_cleanup_(chord_set_done) struct chord_set set = {0};
	enum chord_look found = CHORD_WAITING;
	struct err err = {0};
	int rc = backend_chord_look(s->worker->backend, group_id,
				    s->worker->settings.chord_patience, &found, &set, &err);

	if (rc == 0 && found == CHORD_STUCK)
		rc = heal(s, group_id, &set, &err);
	if (rc == 0 || err_is_transient(&err))
		return;
	log_error("Chord %.80s cannot be helped: %s", group_id, err.msg);
	backend_chord_give_up(s->worker->backend, group_id);
}

/* Goes on with the walk over all keys, a few steps. */
static int walk(struct sweep *s, struct err *err)
{
	if (atomic_exchange(&s->worker->chords_hurried, false))
		s->next_pass = 0;
	if (clock_mono() < s->next_pass)
		return 0;
	for (int i = 0; i < SCANS; i++) {
		int rc = backend_chord_scan(s->worker->backend, s->cursor, err);

		if (rc < 0)
			return rc;
		if (strcmp(s->cursor, "0") == 0) {
			s->next_pass =
				clock_deadline(s->tick < TICK_MAX ? s->tick * 4 : PASS_EVERY);
			return 0;
		}
	}
	return 0;
}

static void tick(struct sweep *s)
{
	struct worker *w = s->worker;
	char *ids[CHORD_SWEEP_MAX];
	size_t count = 0;
	bool ours = false;
	struct err err = {0};

	if (!broker_ready(w->broker) || !backend_ready(w->backend))
		return;
	if (backend_chord_sweep(w->backend, presence_owner(w->presence), 4 * s->tick + LEASE_MORE,
				s->tick, ids, &count, &ours, &err) < 0) {
		log_debug("chords: %s", err.msg);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		look(s, ids[i]);
		free(ids[i]);
	}
	if (ours && walk(s, &err) < 0)
		log_debug("chords: %s", err.msg);
}

static void *sweep_thread(void *arg)
{
	struct worker *w = arg;
	struct services *c = &w->chords;
	usec_t quarter = w->settings.chord_patience / 4;
	struct sweep s = {.worker = w, .cursor = "0"};

	s.tick = quarter < TICK_MIN ? TICK_MIN : quarter > TICK_MAX ? TICK_MAX : quarter;
	mutex_lock(&c->lock);
	while (!c->stopping) {
		cond_wait_until(&c->changed, &c->lock, clock_deadline(s.tick));
		if (c->stopping)
			break;
		mutex_unlock(&c->lock);
		tick(&s);
		mutex_lock(&c->lock);
	}
	mutex_unlock(&c->lock);
	return NULL;
}

int chord_sweep_start(struct worker *w, struct err *err)
{
	int rc;

	if (w->settings.chord_patience == 0 || !backend_counts_chords(w->backend))
		return 0;
	rc = thread_start(&w->chords.thread, "chords", sweep_thread, w, err);
	w->chords.started = rc == 0;
	return rc;
}

void chord_sweep_stop(struct worker *w)
{
	struct services *c = &w->chords;

	if (!c->started)
		return;
	mutex_lock(&c->lock);
	c->stopping = true;
	cond_signal(&c->changed);
	mutex_unlock(&c->lock);
	pthread_join(c->thread, NULL);
	c->started = false;
}

void chord_sweep_hurry(struct worker *w)
{
	struct services *c = &w->chords;

	atomic_store(&w->chords_hurried, true);
	mutex_lock(&c->lock);
	cond_signal(&c->changed);
	mutex_unlock(&c->lock);
}
