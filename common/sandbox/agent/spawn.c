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

#define RUN_NICE 10

/* The three ends that the leader gets, and the three that stay here. */
struct pipes {
	int child[3], ours[3];
};

static void pipes_close(struct pipes *p)
{
	for (int i = 0; i < 3; i++) {
		if (p->child[i] >= 0)
			close(p->child[i]);
		if (p->ours[i] >= 0)
			close(p->ours[i]);
	}
}

static int pipes_open(struct pipes *p, bool with_stdin)
{
	int pair[2];

	*p = (struct pipes){.child = {-1, -1, -1}, .ours = {-1, -1, -1}};
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
static void be_first_to_go(void)
{
	static const char worst[] = "1000";
	int fd;

	setpriority(PRIO_PROCESS, 0, RUN_NICE);
	/* Nobody else is alive in here who could look at this copy of us before exec. */
	prctl(PR_SET_DUMPABLE, 1);
	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, worst, sizeof(worst) - 1) < 0)
		errno = 0;
	close(fd);
}

static void become_leader(const struct pipes *p, const struct frame_run *spec)
{
	struct sigaction normal = {.sa_handler = SIG_DFL};
	uint64_t none = 0;

	setsid();
	for (int i = 0; i < 3; i++)
		dup2(p->child[i], i);
	be_first_to_go();
	limit(RLIMIT_CORE, 0);
	if (spec->nofile)
		limit(RLIMIT_NOFILE, spec->nofile);
	if (spec->file_size)
		limit(RLIMIT_FSIZE, spec->file_size);
	sigaction(SIGPIPE, &normal, NULL);
	/* not through libc, which leaves the two signals that it keeps for itself alone */
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof(none));
	syscall(SYS_close_range, 3u, UINT_MAX, CLOSE_RANGE_CLOEXEC);
}

static const char *search_path(char **envp)
{
	for (; *envp; envp++)
		if (strncmp(*envp, "PATH=", 5) == 0)
			return *envp + 5;
	return "/usr/local/bin:/usr/bin:/bin";
}

/* As execvpe, but by the run's own PATH. Returns an errno. */
static int exec_by_path(char **argv, char **envp)
{
	char path[PATH_MAX];
	int result = ENOENT;

	if (strchr(argv[0], '/')) {
		execve(argv[0], argv, envp);
		return errno;
	}
	for (const char *dir = search_path(envp); dir; dir = strchr(dir, ':')) {
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

static _Noreturn void child(const struct pipes *p, const struct frame_run *spec, int report,
			    char **argv, char **envp)
{
	int error = 0;

	become_leader(p, spec);
	if (chdir(AGENT_HOME) < 0)
		error = errno;
	if (error == 0)
		error = exec_by_path(argv, envp);
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

int spawn_leader(struct run *r, const struct frame_run *spec, char **argv, char **envp)
{
	struct pipes p;
	int report[2] = {-1, -1};
	int error = pipes_open(&p, spec->flags & FRAME_RUN_STDIN);

	if (error == 0 && pipe2(report, O_CLOEXEC) < 0)
		error = errno;
	if (error == 0) {
		r->leader = fork();
		if (r->leader == 0)
			child(&p, spec, report[1], argv, envp);
		if (r->leader < 0)
			error = errno;
		close(report[1]);
		if (error == 0 && (error = await_exec(report[0])) != 0)
			waitpid(r->leader, NULL, 0);
		close(report[0]);
	}
	if (error) {
		r->leader = 0;
		pipes_close(&p);
		return error;
	}
	for (int i = 0; i < 3; i++)
		close(p.child[i]);
	r->in.fd = p.ours[0];
	r->out.fd = p.ours[1];
	r->err.fd = p.ours[2];
	return 0;
}
