/*
 * Fork server and spare, and what a run has to do with them: see python.h.
 */
#include "python.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../python_env.h"
#include "agent.h"
#include "keeper.h"

#define SEAL_MS 2000 /* until an interpreter that begins is not dumpable */
#define SPARE_MS                                                                                   \
	150 /* for a spare that has been asked for of a server that has made one before            \
	     */
#define SPARE_DELAY                                                                                \
	(4 * USEC_PER_MSEC) /* after a run: first its answer has the processors, then the fork */
#define BOOT	 "with open(3, 'rb') as f: text = f.read()\nexec(compile(text, 'celeriac', 'exec'))"
#define MAX_ARGV 64

extern const char script_python_run[], script_python_server[];

static const char *const own_env[] = {SANDBOX_PATH,
				      SANDBOX_LANG,
				      "HOME=/nonexistent",
				      "TMPDIR=/tmp",
				      "MPLCONFIGDIR=/usr/share/celeriac/matplotlib",
				      SANDBOX_PYTHON_ENV,
				      NULL};

void python_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Ends a child of ours and waits for it. */
void python_kill(pid_t *pid, int *fd)
{
	python_close(fd);
	if (*pid > 0) {
		kill(*pid, SIGKILL);
		while (waitpid(*pid, NULL, 0) < 0 && errno == EINTR)
			continue;
	}
	*pid = 0;
}

static void end_server(struct python *p)
{
	python_kill(&p->server, &p->server_fd);
	python_kill(&p->spare, &p->spare_fd);
	p->sealed = p->warm = false;
}

void python_init(struct python *p)
{
	*p = (struct python){.server_fd = -1, .spare_fd = -1, .keeper_fd = -1};
}

/* A file in memory with two texts; -1. */
static int memory_file(const void *one, size_t one_len, const void *two, size_t two_len)
{
	int fd = memfd_create("celeriac", MFD_CLOEXEC);

	if (fd < 0)
		return -1;
	if (write(fd, one, one_len) != (ssize_t)one_len ||
	    (two_len > 0 && write(fd, two, two_len) != (ssize_t)two_len)) {
		close(fd);
		return -1;
	}
	lseek(fd, 0, SEEK_SET);
	return fd;
}

/* ---- messages with descriptors ---- */

static bool send_fds(int channel, const void *data, size_t len, const int *fds, size_t count)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(4 * sizeof(int))];
	} control = {0};
	struct iovec io = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
	struct msghdr m = {.msg_iov = &io,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = CMSG_SPACE(count * sizeof(int))};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(c), fds, count * sizeof(int));
	return sendmsg(channel, &m, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len;
}

bool python_send_order(int channel, const struct run *r, uint32_t flags)
{
	unsigned char head[12];
	int text = memory_file(r->step_args, r->step_len, r->env.bytes, r->env.len);
	const int fds[] = {r->io.child[0], r->io.child[1], r->io.child[2], text};
	bool sent;

	if (text < 0)
		return false;
	frame_put_u32(
		frame_put_u32(frame_put_u32(head, (uint32_t)r->step_len), (uint32_t)r->env.len),
		flags);
	sent = send_fds(channel, head, sizeof(head), fds, ARRAY_LEN(fds));
	close(text);
	return sent;
}

/* One byte and, told by the kernel, who sent it. 1, 0 = nothing yet, -1 = the end. */
static int receive_from(int channel, pid_t *ret_pid)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	char byte;
	struct iovec io = {.iov_base = &byte, .iov_len = 1};
	struct msghdr m = {.msg_iov = &io,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(channel, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
	struct ucred who;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (c == NULL || c->cmsg_type != SCM_CREDENTIALS)
		return -1;
	memcpy(&who, CMSG_DATA(c), sizeof(who));
	*ret_pid = who.pid;
	return 1;
}

static bool channel_open(int pair[2])
{
	const int on = 1;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return false;
	setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	return true;
}

/* ---- server and spare ---- */

/* An interpreter of ours with a channel, in the given mode. */
bool python_start_own(const char *mode, pid_t *ret_pid, int *ret_fd)
{
	const char *argv[] = {"python3", "-u", "-c", BOOT, mode, NULL};
	int text = memory_file(script_python_run, strlen(script_python_run), script_python_server,
			       strlen(script_python_server));
	int pair[2] = {-1, -1};
	struct spawn s = {.argv = argv, .envp = own_env, .is_ours = true};
	bool started = false;

	if (text >= 0 && channel_open(pair)) {
		s.extra[0] = text;
		s.extra[1] = pair[1];
		started = spawn(&s, ret_pid) == 0;
		close(pair[1]);
	}
	if (started)
		*ret_fd = pair[0];
	else
		python_close(&pair[0]);
	python_close(&text);
	return started;
}

static void ask_for_spare(struct python *p)
{
	int pair[2];

	p->spare_due = 0;
	if (p->server == 0 || p->spare_fd >= 0 || !channel_open(pair))
		return;
	if (send_fds(p->server_fd, "F", 1, &pair[1], 1))
		p->spare_fd = pair[0];
	else
		close(pair[0]);
	close(pair[1]);
}

static void hear_server(struct python *p)
{
	pid_t pid;
	int got = receive_from(p->server_fd, &pid);

	if (got < 0) {
		end_server(p);
	} else if (got > 0 && pid == p->server) {
		for (int i = 0; i < (int)RLIM_NLIMITS; i++)
			prlimit(p->server, (__rlimit_resource_t)i, NULL, &p->limits[i]);
		p->sealed = true;
	}
}

static void hear_spare(struct python *p)
{
	siginfo_t info;
	pid_t pid;
	int got = receive_from(p->spare_fd, &pid);

	if (got > 0 && waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0) {
		p->spare = pid;
		p->warm = true;
	} else if (got != 0) {
		python_kill(&p->spare, &p->spare_fd);
	}
}

static bool wait_readable(int fd, int ms)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	return poll(&poll_fd, 1, ms) > 0;
}

void python_seal(struct agent *a)
{
	struct python *p = &a->python;

	if (p->server == 0 || p->sealed)
		return;
	if (wait_readable(p->server_fd, SEAL_MS))
		hear_server(p);
	if (!p->sealed)
		end_server(p);
}

static bool have_spare(struct python *p)
{
	if (p->spare_due)
		ask_for_spare(p);
	if (p->spare == 0 && p->spare_fd >= 0 && p->warm && wait_readable(p->spare_fd, SPARE_MS))
		hear_spare(p);
	return p->spare > 0;
}

/* ---- runs ---- */

/* The spare becomes the leader. */
bool python_use_spare(struct agent *a, uint32_t flags, int *ret_channel)
{
	const struct frame_run *spec = &a->run.spec;
	struct python *p = &a->python;
	const struct rlimit nofile = {spec->nofile, spec->nofile};
	const struct rlimit file_size = {spec->file_size, spec->file_size};

	if (!have_spare(p))
		return false;
	if (spec->nofile)
		prlimit(p->spare, RLIMIT_NOFILE, &nofile, NULL);
	if (spec->file_size)
		prlimit(p->spare, RLIMIT_FSIZE, &file_size, NULL);
	if (!python_send_order(p->spare_fd, &a->run, flags)) {
		python_kill(&p->spare, &p->spare_fd);
		return false;
	}
	a->run.leader = p->spare;
	*ret_channel = p->spare_fd;
	p->spare = 0;
	p->spare_fd = -1;
	return true;
}

static int start_directly(struct run *r, char **argv, char **envp)
{
	const char *own[MAX_ARGV] = {argv[0], argv[1], "-c", BOOT, "direct"};
	struct spawn s = {.io = &r->io,
			  .spec = &r->spec,
			  .argv = own,
			  .envp = (const char *const *)envp,
			  .extra = {-1, -1}};
	size_t n = 5;
	int rc;

	for (char **arg = argv + 2; *arg && n < MAX_ARGV - 1; arg++)
		own[n++] = *arg;
	s.extra[0] = memory_file(script_python_run, strlen(script_python_run), NULL, 0);
	if (s.extra[0] < 0)
		s.argv = (const char *const *)argv;
	rc = spawn(&s, &r->leader);
	python_close(&s.extra[0]);
	return rc;
}

int python_start(struct agent *a, char **argv, char **envp)
{
	struct run *r = &a->run;
	int channel;

	for (int i = 0; i < 3; i++)
		if (argv[i] == NULL || (i == 1 && strcmp(argv[i], "-u") != 0))
			return EINVAL;
	if (r->spec.flags & FRAME_RUN_STATEFUL)
		return keeper_start(a);
	if (!python_use_spare(a, 0, &channel))
		return start_directly(r, argv, envp);
	close(channel);
	return 0;
}

/* ---- what they say ---- */

void python_watch(const struct agent *a, struct pollfd fds[PYTHON_WATCHED])
{
	const struct python *p = &a->python;

	fds[0] = (struct pollfd){.fd = p->sealed ? -1 : p->server_fd, .events = POLLIN};
	fds[1] = (struct pollfd){.fd = p->spare ? -1 : p->spare_fd, .events = POLLIN};
	fds[2] = (struct pollfd){.fd = p->keeper_runs ? p->keeper_fd : -1, .events = POLLIN};
}

void python_heard(struct agent *a, const struct pollfd fds[PYTHON_WATCHED])
{
	struct python *p = &a->python;

	if (fds[0].revents && p->server_fd == fds[0].fd)
		hear_server(p);
	if (fds[1].revents && p->spare_fd == fds[1].fd)
		hear_spare(p);
	if (fds[2].revents && p->keeper_fd == fds[2].fd)
		keeper_heard(a);
}

/* ---- processes that end, and the end of runs ---- */

bool python_reaped(struct agent *a, pid_t pid)
{
	struct python *p = &a->python;

	if (pid == p->server) {
		p->server = 0;
		python_close(&p->server_fd);
		p->sealed = p->warm = false;
	} else if (pid == p->spare) {
		p->spare = 0;
		python_close(&p->spare_fd);
	} else if (pid == p->keeper) {
		p->keeper = 0;
		p->lost = true;
		python_close(&p->keeper_fd);
		return !p->keeper_runs;
	} else {
		return false;
	}
	return true;
}

bool python_is_ours(const struct agent *a, pid_t pid)
{
	struct python *p = (struct python *)(uintptr_t)&a->python;

	if (pid == p->server || pid == p->spare)
		return true;
	if (p->keeper > 0 && !p->keeper_runs && (pid == p->keeper || keeper_owns_zombie(p, pid)))
		return true;
	/* A spare on its way is in the server's session, which nobody else can join, until it has
	 * said who it is. */
	if (p->server == 0 || p->spare_fd < 0 || p->spare)
		return false;
	if (getsid(pid) == p->server)
		return true;
	hear_spare(p);
	return pid == p->spare;
}

void python_run_over(struct agent *a, bool by_itself)
{
	struct python *p = &a->python;

	if (p->keeper_runs && by_itself)
		p->keeper_runs = false;
	if (p->keeper > 0 && !p->keeper_runs)
		keeper_stop(a);
}

/* Not as it was at its start, in what another process can change. */
static bool is_changed(const struct agent *a, pid_t pid)
{
	struct rlimit now;

	for (int i = 0; i < (int)RLIM_NLIMITS; i++) {
		if (prlimit(pid, (__rlimit_resource_t)i, NULL, &now) < 0)
			return true;
		if (now.rlim_cur != a->python.limits[i].rlim_cur ||
		    now.rlim_max != a->python.limits[i].rlim_max)
			return true;
	}
	return state_is_rescheduled(a, pid, RUN_NICE);
}

void python_after(struct agent *a, bool was_python)
{
	struct python *p = &a->python;

	p->lost = p->keeper_runs = false;
	if (p->server > 0)
		kill(p->server, SIGCONT);
	if (p->spare > 0)
		kill(p->spare, SIGCONT);
	if ((p->server > 0 && p->sealed && is_changed(a, p->server)) ||
	    (p->spare > 0 && is_changed(a, p->spare)))
		end_server(p);
	if (was_python) {
		p->idle_since = now_mono();
		if (p->server == 0)
			python_start_own("server", &p->server, &p->server_fd);
	}
	if (p->server > 0 && p->spare_fd < 0)
		p->spare_due = now_mono() + SPARE_DELAY;
}

static int ms_until(usec_t then)
{
	usec_t left = then - now_mono();

	return left > 0 ? (int)(left / USEC_PER_MSEC) + 1 : 0;
}

int python_idle(struct agent *a)
{
	struct python *p = &a->python;
	int left;

	if (p->server == 0 || a->run.leader)
		return -1;
	if (p->spare_due && (left = ms_until(p->spare_due)) > 0)
		return left;
	if (p->spare_due)
		ask_for_spare(p);
	left = ms_until(p->idle_since + PYTHON_IDLE);
	if (left > 0)
		return left;
	end_server(p);
	return -1;
}

void python_end(struct agent *a)
{
	end_server(&a->python);
	python_kill(&a->python.keeper, &a->python.keeper_fd);
}
