/*
 * thread.c: pthreads with our defaults. Errors of the primitives are mistakes of the programmer.
 */
#include "thread.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "mem.h"

#define STACK_SIZE ((size_t)512 << 10)

/* The bodies below are what the annotations stand for, so clang must not look into them. */
#define UNCHECKED THREAD_ATTR(no_thread_safety_analysis)

static void must(int rc, const char *what)
{
	if (rc != 0)
		BUG("%s: errno %d", what, rc);
}

void mutex_init(struct mutex *m)
{
	must(pthread_mutex_init(&m->m, NULL), "mutex_init");
}

void mutex_done(struct mutex *m)
{
	must(pthread_mutex_destroy(&m->m), "mutex_done");
}

UNCHECKED void mutex_lock(struct mutex *m)
{
	must(pthread_mutex_lock(&m->m), "mutex_lock");
}

UNCHECKED void mutex_unlock(struct mutex *m)
{
	must(pthread_mutex_unlock(&m->m), "mutex_unlock");
}

UNCHECKED bool mutex_try(struct mutex *m)
{
	int rc = pthread_mutex_trylock(&m->m);

	if (rc != EBUSY)
		must(rc, "mutex_try");
	return rc == 0;
}

void cond_init(struct cond *c)
{
	pthread_condattr_t attr;
	must(pthread_condattr_init(&attr), "cond_init");
	must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC), "cond_init");
	must(pthread_cond_init(&c->c, &attr), "cond_init");
	must(pthread_condattr_destroy(&attr), "cond_init");
}

void cond_done(struct cond *c)
{
	must(pthread_cond_destroy(&c->c), "cond_done");
}

void cond_signal(struct cond *c)
{
	must(pthread_cond_signal(&c->c), "cond_signal");
}

void cond_broadcast(struct cond *c)
{
	must(pthread_cond_broadcast(&c->c), "cond_broadcast");
}

UNCHECKED void cond_wait(struct cond *c, struct mutex *m)
{
	must(pthread_cond_wait(&c->c, &m->m), "cond_wait");
}

UNCHECKED bool cond_wait_until(struct cond *c, struct mutex *m, usec_t deadline)
{
	if (deadline == USEC_NEVER) {
		cond_wait(c, m);
		return true;
	}
	/* What is left by our clock, which a test may have replaced, on the clock that pthreads
	 * knows. */
	usec_t left = deadline - clock_mono();
	if (left <= 0)
		return false;
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	usec_t nsec = ts.tv_nsec + left % USEC_PER_SEC * 1000;
	ts.tv_sec += (time_t)(left / USEC_PER_SEC + nsec / 1000000000);
	ts.tv_nsec = (long)(nsec % 1000000000);
	int rc = pthread_cond_timedwait(&c->c, &m->m, &ts);
	if (rc != 0 && rc != ETIMEDOUT)
		BUG("cond_wait_until: errno %d", rc);
	return rc == 0;
}

struct start {
	char name[16];
	void *(*fn)(void *);
	void *arg;
};

static void *run(void *arg)
{
	struct start start = *(struct start *)arg;
	free(arg);
	pthread_setname_np(pthread_self(), start.name);
	return start.fn(start.arg);
}

int thread_start(pthread_t *ret, const char *name, void *(*fn)(void *), void *arg, struct err *err)
{
	struct start *start = xcalloc(1, sizeof(*start));
	memcpy(start->name, name, strnlen(name, sizeof(start->name) - 1));
	start->fn = fn;
	start->arg = arg;

	pthread_attr_t attr;
	must(pthread_attr_init(&attr), "thread_start");
	must(pthread_attr_setstacksize(&attr, STACK_SIZE), "thread_start");
	sigset_t all;
	sigset_t old;
	sigfillset(&all);
	must(pthread_sigmask(SIG_SETMASK, &all, &old), "thread_start");
	pthread_t thread;
	int rc = pthread_create(&thread, &attr, run, start);
	must(pthread_sigmask(SIG_SETMASK, &old, NULL), "thread_start");
	pthread_attr_destroy(&attr);
	if (rc != 0) {
		free(start);
		return err_set_errno(err, ERR_FAILED, rc, "cannot start thread %s", name);
	}
	*ret = thread;
	return 0;
}
