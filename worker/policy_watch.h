/*
 * policy_watch.h: the policy in force: loaded at the start, loaded again whenever the application
 * changes it.
 */
#ifndef CELERIAC_WORKER_POLICY_WATCH_H
#define CELERIAC_WORKER_POLICY_WATCH_H

#include "policy.h"
#include "settings.h"
#include "store.h"
#include "thread.h"

struct policy_watch {
	struct mutex lock;
	struct policy *current; /* guarded by lock: NULL until the first time */
	bool stopping;		/* guarded by lock */
	char *text;		/* of CELERIAC_POLICY */
	size_t text_len;
	const char *path;
	struct store *store;
	struct store_watch *watch;
	int wake_fd;
	pthread_t thread;
	bool started;
	void (*loaded)(void *arg); /* after each time */
	void *arg;
};

/* Reads CELERIAC_POLICY; ERR_INVALID names its line. `store` NULL: only the file. [init] */
int policy_watch_open(struct policy_watch *p, const struct settings *s, struct store *store,
		      struct err *err) must_check;
/* `loaded` is called in the thread. */
int policy_watch_start(struct policy_watch *p, void (*loaded)(void *arg), void *arg,
		       struct err *err) must_check;
void policy_watch_close(struct policy_watch *p);
/* The policy in force, with a reference for the caller; NULL when it was never loaded. [any] */
struct policy *policy_watch_get(struct policy_watch *p);
bool policy_watch_ready(struct policy_watch *p);

#endif
