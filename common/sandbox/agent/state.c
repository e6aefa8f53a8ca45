/*
 * What the kernel says about this sandbox: memory killings, free space, and whether somebody
 * changed our own limits.
 */
#include "agent.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define STAT_FLAGS  6
#define PF_EXITING  0x4ul   /* of the kernel: it ends */
#define PF_SIGNALED 0x400ul /* … as a signal has it */

bool state_read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, text, size - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	return true;
}

/* The number after "oom_kill " in a cgroup file; false when the file or the line is not there. */
static bool read_counter(const char *path, uint32_t *ret)
{
	static const char key[] = "oom_kill ";
	char text[1024];

	if (!state_read_text(path, text, sizeof(text)))
		return false;
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, sizeof(key) - 1) == 0) {
			*ret = (uint32_t)strtoul(line + sizeof(key) - 1, NULL, 10);
			return true;
		}
	}
	return false;
}

uint32_t state_oom_kills(void)
{
	uint32_t n = 0;

	if (!read_counter("/sys/fs/cgroup/memory.events", &n))
		read_counter("/sys/fs/cgroup/memory/memory.oom_control", &n);
	return n;
}

static uint64_t read_number(const char *v2, const char *v1)
{
	char text[32];

	if (!state_read_text(v2, text, sizeof(text)) && !state_read_text(v1, text, sizeof(text)))
		return 0;
	return strtoull(text, NULL, 10);
}

void state_memory(struct memory_use *ret)
{
	ret->now = read_number("/sys/fs/cgroup/memory.current",
			       "/sys/fs/cgroup/memory/memory.usage_in_bytes");
	ret->peak = read_number("/sys/fs/cgroup/memory.peak",
				"/sys/fs/cgroup/memory/memory.max_usage_in_bytes");
}

void state_space(const char *path, uint64_t *ret_bytes, uint64_t *ret_inodes)
{
	struct statvfs fs;

	*ret_bytes = *ret_inodes = UINT64_MAX;
	if (statvfs(path, &fs) < 0)
		return;
	*ret_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	/* A file system without a number for them has no limit of them. */
	if (fs.f_files > 0)
		*ret_inodes = fs.f_favail;
}

void state_remember(struct agent *a)
{
	for (int i = 0; i < (int)RLIM_NLIMITS; i++)
		getrlimit((__rlimit_resource_t)i, &a->limits[i]);
	a->nice = getpriority(PRIO_PROCESS, 0);
	a->policy = sched_getscheduler(0);
}

bool state_is_tampered(const struct agent *a)
{
	struct rlimit now;

	for (int i = 0; i < (int)RLIM_NLIMITS; i++) {
		if (getrlimit((__rlimit_resource_t)i, &now) < 0)
			continue;
		if (now.rlim_cur != a->limits[i].rlim_cur || now.rlim_max != a->limits[i].rlim_max)
			return true;
	}
	return state_is_rescheduled(a, 0, a->nice);
}

bool state_is_rescheduled(const struct agent *a, pid_t pid, int nice)
{
	return getpriority(PRIO_PROCESS, (id_t)pid) != nice || sched_getscheduler(pid) != a->policy;
}

/* proc(5): /proc/PID/stat's flags, behind the name, which may hold anything. */
static unsigned long read_flags(pid_t pid)
{
	char path[32], text[1024];
	const char *field;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (!state_read_text(path, text, sizeof(text)) || (field = strrchr(text, ')')) == NULL)
		return PF_EXITING;
	for (int i = 0; i <= STAT_FLAGS && field; i++)
		field = strchr(field + 1, ' ');
	return field ? strtoul(field, NULL, 10) : PF_EXITING;
}

/* Signals sent to the process or its thread that it has not come to, in /proc/PID/status. */
static bool has_signals(const char *status)
{
	static const char *const keys[] = {"\nSigPnd:", "\nShdPnd:"};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const char *line = strstr(status, keys[i]);

		if (line && strtoull(line + strlen(keys[i]), NULL, 16) != 0)
			return true;
	}
	return false;
}

bool state_is_dying(pid_t pid)
{
	char path[32], text[4096];
	const char *state;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if (!state_read_text(path, text, sizeof(text)) ||
	    (state = strstr(text, "\nState:\t")) == NULL)
		return true;
	return strchr("ZXx", state[sizeof("\nState:\t") - 1]) != NULL || has_signals(text) ||
	       read_flags(pid) & (PF_EXITING | PF_SIGNALED);
}
