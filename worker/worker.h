/*
 * worker.h: the one private header of the room: the worker, its threads and the order of its locks.
 *
 * Threads
 *   main      signals, start and stop (main.c)
 *   consumer  owns the broker's claiming connections; stations 1-4 (consumer.c)
 *   pool N    stations 5-8 (pool.c, trace.c)
 *   keeper    lease, renewals, restoring what dead workers held, requests set aside (keeper.c)
 *   services  makes database and engine usable, again after an outage (services.c)
 *   metrics   libmicrohttpd's own (metrics.c)
 *   links     one per Redis server, owners of the pipelined connections; station 9
 * (common/client/redis_link.c)
 *
 * Locks, in the order they may be taken: lanes.lock, state.lock, pool.lock. None is held while
 * calling a library of ours that blocks.
 */
#ifndef CELERIAC_WORKER_H
#define CELERIAC_WORKER_H

#include <stdatomic.h>

#include "backend.h"
#include "broker.h"
#include "presence.h"
#include "request.h"
#include "sandbox.h"
#include "settings.h"
#include "store.h"
#include "thread.h"

/* ---- state.c: what is held, and counts ---- */
enum counter {
	COUNT_RECEIVED,
	COUNT_SUCCEEDED,
	COUNT_FAILED,
	COUNT_REJECTED,
	COUNT_UNKNOWN,
	COUNT_EXPIRED,
	COUNT_REQUEUED,
	COUNT_RESTORED,
	COUNT_CLAIMS,
	COUNTERS
};
struct state {
	struct mutex lock;
	struct cond empty;    /* nothing is held */
	struct request *held; /* guarded by lock: every request */
	atomic_size_t held_count;
	atomic_size_t active_count;
	atomic_bool consumer_waits; /* for a slot: whoever frees one wakes it */
	int wake_fd;		    /* eventfd of the consumer */
	atomic_uint_fast64_t counters[COUNTERS];
};
int state_init(struct state *s, struct err *err) must_check;
void state_done(struct state *s);
void state_hold(struct state *s, struct request *r);
void state_release(struct state *s, struct request *r);
void state_count(struct state *s, enum counter c);
void state_wake_consumer(struct state *s);
/* False when something is still held at the deadline. */
bool state_wait_empty(struct state *s, usec_t deadline);
/* Another request of this task id is being run by this process. */
bool state_is_active(struct state *s, const struct request *but, const char *task_id);
void state_cancel_all(struct state *s);
/* The tags of everything held. Given: each and the array freed by the caller. */
char **state_tags(struct state *s, size_t *ret_count);

/* ---- lane.c: calls of one conversation, one at a time and in order ---- */
struct lanes {
	struct mutex lock;
	struct lane *map; /* guarded by lock */
	bool closed;	  /* guarded by lock: who waits is being sent back */
};
void lanes_init(struct lanes *l);
void lanes_done(struct lanes *l);
/* True when `r` may go on now; else it waits in its lane. */
bool lanes_enter(struct lanes *l, struct request *r);
/* `r` left; returns the next of the lane, which may go on now, or NULL. */
struct request *lanes_leave(struct lanes *l, struct request *r);
/* Takes everything that waits, as a list by `next`; from now on lanes_leave lets nobody on. */
struct request *lanes_drain(struct lanes *l);

/* ---- pool.c: threads that run tasks ---- */
struct pool {
	struct mutex lock;
	struct cond work;
	struct request *first, **last; /* guarded by lock */
	bool stopping;		       /* guarded by lock */
	pthread_t *threads;
	size_t thread_count;
	struct worker *worker;
};
int pool_start(struct pool *p, struct worker *w, size_t threads, struct err *err) must_check;
void pool_apply(struct pool *p, struct request *r);
/* Takes what is queued, as a list by `next`; the threads end after what they run. */
struct request *pool_stop(struct pool *p);
void pool_join(struct pool *p);

/* ---- keeper.c: what must be said to Redis again and again ---- */
struct keeper {
	struct mutex lock;
	struct cond changed;
	struct request *aside; /* guarded by lock */
	bool stopping;	       /* guarded by lock */
	atomic_size_t aside_count;
	pthread_t thread;
	bool started;
};
int keeper_start(struct worker *w, struct err *err) must_check;
void keeper_stop(struct worker *w);
/* `r` is sent on at the monotonic `again_at`. */
void keeper_set_aside(struct worker *w, struct request *r, usec_t again_at);
/* Takes everything set aside, as a list by `next`. */
struct request *keeper_drain(struct worker *w);

/* ---- services.c: database and engine, brought back whenever they were away ---- */
struct services {
	struct mutex lock;
	struct cond changed;
	bool stopping; /* guarded by lock */
	pthread_t thread;
	bool started;
};
int services_start(struct worker *w, struct err *err) must_check;
void services_stop(struct worker *w);

struct metrics;
int metrics_start(struct worker *w, struct metrics **ret, struct err *err) must_check;
void metrics_stop(struct metrics *m);

struct worker {
	struct settings settings;
	struct presence *presence;
	struct broker *broker;
	struct backend *backend;
	struct store *store;	 /* NULL without DATABASE_URL */
	struct sandbox *sandbox; /* likewise */
	struct state state;
	struct lanes lanes;
	struct pool pool;
	struct keeper keeper;
	struct services services;
	struct metrics *metrics;
	pthread_t consumer;
	size_t prefetch_count;	  /* most requests held */
	usec_t started;		  /* monotonic */
	atomic_bool stopping;	  /* claim nothing more */
	atomic_bool releasing;	  /* what does not finish goes back to the broker */
	atomic_bool consuming;	  /* the consumer has its connections */
	atomic_bool store_usable; /* right version, answered last time */
};

/* consumer.c: the thread's body, and where a request goes after it was looked at. */
void *consumer_thread(void *arg);
void consumer_dispatch(struct request *r);

/* trace.c: stations 5 to 9 for one request, in a pool thread. */
void trace_task(struct request *r);
/* Gives a request back to the broker, unrun. */
void trace_release(struct request *r);

/* ready.c: may messages be claimed? */
struct readiness {
	bool broker, backend, store, engine, consumer;
};
bool worker_readiness(struct worker *w, struct readiness *ret);

/* check.c: --check */
int check_run(const struct settings *s);

#endif
