/*
 * The threads pool: take a request under the lock, run it outside. The queue is bounded by the
 * prefetch count. Threads come and go: one that is too many ends after what it runs.
 *
 * One thread is being woken at a time, and wakes the next as long as there is more: what adds
 * requests pays for one wake, not for each, and those that still run may find the rest first.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "mem.h"
#include "worker.h"

/* What is gathered waits no longer than it takes to decode this much. */
#define GATHERED_MOST  32
#define GATHERED_BYTES (64u << 10)

struct pool_thread {
	pthread_t thread;
	struct pool *pool;
	unsigned generation;
	int tid;    /* the kernel's, 0 before it runs; guarded by pool.lock */
	bool ended; /* guarded by pool.lock */
	struct pool_thread *next;
};

static bool is_superfluous_locked(const struct pool_thread *t) REQUIRES(t->pool->lock)
{
	return t->generation != t->pool->generation || t->pool->alive > t->pool->wanted;
}

/* True when the caller is to signal `work`, best after unlocking: there is something to run, a
 * thread that sleeps, and none that is on its way. */
static bool wakes_one_locked(struct pool *p) REQUIRES(p->lock)
{
	if (p->first == NULL || p->idle == 0 || p->waking)
		return false;
	p->waking = true;
	return true;
}

static struct request *take(struct pool_thread *t)
{
	struct pool *p = t->pool;
	struct request *r = NULL;
	bool wake;

	mutex_lock(&p->lock);
	while (p->first == NULL && !p->stopping && !is_superfluous_locked(t)) {
		p->idle++;
		cond_wait(&p->work, &p->lock);
		p->idle--;
		p->waking = false; /* it was this one that was meant, or it looks all the same */
	}
	if (p->stopping || !is_superfluous_locked(t))
		r = p->first;
	if (r != NULL) {
		atomic_fetch_sub(&p->queued, 1);
		p->first = r->next;
		if (p->first == NULL)
			p->last = &p->first;
		r->next = NULL;
	} else {
		if (t->generation == p->generation)
			p->alive--;
		t->ended = true;
	}
	wake = wakes_one_locked(p);
	mutex_unlock(&p->lock);
	if (wake)
		cond_signal(&p->work);
	return r;
}

bool pool_is_short(const struct pool *p)
{
	return atomic_load(&p->queued) == 0;
}

static void *pool_thread(void *arg)
{
	struct pool_thread *t = arg;
	struct worker *w = t->pool->worker;
	struct request *r;

	mutex_lock(&t->pool->lock);
	t->tid = gettid();
	mutex_unlock(&t->pool->lock);
	while ((r = take(t)) != NULL) {
		if (pool_is_short(t->pool))
			consumer_hurry(w);
		atomic_store(&r->tid, t->tid);
		state_accept(&w->state, r);
		trace_task(r);
		atomic_fetch_sub(&w->state.active_count, 1);
	}
	return NULL;
}

/* Joins the threads that have ended, or, with `all`, every one. */
static void reap(struct pool *p, bool all)
{
	struct pool_thread *gone = NULL, **at;

	mutex_lock(&p->lock);
	for (at = &p->threads; *at != NULL;) {
		struct pool_thread *t = *at;

		if (!all && !t->ended) {
			at = &t->next;
			continue;
		}
		*at = t->next;
		t->next = gone;
		gone = t;
	}
	mutex_unlock(&p->lock);
	while (gone != NULL) {
		struct pool_thread *t = gone;

		gone = t->next;
		pthread_join(t->thread, NULL);
		free(t);
	}
}

static int add_thread(struct pool *p, struct err *err)
{
	struct pool_thread *t = xcalloc(1, sizeof(*t));
	char name[32];
	int rc;

	t->pool = p;
	mutex_lock(&p->lock);
	t->generation = p->generation;
	snprintf(name, sizeof(name), "pool-%u", ++p->named % 100000);
	rc = thread_start(&t->thread, name, pool_thread, t, err);
	if (rc == 0) {
		p->alive++;
		t->next = p->threads;
		p->threads = t;
	}
	mutex_unlock(&p->lock);
	if (rc < 0)
		free(t);
	return rc;
}

/* As many as are wanted. */
static int fill(struct pool *p, struct err *err)
{
	for (;;) {
		bool enough;
		int rc;

		mutex_lock(&p->lock);
		enough = p->stopping || p->alive >= p->wanted;
		mutex_unlock(&p->lock);
		if (enough)
			return 0;
		rc = add_thread(p, err);
		if (rc < 0)
			return rc;
	}
}

int pool_resize(struct pool *p, size_t threads, struct err *err)
{
	reap(p, false);
	mutex_lock(&p->lock);
	p->wanted = threads;
	cond_broadcast(&p->work);
	mutex_unlock(&p->lock);
	return fill(p, err);
}

int pool_restart(struct pool *p, struct err *err)
{
	reap(p, false);
	mutex_lock(&p->lock);
	p->generation++; /* those before end after what they run */
	p->alive = 0;
	cond_broadcast(&p->work);
	mutex_unlock(&p->lock);
	return fill(p, err);
}

size_t pool_size(struct pool *p)
{
	size_t size;

	mutex_lock(&p->lock);
	size = p->wanted;
	mutex_unlock(&p->lock);
	return size;
}

size_t pool_tids(struct pool *p, int *ret, size_t max)
{
	size_t count = 0;

	mutex_lock(&p->lock);
	for (const struct pool_thread *t = p->threads; t != NULL && count < max; t = t->next) {
		if (!t->ended && t->tid != 0)
			ret[count++] = t->tid;
	}
	mutex_unlock(&p->lock);
	return count;
}

int pool_start(struct pool *p, struct worker *w, size_t threads, struct err *err)
{
	mutex_init(&p->lock);
	cond_init(&p->work);
	p->last = &p->first;
	p->worker = w;
	return pool_resize(p, threads, err);
}

/* What the calling thread keeps back; `last` is NULL while it keeps nothing back. */
static _Thread_local struct {
	struct request *first, **last;
	size_t count, bytes;
} t_gathered;

/* Takes the list up to `last`, the place behind its end. */
static void add(struct pool *p, struct request *first, struct request **last, size_t count)
{
	bool wake;

	mutex_lock(&p->lock);
	*p->last = first;
	p->last = last;
	atomic_fetch_add(&p->queued, count);
	wake = wakes_one_locked(p);
	mutex_unlock(&p->lock);
	if (wake)
		cond_signal(&p->work);
}

static void add_gathered(struct pool *p)
{
	if (t_gathered.count > 0)
		add(p, t_gathered.first, t_gathered.last, t_gathered.count);
	t_gathered.first = NULL;
	t_gathered.last = &t_gathered.first;
	t_gathered.count = t_gathered.bytes = 0;
}

void pool_apply(struct pool *p, struct request *r)
{
	r->next = NULL;
	if (t_gathered.last == NULL) {
		add(p, r, &r->next, 1);
		return;
	}
	*t_gathered.last = r;
	t_gathered.last = &r->next;
	t_gathered.bytes += r->bytes;
	if (++t_gathered.count >= GATHERED_MOST || t_gathered.bytes >= GATHERED_BYTES)
		add_gathered(p);
}

void pool_gather(unused_arg struct pool *p)
{
	t_gathered.last = &t_gathered.first;
}

void pool_let_go(struct pool *p)
{
	if (t_gathered.count > 0)
		add_gathered(p);
}

void pool_gathered(struct pool *p)
{
	add_gathered(p);
	t_gathered.last = NULL;
}

struct request *pool_stop(struct pool *p)
{
	struct request *queued;

	mutex_lock(&p->lock);
	p->stopping = true;
	queued = p->first;
	p->first = NULL;
	atomic_store(&p->queued, 0);
	p->last = &p->first;
	cond_broadcast(&p->work);
	mutex_unlock(&p->lock);
	return queued;
}

void pool_join(struct pool *p)
{
	reap(p, true);
	cond_done(&p->work);
	mutex_done(&p->lock);
}
