/*
 * Signals and limits for both programs. See daemon.h.
 */
#include "daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "bounds.h"
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

void daemon_limits(void)
{
	struct rlimit core = {0, 0}, files;

	setrlimit(RLIMIT_CORE, &core);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

int daemon_descriptors(struct err *err)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur >= BOUND_DESCRIPTORS_LEAST)
		return 0;
	return err_set(err, ERR_FAILED,
		       "Too many open files: the limit is %" PRIu64
		       ", and at least %d are needed (LimitNOFILE, ulimits)",
		       (uint64_t)files.rlim_cur, BOUND_DESCRIPTORS_LEAST);
}
