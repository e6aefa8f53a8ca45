/*
 * A pid alone is reused; pid and start time are not, within one boot and one pid namespace.
 */
#include "process.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem.h"

static size_t read_text(const char *path, char *out, size_t size)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	out[0] = '\0';
	if (fd < 0)
		return 0;
	n = read(fd, out, size - 1);
	if (n < 0)
		n = 0;
	out[n] = '\0';
	return (size_t)n;
}

/* Field 22 of /proc/<pid>/stat, counted after the closing parenthesis of the name; 0 when there is
 * no such process. */
static unsigned long long start_time(long pid)
{
	char path[64], text[1024];
	const char *p;

	snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	if (read_text(path, text, sizeof(text)) == 0)
		return 0;
	p = strrchr(text, ')');
	for (int field = 2; p && field < 22; field++) {
		p = strchr(p + 1, ' ');
	}
	return p ? strtoull(p, NULL, 10) : 0;
}

static void here(char boot[64], unsigned long *pidns)
{
	struct stat st;

	read_text("/proc/sys/kernel/random/boot_id", boot, 64);
	boot[strcspn(boot, "\n ")] = '\0';
	if (boot[0] == '\0')
		snprintf(boot, 64, "unknown");
	*pidns = stat("/proc/self/ns/pid", &st) == 0 ? (unsigned long)st.st_ino : 0;
}

void process_identity(char out[PROCESS_IDENTITY_SIZE])
{
	char boot[64];
	unsigned long pidns;
	long pid = (long)getpid();

	here(boot, &pidns);
	snprintf(out, PROCESS_IDENTITY_SIZE, "%s %lu %ld %llu", boot, pidns, pid, start_time(pid));
}

enum process_life process_life(const char *identity)
{
	char boot[64], its_boot[64];
	unsigned long pidns, its_pidns;
	unsigned long long its_start;
	long its_pid;

	if (sscanf(identity, "%63s %lu %ld %llu", its_boot, &its_pidns, &its_pid, &its_start) != 4)
		return PROCESS_UNKNOWN;
	here(boot, &pidns);
	if (strcmp(boot, its_boot) != 0 || pidns != its_pidns || pidns == 0)
		return PROCESS_UNKNOWN;
	return start_time(its_pid) == its_start ? PROCESS_ALIVE : PROCESS_GONE;
}
