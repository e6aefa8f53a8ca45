/*
 * media.c: file contents in a directory, named by their digest. What has its name is complete:
 * bytes are written in a place of their own below the same directory, flushed, and renamed. What
 * somebody who died has left there is removed by a sweep.
 */
#include "session.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec.h"
#include "fault.h"
#include "mem.h"

#define STAGING ".staging" /* no digest is called so */

/* Trouble that passes when somebody makes room or mounts the directory again. */
static int media_error(struct err *err, const char *what, const char *path)
{
	int error = errno;
	int rc = err_set_errno(err, ERR_FAILED, error, "MEDIA_DIR: %s %s", what, path);
	if (error == ENOSPC || error == EDQUOT || error == ENOENT || error == EIO ||
	    error == EROFS || error == EMFILE || error == ENFILE || error == EACCES)
		err_transient(err);
	return rc;
}

static int write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Opens `name` below `parent`, made if absent; a name that is new is flushed with its parent. */
static int open_subdirectory(int parent, const char *name)
{
	if (mkdirat(parent, name, 0755) == 0) {
		if (fsync(parent) < 0)
			return -1;
	} else if (errno != EEXIST) {
		return -1;
	}
	return openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Opens dir/ab/cd for the digest abcd…; -1 and errno. */
static int open_place(const char *dir, const char *sha256)
{
	const char first[] = {sha256[0], sha256[1], '\0'};
	const char second[] = {sha256[2], sha256[3], '\0'};
	_cleanup_fd_ int top = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (top < 0)
		return -1;
	_cleanup_fd_ int middle = open_subdirectory(top, first);
	return middle < 0 ? -1 : open_subdirectory(middle, second);
}

static bool is_kept(int place, const char *sha256, size_t len)
{
	struct stat st;
	return fstatat(place, sha256, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	       st.st_size >= 0 && (size_t)st.st_size == len;
}

/* It is wanted from now on, whatever rows named it before: media_prune.c looks at its time. False
 * when it has gone meanwhile. */
static bool is_touched(int place, const char *sha256)
{
	return utimensat(place, sha256, NULL, AT_SYMLINK_NOFOLLOW) == 0;
}

static int open_staging(const char *dir)
{
	_cleanup_fd_ int top = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return top < 0 ? -1 : open_subdirectory(top, STAGING);
}

static int write_apart(const char *dir, int place, const char *sha256, const void *data, size_t len)
{
	char name[UUID_SIZE];
	_cleanup_fd_ int staging = open_staging(dir);

	if (staging < 0)
		return -1;
	uuid4(name);
	_cleanup_fd_ int fd =
		openat(staging, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return -1;
	if (write_all(fd, data, len) == 0 && fsync(fd) == 0) {
		FAULT_POINT("media.written");
		if (renameat(staging, name, place, sha256) == 0 && fsync(place) == 0)
			return 0;
	}
	int error = errno;
	unlinkat(staging, name, 0);
	errno = error;
	return -1;
}

int media_keep(const char *dir, const char *sha256, const void *data, size_t len, char **ret_path,
	       struct err *err)
{
	_cleanup_fd_ int place = open_place(dir, sha256);
	if (place < 0)
		return media_error(err, "cannot open", dir);
	if (!(is_kept(place, sha256, len) && is_touched(place, sha256)) &&
	    write_apart(dir, place, sha256, data, len) < 0)
		return media_error(err, "cannot write", sha256);
	*ret_path = xasprintf("%s/%.2s/%.2s/%s", dir, sha256, sha256 + 2, sha256);
	return 0;
}

static bool is_old(int staging, const char *name, usec_t before)
{
	struct stat st;

	return name[0] != '.' && fstatat(staging, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st.st_mode) && (usec_t)st.st_mtim.tv_sec * USEC_PER_SEC < before;
}

static void close_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

int media_sweep(const char *dir, usec_t before, int64_t *ret_removed, struct err *err)
{
	_cleanup_(close_dir) DIR *all = NULL;
	const struct dirent *entry;
	int staging = open_staging(dir);

	all = staging < 0 ? NULL : fdopendir(staging);
	if (all == NULL) {
		int rc = media_error(err, "cannot open", STAGING);
		if (staging >= 0)
			close(staging);
		return rc;
	}
	*ret_removed = 0;
	/* of several who sweep, one has removed it */
	while ((entry = readdir(all)) != NULL)
		*ret_removed += is_old(staging, entry->d_name, before) &&
				unlinkat(staging, entry->d_name, 0) == 0;
	return 0;
}
