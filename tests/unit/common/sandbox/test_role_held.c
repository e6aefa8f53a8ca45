/* What a worker's own engine role is told, and how connections reach it. */
#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/sandbox/role_held.h"
#include "tests/unit/suite.h"

static const char *const from[] = {
	"CELERY_BROKER_URL=redis://:secret@h/0",
	"DATABASE_URL=postgresql://u:secret@h/x",
	"DATABASE_URL_FILE=/secret",
	"SECRETS_ENCRYPTION_KEY=secret",
	"PGPASSWORD=secret",
	"CELERIAC_CAGED=1 15",
	"CELERIAC_CAGE=strict",
	"CELERIAC_ENGINE=fork",
	"CELERIAC_ENGINE_KEPT=1 2 3",
	"CELERIAC_ENGINE_HELD=1 2",
	"CELERIAC_ENGINE_RATE=7",
	"CELERIAC_INSTANCE=mine",
	"CELERIAC_METRICS=:1",
	"DOCKER_HOST=unix:///a,tcp://b",
	"DOCKER_CERT_PATH=/c,/d",
	"DOCKER_TLS_VERIFY=1",
	"SANDBOX_MEMORY=16GiB",
	"SANDBOX_CALLBACK_URL=http://h/",
	"SANDBOX_CALLBACK_SECRET=secret",
	"SANDBOX_CALLBACK_SECRET_FILE=/secret",
	"NOTIFY_SOCKET=/run/notify",
	"PATH=/bin",
	NULL,
};
static const char *const told[] = {
	"CELERIAC_CAGE=strict",
	"CELERIAC_ENGINE_RATE=7",
	"CELERIAC_INSTANCE=mine",
	"DOCKER_TLS_VERIFY=1",
	"SANDBOX_MEMORY=16GiB",
	"SANDBOX_CALLBACK_URL=http://h/",
	"PATH=/bin",
	"CELERIAC_ENGINE_IMAGES=*",
	"CELERIAC_ENGINE_CONTAINERS=65536",
	"CELERIAC_ENGINE_MEMORY=17179869184", /* what the worker may give a container */
	"CELERIAC_ENGINE_CPUS=16",
	"CELERIAC_ENGINE_PIDS=4096",
	"DOCKER_HOST=tcp://b",
	"DOCKER_CERT_PATH=/d",
	"CELERIAC_ENGINE_HELD=5 6",
};

START_TEST(test_environment)
{
	const char *const env[] = {"SANDBOX_MEMORY=16GiB", NULL};
	struct settings s = {0}, own = {0};
	struct err err = {0};
	size_t n = 0;

	ck_assert_int_eq(settings_load((char *const *)(uintptr_t)env, &s, &err), 0);
	char **all =
		engine_held_environment((char *const *)(uintptr_t)from, &s, "tcp://b", "/d", 5, 6);
	for (; all[n]; n++) {
		ck_assert_ptr_null(strstr(all[n], "secret"));
		ck_assert_uint_lt(n, ARRAY_LEN(told));
		ck_assert_str_eq(all[n], told[n]);
	}
	ck_assert_uint_eq(n, ARRAY_LEN(told));
	ck_assert_msg(settings_load(all, &own, &err) == 0, "%s", err.msg);
	ck_assert_int_eq(own.engine_memory, 16LL << 30);
	for (n = 0; all[n]; n++)
		free(all[n]);
	free(all);
	settings_done(&own);
	settings_done(&s);
}
END_TEST

START_TEST(test_descriptors)
{
	int ends[2], got = -1, connection = -1;
	struct err err = {0};
	char byte = 0;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	ck_assert_int_eq(engine_held_receive(ends[1], &got), 0);
	ck_assert_int_eq(engine_held_connect(ends[0], &connection, &err), 0);
	ck_assert_int_eq(engine_held_receive(ends[1], &got), 1);
	ck_assert_int_ge(got, 0);
	ck_assert_int_eq(fcntl(got, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(write(connection, "x", 1), 1);
	ck_assert_int_eq(read(got, &byte, 1), 1);
	ck_assert_int_eq(byte, 'x');
	close(got);
	close(connection);
	/* without one, and more than its one byte */
	ck_assert_int_eq(write(ends[0], "ab", 2), 2);
	ck_assert_int_eq(engine_held_receive(ends[1], &got), 1);
	ck_assert_int_eq(got, -1);
	/* nobody takes them: refused at some point, never waited for */
	for (int i = 0; i < 100000 && err.code == 0; i++)
		if (engine_held_send(ends[0], ends[0], &err) < 0)
			break;
	ck_assert_int_eq(err.code, ERR_UNAVAILABLE);
	while (engine_held_receive(ends[1], &got) > 0)
		close(got);
	close(ends[0]);
	ck_assert_int_eq(engine_held_receive(ends[1], &got), -1);
	ck_assert_int_eq(engine_held_send(ends[1], ends[1], &err), -ERR_UNAVAILABLE);
	close(ends[1]);
}
END_TEST

START_TEST(test_lists)
{
	const char *const list = " unix:///a , tcp://b:1,";
	static const char *const items[] = {"unix:///a", "tcp://b:1", ""};

	ck_assert_uint_eq(engine_host_count(list), ARRAY_LEN(items));
	for (size_t i = 0; i < ARRAY_LEN(items); i++) {
		char *item = engine_host_at(list, i);

		ck_assert_str_eq(item, items[i]);
		free(item);
	}
	ck_assert_ptr_null(engine_host_at(list, ARRAY_LEN(items)));
}
END_TEST

START_TEST(test_way)
{
	static const struct {
		const char *said;
		enum engine_way way;
	} ways[] = {{"", ENGINE_WAY_FORK},
		    {"fork", ENGINE_WAY_FORK},
		    {"direct", ENGINE_WAY_DIRECT},
		    {"unix:/run/x.sock", ENGINE_WAY_ROLE},
		    {"nonsense", ENGINE_WAY_ROLE}};

	for (size_t i = 0; i < ARRAY_LEN(ways); i++)
		ck_assert_int_eq(engine_way(&(struct settings){.engine = ways[i].said}),
				 ways[i].way);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("held");

	tcase_add_test(t, test_environment);
	tcase_add_test(t, test_descriptors);
	tcase_add_test(t, test_lists);
	tcase_add_test(t, test_way);
	return suite_run("held", t);
}
