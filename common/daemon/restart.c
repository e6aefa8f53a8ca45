/*
 * The same program again, in the same process. See daemon.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon.h"
#include "mem.h"

#define RESTARTED "CELERIAC_RESTARTED" /* in the environment of the next life: its pid */

/* Where the path of the program is, in every life of the process: a system call filter lets
 * through what is executed from this address alone. Far from where programs, libraries and heaps
 * come to lie. */
#ifdef __SANITIZE_THREAD__
#define PINNED ((void *)0x567000000000) /* ThreadSanitizer wants the other for itself */
#else
#define PINNED ((void *)0x200000000000)
#endif
#define SYS_MSEAL 462

static struct {
	char **argv;
	const char *path; /* PINNED, or "" */
	int directory;
	bool restarted, pinned;
} g_self = {.path = "", .directory = -1};

/* Memory that we do not write to again. That nobody does, nor puts other memory in its place, holds
 * from Linux 6.10 on. */
static void pin(const char *path)
{
	char *page = mmap(PINNED, PATH_MAX, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (page == PINNED) {
		memcpy(page, path, strlen(path) + 1);
		g_self.pinned = mprotect(page, PATH_MAX, PROT_READ) == 0;
		(void)syscall(SYS_MSEAL, page, (size_t)PATH_MAX, 0UL);
	} else if (page != MAP_FAILED) {
		munmap(page, PATH_MAX); /* a kernel that takes the address for a hint */
	}
	g_self.path = g_self.pinned ? page : xstrdup(path);
}

const char *daemon_program(void)
{
	return g_self.pinned ? g_self.path : NULL;
}

void daemon_remember(int argc, char **argv)
{
	const char *pid = getenv(RESTARTED);
	char path[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);

	path[len > 0 ? len : 0] = '\0';
	pin(path);
	g_self.argv = xcalloc((size_t)argc + 1, sizeof(*g_self.argv));
	for (int i = 0; i < argc; i++)
		g_self.argv[i] = xstrdup(argv[i]);
	g_self.directory = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* who only inherited the variable is another process */
	g_self.restarted = pid != NULL && strtol(pid, NULL, 10) == (long)getpid();
	unsetenv(RESTARTED);
}

bool daemon_restarted(void)
{
	return g_self.restarted;
}

int daemon_restart(struct err *err)
{
	char pid[24];

	if (g_self.argv == NULL || g_self.path[0] == '\0')
		return err_set(err, ERR_UNSUPPORTED, "the path of this program is not known");
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	if (setenv(RESTARTED, pid, 1) < 0)
		return err_set_errno(err, ERR_FAILED, errno, "setenv");
	if (g_self.directory >= 0 && fchdir(g_self.directory) < 0)
		return err_set_errno(err, ERR_FAILED, errno, "the first directory");
	execv(g_self.path, g_self.argv);
	return err_set_errno(err, ERR_FAILED, errno, "%s", g_self.path);
}
