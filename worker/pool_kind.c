/*
 * What Celery's -P means here: tasks run in threads, or one by one.
 */
#include <stdio.h>
#include <string.h>

#include "worker.h"

static const struct pool_kind {
	const char *name;
	bool solo;
	const char *note;   /* said on the terminal */
	const char *refuse; /* why not */
} kinds[] = {
	{.name = "threads"},
	{.name = "solo", .solo = true},
	{.name = "prefork", .note = "tasks run in threads"},
	{.name = "processes", .note = "tasks run in threads"},
	{.name = "eventlet", .refuse = "greenlets are Python's; use threads"},
	{.name = "gevent", .refuse = "greenlets are Python's; use threads"},
	{.name = "custom", .refuse = "a pool is not a Python class here; use threads"},
};

/* One thread, one message held: the order of running is the order of claiming. */
static void make_solo(struct settings *s)
{
	s->worker_concurrency = 1;
	s->worker_disable_prefetch = true;
}

int pool_kind_apply(struct settings *s, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		const struct pool_kind *k = &kinds[i];

		if (strcmp(s->worker_pool, k->name) != 0)
			continue;
		if (k->refuse != NULL)
			return err_set(err, ERR_UNSUPPORTED, "the pool %s is not supported; %s",
				       k->name, k->refuse);
		if (k->note != NULL)
			fprintf(stderr, "celeriac-worker: --pool %s is accepted: %s\n", k->name,
				k->note);
		if (k->solo && s->worker_autoscale[0] != '\0')
			return err_set(err, ERR_INVALID, "--autoscale is not for the pool solo");
		if (k->solo)
			make_solo(s);
		return 0;
	}
	return err_set(err, ERR_INVALID,
		       "there is no pool \"%.40s\": threads, solo, prefork or processes",
		       s->worker_pool);
}
