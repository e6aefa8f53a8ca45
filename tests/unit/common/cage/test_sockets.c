/* Where another process has the engine, no unix socket can be connected to, but where a setting
 * needs one. */
#include <check.h>
#include <errno.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cage/cage_internal.h"
#include "tests/unit/suite.h"

static struct settings with(const char *name)
{
	const char *const env[] = {"CELERY_BROKER_URL=redis://127.0.0.1:1/0", name, NULL};
	struct settings s = {0};
	struct err err = {0};

	ck_assert_msg(settings_load((char *const *)(uintptr_t)env, &s, &err) == 0, "%s", err.msg);
	return s;
}

static const struct {
	const char *setting;
	bool needs;
} rows[] = {
	{"DATABASE_URL=postgresql://u:p@db.example:5432/x", false},
	{"DATABASE_URL=postgresql://u:p@127.0.0.1/x?sslmode=require", false},
	{"DATABASE_URL=postgresql:///x", true},
	{"DATABASE_URL=postgresql://u:p@/x", true},
	{"DATABASE_URL=postgresql://u@%2Frun%2Fpostgresql/x", true},
	{"DATABASE_URL=postgresql://u@/x?host=/run/postgresql", true},
	{"CELERY_RESULT_BACKEND=redis+socket:///run/redis.sock", true},
	{"CELERY_RESULT_BACKEND=redis://127.0.0.1/1", false},
	{"DOCKER_HOST=unix:///run/docker.sock", false},
	{"CELERY_INCLUDE=/tmp/some.so", true},
};

START_TEST(test_needs)
{
	struct settings s = with(rows[_i].setting);

	ck_assert_msg(cage_needs_unix(&s) == rows[_i].needs, "%s", rows[_i].setting);
	settings_done(&s);
}
END_TEST

/* In a process of its own: a cage has no way out. Which of the attempts it lets through, as bits.
 */
static int attempts(const char *setting, bool apart)
{
	pid_t child = fork();
	int status = 0, ends[2];

	if (child == 0) {
		struct settings s = with(setting);
		const struct cage_plan plan = {
			.settings = &s, .listens = "", .engine_apart = apart};
		struct cage_report report;
		struct err err = {0};

		if (cage_enter(&plan, &report, &err) < 0 || !report.parts[CAGE_CALLS].holds)
			_exit(64);
		_exit((socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0 ? 1 : 0) |
		      (socket(AF_UNIX, SOCK_SEQPACKET, 0) >= 0 ? 2 : 0) |
		      (socket(AF_UNIX, SOCK_DGRAM, 0) >= 0 ? 4 : 0) |
		      (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 ? 8 : 0) |
		      (socket(AF_INET, SOCK_STREAM, 0) >= 0 ? 16 : 0));
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

START_TEST(test_apart)
{
	const char *tcp = "DATABASE_URL=postgresql://u:p@127.0.0.1/x";

	ck_assert_int_eq(attempts(tcp, false), 1 | 2 | 4 | 8 | 16);
	ck_assert_int_eq(attempts(tcp, true), 4 | 8 | 16);
	ck_assert_int_eq(attempts("DATABASE_URL=postgresql:///x", true), 1 | 2 | 4 | 8 | 16);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("sockets");

	tcase_add_loop_test(t, test_needs, 0, ARRAY_LEN(rows));
	tcase_add_test(t, test_apart);
	return suite_run("sockets", t);
}
