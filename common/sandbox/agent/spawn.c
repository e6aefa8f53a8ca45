/*
 * The leader of a run, from fork to exec.
 */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXTRA_FD 10 /* from here on nothing is in the way */

static void close_all(int fds[3])
{
	for (int i = 0; i < 3; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

void stdio_close_child(struct stdio *p)
{
	close_all(p->child);
}

void stdio_close(struct stdio *p)
{
	close_all(p->child);
	close_all(p->ours);
}

static int open_all(struct stdio *p, bool with_stdin)
{
	int pair[2];

	for (int i = 0; i < 3; i++) {
		if (i == 0 && !with_stdin) {
			p->child[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
			if (p->child[0] < 0)
				return errno;
			continue;
		}
		if (pipe2(pair, O_CLOEXEC) < 0)
			return errno;
		p->child[i] = pair[i > 0];
		p->ours[i] = pair[i == 0];
		if (fcntl(p->ours[i], F_SETFL, O_NONBLOCK) < 0)
			return errno;
	}
	return 0;
}

int stdio_open(struct stdio *p, bool with_stdin)
{
	int error;

	*p = (struct stdio)STDIO_INIT;
	error = open_all(p, with_stdin);
	if (error)
		stdio_close(p);
	return error;
}

static void limit(__rlimit_resource_t what, rlim_t value)
{
	struct rlimit now;

	if (getrlimit(what, &now) < 0)
		return;
	if (value > now.rlim_max)
		value = now.rlim_max;
	now = (struct rlimit){.rlim_cur = value, .rlim_max = value};
	setrlimit(what, &now);
}

/* The kernel's memory killer takes the run before it takes us, and inside the container's share of
 * the processors we come first: however many processes a run has, it can be ended. */
static void be_first_to_go(bool after_runs)
{
	const char *points = after_runs ? "500" : "1000";
	int fd;

	setpriority(PRIO_PROCESS, 0, RUN_NICE);
	/* Nobody who could look at this copy of us before exec is alive in here, or may run. */
	prctl(PR_SET_DUMPABLE, 1);
	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, points, strlen(points)) < 0)
		errno = 0;
	close(fd);
}

static void pass_extra(const int extra[2], int *report)
{
	int moved[2] = {-1, -1};

	*report = fcntl(*report, F_DUPFD_CLOEXEC, EXTRA_FD);
	for (int i = 0; i < 2; i++)
		if (extra[i] >= 0)
			moved[i] = fcntl(extra[i], F_DUPFD_CLOEXEC, EXTRA_FD);
	syscall(SYS_close_range, 3u, UINT_MAX, CLOSE_RANGE_CLOEXEC);
	for (int i = 0; i < 2; i++)
		if (moved[i] >= 0)
			dup2(moved[i], 3 + i);
}

static void become_leader(const struct spawn *s, int *report)
{
	struct sigaction normal = {.sa_handler = SIG_DFL};
	const struct frame_run *spec = s->spec;
	uint64_t none = 0;

	setsid();
	for (int i = 0; s->io && i < 3; i++)
		dup2(s->io->child[i], i);
	be_first_to_go(s->is_ours);
	limit(RLIMIT_CORE, 0);
	if (spec && spec->nofile)
		limit(RLIMIT_NOFILE, spec->nofile);
	if (spec && spec->file_size)
		limit(RLIMIT_FSIZE, spec->file_size);
	sigaction(SIGPIPE, &normal, NULL);
	/* not through libc, which leaves the two signals that it keeps for itself alone */
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof(none));
	pass_extra(s->extra, report);
}

static const char *search_path(const char *const *envp)
{
	for (; *envp; envp++)
		if (strncmp(*envp, "PATH=", 5) == 0)
			return *envp + 5;
	return "/usr/local/bin:/usr/bin:/bin";
}

/* As execvpe, but by the run's own PATH. Returns an errno. */
static int exec_by_path(const char *const *names, const char *const *env)
{
	char *const *argv = (char *const *)(uintptr_t)names, *const *envp =
								     (char *const *)(uintptr_t)env;
	char path[PATH_MAX];
	int result = ENOENT;

	if (strchr(argv[0], '/')) {
		execve(argv[0], argv, envp);
		return errno;
	}
	for (const char *dir = search_path(env); dir; dir = strchr(dir, ':')) {
		int len;

		dir += *dir == ':';
		len = (int)strcspn(dir, ":");
		if (len == 0 ||
		    snprintf(path, sizeof(path), "%.*s/%s", len, dir, argv[0]) >= (int)sizeof(path))
			continue;
		execve(path, argv, envp);
		if (errno != ENOENT && errno != ENOTDIR)
			result = errno;
	}
	return result;
}

static _Noreturn void child(const struct spawn *s, int report)
{
	int error = 0;

	become_leader(s, &report);
	if (chdir(s->is_ours ? "/" : AGENT_HOME) < 0)
		error = errno;
	if (error == 0)
		error = seccomp_subtract();
	if (error == 0)
		error = exec_by_path(s->argv, s->envp);
	if (write(report, &error, sizeof(error)) < 0)
		_exit(126);
	_exit(127);
}

/* The errno that the child reports, 0 when it got through exec. */
static int await_exec(int report)
{
	int error = 0;
	ssize_t n;

	do
		n = read(report, &error, sizeof(error));
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(error) ? error : 0;
}

int spawn(const struct spawn *s, pid_t *ret_pid)
{
	int report[2], error = 0;
	pid_t pid;

	if (pipe2(report, O_CLOEXEC) < 0)
		return errno;
	pid = fork();
	if (pid == 0)
		child(s, report[1]);
	if (pid < 0)
		error = errno;
	close(report[1]);
	if (error == 0 && (error = await_exec(report[0])) != 0)
		waitpid(pid, NULL, 0);
	close(report[0]);
	if (error == 0)
		*ret_pid = pid;
	return error;
}
