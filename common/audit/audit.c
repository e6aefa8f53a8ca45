/*
 * The audit.
 */
#include "audit.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "meter.h"
#include "metrics.h"
#include "store.h"
#include "thread.h"

#define BATCH	   200
#define GATHER	   (50 * USEC_PER_MSEC) /* the first event of a batch waits so long for others */
#define RETRY	   (1 * USEC_PER_SEC)
#define SAID_AGAIN (60 * USEC_PER_SEC)
#define TICK	   (1 * USEC_PER_SEC) /* while events are only counted */

struct audit {
	struct store *store;
	struct mutex lock;
	struct cond changed;
	json_t *waiting;     /* guarded by lock: array, oldest first */
	struct meter meter;  /* guarded by lock */
	bool stopping;	     /* guarded by lock */
	usec_t give_up;	     /* guarded by lock: when stopping */
	usec_t said_dropped; /* guarded by lock */
	atomic_uint_fast64_t dropped;
	pthread_t thread;
	bool started;
};

/* ---- one event ---- */
static void set(json_t *object, const char *key, const char *value)
{
	if (value)
		json_object_set_new(object, key, json_text(value, strlen(value), true));
}

static json_t *event_json(const struct audit_event *e)
{
	json_t *object = json_object();

	set(object, "decision", e->decision);
	set(object, "kind", e->kind);
	set(object, "tool", e->tool);
	set(object, "target", e->target);
	set(object, "conversation_id", e->conversation);
	set(object, "project_id", e->project);
	set(object, "task_id", e->task);
	set(object, "actor", e->actor);
	set(object, "reason", e->reason);
	if (e->duration != USEC_NEVER)
		json_object_set_new(object, "duration_ms",
				    json_integer((json_int_t)(e->duration / USEC_PER_MSEC)));
	if (e->detail)
		json_object_set_new(object, "detail", json_deep_copy(e->detail));
	return object;
}

static void log_line(const json_t *event)
{
	_cleanup_free_ char *text = json_dumps(event, JSON_COMPACT | JSON_ENSURE_ASCII);

	if (text)
		log_audit(text);
}

static void count_dropped_locked(struct audit *a, size_t n, const char *why) REQUIRES(a->lock);
static void count_dropped_locked(struct audit *a, size_t n, const char *why)
{
	usec_t now = clock_mono();

	atomic_fetch_add(&a->dropped, n);
	if (a->said_dropped != 0 && now - a->said_dropped < SAID_AGAIN)
		return;
	a->said_dropped = now;
	log_error("audit: %llu event(s) have no row, only their line (%s)",
		  (unsigned long long)atomic_load(&a->dropped), why);
}

static void queue_locked(struct audit *a, json_t *event) REQUIRES(a->lock);
static void queue_locked(struct audit *a, json_t *event)
{
	json_object_set_new(event, "at", json_real((double)clock_wall() / (double)USEC_PER_SEC));
	if (json_array_size(a->waiting) >= BOUND_AUDIT_EVENTS) {
		json_array_remove(a->waiting, 0);
		count_dropped_locked(a, 1, "too many wait for the database");
	}
	json_array_append_new(a->waiting, event);
	if (json_array_size(a->waiting) == 1)
		cond_signal(&a->changed);
}

/* The line at once, the row unless there are too many like it. */
static void write_one(struct audit *a, const struct audit_event *e, json_t *event)
{
	log_line(event);
	if (a == NULL || a->store == NULL) {
		json_decref(event);
		return;
	}
	mutex_lock(&a->lock);
	if (!meter_holds(&a->meter, e, clock_mono())) {
		queue_locked(a, event);
	} else {
		json_decref(event);
		cond_signal(&a->changed); /* within a minute there is something to say */
	}
	mutex_unlock(&a->lock);
}

void audit_write(struct audit *a, const struct audit_event *e)
{
	struct audit_event burst;
	char text[METER_TEXT];
	bool bursts = false;

	metric_count(METRIC_DECISIONS, e->kind, e->decision);
	write_one(a, e, event_json(e));
	if (a) {
		mutex_lock(&a->lock);
		bursts = meter_bursts(&a->meter, e, clock_mono(), text, &burst);
		mutex_unlock(&a->lock);
	}
	if (bursts)
		write_one(a, &burst, event_json(&burst));
}

uint64_t audit_dropped(const struct audit *a)
{
	return a ? atomic_load(&a->dropped) : 0;
}

/* ---- the thread ---- */
/* What was only counted in minutes that are over. */
static void queue_rests_locked(struct audit *a, bool all) REQUIRES(a->lock);
static void queue_rests_locked(struct audit *a, bool all)
{
	struct meter_rest *r;

	while ((r = meter_take(&a->meter, clock_mono(), all)) != NULL) {
		json_t *event = json_pack(
			"{s:s, s:s, s:s*, s:s*, s:s, s:{s:I}}", "decision", r->decision, "kind",
			r->kind, "tool", r->tool, "project_id", r->project, "reason",
			"more of the same within a minute", "detail", "more", (json_int_t)r->count);

		log_line(event);
		queue_locked(a, event);
		meter_rest_free(r);
	}
}

static json_t *take_locked(struct audit *a) REQUIRES(a->lock);
static json_t *take_locked(struct audit *a)
{
	json_t *batch = json_array();
	size_t n = json_array_size(a->waiting), taken = n < BATCH ? n : BATCH;

	for (size_t i = 0; i < taken; i++)
		json_array_append(batch, json_array_get(a->waiting, i));
	return batch;
}

/* It is only taken out once it is written: what is dropped meanwhile, at the front, is not counted
 * twice. */
static void forget_locked(struct audit *a, const json_t *batch) REQUIRES(a->lock);
static void forget_locked(struct audit *a, const json_t *batch)
{
	for (size_t i = 0; i < json_array_size(batch); i++)
		if (json_array_get(a->waiting, 0) == json_array_get(batch, i))
			json_array_remove(a->waiting, 0);
}

/* What the database refuses for good goes in alone, so that it takes no other with it. */
static size_t write_one_by_one(struct audit *a, const json_t *batch)
{
	size_t refused = 0;
	json_t *event;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)batch, i, event)
	{
		_cleanup_json_ json_t *alone = json_pack("[O]", event);
		struct err err;

		if (store_add_activity(a->store, alone, &err) < 0)
			refused++;
	}
	return refused;
}

/* One batch. False when the database is away. */
static bool write_batch(struct audit *a)
{
	_cleanup_json_ json_t *batch = NULL;
	size_t refused = 0;
	struct err err;
	int rc;

	mutex_lock(&a->lock);
	batch = take_locked(a);
	mutex_unlock(&a->lock);
	rc = store_add_activity(a->store, batch, &err);
	/* also one that does not let us in, or has no such table: somebody will mend it */
	if (rc < 0 &&
	    (err_is_transient(&err) || err.code == ERR_DENIED || err.code == ERR_NOTFOUND))
		return false;
	if (rc < 0)
		refused = write_one_by_one(a, batch);
	mutex_lock(&a->lock);
	forget_locked(a, batch);
	if (refused)
		count_dropped_locked(a, refused, err.msg);
	mutex_unlock(&a->lock);
	return true;
}

static void wait_locked(struct audit *a, usec_t span) REQUIRES(a->lock);
static void wait_locked(struct audit *a, usec_t span)
{
	usec_t deadline = clock_deadline(span);

	while (!a->stopping && cond_wait_until(&a->changed, &a->lock, deadline))
		;
}

static void *audit_thread(void *arg)
{
	struct audit *a = arg;

	mutex_lock(&a->lock);
	while (!a->stopping || json_array_size(a->waiting) > 0 || a->meter.held > 0) {
		bool written;

		queue_rests_locked(a, a->stopping);

		if (a->stopping && clock_mono() >= a->give_up)
			break;
		if (json_array_size(a->waiting) == 0) {
			if (a->meter.held > 0)
				cond_wait_until(&a->changed, &a->lock, clock_deadline(TICK));
			else if (!a->stopping)
				cond_wait(&a->changed, &a->lock);
			continue;
		}
		if (json_array_size(a->waiting) < BATCH)
			wait_locked(a, GATHER);
		mutex_unlock(&a->lock);
		written = write_batch(a);
		mutex_lock(&a->lock);
		if (!written)
			cond_wait_until(&a->changed, &a->lock, clock_deadline(RETRY));
	}
	if (json_array_size(a->waiting) > 0)
		count_dropped_locked(a, json_array_size(a->waiting), "the worker ends");
	mutex_unlock(&a->lock);
	return NULL;
}

int audit_open(struct store *store, const struct audit_limits *limits, struct audit **ret,
	       struct err *err)
{
	struct audit *a = xcalloc(1, sizeof(*a));
	int rc;

	mutex_init(&a->lock);
	cond_init(&a->changed);
	a->waiting = json_array();
	meter_init(&a->meter, limits);
	a->store = store;
	if (store) {
		rc = thread_start(&a->thread, "audit", audit_thread, a, err);
		if (rc < 0) {
			audit_close(a, 0);
			return rc;
		}
		a->started = true;
	}
	*ret = a;
	return 0;
}

void audit_close(struct audit *a, usec_t deadline)
{
	if (a == NULL)
		return;
	if (a->started) {
		mutex_lock(&a->lock);
		a->stopping = true;
		a->give_up = deadline;
		cond_broadcast(&a->changed);
		mutex_unlock(&a->lock);
		pthread_join(a->thread, NULL);
	}
	json_decref(a->waiting);
	meter_done(&a->meter);
	cond_done(&a->changed);
	mutex_done(&a->lock);
	free(a);
}
