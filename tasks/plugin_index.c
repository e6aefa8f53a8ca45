/*
 * plugin_index.c: the tools of all plugins by name.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uthash.h>

#include "bounds.h"
#include "log.h"
#include "mem.h"
#include "plugin_scan.h"
#include "plugins.h"
#include "tool.h"

#define TOOLS_MAX 10000

struct entry {
	char *tool, *plugin;
	UT_hash_handle hh;
};
struct plugin_index {
	struct entry *tools;
};

struct filling {
	struct plugin_index *index;
	const char *plugin;
};

static struct entry *find(const struct plugin_index *index, const char *tool)
{
	struct entry *e = NULL;

	if (index)
		HASH_FIND_STR(index->tools, tool, e);
	return e;
}

static int add(void *arg, const char *tool, struct err *err)
{
	struct filling *f = arg;
	struct entry *e = find(f->index, tool);

	if (e && strcmp(e->plugin, f->plugin) == 0)
		return err_set(err, ERR_CONFLICT, "plugin %s has two tools named %s", f->plugin,
			       tool);
	if (e)
		return err_set(err, ERR_CONFLICT, "the plugins %s and %s both have a tool named %s",
			       e->plugin, f->plugin, tool);
	if (tool_name_is_taken(tool))
		return err_set(err, ERR_CONFLICT,
			       "plugin %s has a tool named %s, which is no name for one of a "
			       "plugin",
			       f->plugin, tool);
	if (HASH_COUNT(f->index->tools) >= TOOLS_MAX)
		return err_set(err, ERR_TOOBIG, "more than %d tools", TOOLS_MAX);
	e = xcalloc(1, sizeof(*e));
	e->tool = xstrdup(tool);
	e->plugin = xstrdup(f->plugin);
	HASH_ADD_KEYPTR(hh, f->index->tools, e->tool, strlen(e->tool), e);
	return 0;
}

/* Its text, NUL-terminated; NULL with a reason in the log, or where there is none. */
static char *read_tools(int root, const char *plugin, size_t *ret_len)
{
	_cleanup_free_ char *path = xasprintf("%s/tools.py", plugin);
	_cleanup_free_ char *text = NULL;
	_cleanup_fd_ int dir =
		openat(root, plugin, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_fd_ int fd =
		dir < 0 ? -1
			: openat(dir, "tools.py", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	size_t len = 0;
	ssize_t n = 0;

	if (fd < 0) {
		if (errno != ENOENT && errno != ENOTDIR)
			log_warning("plugin %s is passed over: %s: %s", plugin, path,
				    strerror(errno));
		return NULL;
	}
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > BOUND_PLUGIN_BYTES) {
		log_warning("plugin %s is passed over: %s is not a file of at most %u bytes",
			    plugin, path, BOUND_PLUGIN_BYTES);
		return NULL;
	}
	text = xmalloc((size_t)st.st_size + 1);
	while (len < (size_t)st.st_size && (n = read(fd, text + len, (size_t)st.st_size - len)) > 0)
		len += (size_t)n;
	*ret_len = len;
	return n < 0 ? NULL : TAKE(text);
}

static int add_plugin(struct plugin_index *index, int root, const char *plugin, struct err *err)
{
	struct filling f = {.index = index, .plugin = plugin};
	size_t len = 0;
	_cleanup_free_ char *text = read_tools(root, plugin, &len);

	return text ? plugin_scan(text, len, add, &f, err) : 0;
}

int plugin_index_open(const char *root, struct plugin_index **ret, struct err *err)
{
	struct plugin_index *index = xcalloc(1, sizeof(*index));
	struct dirent **names = NULL;
	/* in order of their names, so that a clash reads the same each time */
	int count = scandir(root, &names, NULL, alphasort), rc = 0;
	_cleanup_fd_ int fd = count < 0 ? -1 : open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (count < 0 && errno != ENOENT)
		log_warning("PLUGIN_DIR %s has no plugins: %s", root, strerror(errno));
	for (int i = 0; i < count; i++) {
		if (rc == 0 && fd >= 0 && plugin_name_is_good(names[i]->d_name))
			rc = add_plugin(index, fd, names[i]->d_name, err);
		free(names[i]);
	}
	free(names);
	if (rc < 0) {
		plugin_index_close(index);
		return err_wrap(err, "PLUGIN_DIR %s", root);
	}
	*ret = index;
	return 0;
}

void plugin_index_close(struct plugin_index *index)
{
	struct entry *e, *following;

	if (index == NULL)
		return;
	HASH_ITER(hh, index->tools, e, following)
	{
		HASH_DEL(index->tools, e);
		free(e->tool);
		free(e->plugin);
		free(e);
	}
	free(index);
}

const char *plugin_index_find(const struct plugin_index *index, const char *tool)
{
	const struct entry *e = find(index, tool);

	return e ? e->plugin : NULL;
}

size_t plugin_index_count(const struct plugin_index *index)
{
	return index ? HASH_COUNT(index->tools) : 0;
}
