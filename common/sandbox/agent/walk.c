/*
 * Listing a hostile tree: level by level, each directory opened by its path from the top, so
 * neither recursion nor descriptors grow with it.
 */
#include "walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"

static bool add(struct walk *w, const char *dir, const char *name,
		const struct frame_harvest *limits, struct walk_entry **ret)
{
	size_t len = strlen(dir) + 1 + strlen(name) + 1;
	struct walk_entry *e;

	if (w->count >= limits->entries || w->text + len > WALK_TEXT_BYTES) {
		w->cut = FRAME_SKIP_ENTRIES;
		return false;
	}
	if (w->count == w->room) {
		w->room = w->room ? 2 * w->room : 64;
		e = realloc(w->entries, w->room * sizeof(*e));
		if (e == NULL) {
			w->room = w->count;
			w->cut = FRAME_SKIP_ENTRIES;
			return false;
		}
		w->entries = e;
	}
	e = &w->entries[w->count];
	*e = (struct walk_entry){.path = malloc(len)};
	if (e->path == NULL) {
		w->cut = FRAME_SKIP_ENTRIES;
		return false;
	}
	snprintf(e->path, len, "%s%s%s", dir, *dir ? "/" : "", name);
	w->count++;
	w->text += len;
	*ret = e;
	return true;
}

static unsigned depth_of(const char *path)
{
	unsigned n = 1;

	for (; *path; path++)
		n += *path == '/';
	return n;
}

/* What kind of thing it is, as far as its name tells. */
static void look(int fd, const char *name, const struct frame_harvest *limits, struct walk_entry *e)
{
	struct stat st;

	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		e->skip = FRAME_SKIP_UNREADABLE;
	else if (S_ISLNK(st.st_mode))
		e->skip = FRAME_SKIP_SYMLINK;
	else if (S_ISDIR(st.st_mode)) {
		e->is_dir = true;
		if (depth_of(e->path) > limits->depth || strlen(e->path) >= WALK_PATH_BYTES)
			e->skip = FRAME_SKIP_DEPTH;
	} else if (!S_ISREG(st.st_mode))
		e->skip = FRAME_SKIP_NOT_REGULAR;
}

/* False when a budget is used up. */
static bool list(struct walk *w, int top, size_t at, const struct frame_harvest *limits,
		 usec_t deadline)
{
	const char *dir = at == SIZE_MAX ? "" : w->entries[at].path;
	int fd = tree_open(top, *dir ? dir : ".", O_RDONLY | O_DIRECTORY);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	struct walk_entry *e;
	bool go_on = true;

	if (d == NULL) {
		if (fd >= 0)
			close(fd);
		if (at != SIZE_MAX)
			w->entries[at].skip = FRAME_SKIP_UNREADABLE;
		return true;
	}
	while (go_on && (entry = readdir(d)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (now_mono() >= deadline) {
			w->cut = FRAME_SKIP_TIME;
			go_on = false;
		} else if ((go_on = add(w, dir, entry->d_name, limits, &e))) {
			look(fd, entry->d_name, limits, e);
		}
	}
	closedir(d);
	return go_on;
}

static int compare_paths(const void *x, const void *y)
{
	return strcmp(((const struct walk_entry *)x)->path, ((const struct walk_entry *)y)->path);
}

void walk(struct walk *w, int top, const struct frame_harvest *limits, usec_t deadline)
{
	bool go_on;

	*w = (struct walk){0};
	go_on = list(w, top, SIZE_MAX, limits, deadline);
	/* Directories that are found join the end of the list. */
	for (size_t i = 0; go_on && i < w->count; i++)
		if (w->entries[i].is_dir && w->entries[i].skip == FRAME_SKIP_NONE)
			go_on = list(w, top, i, limits, deadline);
	if (w->count > 0)
		qsort(w->entries, w->count, sizeof(*w->entries), compare_paths);
}

void walk_done(struct walk *w)
{
	for (size_t i = 0; i < w->count; i++)
		free(w->entries[i].path);
	free(w->entries);
	*w = (struct walk){0};
}
