/*
 * worker.h: the one private header of the room: the worker, its threads and the order of its locks.
 *
 * Threads
 *   main      signals, start and stop (main.c)
 *   consumer  owns the broker's claiming connections; stations 1-4 (consumer.c)
 *   pool N    stations 5-8 (pool.c, trace.c)
 *   keeper    lease, renewals, time limits, requests set aside (keeper.c)
 *   restorer  puts back what dead workers held (restorer.c)
 *   control   remote control, on a connection of its own (control.c); autoscaling
 *   events    what monitors are told, heartbeats (events.c)
 *   services  makes database and engine usable, again after an outage (services.c)
 *   chords    publishes bodies of chords that nobody else does (chord_sweep.c)
 *   broadcast listens to fanout exchanges, where a queue is on one (broadcast.c)
 *   policy    keeps the rules of file and database current (policy_watch.c)
 *   metrics   libmicrohttpd's own (metrics.c)
 *   links     two per Redis server: the owner of the pipelined connections, station 9, and who
 * makes them anew (common/client/redis_link.c) of others audit, sandbox-links, sandbox-pool, lookup
 * (common/audit/, sandbox/, outbound/)
 *
 * Locks, in the order they may be taken: lanes.lock, state.lock, pool.lock; that of
 * revoked under state.lock at most; schedule.lock, then that of limits; those of keeper, orders and
 * events are taken alone.
 * None is held while calling a library of ours that blocks.
 */
#ifndef CELERIAC_WORKER_H
#define CELERIAC_WORKER_H

#include <stdatomic.h>

#include "autoscale.h"
#include "backend.h"
#include "broker.h"
#include "drift.h"
#include "event.h"
#include "events.h"
#include "fanout.h"
#include "fleet.h"
#include "limits.h"
#include "module.h"
#include "panel.h"
#include "plugins.h"
#include "policy_watch.h"
#include "presence.h"
#include "registry.h"
#include "request.h"
#include "revoked.h"
#include "schedule.h"
#include "seal.h"
#include "settings.h"
#include "shared_state.h"
#include "store.h"
#include "thread.h"
#include "timezone.h"
#include "watchdog.h"
#include "way_out.h"

/* ---- state.c: what is held, and counts ---- */
enum counter {
	COUNT_RECEIVED,
	COUNT_SUCCEEDED,
	COUNT_FAILED,
	COUNT_REJECTED,
	COUNT_UNKNOWN,
	COUNT_EXPIRED,
	COUNT_REVOKED,
	COUNT_REQUEUED,
	COUNT_RESTORED,
	COUNT_FORGOTTEN,
	COUNT_ROUTED,
	COUNT_CLAIMS,
	COUNT_RENEWED,
	COUNT_REDELIVERED,
	COUNTERS
};
struct state {
	struct mutex lock;
	struct cond empty;		  /* nothing is held */
	atomic_int_fast64_t dead_letters; /* in celeriac:dead, when they were counted last */
	struct request *held;		  /* guarded by lock: every request, the newest first */
	struct request *walk;		  /* guarded by lock: the next of state_walk */
	uint64_t last_number;		  /* guarded by lock: of a request */
	atomic_size_t held_count;
	atomic_size_t held_bytes; /* of their envelopes */
	atomic_size_t active_count;
	atomic_size_t settling_count;	     /* of those held: done, and the broker is being told */
	atomic_uint_fast64_t accepted_count; /* tasks that began to run */
	struct task_total *totals;	     /* guarded by lock: the same by name */
	atomic_bool consumer_waits;	     /* for slots: who frees one calls consumer_hurry */
	int wake_fd;			     /* eventfd of the consumer */
	atomic_uint_fast64_t counters[COUNTERS];
};
int state_init(struct state *s, struct err *err) must_check;
void state_done(struct state *s);
void state_hold(struct state *s, struct request *r);
void state_release(struct state *s, struct request *r);
/* `r` is done: it waits for the broker alone. */
void state_settling(struct state *s);
/* It is recorded as another delivery from now on; `ref` is copied. */
void state_move(struct state *s, struct request *r, const char *tag,
		const struct delivery_ref *ref);
void state_count(struct state *s, enum counter c);
/* `r` becomes active. */
void state_accept(struct state *s, struct request *r);
/* {name: how many began to run}. Given. */
json_t *state_totals(struct state *s);
/* It begins to run: only tasks that are known, so that their names are few. */
void state_count_accepted(struct state *s, const struct request *r);
/* Ends what runs under `task_id` as terminated by `signum`; false when nothing of it is held. */
bool state_terminate(struct state *s, const char *task_id, int signum);
/* The same for whatever carries a revoked stamp; how many. */
size_t state_terminate_stamped(struct state *s, struct revoked *revoked, int signum);
void state_wake_consumer(struct state *s);
/* False when something is still held at the deadline. */
bool state_wait_empty(struct state *s, usec_t deadline);
/* Another request of this task id is being run by this process. */
bool state_is_active(struct state *s, const struct request *but, const char *task_id);
void state_cancel_all(struct state *s);
/* Writes the next `max` of what is held as requests into `out`, from the first on after
 * state_rewind; 0 = all were seen. What was held at the rewind and still is, is among them.
 * [keeper] */
void state_rewind(struct state *s);
size_t state_walk(struct state *s, struct delivery_ref *out, size_t max);

/* ---- lane.c: calls of one conversation, one at a time and in order ---- */
struct lanes {
	struct mutex lock;
	struct lane *map; /* guarded by lock */
	bool closed;	  /* guarded by lock: who waits is being sent back */
	atomic_size_t waiting;
};
void lanes_init(struct lanes *l);
void lanes_done(struct lanes *l);
/* True when `r` may go on now; else it waits in its lane. */
bool lanes_enter(struct lanes *l, struct request *r);
/* `r` left; returns the next of the lane, which may go on now, or NULL. */
struct request *lanes_leave(struct lanes *l, struct request *r);
/* Takes everything that waits, as a list by `next`; from now on lanes_leave lets nobody on. */
struct request *lanes_drain(struct lanes *l);
/* Takes what waits behind `r`, as a list by `next`. */
struct request *lanes_take_waiting(struct lanes *l, struct request *r);
/* Takes what waits in all lanes of conversations, as a list by `next`. */
struct request *lanes_take_conversations(struct lanes *l);
/* How many conversations somebody is in. */
size_t lanes_conversations(struct lanes *l);
/* The names of lanes that somebody is in, at most `max`; given. */
size_t lanes_busy(struct lanes *l, char **ret, size_t max);

/* ---- pool.c: threads that run tasks ---- */
#define POOL_MAX 4096
struct pool {
	struct mutex lock;
	struct cond work;
	struct request *first, **last; /* guarded by lock */
	atomic_size_t queued;	       /* written under lock */
	size_t idle;		       /* guarded by lock: threads that sleep */
	bool waking;   /* guarded by lock: one of them was signalled and is not there yet */
	bool stopping; /* guarded by lock */
	struct pool_thread *threads; /* guarded by lock: not yet joined */
	size_t wanted, alive;	     /* guarded by lock; alive: of this generation */
	unsigned generation, named;  /* guarded by lock */
	struct worker *worker;
};
int pool_start(struct pool *p, struct worker *w, size_t threads, struct err *err) must_check;
void pool_apply(struct pool *p, struct request *r);
/* What the calling thread applies between these comes to the threads together, or in a few parts:
 * one wake for several. */
void pool_gather(struct pool *p);
void pool_gathered(struct pool *p);
/* What was gathered so far goes to the threads: before whatever may block. */
void pool_let_go(struct pool *p);
/* Grows at once, shrinks as threads become idle. */
int pool_resize(struct pool *p, size_t threads, struct err *err) must_check;
/* Replaces every thread. */
int pool_restart(struct pool *p, struct err *err) must_check;
size_t pool_size(struct pool *p);
/* Nothing waits for a thread. [any] */
bool pool_is_short(const struct pool *p);
/* The kernel's ids of the threads. */
size_t pool_tids(struct pool *p, int *ret, size_t max);
/* Takes what is queued, as a list by `next`; the threads end after what they run. */
struct request *pool_stop(struct pool *p);
void pool_join(struct pool *p);

/* ---- keeper.c: what must be said to Redis again and again ---- */
struct keeper {
	struct mutex lock;
	struct cond changed;
	struct request *aside; /* guarded by lock: somebody alive has their rows */
	bool dispatching;      /* guarded by lock: what was due is on its way to the pool */
	usec_t wake_at;	       /* guarded by lock: when the keeper looks at them again */
	bool stopping;	       /* guarded by lock */
	usec_t limit_at;       /* guarded by lock: the next time limit */
	size_t renewals;       /* guarded by lock: sent and not yet answered */
	atomic_size_t aside_count;
	pthread_t thread;
	bool started;
};
int keeper_start(struct worker *w, struct err *err) must_check;
void keeper_stop(struct worker *w);
/* `r` is sent on at the monotonic `again_at`. */
void keeper_set_aside(struct worker *w, struct request *r, usec_t again_at);
/* Takes everything set aside, as a list by `next`. Once the worker is stopping, nothing is on its
 * way from the keeper to the pool when this returns, nor later. */
struct request *keeper_drain(struct worker *w);
/* What is set aside of `task_id` is looked at again now. */
void keeper_hurry(struct worker *w, const char *task_id);

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

/* ---- restorer.c: what workers that died held ---- */
int restorer_start(struct worker *w, struct err *err) must_check;
void restorer_stop(struct worker *w);

/* ---- consumer_order.c: what other threads want of the consumer ---- */
struct orders {
	struct mutex lock;
	struct order *first, **last; /* guarded by lock */
	atomic_bool any;
};
void orders_init(struct orders *o);
void orders_done(struct orders *o);
/* Begins or ends to consume `queue`, soon. */
void consumer_order(struct worker *w, const char *queue, bool consume);
/* Hands conversations over and takes none, or takes them again, soon. */
void consumer_order_drain(struct worker *w, bool drain);
/* The consumer's: does what was ordered. */
int consumer_obey(struct worker *w, struct err *err) must_check;
/* There is something for it to do. [any] */
bool consumer_is_ordered(const struct worker *w);

/* ---- due.c: the consumer and what it holds for later ---- */
/* Keeps of `r` only what the schedule needs; the request is gone. [owner of r] */
void due_park(struct request *r, enum hold hold, usec_t due);
/* Reads again what is due and sends it on, at most `room` of it but for what control hurries.
 * [consumer] */
int due_serve(struct worker *w, size_t room, size_t *ret_served, struct err *err) must_check;
/* There is no room here: what is due goes back to the front of its queue, where any worker may take
 * it. [consumer] */
int due_yield(struct worker *w, struct err *err) must_check;
/* When there is something to do for the two above; without `room`, only for the second. */
usec_t due_wake_at(struct worker *w, bool room);
/* Everything goes back to its queue, as far as that is done by `deadline`. [main, at the end] */
void due_release_all(struct worker *w, usec_t deadline);

/* ---- metrics.c: /metrics, /healthz and /readyz (pages.h) ---- */
/* Whether CELERIAC_METRICS names an address; nothing is bound. */
int metrics_check(const struct settings *s, struct err *err) must_check;
int metrics_start(struct worker *w, struct err *err) must_check;
/* What the worker that runs with these settings says of itself. */
int metrics_ask_ready(const struct settings *s, struct buf *out, struct err *err) must_check;

/* ---- broadcast.c: the thread that listens to fanout exchanges; absent where no queue is on one
 * ----
 */
struct broadcaster {
	struct broadcast *broadcast; /* the thread's */
	int wake_fd;		     /* eventfd: stop, or other queues are consumed */
	pthread_t thread;
	bool started;
	atomic_bool stopping;
};
int broadcast_start(struct worker *w, struct err *err) must_check;
/* Other queues are consumed than before. [consumer] */
void broadcast_wake(struct worker *w);
/* Nothing is heard afterwards. */
void broadcast_stop(struct worker *w);

/* outlived.c: ids of tasks that ended when their messages were not ours any more; a ring. */
#define OUTLIVED_MAX 1024
struct outlived {
	struct mutex lock;
	atomic_bool any; /* relaxed hint */
	char *ids[OUTLIVED_MAX];
	usec_t at[OUTLIVED_MAX]; /* monotonic */
	size_t next;
};

struct worker {
	struct settings settings;
	struct registry registry;
	struct modules modules;
	struct shared_state *shared;
	struct presence *presence;
	struct presence *at_broker; /* the same life, where messages are; or the very same */
	struct broker *broker;
	struct backend *backend;
	struct store *store;	  /* NULL without DATABASE_URL */
	struct engine_held *held; /* the roles that have its engines; NULL: none of our own */
	struct fleet *fleet;	  /* likewise */
	struct way_out way_out;
	struct seal_keys seal_keys; /* to open sealed rows */
	struct plugin_index *plugins;
	struct mcp_sessions *mcp; /* NULL without a database */
	struct policy_watch policy;
	struct quota *quota;
	struct audit *audit;
	struct state state;
	struct lanes lanes;
	struct pool pool;
	struct schedule schedule;
	struct keeper keeper;
	struct services services;
	struct services chords;	    /* the thread of chord_sweep.c */
	atomic_bool chords_hurried; /* it is to begin a walk */
	struct services restorer;
	struct orders orders;
	struct outlived outlived;
	atomic_bool draining;		  /* as control said last */
	struct drain {			  /* the consumer's */
		usec_t look_at, again_at; /* monotonic: conversations are looked at, handed over */
		usec_t pause;		  /* until the handing over after the next */
		size_t busy;		  /* conversations in which a call ran at the last one */
	} drain;
	struct fanout *fanout;
	struct lamport clock;
	struct events events;
	struct panel panel;
	struct broadcaster broadcaster;
	struct limits limits;
	struct revoked revoked;
	struct autoscaler autoscaler;
	struct page_server *pages;
	struct watchdog watchdog;
	struct drift drift;
	const struct timezone_info *zone; /* Celery's timezone: how dates are shown */
	pthread_t consumer;
	struct mutex consumer_lock;
	struct cond consumer_gone;
	bool consumer_ended;	      /* under it */
	atomic_size_t prefetch_count; /* most requests held */
	usec_t started;		      /* monotonic */
	atomic_bool stopping;	      /* claim nothing more */
	atomic_bool releasing;	      /* what does not finish goes back to the broker */
	atomic_bool consuming;	      /* the consumer has its connections */
	atomic_bool gave_up;	      /* ends by itself, and not well */
	atomic_bool asked_to_stop;    /* by remote control: warm, whatever TERM means */
	atomic_bool somebody_died;    /* another worker: its conversations are to be adopted */
	atomic_bool store_usable;     /* right version, answered last time */
};

/* consumer.c: the thread's body, and where a request goes after it was looked at. */
void *consumer_thread(void *arg);
void consumer_dispatch(struct request *r);
/* Reads a message; NULL when it can never run and was buried. [consumer] */
struct request *consumer_decode(struct worker *w, struct delivery *d);
/* Later, if its eta is to come, else now. [consumer] */
void consumer_schedule(struct request *r);
/* The task of that name or alias, as far as it can run here; NULL when there is none. */
const struct task *worker_find_task(const struct worker *w, const char *name);
/* ERR_INVALID names an alias that leads nowhere. alias.c, as the one above. */
int alias_check(const struct registry *r, const char *aliases, struct err *err) must_check;

/* room.c: how much may be taken. */
/* Requests that take a slot of the prefetch count. */
size_t worker_slots_taken(const struct worker *w);
/* The prefetch count for a pool of `threads`. */
void worker_set_prefetch(struct worker *w, size_t threads);
/* How many messages may be taken now. */
size_t consumer_room(struct worker *w);
/* While threads have something to go on with, one claim for several slots is better than one for
 * each: a moment is given to those that may become free. */
bool consumer_is_worth_a_claim(struct worker *w, size_t room);
/* A slot is free, or the pool's queue is empty: wakes the consumer if that is worth a claim. [any]
 */
void consumer_hurry(struct worker *w);

/* trace.c: stations 5 to 9 for one request, in a pool thread. */
void trace_task(struct request *r);

/* lease.c: our node's name. Everything shared may be away for as long as it likes, signals still
 * end us. [init] */
int lease_join(struct worker *w, int signals, struct err *err) must_check;
/* To be called every PRESENCE_RENEW, and when something is there again. [keeper] */
void lease_renew(struct worker *w);
/* Dead owners leave nothing where leases are kept, when messages are elsewhere. Blocks. [restorer]
 */
void lease_forget_dead(struct worker *w, bool own_only);
void lease_free(struct worker *w);

/* start.c: the parts, in order; `signals` is looked at while Redis is away. ERR_CANCELLED when one
 * of them was meant to end us. */
int worker_start(struct worker *w, int signals, struct err *err) must_check;
/* The broker was away for `tries` tries. False: settings say that no more are made. [any] */
bool worker_may_retry(struct worker *w, bool at_start, int64_t tries);
/* Ends the worker with exit status 1. [any] */
void worker_give_up(struct worker *w);

/* pool_kind.c: what -P means here: takes over what solo needs. ERR_UNSUPPORTED says why not. [init]
 */
int pool_kind_apply(struct settings *s, struct err *err) must_check;

/* ready.c: may messages be claimed? */
struct readiness {
	bool broker, shared, backend, store, engine, consumer;
};
bool worker_readiness(struct worker *w, struct readiness *ret);

/* options.c: the command line. */
extern const struct option_table worker_options;

/* check.c: --check */
int check_run(const struct settings *s);

#endif
