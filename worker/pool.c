/*
 * The threads pool: take a request under the lock, run it outside. The queue is bounded by the
 * prefetch count. Threads come and go: one that is too many ends after what it runs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "mem.h"
#include "worker.h"

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

static struct request *take(struct pool_thread *t)
{
	struct pool *p = t->pool;
	struct request *r = NULL;

	mutex_lock(&p->lock);
	while (p->first == NULL && !p->stopping && !is_superfluous_locked(t)) {
		cond_wait(&p->work, &p->lock);
	}
	if (!p->stopping && is_superfluous_locked(t)) {
		cond_signal(&p->work); /* whoever was meant by the last signal */
	} else {
		r = p->first;
	}
	if (r != NULL) {
		p->first = r->next;
		if (p->first == NULL)
			p->last = &p->first;
		r->next = NULL;
	} else {
		if (t->generation == p->generation)
			p->alive--;
		t->ended = true;
	}
	mutex_unlock(&p->lock);
	return r;
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

void pool_apply(struct pool *p, struct request *r)
{
	r->next = NULL;
	mutex_lock(&p->lock);
	*p->last = r;
	p->last = &r->next;
	cond_signal(&p->work);
	mutex_unlock(&p->lock);
}

struct request *pool_stop(struct pool *p)
{
	struct request *queued;

	mutex_lock(&p->lock);
	p->stopping = true;
	queued = p->first;
	p->first = NULL;
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
