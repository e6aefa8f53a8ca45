/*
 * Paths in directories that hostile code has filled. It is not alive when these run, but what it
 * left is not trusted: no link is followed, and nothing depends on how deep or wide a tree is.
 */
#include "agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * A directory, and no link to one. gVisor of 2022 follows a link where O_DIRECTORY comes with
 * O_NOFOLLOW, and not where O_NOFOLLOW is alone: so what was opened is looked at.
 */
static int open_dir(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
		return fd;
	close(fd);
	errno = ENOTDIR;
	return -1;
}

int tree_home(void)
{
	int fd = open_dir(AT_FDCWD, AGENT_HOME);

	if (fd < 0 && errno == EACCES && chmod(AGENT_HOME, 0700) == 0)
		fd = open_dir(AT_FDCWD, AGENT_HOME);
	if (fd >= 0)
		fchmod(fd, 0700);
	return fd;
}

/* Where openat2 is missing: one component at a time. */
static int open_by_steps(int dir, const char *path, int flags)
{
	char name[BOUND_FILE_NAME_BYTES + 1];
	const char *slash;
	int fd = dir, next, error;

	while ((slash = strchr(path, '/')) != NULL) {
		snprintf(name, sizeof(name), "%.*s", (int)(slash - path), path);
		next = open_dir(fd, name);
		if (fd != dir)
			close(fd);
		if (next < 0)
			return -1;
		fd = next;
		path = slash + 1;
	}
	next = flags & O_DIRECTORY ? open_dir(fd, path) : openat(fd, path, flags | O_NOFOLLOW);
	if (fd != dir) {
		error = errno;
		close(fd);
		errno = error;
	}
	return next;
}

int tree_open(int dir, const char *path, int flags)
{
	const unsigned all = (unsigned)flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	struct open_how how = {.flags = all,
			       .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
					  RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV};
	int fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));

	/* A sandbox or a filter without the call says one of these. */
	if (fd < 0 && (errno == ENOSYS || errno == EPERM))
		fd = open_by_steps(dir, path, (int)all);
	return fd;
}

int tree_make_dir(int dir, const char *name)
{
	struct stat st;
	int fd;

	if (mkdirat(dir, name, 0755) < 0) {
		if (errno != EEXIST || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return -1;
		if (!S_ISDIR(st.st_mode) &&
		    (unlinkat(dir, name, 0) < 0 || mkdirat(dir, name, 0755) < 0))
			return -1;
	}
	fd = open_dir(dir, name);
	if (fd < 0 && errno == EACCES && fchmodat(dir, name, 0755, 0) == 0)
		fd = open_dir(dir, name);
	if (fd >= 0 && fstat(fd, &st) == 0 && (st.st_mode & 0700) != 0700)
		fchmod(fd, 0755);
	return fd;
}

/* A directory's children that are not empty directories move up beside it, so that no depth has to
 * be remembered. */
static bool flatten(int top, const char *name, uint64_t *serial, usec_t deadline, uint64_t *removed)
{
	struct dirent *entry;
	char moved[32];
	int fd = tree_make_dir(top, name);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (d == NULL) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	while (now_mono() < deadline && (entry = readdir(d)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (unlinkat(fd, entry->d_name, 0) == 0 ||
		    unlinkat(fd, entry->d_name, AT_REMOVEDIR) == 0) {
			++*removed;
			continue;
		}
		do
			snprintf(moved, sizeof(moved), ".removed-%llu",
				 (unsigned long long)++*serial);
		while (faccessat(top, moved, F_OK, AT_SYMLINK_NOFOLLOW) == 0);
		/* To be moved, a directory must be writable: its ".." changes. */
		if (fchmodat(fd, entry->d_name, 0700, 0) < 0 ||
		    renameat(fd, entry->d_name, top, moved) < 0)
			break;
	}
	closedir(d);
	return unlinkat(top, name, AT_REMOVEDIR) == 0;
}

void tree_empty(int dir, usec_t deadline, uint64_t *ret_removed, uint64_t *ret_left)
{
	uint64_t serial = 0, progress;
	struct dirent *entry;
	int fd;
	DIR *d;

	*ret_removed = 0;
	do {
		progress = *ret_removed;
		*ret_left = 0;
		fd = open_dir(dir, ".");
		d = fd < 0 ? NULL : fdopendir(fd);
		if (d == NULL) {
			if (fd >= 0)
				close(fd);
			return;
		}
		while (now_mono() < deadline && (entry = readdir(d)) != NULL) {
			if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
				continue;
			if (unlinkat(dir, entry->d_name, 0) == 0 ||
			    flatten(dir, entry->d_name, &serial, deadline, ret_removed))
				++*ret_removed;
			else
				++*ret_left;
		}
		closedir(d);
	} while (*ret_removed > progress && now_mono() < deadline);
}
