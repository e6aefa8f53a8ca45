/*
 * events.h: what the worker tells monitors: task-* and worker-* events, on a thread of their own.
 *
 * An event is made by whoever sees it happen, costs no system call there, and is lost rather than
 * waited for: the queue is bounded, drops the oldest and counts.
 */
#ifndef CELERIAC_WORKER_EVENTS_H
#define CELERIAC_WORKER_EVENTS_H

#include <jansson.h>
#include <stdatomic.h>

#include "buf.h"
#include "err.h"
#include "thread.h"

struct worker;
struct request;
struct event_item;

struct events {
	struct mutex lock;
	struct cond changed;
	struct event_item *first, **last; /* guarded by lock */
	size_t count, bytes;		  /* guarded by lock */
	bool stopping;			  /* guarded by lock */
	atomic_bool tasks;		  /* the group "task" is sent */
	atomic_uint_fast64_t dropped;
	pthread_t thread;
	bool started;
};

/* Nothing is sent, and nothing made, before. */
int events_start(struct worker *w, struct err *err) must_check;
/* Says worker-offline and sends what is queued. */
void events_stop(struct worker *w);

/* The group "task" on or off; true when that changed something. [any] */
bool events_enable(struct worker *w, bool on);
/* A worker-heartbeat out of turn. [any] */
void events_heartbeat(struct worker *w);

/* ---- any thread that owns the request; nothing happens unless task events are on ---- */
void events_task_received(struct request *r);
void events_task_started(struct request *r);
/* ---- the last ones: told when the broker has confirmed, so that the result is there by then ----
 */
void events_task_succeeded(struct request *r, const json_t *result, usec_t runtime);
/* `exception` as repr() shows it, e.g. RuntimeError('no'). */
void events_task_failed(struct request *r, const char *exception, const char *traceback);
void events_task_retried(struct request *r, const char *exception, const char *traceback);
/* `signum` 0 = none. */
void events_task_revoked(struct request *r, bool terminated, int signum, bool expired);
/* task-failed of a task that nobody here knows. */
void events_task_unknown(struct request *r);
void events_task_rejected(struct request *r, bool requeue);
/* Tells the last event, if there is one. */
void events_release(struct request *r);

/* ---- between the files ---- */
/* An item of `json`, NULL when that failed. */
struct event_item *events_item(struct worker *w, const char *type, const struct buf *json);
/* Appends `item` (taken; NULL is fine) to a list that is told later. */
void events_append(struct event_item **list, struct event_item *item);
/* Queues it, or a list (taken; NULL is fine). */
void events_queue(struct worker *w, struct event_item *item);

#endif
