/*
 * The threads pool: take a request under the lock, run it outside. The queue is bounded by the
 * prefetch count.
 */
#include <stdio.h>
#include <stdlib.h>

#include "mem.h"
#include "worker.h"

static struct request *take(struct pool *p)
{
	struct request *r;

	mutex_lock(&p->lock);
	while (p->first == NULL && !p->stopping) {
		cond_wait(&p->work, &p->lock);
	}
	r = p->first;
	if (r != NULL) {
		p->first = r->next;
		if (p->first == NULL)
			p->last = &p->first;
		r->next = NULL;
	}
	mutex_unlock(&p->lock);
	return r;
}

static void *pool_thread(void *arg)
{
	struct pool *p = arg;
	struct request *r;

	while ((r = take(p)) != NULL) {
		request_transition(r, REQUEST_ACTIVE);
		atomic_fetch_add(&p->worker->state.active_count, 1);
		trace_task(r);
		atomic_fetch_sub(&p->worker->state.active_count, 1);
	}
	return NULL;
}

int pool_start(struct pool *p, struct worker *w, size_t threads, struct err *err)
{
	mutex_init(&p->lock);
	cond_init(&p->work);
	p->last = &p->first;
	p->worker = w;
	p->threads = xcalloc(threads, sizeof(*p->threads));
	for (size_t i = 0; i < threads; i++) {
		char name[32];
		int rc;

		snprintf(name, sizeof(name), "pool-%u", (unsigned)(i + 1) % 100000);
		rc = thread_start(&p->threads[i], name, pool_thread, p, err);
		if (rc < 0)
			return rc;
		p->thread_count++;
	}
	return 0;
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
	for (size_t i = 0; i < p->thread_count; i++) {
		pthread_join(p->threads[i], NULL);
	}
	free(p->threads);
	cond_done(&p->work);
	mutex_done(&p->lock);
}
