/*
 * Signals, pid files and limits for both programs. See daemon.h.
 */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "mem.h"

int daemon_signals(int *ret_fd, struct err *err)
{
	static const int ours[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1};
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigset_t set;
	int fd;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
		sigaddset(&set, ours[i]);
	}
	sigaction(SIGPIPE, &ignore, NULL);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return err_set_errno(err, ERR_FAILED, errno, "signalfd");
	*ret_fd = fd;
	return 0;
}

int daemon_next_signal(int fd)
{
	struct signalfd_siginfo info;

	return read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info) ? (int)info.ssi_signo : 0;
}

/* The pid in the file, 0 if there is none. */
static pid_t pid_in(const char *path)
{
	char text[32] = "";
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return 0;
	return (pid_t)strtol(text, NULL, 10);
}

int daemon_pidfile_write(const char *path, struct err *err)
{
	pid_t there = pid_in(path);
	_cleanup_fd_ int fd = -1;
	char text[32];
	int len;

	if (there > 0 && there != getpid() && (kill(there, 0) == 0 || errno == EPERM))
		return err_set(err, ERR_CONFLICT, "pidfile %s names process %d, which is running",
			       path, (int)there);
	if (there > 0)
		unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	len = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (fd < 0 || write(fd, text, (size_t)len) != len)
		return err_set_errno(err, ERR_FAILED, errno, "pidfile %s", path);
	return 0;
}

void daemon_pidfile_remove(const char *path)
{
	if (path != NULL && pid_in(path) == getpid())
		unlink(path);
}

void daemon_limits(void)
{
	struct rlimit core = {0, 0}, files;

	setrlimit(RLIMIT_CORE, &core);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}
