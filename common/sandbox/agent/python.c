/*
 * What a run has to do with interpreters of ours: see python.h.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../python_env.h"
#include "python_parts.h"

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

void python_init(struct python *p)
{
	*p = (struct python){.keeper_fd = -1};
	forker_init(&p->forkers[FORKER_PLAIN], "plain");
	forker_init(&p->forkers[FORKER_LOADED], "loaded");
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
	sent = channel_send(channel, head, sizeof(head), fds, ARRAY_LEN(fds));
	close(text);
	return sent;
}

/* An interpreter of ours with a channel, in the given mode. */
bool python_start_own(const char *mode, pid_t *ret_pid, int *ret_fd)
{
	const char *argv[] = {"python3", "-u", "-c", BOOT, mode, SANDBOX_PYTHON_PLAIN, NULL};
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

/* ---- runs ---- */

void python_seal(struct agent *a)
{
	for (int i = 0; i < FORKERS; i++)
		forker_seal(&a->python.forkers[i]);
}

/* The one whose spare is to run it. One that has nothing loaded is better than none. */
static struct forker *choose(struct agent *a)
{
	struct forker *plain = &a->python.forkers[FORKER_PLAIN];
	struct forker *loaded = &a->python.forkers[FORKER_LOADED];
	bool is_plain = a->run.spec.flags & FRAME_RUN_PLAIN;

	if (forker_has_spare(a, is_plain ? plain : loaded, true))
		return is_plain ? plain : loaded;
	return forker_has_spare(a, is_plain ? loaded : plain, false) ? is_plain ? loaded : plain
								     : NULL;
}

/* The spare becomes the leader. */
bool python_use_spare(struct agent *a, uint32_t flags, int *ret_channel)
{
	const struct frame_run *spec = &a->run.spec;
	struct forker *f = choose(a);
	const struct rlimit nofile = {spec->nofile, spec->nofile};
	const struct rlimit file_size = {spec->file_size, spec->file_size};

	if (f == NULL)
		return false;
	if (spec->nofile)
		prlimit(f->spare, RLIMIT_NOFILE, &nofile, NULL);
	if (spec->file_size)
		prlimit(f->spare, RLIMIT_FSIZE, &file_size, NULL);
	if (!python_send_order(f->spare_fd, &a->run, flags)) {
		python_kill(&f->spare, &f->spare_fd);
		return false;
	}
	a->run.leader = forker_take_spare(f, ret_channel);
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

	for (int i = 0; i < FORKERS; i++)
		forker_watch(&p->forkers[i], fds + 2 * i);
	fds[2 * FORKERS] =
		(struct pollfd){.fd = p->keeper_runs ? p->keeper_fd : -1, .events = POLLIN};
}

void python_heard(struct agent *a, const struct pollfd fds[PYTHON_WATCHED])
{
	struct python *p = &a->python;

	for (int i = 0; i < FORKERS; i++)
		forker_heard(a, &p->forkers[i], fds + 2 * i);
	if (fds[2 * FORKERS].revents && p->keeper_fd == fds[2 * FORKERS].fd)
		keeper_heard(a);
}

/* ---- processes that end, and the end of runs ---- */

void python_children(struct agent *a)
{
	keeper_look(a);
}

bool python_reaped(struct agent *a, pid_t pid)
{
	struct python *p = &a->python;

	for (int i = 0; i < FORKERS; i++)
		if (forker_reaped(&p->forkers[i], pid))
			return true;
	if (pid != p->keeper)
		return false;
	p->keeper = 0;
	p->lost = true;
	python_close(&p->keeper_fd);
	return !p->keeper_runs;
}

bool python_is_ours(const struct agent *a, pid_t pid)
{
	struct python *p = (struct python *)(uintptr_t)&a->python;

	if (p->keeper > 0 && !p->keeper_runs && (pid == p->keeper || keeper_owns_zombie(p, pid)))
		return true;
	for (int i = 0; i < FORKERS; i++)
		if (forker_owns(a, &p->forkers[i], pid))
			return true;
	return false;
}

void python_run_over(struct agent *a, bool by_itself)
{
	struct python *p = &a->python;

	if (p->keeper_runs && by_itself)
		p->keeper_runs = false;
	if (p->keeper > 0 && !p->keeper_runs)
		keeper_stop(a);
}

void python_after(struct agent *a, bool was_python)
{
	struct python *p = &a->python;

	p->lost = p->keeper_runs = false;
	if (was_python)
		p->idle_since = now_mono();
	for (int i = 0; i < FORKERS; i++)
		forker_after(a, &p->forkers[i], was_python);
}

static void end_forkers(struct python *p)
{
	for (int i = 0; i < FORKERS; i++)
		forker_end(&p->forkers[i]);
}

int python_idle(struct agent *a)
{
	struct python *p = &a->python;
	bool any = false;
	int next = -1, left;

	if (a->run.leader)
		return -1;
	for (int i = 0; i < FORKERS; i++) {
		left = forker_tick(&p->forkers[i]);
		if (left >= 0 && (next < 0 || left < next))
			next = left;
		any = any || p->forkers[i].server > 0;
	}
	if (!any || next >= 0)
		return next;
	if (now_mono() < p->idle_since + PYTHON_IDLE)
		return (int)((p->idle_since + PYTHON_IDLE - now_mono()) / USEC_PER_MSEC) + 1;
	end_forkers(p);
	return -1;
}

void python_end(struct agent *a)
{
	end_forkers(&a->python);
	python_kill(&a->python.keeper, &a->python.keeper_fd);
}
