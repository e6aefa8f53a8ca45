/*
 * Modules. See module.h.
 */
#include "module.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "log.h"
#include "mem.h"

#define NAME_OF(symbol)	 TEXT_OF(symbol)
#define TEXT_OF(symbol)	 #symbol
#define MODULE_TASKS_MAX 10000

int module_check(const struct task_module *m, struct err *err)
{
	if (m->abi != TASK_MODULE_ABI)
		return err_set(err, ERR_INVALID,
			       "it was made for module ABI %u, this worker's is %u: compile it "
			       "again with the headers of celeriac " CELERIAC_VERSION,
			       m->abi, TASK_MODULE_ABI);
	if (m->size != sizeof(*m) || m->task_size != sizeof(struct task))
		return err_set(err, ERR_INVALID,
			       "its structures have %u and %u bytes, this worker's %zu and %zu: "
			       "compile it again with the headers of celeriac " CELERIAC_VERSION,
			       m->size, m->task_size, sizeof(*m), sizeof(struct task));
	if (m->name == NULL || m->name[0] == '\0')
		return err_set(err, ERR_INVALID, "it has no name");
	if (m->tasks == NULL || m->task_count == 0 || m->task_count > MODULE_TASKS_MAX)
		return err_set(err, ERR_INVALID, "it has no table of 1 to %d tasks",
			       MODULE_TASKS_MAX);
	for (size_t i = 0; i < m->task_count; i++) {
		const struct task *t = &m->tasks[i];

		if ((t->flags & ~(unsigned)TASK_ACKS_LATE) != 0 || t->kind != NULL ||
		    t->resolve != NULL)
			return err_set(err, ERR_INVALID,
				       "task %s: a module's tasks have no row and no engine",
				       t->name ? t->name : "?");
	}
	return 0;
}

/* A path, so that nothing is looked for elsewhere; and a file that not everybody may replace. */
static int check_file(const char *path, struct err *err)
{
	struct stat st;

	if (strchr(path, '/') == NULL)
		return err_set(err, ERR_INVALID,
			       "is no path of a shared object (./%s.so?); modules of Python cannot "
			       "be loaded",
			       path);
	if (stat(path, &st) < 0)
		return err_set_errno(err, ERR_INVALID, errno, "cannot be read");
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID, "is not a file");
	if (st.st_mode & S_IWOTH)
		return err_set(err, ERR_INVALID, "may be written by everybody: not loaded");
	return 0;
}

static bool is_loaded(const struct modules *m, const void *handle)
{
	for (size_t i = 0; i < m->count; i++) {
		if (m->items[i].handle == handle)
			return true;
	}
	return false;
}

static int load(struct modules *m, const char *path, const struct task_module **ret,
		struct err *err)
{
	const struct task_module *module;
	const char *why;
	void *handle;
	int rc = check_file(path, err);

	if (rc < 0)
		return rc;
	handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (handle == NULL) {
		why = dlerror();
		return err_set(err, ERR_INVALID, "%s", why ? why : "dlopen failed");
	}
	if (is_loaded(m, handle)) {
		*ret = NULL;
		return 0;
	}
	module = dlsym(handle, NAME_OF(TASK_MODULE_SYMBOL));
	if (module == NULL)
		return err_set(
			err, ERR_INVALID,
			"it has no symbol " NAME_OF(TASK_MODULE_SYMBOL) ": is there a "
									"TASK_MODULE(…) in it?");
	rc = module_check(module, err);
	if (rc < 0)
		return rc;
	m->items = xrealloc(m->items, (m->count + 1) * sizeof(*m->items));
	m->items[m->count++] =
		(struct loaded_module){.path = xstrdup(path), .handle = handle, .module = module};
	*ret = module;
	return 0;
}

static int add(struct modules *m, const char *path, struct registry *r, const struct settings *s,
	       struct err *err)
{
	const struct task_module *module = NULL;
	int rc = load(m, path, &module, err);

	if (rc < 0)
		return err_wrap(err, "module %s", path);
	if (module == NULL)
		return 0;
	for (size_t i = 0; i < module->task_count; i++) {
		rc = registry_add(r, s, &module->tasks[i], m->items[m->count - 1].path, err);
		if (rc < 0)
			return err_wrap(err, "module");
	}
	log_info("module %s %s: %zu task(s) from %s", module->name,
		 module->version ? module->version : "", module->task_count, path);
	return 0;
}

int modules_load(struct modules *m, struct registry *r, const struct settings *s, struct err *err)
{
	const struct str_list *lists[] = {&s->imports, &s->include};

	*m = (struct modules){0};
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		for (size_t k = 0; k < lists[i]->count; k++) {
			int rc = add(m, lists[i]->items[k], r, s, err);

			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

int modules_start(struct modules *m, struct err *err)
{
	for (size_t i = 0; i < m->count; i++) {
		struct loaded_module *item = &m->items[i];
		int rc = item->module->start ? item->module->start(err) : 0;

		if (rc < 0)
			return err_wrap(err, "module %s", item->path);
		item->started = true;
	}
	return 0;
}

void modules_stop(struct modules *m)
{
	for (size_t i = m->count; i-- > 0;) {
		if (m->items[i].started && m->items[i].module->stop != NULL)
			m->items[i].module->stop();
		m->items[i].started = false;
	}
}

void modules_done(struct modules *m)
{
	for (size_t i = 0; i < m->count; i++)
		free(m->items[i].path);
	free(m->items);
	*m = (struct modules){0};
}
