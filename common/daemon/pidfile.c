/*
 * Pid files. See daemon.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon.h"
#include "mem.h"

#define CMDLINE_BYTES 4096

/* The pid in the file, 0 if there is none. */
static pid_t pid_in(const char *path)
{
	char text[32] = "";
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	long pid;

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return 0;
	pid = strtol(text, NULL, 10);
	return pid > 0 && pid <= 1 << 30 ? (pid_t)pid : 0;
}

/* Pids are soon used again, in a container above all: only a process that is called like a program
 * of Celery's or ours holds the file. One that cannot be looked at may be. */
static bool is_celery(pid_t pid)
{
	char path[64], text[CMDLINE_BYTES];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return true;
	len = read(fd, text, sizeof(text));
	return len < 0 || memmem(text, (size_t)len, "celery", 6) != NULL ||
	       memmem(text, (size_t)len, "celeriac", 8) != NULL;
}

static bool is_held_by(pid_t pid)
{
	return pid > 0 && pid != getpid() && (kill(pid, 0) == 0 || errno == EPERM) &&
	       is_celery(pid);
}

int daemon_pidfile_write(const char *path, struct err *err)
{
	_cleanup_fd_ int fd = -1;
	char text[32];
	int len = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	/* A second try after a stale file is out of the way; whoever makes it first has it. */
	for (int i = 0; fd < 0 && i < 2; i++) {
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
		if (fd >= 0 || errno != EEXIST)
			break;
		pid_t there = pid_in(path);

		if (is_held_by(there))
			return err_set(err, ERR_CONFLICT,
				       "pidfile %s names process %d, which is running", path,
				       (int)there);
		unlink(path);
	}
	if (fd < 0 || write(fd, text, (size_t)len) != len)
		return err_set_errno(err, ERR_FAILED, errno, "pidfile %s", path);
	return 0;
}

void daemon_pidfile_remove(const char *path)
{
	if (path != NULL && pid_in(path) == getpid())
		unlink(path);
}
