/*
 * test_options.c: command lines and their variables, file names, pid files, users.
 */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon.h"
#include "mem.h"
#include "options.h"
#include "tests/unit/suite.h"

static const struct option_row rows[] = {
	{'n', "hostname", true, OPTION_SETTING, "worker_hostname", 0, ""},
	{'c', "concurrency", true, OPTION_COUNT, "worker_concurrency", 0, ""},
	{'E', "task-events", false, OPTION_SWITCH, "worker_send_task_events", 0, ""},
	{'l', "loglevel", true, OPTION_LOGLEVEL, NULL, 0, ""},
	{'f', "logfile", true, OPTION_LOGFILE, NULL, 0, ""},
	{0, "pidfile", true, OPTION_PIDFILE, NULL, 0, ""},
	{'D', "detach", false, OPTION_DETACH, NULL, 0, ""},
	{0, "workdir", true, OPTION_WORKDIR, NULL, 0, ""},
	{'B', "beat", false, OPTION_REFUSED, "no", 0, ""},
	{0, "check", false, OPTION_ACTION, NULL, ACTION_CHECK, ""},
};
static const struct option_table table = {
	.program = "test", .word = "worker", .purpose = "", .rows = rows, .count = ARRAY_LEN(rows)};
static char *g_none[] = {NULL};
static struct settings g_settings;
static struct options g_options;

static void setup(void)
{
	struct err err = {0};

	ck_assert_int_eq(settings_load(g_none, &g_settings, &err), 0);
	g_options = (struct options){0};
}

static void teardown(void)
{
	options_done(&g_options);
	settings_done(&g_settings);
}

/* `words` separated by spaces. */
static int parse(const char *words, struct err *err)
{
	static char text[512];
	char *argv[16] = {(char *)(uintptr_t) "test"}, *at = text;
	int argc = 1;

	snprintf(text, sizeof(text), "%s", words);
	for (char *word; (word = strsep(&at, " ")) != NULL;) {
		if (word[0] != '\0')
			argv[argc++] = word;
	}
	return options_parse(&table, argc, argv, &g_settings, &g_options, err);
}

START_TEST(test_variables)
{
	struct err err = {0};

	setenv("CELERY_WORKER_LOGLEVEL", "ERROR", 1);
	setenv("CELERY_WORKER_TASK_EVENTS", "true", 1);
	setenv("CELERY_WORKER_DETACH", "0", 1);
	setenv("CELERY_WORKER_PIDFILE", "", 1); /* as good as none */
	setenv("CELERY_WORKDIR", "/tmp", 1);
	setenv("CELERY_WORKER_CONCURRENCY", "4001", 1);
	setenv("CELERY_WORKER_CHECK", "1", 1); /* not by a variable */
	ck_assert_msg(parse("-c auto", &err) == 0, "%s", err.msg);
	ck_assert_int_eq(g_options.level, LOG_LEVEL_ERROR);
	ck_assert(g_settings.worker_send_task_events);
	ck_assert(!g_options.detach);
	ck_assert_ptr_null(g_options.pidfile);
	ck_assert_str_eq(g_options.place.workdir, "/tmp");
	ck_assert_int_ne(g_settings.worker_concurrency,
			 4001); /* the command line has the last word */
	ck_assert_int_eq(g_options.action, ACTION_RUN);
}
END_TEST

START_TEST(test_variables_are_named)
{
	static const char *const bad[][2] = {{"CELERY_WORKER_LOGLEVEL", "LOUD"},
					     {"CELERY_WORKER_BEAT", "yes"},
					     {"CELERY_WORKER_CONCURRENCY", "many"}};
	struct err err = {0};

	setenv(bad[_i][0], bad[_i][1], 1);
	ck_assert_int_lt(parse("", &err), 0);
	ck_assert_msg(strstr(err.msg, bad[_i][0]) != NULL, "%s", err.msg);
}
END_TEST

START_TEST(test_file_names)
{
	struct err err = {0};

	ck_assert_msg(parse("-f /l/%n-%h-%d-%i%I-%%.log --pidfile %p.pid -n w1@a.b.c", &err) == 0,
		      "%s", err.msg);
	ck_assert_str_eq(g_options.logfile, "/l/w1-a.b.c-b.c-0-%.log");
	ck_assert_str_eq(g_options.pidfile, "w1@a.b.c.pid");
	ck_assert_int_eq(parse("-f %x", &err), -ERR_INVALID);
	ck_assert_ptr_nonnull(strstr(err.msg, "--logfile"));
	ck_assert_int_eq(parse("-n %i", &err), -ERR_INVALID); /* nodes are no files */
}
END_TEST

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

START_TEST(test_pidfile)
{
	char directory[] = "/tmp/celeriac-pidfile-XXXXXX", path[64], text[32];
	pid_t others[2]; /* the second is called like a program of Celery's */
	struct err err = {0};

	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/pid", directory);
	for (int i = 0; i < 2; i++) {
		others[i] = fork();
		if (others[i] == 0) {
			execlp("sleep", i == 1 ? "celery" : "sleep", "600", (char *)NULL);
			_exit(1);
		}
	}
	ck_assert_int_eq(daemon_pidfile_write(path, &err), 0);
	ck_assert_int_eq(daemon_pidfile_write(path, &err), 0); /* our own */
	daemon_pidfile_remove(path);
	ck_assert_int_ne(access(path, F_OK), 0);

	for (const char *const *stale = (const char *const[]){"999999999\n", "", "x", "-1", NULL};
	     *stale != NULL; stale++) {
		write_file(path, *stale);
		ck_assert_msg(daemon_pidfile_write(path, &err) == 0, "%s: %s", *stale, err.msg);
	}
	snprintf(text, sizeof(text), "%d\n", (int)others[0]); /* a pid that was given out again */
	write_file(path, text);
	ck_assert_msg(daemon_pidfile_write(path, &err) == 0, "%s", err.msg);
	snprintf(text, sizeof(text), "%d\n", (int)others[1]);
	write_file(path, text);
	for (int tries = 0; tries < 500 && daemon_pidfile_write(path, &err) == 0; tries++) {
		write_file(path, text); /* it has not become what it will be */
		usleep(10000);
	}
	ck_assert_int_eq(err.code, ERR_CONFLICT);
	ck_assert_ptr_nonnull(strstr(err.msg, path));
	daemon_pidfile_remove(path);
	ck_assert_int_eq(access(path, F_OK), 0); /* it is not ours */
	for (int i = 0; i < 2; i++) {
		kill(others[i], SIGKILL);
		waitpid(others[i], NULL, 0);
	}
	unlink(path);
	rmdir(directory);
}
END_TEST

START_TEST(test_places_that_cannot_be)
{
	static const struct daemon_place bad[] = {
		{.workdir = "/no/such/directory"},
		{.uid = "no such user"},
		{.gid = "no such group"},
		{.umask = "8"},
		{.umask = "1777"},
		{.umask = "-1"},
		{.umask = ""},
		{.uid = "-5"},
		{.uid = "99999999999"},
	};
	struct err err = {0};

	ck_assert_int_eq(daemon_settle(&bad[_i], &err), -ERR_INVALID);
}
END_TEST

START_TEST(test_becoming_somebody)
{
	struct daemon_place place = {.workdir = "/tmp", .uid = "65534", .umask = "027"};
	struct err err = {0};
	char cwd[64];
	bool root = geteuid() == 0;

	ck_assert_int_eq(daemon_settle(&place, &err), root ? 0 : -ERR_DENIED);
	ck_assert_str_eq(getcwd(cwd, sizeof(cwd)), "/tmp");
	ck_assert_int_eq(umask(0), 027);
	if (root) {
		ck_assert_int_eq(getuid(), 65534);
		ck_assert_int_ne(getgid(), 0);
		ck_assert_int_ne(setuid(0), 0);
		ck_assert_int_eq(daemon_settle(&place, &err), 0); /* again, after a restart */
	}
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("options");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, test_variables);
	tcase_add_loop_test(c, test_variables_are_named, 0, 3);
	tcase_add_test(c, test_file_names);
	tcase_add_test(c, test_pidfile);
	tcase_add_loop_test(c, test_places_that_cannot_be, 0, 9);
	tcase_add_test(c, test_becoming_somebody);
	return suite_run("options", c);
}
