/*
 * The agent's start and its loop.
 */
#include "agent.h"
#include "proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define OWN_FDS	   (6 + PYTHON_WATCHED)
#define BLIND_US   2000 /* between two looks when poll cannot be used */
#define CONTROL_FD 200	/* far from what programs expect to be open */

usec_t now_mono(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (usec_t)t.tv_sec * USEC_PER_SEC + t.tv_nsec / 1000;
}

/* A duplicate out of the way, closed on exec, not blocking; -1. */
static int move_away(int fd)
{
	int moved = fcntl(fd, F_DUPFD_CLOEXEC, CONTROL_FD);
	int flags = fcntl(fd, F_GETFL);

	if (moved < 0 || flags < 0 || fcntl(moved, F_SETFL, flags | O_NONBLOCK) < 0)
		return -1;
	return moved;
}

static int watch_children(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_SETMASK, &set, NULL) < 0)
		return -1;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Nothing of what the stream is made of stays where a run could inherit or find it. */
static bool seclude(struct agent *a)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	int null;

	if (prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return false;
	if (sigaction(SIGPIPE, &ignore, NULL) < 0)
		return false;
	umask(022);
	a->control_in = move_away(STDIN_FILENO);
	a->control_out = move_away(STDOUT_FILENO);
	a->signals = watch_children();
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (a->control_in < 0 || a->control_out < 0 || a->signals < 0 || null < 0)
		return false;
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (dup2(null, fd) < 0)
			return false;
	if (null > STDERR_FILENO)
		close(null);
	return true;
}

static int timeout(const struct agent *a)
{
	int run = run_timeout(a), control = control_timeout(a);

	return run < 0 || (control >= 0 && control < run) ? control : run;
}

/* What to wait for. A run's output is always taken: a slow worker does not slow it down. */
static int wait_for(struct agent *a, struct pollfd *fds)
{
	struct run *r = &a->run;
	nfds_t count;
	int n;

	fds[0] = (struct pollfd){.fd = a->control_in, .events = POLLIN};
	fds[1] = (struct pollfd){.fd = a->queue_len > 0 && a->due == 0 ? a->control_out : -1,
				 .events = POLLOUT};
	fds[2] = (struct pollfd){.fd = a->signals, .events = POLLIN};
	fds[3] = (struct pollfd){.fd = r->leader ? r->out.fd : -1, .events = POLLIN};
	fds[4] = (struct pollfd){.fd = r->leader ? r->err.fd : -1, .events = POLLIN};
	fds[5] = (struct pollfd){.fd = r->leader && r->in.len > 0 ? r->in.fd : -1,
				 .events = POLLOUT};
	python_watch(a, fds + 6);
	count = OWN_FDS + proxy_poll(a, fds + OWN_FDS);
	n = poll(fds, count, timeout(a));
	if (n >= 0 || errno != EINVAL)
		return n;
	/* A run has lowered our limit of descriptors, and poll takes no more than that. None of
	 * them blocks: everything is tried. */
	usleep(BLIND_US);
	for (nfds_t i = 0; i < count; i++)
		fds[i].revents = fds[i].fd >= 0 ? fds[i].events : 0;
	return 0;
}

static void loop(struct agent *a)
{
	struct pollfd fds[OWN_FDS + 1 + FRAME_DIALS];

	while (a->control_in >= 0) {
		if (wait_for(a, fds) < 0 && errno != EINTR)
			return;
		if (fds[1].revents)
			control_flush(a);
		control_tick(a);
		if (fds[3].revents)
			capture_read(&a->run.out);
		if (fds[4].revents)
			capture_read(&a->run.err);
		run_pump(a);
		if (fds[5].revents)
			run_feed(a);
		if (fds[2].revents)
			reap(a);
		python_heard(a, fds + 6);
		run_tick(a);
		proxy_work(a, fds + OWN_FDS);
		if (fds[0].revents)
			control_read(a);
	}
}

static bool begin(struct agent *a)
{
	a->queue = malloc(AGENT_QUEUE);
	if (a->queue == NULL || !seclude(a))
		return false;
	a->run.io = (struct stdio)STDIO_INIT;
	a->run.put_fd = a->run.out.fd = a->run.err.fd = a->run.in.fd = -1;
	proxy_init(&a->proxy);
	python_init(&a->python);
	frame_reader_init(&a->reader);
	state_remember(a);
	return true;
}

int main(void)
{
	uint32_t left, remaining;
	struct agent *a;

	/* It kills everything it can see: nowhere but in a PID namespace of its own. */
	if (getpid() != 1)
		return 2;
	a = calloc(1, sizeof(*a));
	if (a == NULL || !begin(a)) {
		free(a);
		return 3;
	}
	loop(a);
	/* The stream is at its end: nobody can ever come back. */
	python_end(a);
	(void)reap_everything(a, 0, &left, &remaining);
	kept_free_all(a);
	free(a->queue);
	free(a);
	return 0;
}
