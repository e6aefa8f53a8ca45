/*
 * task_module.h: a shared object with tasks of your own, for `celeriac-worker -I ./mine.so`.
 *
 * A module is one table of tasks (task.h) and the line that shows it:
 *
 *	TASK_MODULE(.name = "mine", .tasks = tasks, .task_count = ARRAY_LEN(tasks));
 *
 * It is compiled with `pkg-config --cflags celeriac`, linked with -shared and nothing of ours: what
 * it calls is in the worker, which exports the functions of task.h and the err_ functions of err.h,
 * and nothing else. The values in arguments and results are jansson's.
 *
 * It is loaded once, before the first thread, from a path, and never unloaded. Its tasks run in the
 * worker's own threads, many at a time, and in its process: one that crashes, or writes where it
 * must not, ends the worker and everything it runs. That is the operator's risk; late-acknowledged
 * messages are delivered again, to the next worker it can end.
 */
#ifndef CELERIAC_TASK_MODULE_H
#define CELERIAC_TASK_MODULE_H

#include "task.h"

/* Rises when a module made for the number before could not run: when a field of these structures
 * changes its place or meaning. */
#define TASK_MODULE_ABI 1

struct task_module {
	/* what these headers were when it was compiled; filled by TASK_MODULE */
	uint32_t abi, size, task_size;

	const char *name;	  /* for the log */
	const char *version;	  /* likewise, or NULL */
	const struct task *tasks; /* names are unique among everything that is loaded */
	size_t task_count;
	/* Called once before the first task, in the main thread, after every module is loaded: 0,
	 * or -ERR_* with `err`, which keeps the worker from starting. NULL: nothing. */
	int (*start)(struct err *err);
	/* Called once after the last task, if start was and if the worker ends in peace. NULL:
	 * nothing. */
	void (*stop)(void);
};

#define TASK_MODULE_SYMBOL celeriac_task_module
#define TASK_MODULE(...)                                                                           \
	__attribute__((visibility("default"))) extern const struct task_module TASK_MODULE_SYMBOL; \
	const struct task_module TASK_MODULE_SYMBOL = {.abi = TASK_MODULE_ABI,                     \
						       .size = sizeof(struct task_module),         \
						       .task_size = sizeof(struct task),           \
						       __VA_ARGS__}

#endif
