/*
 * The same program again, in the same process. See daemon.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon.h"
#include "mem.h"

#define RESTARTED "CELERIAC_RESTARTED" /* in the environment of the next life: its pid */

static struct {
	char **argv;
	char path[PATH_MAX];
	int directory;
	bool restarted;
} g_self = {.directory = -1};

void daemon_remember(int argc, char **argv)
{
	const char *pid = getenv(RESTARTED);
	ssize_t len = readlink("/proc/self/exe", g_self.path, sizeof(g_self.path) - 1);

	g_self.path[len > 0 ? len : 0] = '\0';
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
