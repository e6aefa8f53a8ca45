/*
 * Services that did not take our credentials.
 */
#include "login.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "thread.h"

#define SPAN (60 * USEC_PER_SEC)

struct place {
	char name[320];
	usec_t told; /* 0 = never */
	uint64_t times;
};

static struct mutex g_lock = {PTHREAD_MUTEX_INITIALIZER};
/* guarded by g_lock */
static login_refused_fn *g_listener;
static void *g_arg;
static struct place g_places[LOGIN_PLACES];

void login_on_refused(login_refused_fn *fn, void *arg)
{
	mutex_lock(&g_lock);
	g_listener = fn;
	g_arg = arg;
	if (fn == NULL)
		memset(g_places, 0, sizeof(g_places));
	mutex_unlock(&g_lock);
}

/* Its own, or the one that was told the longest time ago. */
static struct place *find_locked(const char *name) REQUIRES(g_lock);
static struct place *find_locked(const char *name)
{
	struct place *oldest = &g_places[0];

	for (size_t i = 0; i < LOGIN_PLACES; i++) {
		if (strcmp(g_places[i].name, name) == 0)
			return &g_places[i];
		if (g_places[i].told < oldest->told)
			oldest = &g_places[i];
	}
	*oldest = (struct place){0};
	memcpy(oldest->name, name, strlen(name) + 1);
	return oldest;
}

void login_refused(const char *service, const char *where, const char *reason)
{
	char name[sizeof(g_places[0].name)];
	usec_t now = clock_mono();
	struct place *p;

	snprintf(name, sizeof(name), "%.40s %.255s", service, where);
	mutex_lock(&g_lock);
	p = find_locked(name);
	p->times++;
	if (g_listener && (p->told == 0 || now - p->told >= SPAN)) {
		g_listener(g_arg, service, where, reason, p->times);
		p->told = now;
		p->times = 0;
	}
	mutex_unlock(&g_lock);
}
