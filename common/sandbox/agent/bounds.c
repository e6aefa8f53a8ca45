/*
 * What this sandbox is bounded by, read from its own kernel: an engine may say that it has a limit
 * and still not set it.
 */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define CGROUP	  "/sys/fs/cgroup/"
#define NO_NUMBER (UINT64_MAX / 4) /* version 1 says "none" by a number like this */

static uint64_t number_of(const char *text)
{
	uint64_t n = strncmp(text, "max", 3) == 0 || *text == '-' ? FRAME_UNBOUND
								  : strtoull(text, NULL, 10);

	return n > NO_NUMBER ? FRAME_UNBOUND : n;
}

/* From the file of version 2 or else of version 1. */
static uint64_t number(const char *v2, const char *v1)
{
	char text[64];

	if (!state_read_text(v2, text, sizeof(text)) && !state_read_text(v1, text, sizeof(text)))
		return FRAME_UNSEEN;
	return number_of(text);
}

static uint64_t processors(void)
{
	char text[64];
	const char *space;
	uint64_t quota, period;

	if (state_read_text(CGROUP "cpu.max", text, sizeof(text))) {
		quota = number_of(text);
		space = strchr(text, ' ');
		period = space ? number_of(space + 1) : 0;
	} else {
		quota = number(CGROUP "cpu/cpu.cfs_quota_us",
			       CGROUP "cpu,cpuacct/cpu.cfs_quota_us");
		period = number(CGROUP "cpu/cpu.cfs_period_us",
				CGROUP "cpu,cpuacct/cpu.cfs_period_us");
	}
	if (quota >= FRAME_UNSEEN || period == 0 || period >= FRAME_UNSEEN)
		return quota == FRAME_UNBOUND ? FRAME_UNBOUND : FRAME_UNSEEN;
	return (quota * 1000 + period - 1) / period;
}

static uint64_t memory_and_swap(uint64_t memory)
{
	uint64_t swap = number(CGROUP "memory.swap.max", "");

	if (swap < FRAME_UNSEEN && memory < FRAME_UNSEEN)
		return memory + swap;
	return swap == FRAME_UNSEEN ? number(CGROUP "memory/memory.memsw.limit_in_bytes", "")
				    : swap;
}

static uint64_t limit(__rlimit_resource_t what)
{
	struct rlimit l;

	if (getrlimit(what, &l) < 0)
		return FRAME_UNSEEN;
	return l.rlim_max == RLIM_INFINITY ? FRAME_UNBOUND : l.rlim_max;
}

static uint64_t size_of(const char *path)
{
	struct statvfs fs;

	if (statvfs(path, &fs) < 0)
		return FRAME_UNSEEN;
	return fs.f_blocks == 0 ? FRAME_UNBOUND : (uint64_t)fs.f_blocks * fs.f_frsize;
}

/* The value after `name` and a colon; *ret stays when there is no such line. */
static void status_value(const char *text, const char *name, int base, uint64_t *ret)
{
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
			*ret = strtoull(line + strlen(name) + 1, NULL, base);
	}
}

static void read_status(struct frame_bounds *b)
{
	static const char *const sets[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};
	char text[4096];
	uint64_t set;

	b->capabilities = b->seccomp = FRAME_UNSEEN;
	if (!state_read_text("/proc/self/status", text, sizeof(text)))
		return;
	b->capabilities = 0;
	for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
		set = 0;
		status_value(text, sets[i], 16, &set);
		b->capabilities |= set;
	}
	status_value(text, "Seccomp", 10, &b->seccomp);
}

/* Lines that do not end with the name of the loopback device, beyond `head` lines. */
static uint64_t lines_beyond_loopback(const char *path, int head, bool device_is_first)
{
	char text[4096];
	uint64_t n = 0;

	if (!state_read_text(path, text, sizeof(text)))
		return 0;
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		const char *last = strrchr(line, ' ');

		if (head-- > 0)
			continue;
		if (device_is_first ? strncmp(line, "lo\t", 3) == 0 : last && !strcmp(last, " lo"))
			continue;
		n++;
	}
	return n;
}

static uint64_t routes(void)
{
	if (access("/proc/net", R_OK) < 0)
		return FRAME_UNSEEN;
	return lines_beyond_loopback("/proc/net/route", 1, true) +
	       lines_beyond_loopback("/proc/net/ipv6_route", 0, false);
}

/* A kernel of the runtime's own may say nothing of it: then where anybody may write decides. */
static uint64_t root_is_writable(void)
{
	static const char path[] = "/var/tmp/.celeriac";
	struct statvfs root;
	int fd;

	if (statvfs("/", &root) == 0 && (root.f_flag & ST_RDONLY))
		return 0;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno == EROFS ? 0 : FRAME_UNSEEN;
	close(fd);
	unlink(path);
	return 1;
}

/* In a child, because a process may always open its own. */
static _Noreturn void try_to_open(const int fds[2])
{
	char path[64];
	int opened = 0;

	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "/proc/1/fd/%d", fds[i]);
		opened += open(path, (i == 0 ? O_RDONLY : O_WRONLY) | O_NONBLOCK | O_CLOEXEC) >= 0;
	}
	_exit(opened);
}

/* Not dumpable is enough on Linux; gVisor has had kernels where it is not. */
static uint64_t reachable(const struct agent *a)
{
	const int fds[2] = {a->control_in, a->control_out};
	pid_t pid = fork(), ended;
	int status;

	if (pid == 0)
		try_to_open(fds);
	if (pid < 0)
		return FRAME_UNBOUND;
	do
		ended = waitpid(pid, &status, 0);
	while (ended < 0 && errno == EINTR);
	return ended == pid && WIFEXITED(status) ? (uint64_t)WEXITSTATUS(status) : FRAME_UNBOUND;
}

void bounds_tell(struct agent *a, uint32_t run)
{
	unsigned char bytes[FRAME_STRUCT_MAX + sizeof(((struct utsname *)0)->release)];
	struct utsname kernel = {0};
	struct frame_bounds b = {
		.memory = number(CGROUP "memory.max", CGROUP "memory/memory.limit_in_bytes"),
		.pids = number(CGROUP "pids.max", CGROUP "pids/pids.max"),
		.cpu = processors(),
		.nofile = limit(RLIMIT_NOFILE),
		.file_size = limit(RLIMIT_FSIZE),
		.core = limit(RLIMIT_CORE),
		.home = size_of(AGENT_HOME),
		.tmp = size_of("/tmp"),
		.shm = size_of("/dev/shm"),
		.root_is_writable = root_is_writable(),
		.routes = routes(),
		.uid = getuid(),
		.reachable = reachable(a)};
	size_t len, text;

	b.swap = memory_and_swap(b.memory);
	read_status(&b);
	uname(&kernel);
	len = frame_bounds_encode(&b, bytes);
	text = strlen(kernel.release);
	memcpy(bytes + len, kernel.release, text);
	control_send(a, FRAME_BOUNDS, 0, run, bytes, len + text);
}
