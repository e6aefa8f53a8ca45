/*
 * registry.h: the tasks this worker can run, by name (app.tasks of Celery): those that are built
 * in, and those of modules. Filled at start, only read afterwards.
 */
#ifndef CELERIAC_WORKER_REGISTRY_H
#define CELERIAC_WORKER_REGISTRY_H

#include "settings.h"
#include "task.h"

struct registered;

struct registry {
	struct registered *map; /* in order of names */
	json_t *annotations;
};

/* ERR_INVALID names the annotation or the rate that is wrong. Empty afterwards. [init] */
int registry_init(struct registry *r, const struct settings *s, struct err *err) must_check;
void registry_done(struct registry *r);
/* `t` must live as long as the registry; `from` says in errors whose it is. ERR_INVALID: a row that
 * cannot be run; ERR_CONFLICT: the name is taken. [init] */
int registry_add(struct registry *r, const struct settings *s, const struct task *t,
		 const char *from, struct err *err) must_check;
/* Both, with everything of tasks.c. On failure too there may be something to be freed. [init] */
int registry_load(struct registry *r, const struct settings *s, struct err *err) must_check;

/* NULL when there is none of that name. [any] */
const struct task *registry_find(const struct registry *r, const char *name);
/* How `t` is run; of a task that is not registered, how an unknown one is. [any] */
const struct task_options *registry_options(const struct registry *r, const struct task *t);
size_t registry_count(const struct registry *r);
/* Each task, in order of names: `at` NULL for the first; NULL after the last. [any] */
const struct task *registry_next(const struct registry *r, const struct task *at);

#endif
