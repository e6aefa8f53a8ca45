/* What a service manager hears. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon.h"
#include "tests/unit/suite.h"

/* A socket like the manager's, named by `path`; "@…" is in no directory. */
static int manager(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path, path, strlen(path));
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path))),
			 0);
	setenv("NOTIFY_SOCKET", path, 1);
	return fd;
}

static void hears(int fd, const char *what)
{
	char said[64] = "";
	ssize_t n = recv(fd, said, sizeof(said) - 1, MSG_DONTWAIT);

	ck_assert_int_eq(n, (ssize_t)strlen(what));
	ck_assert_str_eq(said, what);
}

START_TEST(test_path)
{
	char directory[] = "/tmp/celeriac-notify.XXXXXX", path[64];

	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/socket", directory);
	int fd = manager(path);
	daemon_notify("READY=1");
	daemon_notify("WATCHDOG=1");
	hears(fd, "READY=1");
	hears(fd, "WATCHDOG=1");
	close(fd);
	unlink(path);
	daemon_notify("STOPPING=1"); /* nobody is there any more */
	rmdir(directory);
}
END_TEST

START_TEST(test_abstract)
{
	char name[64];

	snprintf(name, sizeof(name), "@celeriac-notify-%d", getpid());
	int fd = manager(name);
	daemon_notify("READY=1");
	hears(fd, "READY=1");
	close(fd);
}
END_TEST

START_TEST(test_nobody)
{
	char longer[300];

	unsetenv("NOTIFY_SOCKET");
	daemon_notify("READY=1");
	memset(longer, 'a', sizeof(longer) - 1);
	longer[0] = '/';
	longer[sizeof(longer) - 1] = '\0';
	setenv("NOTIFY_SOCKET", longer, 1);
	daemon_notify("READY=1");
	setenv("NOTIFY_SOCKET", "relative", 1);
	daemon_notify("READY=1");
	setenv("NOTIFY_SOCKET", "", 1);
	daemon_notify("READY=1");
}
END_TEST

START_TEST(test_watchdog)
{
	char pid[24];

	unsetenv("WATCHDOG_PID");
	unsetenv("WATCHDOG_USEC");
	ck_assert_int_eq(daemon_watchdog(), 0);
	setenv("WATCHDOG_USEC", "30000000", 1);
	ck_assert_int_eq(daemon_watchdog(), 15 * USEC_PER_SEC);
	setenv("WATCHDOG_PID", "1", 1); /* of another */
	ck_assert_int_eq(daemon_watchdog(), 0);
	snprintf(pid, sizeof(pid), "%d", getpid());
	setenv("WATCHDOG_PID", pid, 1);
	ck_assert_int_eq(daemon_watchdog(), 15 * USEC_PER_SEC);
	setenv("WATCHDOG_USEC", "30s", 1);
	ck_assert_int_eq(daemon_watchdog(), 0);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("notify");
	tcase_add_test(t, test_path);
	tcase_add_test(t, test_abstract);
	tcase_add_test(t, test_nobody);
	tcase_add_test(t, test_watchdog);
	return suite_run("notify", t);
}
