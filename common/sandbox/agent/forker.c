/*
 * A fork server and its spare.
 */
#include "python_parts.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEAL_MS 2000 /* until an interpreter that begins is not dumpable */
#define SPARE_MS                                                                                   \
	150 /* for a spare that has been asked for of a server that has made one before            \
	     */
#define SPARE_DELAY                                                                                \
	(4 * USEC_PER_MSEC) /* after a run: first its answer has the processors, then the fork */

void forker_init(struct forker *f, const char *mode)
{
	*f = (struct forker){.mode = mode, .server_fd = -1, .spare_fd = -1};
}

void forker_end(struct forker *f)
{
	python_kill(&f->server, &f->server_fd);
	python_kill(&f->spare, &f->spare_fd);
	f->sealed = f->warm = false;
}

static void ask_for_spare(struct forker *f)
{
	int pair[2];

	f->spare_due = 0;
	if (f->server == 0 || f->spare_fd >= 0 || !channel_open(pair))
		return;
	if (channel_send(f->server_fd, "F", 1, &pair[1], 1))
		f->spare_fd = pair[0];
	else
		close(pair[0]);
	close(pair[1]);
}

static void hear_server(struct forker *f)
{
	pid_t pid;
	int got = channel_receive(f->server_fd, &pid);

	if (got < 0) {
		forker_end(f);
	} else if (got > 0 && pid == f->server) {
		for (int i = 0; i < (int)RLIM_NLIMITS; i++)
			prlimit(f->server, (__rlimit_resource_t)i, NULL, &f->limits[i]);
		f->sealed = true;
	}
}

/* Not as it was at its start, in what another process can change. */
static bool is_changed(const struct agent *a, const struct forker *f, pid_t pid)
{
	struct rlimit now;

	for (int i = 0; i < (int)RLIM_NLIMITS; i++) {
		if (prlimit(pid, (__rlimit_resource_t)i, NULL, &now) < 0)
			return true;
		if (now.rlim_cur != f->limits[i].rlim_cur || now.rlim_max != f->limits[i].rlim_max)
			return true;
	}
	return state_is_rescheduled(a, pid, RUN_NICE);
}

/* Fit to become a run. One that a run before has killed may not have come to dying yet. */
static bool is_fit(const struct agent *a, const struct forker *f, pid_t pid)
{
	return !is_changed(a, f, pid) && !state_is_dying(pid);
}

static void hear_spare(struct forker *f)
{
	siginfo_t info;
	pid_t pid;
	int got = channel_receive(f->spare_fd, &pid);

	if (got > 0 && waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0) {
		f->spare = pid;
		f->warm = true;
	} else if (got != 0) {
		python_kill(&f->spare, &f->spare_fd);
	}
}

/* While nobody is there who could change it again. */
static void drop_unfit(const struct agent *a, struct forker *f)
{
	if (f->spare > 0 && !is_fit(a, f, f->spare))
		python_kill(&f->spare, &f->spare_fd);
}

static bool wait_readable(int fd, int ms)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	return poll(&poll_fd, 1, ms) > 0;
}

void forker_seal(struct forker *f)
{
	if (f->server == 0 || f->sealed)
		return;
	if (wait_readable(f->server_fd, SEAL_MS))
		hear_server(f);
	if (!f->sealed)
		forker_end(f);
}

bool forker_has_spare(const struct agent *a, struct forker *f, bool patient)
{
	if (f->spare_due)
		ask_for_spare(f);
	if (f->spare == 0 && f->spare_fd >= 0 && f->warm &&
	    wait_readable(f->spare_fd, patient ? SPARE_MS : 0)) {
		hear_spare(f);
		drop_unfit(a, f);
	}
	/* an earlier step of this run may have been at it */
	if (f->spare > 0 && a->run.step > 0) {
		kill(f->spare, SIGCONT);
		drop_unfit(a, f);
	}
	return f->spare > 0;
}

pid_t forker_take_spare(struct forker *f, int *ret_channel)
{
	pid_t spare = f->spare;

	*ret_channel = f->spare_fd;
	f->spare = 0;
	f->spare_fd = -1;
	return spare;
}

void forker_watch(const struct forker *f, struct pollfd fds[2])
{
	fds[0] = (struct pollfd){.fd = f->sealed ? -1 : f->server_fd, .events = POLLIN};
	fds[1] = (struct pollfd){.fd = f->spare ? -1 : f->spare_fd, .events = POLLIN};
}

void forker_heard(const struct agent *a, struct forker *f, const struct pollfd fds[2])
{
	if (fds[0].revents && f->server_fd == fds[0].fd)
		hear_server(f);
	if (fds[1].revents && f->spare_fd == fds[1].fd) {
		hear_spare(f);
		if (a->run.leader == 0)
			drop_unfit(a, f);
	}
}

bool forker_reaped(struct forker *f, pid_t pid)
{
	if (pid == f->server) {
		f->server = 0;
		python_close(&f->server_fd);
		f->sealed = f->warm = false;
	} else if (pid == f->spare) {
		f->spare = 0;
		python_close(&f->spare_fd);
	} else {
		return false;
	}
	return true;
}

/* The server's session is its own: nobody else can join it. A spare on its way is in there until it
 * has said who it is, and a leader that was a spare until it reads what it is to run. */
bool forker_owns(const struct agent *a, struct forker *f, pid_t pid)
{
	if (pid == f->server || pid == f->spare)
		return true;
	if (pid == a->run.leader)
		return false;
	if (f->server > 0 && getsid(pid) == f->server)
		return true;
	if (f->spare_fd >= 0 && f->spare == 0)
		hear_spare(f);
	return pid == f->spare;
}

void forker_after(const struct agent *a, struct forker *f, bool start)
{
	if (f->spare == 0 && f->spare_fd >= 0)
		hear_spare(f);
	/* its group: with it what is still on its way to be a spare */
	if (f->server > 0)
		kill(-f->server, SIGCONT);
	if (f->spare > 0)
		kill(f->spare, SIGCONT);
	if ((f->server > 0 && f->sealed && !is_fit(a, f, f->server)) ||
	    (f->spare > 0 && !is_fit(a, f, f->spare))) {
		if (f->server > 0)
			kill(-f->server, SIGKILL);
		forker_end(f);
	}
	if (start && f->server == 0)
		python_start_own(f->mode, &f->server, &f->server_fd);
	if (f->server > 0 && f->spare_fd < 0)
		f->spare_due = now_mono() + SPARE_DELAY;
}

int forker_tick(struct forker *f)
{
	usec_t left = f->spare_due - now_mono();

	if (f->spare_due == 0)
		return -1;
	if (left > 0)
		return (int)(left / USEC_PER_MSEC) + 1;
	ask_for_spare(f);
	return -1;
}
