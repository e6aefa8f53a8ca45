/*
 * module.h: shared objects with tasks (task_module.h), as CELERY_IMPORTS, CELERY_INCLUDE and -I
 * name them.
 */
#ifndef CELERIAC_WORKER_MODULE_H
#define CELERIAC_WORKER_MODULE_H

#include "registry.h"
#include "task_module.h"

struct loaded_module {
	char *path;
	void *handle;
	const struct task_module *module;
	bool started;
};
struct modules {
	struct loaded_module *items;
	size_t count;
};

/* Loads every one and registers its tasks. ERR_INVALID and ERR_CONFLICT name the module and what is
 * wrong with it. On failure too there may be something to be freed. [init] */
int modules_load(struct modules *m, struct registry *r, const struct settings *s,
		 struct err *err) must_check;
/* Calls their start. [init] */
int modules_start(struct modules *m, struct err *err) must_check;
/* Calls stop of those that were started, the last one first. Nothing is unloaded: a thread of the
 * module's own may still be there. */
void modules_stop(struct modules *m);
void modules_done(struct modules *m);

/* Was it made for this worker, and is it complete? Pure. */
int module_check(const struct task_module *m, struct err *err) must_check;

#endif
