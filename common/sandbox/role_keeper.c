/*
 * role_keeper.c: the process between a worker and its role, which starts that again when it ends.
 *
 * It has no thread, no connection and no secret. See engine_role.h.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "daemon.h"
#include "log.h"
#include "mem.h"
#include "role_held.h"

#define SHORT_LIFE (USEC_PER_SEC) /* a role that ends sooner is not started again at once */

struct keeper {
	int keeper, control;
	pid_t role;
};

bool engine_keeper_is_wanted(void)
{
	return getenv(HELD_BY) != NULL;
}

/* From now on it writes there, and so does every role. */
static void write_to(int log)
{
	if (log < 0)
		return;
	dup2(log, STDERR_FILENO);
	close(log);
}

static void wait_for(int fd, int other, usec_t deadline)
{
	struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = other, .events = POLLIN}};

	poll(fds, other < 0 ? 1 : 2, clock_left_ms(deadline));
}

/* The role is gone when this returns. */
static void end_role(struct keeper *k)
{
	if (k->role <= 0)
		return;
	kill(k->role, SIGKILL);
	while (waitpid(k->role, NULL, 0) < 0 && errno == EINTR)
		;
	k->role = 0;
}

/* With its worker. */
static __attribute__((noreturn)) void leave(struct keeper *k)
{
	end_role(k);
	_exit(EXIT_SUCCESS);
}

/* The worker is in another life: so are we, for its program may be a newer one. */
static void begin_again(struct keeper *k)
{
	_cleanup_free_ char *again = xasprintf("%d %d again", k->keeper, k->control);
	struct err err = {0};

	end_role(k);
	setenv(HELD_BY, again, 1);
	if (daemon_restart(&err) < 0)
		log_error("engine role: %s", err.msg);
}

/* What the worker says, if anything: true, it begins again. */
static bool hear(struct keeper *k)
{
	int log = -1;
	int rc = engine_held_receive(k->keeper, &log);

	if (rc < 0)
		leave(k);
	write_to(log);
	return rc > 0;
}

/* How the role ended. */
static void tell(int status)
{
	if (WIFSIGNALED(status))
		log_error("engine role: ended by signal %d: started again", WTERMSIG(status));
	else
		log_error("engine role: ended with %d: started again", WEXITSTATUS(status));
}

static void rest(struct keeper *k, usec_t until)
{
	while (clock_left_ms(until) > 0) {
		wait_for(k->keeper, -1, until);
		if (hear(k))
			begin_again(k);
	}
}

/* Until the role has ended. */
static void watch(struct keeper *k)
{
	usec_t began = clock_mono();
	int fd = (int)syscall(SYS_pidfd_open, k->role, 0), status = 0;

	for (;;) {
		/* without a descriptor of the process (before Linux 5.3) it is looked for */
		wait_for(k->keeper, fd, fd < 0 ? clock_deadline(USEC_PER_SEC) : USEC_NEVER);
		if (hear(k))
			begin_again(k);
		if (k->role == 0 || waitpid(k->role, &status, WNOHANG) == k->role)
			break;
	}
	if (fd >= 0)
		close(fd);
	if (k->role == 0)
		return;
	k->role = 0;
	tell(status);
	rest(k, began + SHORT_LIFE);
}

/* In the child. */
static void become_role(struct keeper *k, pid_t parent)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_FAILURE);
	close(k->keeper);
	unsetenv(HELD_BY);
}

int engine_keeper_fork(void)
{
	struct keeper k = {.keeper = -1, .control = -1};
	char again[8] = "";
	pid_t self = getpid();
	sigset_t ignored;

	if (sscanf(getenv(HELD_BY), "%d %d %7s", &k.keeper, &k.control, again) < 2)
		_exit(EXIT_FAILURE);
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	/* it ends with the worker, and no sooner */
	sigemptyset(&ignored);
	sigaddset(&ignored, SIGTERM);
	sigaddset(&ignored, SIGINT);
	sigaddset(&ignored, SIGQUIT);
	sigaddset(&ignored, SIGHUP);
	sigaddset(&ignored, SIGUSR1);
	sigprocmask(SIG_BLOCK, &ignored, NULL);
	while (again[0] == '\0' && !hear(&k))
		wait_for(k.keeper, -1, USEC_NEVER);
	for (;;) {
		k.role = fork();
		if (k.role == 0) {
			become_role(&k, self);
			return k.control;
		}
		if (k.role > 0) {
			watch(&k);
			continue;
		}
		log_error("engine role: fork: %s", strerror(errno));
		k.role = 0;
		rest(&k, clock_deadline(SHORT_LIFE));
	}
}
