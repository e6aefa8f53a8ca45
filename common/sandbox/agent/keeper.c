/*
 * The interpreter that keeps a conversation's variables: started by its first stateful run, stopped
 * between two of them.
 */
#include "python_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

#define STOP_MS 5000 /* until a stopped process stands still */

static uint64_t cpu_of(pid_t pid)
{
	struct timespec t;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) < 0)
		return 0;
	return (uint64_t)t.tv_sec * USEC_PER_SEC + (uint64_t)t.tv_nsec / 1000;
}

static void lose(struct python *p)
{
	python_kill(&p->keeper, &p->keeper_fd);
	p->lost = true;
}

void keeper_look(struct agent *a)
{
	struct python *p = &a->python;
	siginfo_t info = {0};

	if (p->keeper == 0 || p->keeper_runs)
		return;
	/* The stop that ended its run was taken note of: what is told now came after it. */
	if (waitid(P_PID, (id_t)p->keeper, &info, WSTOPPED | WCONTINUED | WNOHANG) == 0 &&
	    info.si_pid == p->keeper)
		lose(p);
}

/* The conversation's interpreter, a new one where there is none that listens. */
int keeper_start(struct agent *a)
{
	struct python *p = &a->python;

	keeper_look(a);
	if (p->keeper > 0 &&
	    (p->keeper_fd < 0 || !python_send_order(p->keeper_fd, &a->run, ORDER_STATEFUL)))
		lose(p);
	if (p->keeper > 0) {
		kill(p->keeper, SIGCONT);
	} else if (python_use_spare(a, ORDER_STATEFUL, &p->keeper_fd)) {
		p->keeper = a->run.leader;
	} else {
		if (!python_start_own("state", &p->keeper, &p->keeper_fd))
			return ENOENT;
		if (!python_send_order(p->keeper_fd, &a->run, ORDER_STATEFUL)) {
			python_kill(&p->keeper, &p->keeper_fd);
			return EPIPE;
		}
	}
	a->run.leader = p->keeper;
	a->run.cpu_before = cpu_of(p->keeper);
	p->keeper_runs = true;
	return 0;
}

void keeper_heard(struct agent *a)
{
	struct python *p = &a->python;
	struct run *r = &a->run;
	unsigned char said[2];
	ssize_t n = recv(p->keeper_fd, said, sizeof(said), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		/* It can only end now. */
		python_close(&p->keeper_fd);
	} else if (n == 2 && said[0] == 'D' && !r->leader_gone) {
		r->cpu_us += cpu_of(p->keeper) - r->cpu_before;
		run_leader_gone(r, said[1] << 8);
	}
}

/* Until it stands still, or has ended, whatever a run has sent it. */
void keeper_stop(struct agent *a)
{
	const usec_t deadline = now_mono() + STOP_MS * USEC_PER_MSEC;
	struct python *p = &a->python;
	siginfo_t info = {0};

	/* Only a stop from now on is one that is told. */
	kill(p->keeper, SIGCONT);
	kill(p->keeper, SIGSTOP);
	while (waitid(P_PID, (id_t)p->keeper, &info, WSTOPPED | WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       info.si_pid == 0 && now_mono() < deadline)
		poll(NULL, 0, 1);
	if (info.si_pid == p->keeper)
		waitid(P_PID, (id_t)p->keeper, &info, WSTOPPED | WNOHANG);
	else
		lose(p);
	reap(a);
}

/* Ended, and its parent stands still and will see to it later. */
bool keeper_owns_zombie(const struct python *p, pid_t pid)
{
	char path[32], text[512], state;
	const char *after;
	int fd, found;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	/* pid (name) state parent …, and the name may hold anything */
	after = strrchr(text, ')');
	return after && sscanf(after, ") %c %d", &state, &found) == 2 && state == 'Z' &&
	       found == p->keeper;
}
