/*
 * Processes that end, and making them end: whatever a run has started, however it hid it, is alive
 * in this PID namespace and nowhere else.
 */
#include "agent.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

static void account(struct run *r, const struct rusage *use)
{
	uint64_t peak = (uint64_t)use->ru_maxrss * 1024;

	r->cpu_us += (uint64_t)(use->ru_utime.tv_sec + use->ru_stime.tv_sec) * USEC_PER_SEC;
	r->cpu_us += (uint64_t)(use->ru_utime.tv_usec + use->ru_stime.tv_usec);
	if (peak > r->peak_memory)
		r->peak_memory = peak;
}

void reap(struct agent *a)
{
	struct signalfd_siginfo info[16];
	struct run *r = &a->run;
	struct rusage use;
	int status;
	pid_t pid;

	while (read(a->signals, info, sizeof(info)) > 0)
		continue;
	while ((pid = wait4(-1, &status, WNOHANG, &use)) > 0) {
		if (python_reaped(a, pid))
			continue;
		account(r, &use);
		if (pid == r->leader && !r->leader_gone)
			run_leader_gone(r, status);
	}
	python_children(a);
}

/* How many processes of the run there are, from /proc; each gets the signal unless that is 0. */
static uint32_t count_others(struct agent *a, int signal)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	uint32_t n = 0;

	if (proc == NULL)
		return kill(-1, 0) == 0 || errno != ESRCH;
	while ((entry = readdir(proc)) != NULL) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (pid <= 1 || python_is_ours(a, pid))
			continue;
		n++;
		if (signal)
			kill(pid, signal);
	}
	closedir(proc);
	return n;
}

bool reap_everything(struct agent *a, usec_t grace, uint32_t *ret_left, uint32_t *ret_remaining)
{
	usec_t deadline = now_mono() + AGENT_KILL_MS * USEC_PER_MSEC;
	struct pollfd fd = {.fd = a->signals, .events = POLLIN};
	bool spare = true, swept = false;
	uint32_t before;

	grace += now_mono();
	for (;;) {
		reap(a);
		*ret_left = *ret_remaining = count_others(a, 0);
		if (*ret_left == 0 || now_mono() >= grace)
			break;
		poll(&fd, 1, 1);
	}
	grace = now_mono() + AGENT_SPARE_MS * USEC_PER_MSEC;
	while (*ret_remaining > 0 && now_mono() < deadline) {
		before = *ret_remaining;
		/* One by one, sparing what is ours. What forks faster than that is reached by one
		 * call for all of them: a fork with a signal pending fails. */
		if (spare)
			count_others(a, SIGKILL);
		else
			swept = kill(-1, SIGKILL) == 0 || swept;
		poll(&fd, 1, 2);
		reap(a);
		*ret_remaining = count_others(a, 0);
		spare = spare && *ret_remaining <= before && now_mono() < grace;
	}
	return swept;
}
