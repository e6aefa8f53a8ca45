/*
 * thread.h: threads with names, and locks that clang can check (-Wthread-safety).
 */
#ifndef CELERIAC_THREAD_H
#define CELERIAC_THREAD_H

#include <pthread.h>

#include "base.h"
#include "err.h"

#if defined(__clang__)
#define THREAD_ATTR(x) __attribute__((x))
#else
#define THREAD_ATTR(x)
#endif
#define REQUIRES(l) THREAD_ATTR(requires_capability(l))

struct THREAD_ATTR(capability("mutex")) mutex {
	pthread_mutex_t m;
};
struct cond {
	pthread_cond_t c; /* waits on the monotonic clock */
};

void mutex_init(struct mutex *m);
void mutex_done(struct mutex *m);
void mutex_lock(struct mutex *m) THREAD_ATTR(acquire_capability(*m));
void mutex_unlock(struct mutex *m) THREAD_ATTR(release_capability(*m));
/* False when it is locked. */
bool mutex_try(struct mutex *m) THREAD_ATTR(try_acquire_capability(true, *m)) must_check;

void cond_init(struct cond *c);
void cond_done(struct cond *c);
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);
void cond_wait(struct cond *c, struct mutex *m) REQUIRES(*m);
/* False when the monotonic `deadline` passed first. */
bool cond_wait_until(struct cond *c, struct mutex *m, usec_t deadline) REQUIRES(*m);

/* Starts a joinable thread, named (at most 15 bytes), with every signal blocked and a 512 KiB
 * stack. */
int thread_start(pthread_t *ret, const char *name, void *(*fn)(void *), void *arg,
		 struct err *err) must_check;

#endif
