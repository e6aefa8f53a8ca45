/*
 * media_prune.c: files in MEDIA_DIR that no row names any more.
 *
 * Whoever keeps a file that is there already says so by its time (media.c), before its row is
 * written. So a file goes in this order: no row names it, it is put aside under another name, and
 * only if its time is still old then it is removed; else it is put back. Whoever looked for it in
 * between wrote it anew.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "codec.h"
#include "session.h"

#define ASIDE	    "gone-" /* before a digest: about to be removed */
#define DIRECTORIES 256

static void close_dir(DIR **d)
{
	if (*d != NULL)
		closedir(*d);
}

static int open_below(int parent, const char *name)
{
	return openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static bool is_over(const struct media_prune *p)
{
	return clock_mono() >= p->deadline || (p->stop != NULL && p->stop(p->stop_arg));
}

/* A digest, in the directory of its first four digits. */
static bool is_digest(const char *name, const char *prefix)
{
	return strlen(name) == SHA256_HEX_SIZE - 1 && strspn(name, "0123456789abcdef") == 64 &&
	       strncmp(name, prefix, strlen(prefix)) == 0;
}

static bool is_old(int place, const char *name, usec_t before, int64_t *ret_bytes)
{
	struct stat st;

	if (fstatat(place, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return false;
	*ret_bytes = (int64_t)st.st_size;
	return (usec_t)st.st_mtim.tv_sec * USEC_PER_SEC < before;
}

/* What somebody who died has put aside is looked at like everything else. */
static void put_back(int place, const char *aside)
{
	const char *name = aside + strlen(ASIDE);

	if (linkat(place, aside, place, name, 0) == 0 || errno == EEXIST)
		unlinkat(place, aside, 0);
}

static void remove_one(int place, const char *digest, const struct media_prune *p, int64_t *files,
		       int64_t *bytes)
{
	char aside[SHA256_HEX_SIZE + sizeof(ASIDE)];
	int64_t size = 0;

	if (!is_old(place, digest, p->before, &size))
		return;
	snprintf(aside, sizeof(aside), ASIDE "%s", digest);
	if (renameat(place, digest, place, aside) < 0)
		return;
	if (!is_old(place, aside, p->before, &size)) {
		put_back(place, aside);
	} else if (unlinkat(place, aside, 0) == 0) {
		(*files)++;
		*bytes += size;
	}
}

static int prune_batch(int place, char batch[][SHA256_HEX_SIZE], size_t count,
		       const struct media_prune *p, int64_t *files, int64_t *bytes, struct err *err)
{
	int rc = count > 0 ? p->leave_unnamed(p->arg, batch, count, err) : 0;

	for (size_t i = 0; rc == 0 && i < count; i++) {
		if (batch[i][0] != '\0')
			remove_one(place, batch[i], p, files, bytes);
	}
	return rc;
}

/* ab/cd: every file that is old. */
static int prune_place(int place, const char *prefix, const struct media_prune *p, int64_t *files,
		       int64_t *bytes, struct err *err)
{
	char batch[MEDIA_BATCH][SHA256_HEX_SIZE];
	_cleanup_(close_dir) DIR *all = fdopendir(dup(place));
	const struct dirent *entry;
	size_t count = 0;
	int64_t size;
	int rc = 0;

	while (rc == 0 && all != NULL && (entry = readdir(all)) != NULL) {
		if (strncmp(entry->d_name, ASIDE, strlen(ASIDE)) == 0 &&
		    is_digest(entry->d_name + strlen(ASIDE), prefix))
			put_back(place, entry->d_name);
		if (!is_digest(entry->d_name, prefix) ||
		    !is_old(place, entry->d_name, p->before, &size))
			continue;
		memcpy(batch[count++], entry->d_name, SHA256_HEX_SIZE);
		if (count < MEDIA_BATCH)
			continue;
		rc = prune_batch(place, batch, count, p, files, bytes, err);
		count = 0;
	}
	return rc == 0 ? prune_batch(place, batch, count, p, files, bytes, err) : rc;
}

/* ab: the directories in it. */
static int prune_first(int first, const char *name, const struct media_prune *p, int64_t *files,
		       int64_t *bytes, struct err *err)
{
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < DIRECTORIES && !is_over(p); i++) {
		char second[3], prefix[5];

		snprintf(second, sizeof(second), "%02x", i);
		snprintf(prefix, sizeof(prefix), "%s%s", name, second);
		_cleanup_fd_ int place = open_below(first, second);
		if (place >= 0)
			rc = prune_place(place, prefix, p, files, bytes, err);
	}
	return rc;
}

int media_prune(const char *dir, const struct media_prune *p, int64_t *files, int64_t *bytes,
		struct err *err)
{
	_cleanup_fd_ int top = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	unsigned char from; /* anywhere: what one run has no time for, another comes to */
	int rc = 0;

	if (top < 0)
		return err_set_errno(err, ERR_FAILED, errno, "MEDIA_DIR: cannot open %s", dir);
	random_bytes(&from, sizeof(from));
	for (unsigned i = 0; rc == 0 && i < DIRECTORIES && !is_over(p); i++) {
		char name[3];

		snprintf(name, sizeof(name), "%02x", (from + i) % DIRECTORIES);
		_cleanup_fd_ int first = open_below(top, name);
		if (first >= 0)
			rc = prune_first(first, name, p, files, bytes, err);
	}
	return rc;
}
