/* The engine client against engines that answer what a real one only does on a bad day. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "buf.h"
#include "clock.h"
#include "common/sandbox/engine_internal.h"
#include "tests/unit/http_fixture.h"

#define ID	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define AGENT	"celeriac-agent-0123456789abcdef"
#define PACKAGE "celeriac-package-0123456789abcdef"
#define PING(version)                                                                              \
	{                                                                                          \
		"HTTP/1.1 200 OK\r\nApi-Version: " version "\r\n\r\nOK", CLOSE, 0                  \
	}
#define SAYS(status, body)                                                                         \
	{                                                                                          \
		"HTTP/1.1 " status " X\r\n\r\n" body, CLOSE, 0                                     \
	}
#define MESSAGE(status, text) SAYS(status, "{\"message\":\"" text "\"}")
#define INSPECT(instance)                                                                          \
	SAYS("200",                                                                                \
	     "{\"Id\":\"" ID "\",\"Name\":\"/"                                                     \
	     "celeriac-run-0123456789abcdef\",\"Created\":\"2026-11-21T09:39:00Z\",\"State\":{},"  \
	     "\"Config\":{\"Labels\":{\"celeriac.instance\":\"" instance "\"}}}")

static struct engine *g_engine;
static struct engine_container g_container;
static struct err g_err;

static const char *const argv[] = {"/x", NULL};
static const struct engine_spec spec = {.image = "img", .argv = argv};

/* To be called after HTTP_RUN. */
static void connect_pinned(const char *version)
{
	char host[100];

	snprintf(host, sizeof(host), "unix://%s", http_fixture_target()->unix_socket);
	struct engine_config config = {.host = host, .instance = "mine", .api_version = version};
	ck_assert_msg(engine_open(&config, &g_engine, &g_err) == 0, "%s", g_err.msg);
}

static void connect_engine(void)
{
	connect_pinned(NULL);
}

static void done(void)
{
	engine_close(g_engine);
	http_fixture_clean();
}

START_TEST(test_newer_engine)
{
	HTTP_RUN(PING("1.56"), MESSAGE("404", "No such container: 0123456789ab"),
		 MESSAGE("404", "page not found"));
	connect_engine();
	ck_assert_int_eq(engine_inspect(g_engine, ID, &g_container, &g_err), -ERR_NOTFOUND);
	ck_assert(http_fixture_asked("GET /v1.51/containers/" ID "/json HTTP/1.1\r\n"));
	ck_assert_int_eq(engine_inspect(g_engine, ID, &g_container, &g_err), -ERR_UNSUPPORTED);
}
END_TEST

START_TEST(test_older_engine)
{
	HTTP_RUN(PING("1.40"), SAYS("200", "OK"), SAYS("200", "<html>"), MESSAGE("500", "no"));
	connect_engine();
	ck_assert_int_eq(engine_kill(g_engine, ID, &g_err), -ERR_UNSUPPORTED);
	ck_assert_int_eq(engine_kill(g_engine, ID, &g_err), -ERR_PROTOCOL);
	ck_assert_int_eq(engine_kill(g_engine, ID, &g_err), -ERR_PROTOCOL);
	ck_assert_int_eq(engine_kill(g_engine, ID, &g_err), -ERR_FAILED);
	ck_assert(err_is_transient(&g_err));
}
END_TEST

/* It is no fault of who asked, and may be over the next time. */
START_TEST(test_garbled_engine)
{
	HTTP_RUN(PING("1.41"), SAYS("200", "{\"Id\": 7,"), SAYS("200", ""), INSPECT("mine"));
	connect_engine();
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(engine_inspect(g_engine, ID, &g_container, &g_err), -ERR_PROTOCOL);
		ck_assert(err_is_transient(&g_err));
		ck_assert_ptr_nonnull(strstr(g_err.msg, "not an engine's"));
	}
	ck_assert_int_eq(engine_inspect(g_engine, ID, &g_container, &g_err), 0);
}
END_TEST

/* An engine that was exchanged for another while we run. */
START_TEST(test_exchanged_engine)
{
	HTTP_RUN(PING("1.48"), INSPECT("mine"),
		 MESSAGE("400",
			 "client version 1.48 is too new. Maximum supported API version is 1.42"),
		 PING("1.42"), INSPECT("mine"));
	connect_engine();
	ck_assert_int_eq(engine_inspect(g_engine, ID, &g_container, &g_err), 0);
	ck_assert(http_fixture_asked("GET /v1.48/"));
	ck_assert_int_eq(engine_inspect(g_engine, ID, &g_container, &g_err), -ERR_UNSUPPORTED);
	ck_assert_int_eq(engine_inspect(g_engine, ID, &g_container, &g_err), 0);
	ck_assert(http_fixture_asked("GET /v1.42/"));
}
END_TEST

START_TEST(test_pinned)
{
	HTTP_RUN(PING("1.51"), INSPECT("mine"));
	connect_pinned("1.43");
	ck_assert_int_eq(engine_inspect(g_engine, ID, &g_container, &g_err), 0);
	ck_assert(http_fixture_asked("GET /v1.43/"));
}
END_TEST

START_TEST(test_remove_is_patient)
{
	HTTP_RUN(PING("1.41"), INSPECT("mine"),
		 MESSAGE("409", "removal of container x is already in progress"),
		 MESSAGE("500", "device or resource busy"), MESSAGE("404", "No such container: x"));
	connect_engine();
	ck_assert_int_eq(engine_remove(g_engine, ID, &g_err), 0);
	ck_assert(http_fixture_asked("DELETE /v1.41/containers/" ID "?force=1&v=1 HTTP/1.1\r\n"));
	ck_assert_uint_eq(http_fixture_requests(), 5);
}
END_TEST

/* Nothing is deleted that is not known to be ours; and only the engine's own word means gone. */
START_TEST(test_remove_is_careful)
{
	HTTP_RUN(PING("1.41"), INSPECT("mine2"), SAYS("404", "<html>not found</html>"),
		 SAYS("200", "{\"Id\":\"" ID "\",\"Created\":\"2026-11-21T09:39:00Z\","
			     "\"Config\":{\"Labels\":null}}"),
		 MESSAGE("404", "No such container: x"));
	connect_engine();
	ck_assert_int_eq(engine_remove(g_engine, ID, &g_err), -ERR_DENIED);
	ck_assert_int_eq(engine_remove(g_engine, ID, &g_err), -ERR_PROTOCOL);
	ck_assert_int_eq(engine_remove(g_engine, ID, &g_err), -ERR_DENIED);
	ck_assert_int_eq(engine_remove(g_engine, ID, &g_err), 0);
	ck_assert_uint_eq(http_fixture_requests(), 5);
	ck_assert(!http_fixture_asked("DELETE"));
}
END_TEST

/* Of several who remove it, one has done it. */
START_TEST(test_removed_by_one)
{
	bool done = false;

	HTTP_RUN(PING("1.41"), INSPECT("mine"), SAYS("204", ""), INSPECT("mine"),
		 MESSAGE("409", "removal of container x is already in progress"),
		 MESSAGE("404", "No such container: x"), INSPECT("mine"),
		 MESSAGE("500", "a driver that takes its time"),
		 MESSAGE("404", "No such container: x"), MESSAGE("404", "No such container: x"));
	connect_engine();
	for (int i = 0; i < 4; i++) {
		static const bool expected[] = {true, false, true, false};

		ck_assert_int_eq(engine_reap(g_engine, ID, "idle", &done, &g_err), 0);
		ck_assert_msg(done == expected[i], "%d", i);
	}
}
END_TEST

/* Lines that come in any pieces, noise between them, and an end. */
START_TEST(test_events)
{
	struct engine_events *events;
	struct engine_notice n;

#define DIES(id)                                                                                   \
	"{\"Action\":\"die\",\"Actor\":{\"ID\":\"" id "\",\"Attributes\":{"                        \
	"\"celeriac.instance\":\"mine\",\"name\":\"celeriac-run-0123456789abcdef\"}}}\n"
	HTTP_RUN(PING("1.41"),
		 SAYS("200", DIES(ID) "noise\n\n{}\n" DIES("0123456789ab") "{\"Action\":"),
		 SAYS("403", "forbidden"));
	connect_engine();
	ck_assert_msg(engine_events_open(g_engine, &events, &g_err) == 0, "%s", g_err.msg);
	ck_assert(http_fixture_asked("GET /v1.41/events?filters=%7B%22type%22"));
	ck_assert(http_fixture_asked(" HTTP/1.0\r\n"));
	ck_assert(!http_fixture_asked("Upgrade"));
	ck_assert_int_eq(engine_events_next(events, clock_deadline(20 * USEC_PER_SEC), &n, &g_err),
			 1);
	ck_assert_str_eq(n.id, ID);
	ck_assert_int_eq(engine_events_next(events, clock_deadline(20 * USEC_PER_SEC), &n, &g_err),
			 1);
	ck_assert_str_eq(n.id, "0123456789ab");
	ck_assert_int_eq(engine_events_next(events, clock_deadline(20 * USEC_PER_SEC), &n, &g_err),
			 0);
	engine_events_close(events);
	ck_assert_int_lt(engine_events_open(g_engine, &events, &g_err), 0);
}
END_TEST

/* One event is bounded. */
START_TEST(test_endless_event)
{
	struct engine_events *events;
	struct engine_notice n;

	static char endless[300 << 10];

	memset(endless, 'x', sizeof(endless) - 1);
	memcpy(endless, "HTTP/1.1 200 OK\r\n\r\n", 19);
	HTTP_RUN(PING("1.41"), {endless, CLOSE, 0});
	connect_engine();
	ck_assert_msg(engine_events_open(g_engine, &events, &g_err) == 0, "%s", g_err.msg);
	ck_assert_int_eq(engine_events_next(events, clock_deadline(5 * USEC_PER_SEC), &n, &g_err),
			 -ERR_TOOBIG);
	engine_events_close(events);
}
END_TEST

START_TEST(test_create)
{
	char id[ENGINE_ID_SIZE] = "untouched", *warnings = NULL;

	HTTP_RUN(PING("1.41"), SAYS("201", "{\"Id\":\"" ID "\",\"Warnings\":[\"one\",\"two\"]}"),
		 SAYS("201", "{\"Id\":\"../../etc\",\"Warnings\":null}"), SAYS("201", "{}"),
		 SAYS("201", "created!"), MESSAGE("404", "No such image: img"),
		 MESSAGE("409", "Conflict. The container name is already in use"),
		 MESSAGE("500", "storage driver"));
	connect_engine();
	for (int i = 0; i < 2; i++) {
		/* the second answer's id would be a path */
		int rc = engine_create(g_engine, &spec, id, &warnings, &g_err);
		ck_assert_int_eq(rc, i ? -ERR_PROTOCOL : 0);
		ck_assert_str_eq(id, ID);
		ck_assert_str_eq(warnings, "one\ntwo");
	}
	ck_assert_int_eq(engine_create(g_engine, &spec, id, NULL, &g_err), -ERR_PROTOCOL);
	ck_assert_int_lt(engine_create(g_engine, &spec, id, NULL, &g_err), 0);
	ck_assert_int_eq(engine_create(g_engine, &spec, id, NULL, &g_err), -ERR_NOTFOUND);
	ck_assert_int_eq(engine_create(g_engine, &spec, id, NULL, &g_err), -ERR_CONFLICT);
	ck_assert_int_eq(engine_create(g_engine, &spec, id, NULL, &g_err), -ERR_FAILED);
	ck_assert(err_is_transient(&g_err));
	free(warnings);
}
END_TEST

/* What an engine is shows in the answer that also tells its version: before the first container,
 * and when it was exchanged for another. */
START_TEST(test_create_for_another_engine)
{
	char id[ENGINE_ID_SIZE];

	HTTP_RUN({"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nLibpod-API-Version: 4.3.1\r\n\r\nOK",
		  CLOSE, 0},
		 SAYS("201", "{\"Id\":\"" ID "\"}"), PING("1.41"),
		 SAYS("201", "{\"Id\":\"" ID "\"}"));
	connect_engine();
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(engine_create(g_engine, &spec, id, NULL, &g_err), 0);
		ck_assert(http_fixture_asked("\"nproc\"") == (i == 0));
		ck_assert_int_eq(engine_traits(g_engine) != 0, i == 0);
		if (i == 0)
			ck_assert_int_eq(engine_ping(g_engine, &g_err), 0);
	}
}
END_TEST

START_TEST(test_start_and_kill)
{
	HTTP_RUN(PING("1.41"), SAYS("304", ""), MESSAGE("404", "network celeriac-x not found"),
		 INSPECT("mine"), MESSAGE("404", "No such container: x"),
		 MESSAGE("404", "No such container: x"),
		 MESSAGE("409", "Container x is not running"));
	connect_engine();
	ck_assert_int_eq(engine_start(g_engine, ID, &g_err), 0);
	ck_assert_int_eq(engine_start(g_engine, ID, &g_err), -ERR_FAILED);
	ck_assert_ptr_nonnull(strstr(g_err.msg, "network celeriac-x not found"));
	ck_assert_int_eq(engine_start(g_engine, ID, &g_err), -ERR_NOTFOUND);
	ck_assert_int_eq(engine_kill(g_engine, ID, &g_err), 0);
}
END_TEST

START_TEST(test_monstrous_answers)
{
	static char wide[1001], deep[10001];
	struct engine_container *all = NULL;
	struct engine_info info;
	size_t count;

	memset(wide, ' ', sizeof(wide) - 1);
	memset(deep, '[', sizeof(deep) - 1);
	memcpy(deep, "HTTP/1.1 200 X\r\n\r\n", 18);
	memcpy(wide, "HTTP/1.1 200 X\r\n\r\n", 18);
	HTTP_RUN(PING("1.41"), {wide, CLOSE, 20000}, {deep, CLOSE, 0}, SAYS("200", "{}"),
		 PING("1.41"), SAYS("200", "[]"));
	connect_engine();
	ck_assert_int_eq(engine_list(g_engine, &all, &count, &g_err), -ERR_TOOBIG);
	ck_assert_int_lt(engine_list(g_engine, &all, &count, &g_err), 0);
	ck_assert_int_eq(engine_list(g_engine, &all, &count, &g_err), -ERR_PROTOCOL);
	ck_assert_int_eq(engine_probe(g_engine, &info, &g_err), -ERR_PROTOCOL);
	ck_assert_ptr_null(all);
}
END_TEST

START_TEST(test_attach)
{
	struct engine_stream *s = NULL;
	enum engine_channel channel;
	const void *data;
	size_t len;

	/* the second: a proxy's 404, and the engine says that the container is there */
	HTTP_RUN(PING("1.41"), MESSAGE("404", "No such container: x"),
		 MESSAGE("404", "No such container: x"), SAYS("404", "<html>"), INSPECT("mine"),
		 MESSAGE("409", "container is paused"),
		 {"HTTP/1.1 101 U\r\n\r\nthis is a terminal's output", CLOSE, 0});
	connect_engine();
	ck_assert_int_eq(engine_attach(g_engine, ID, &s, &g_err), -ERR_NOTFOUND);
	ck_assert_int_eq(engine_attach(g_engine, ID, &s, &g_err), -ERR_PROTOCOL);
	ck_assert_int_eq(engine_attach(g_engine, ID, &s, &g_err), -ERR_CONFLICT);
	ck_assert_int_eq(engine_attach(g_engine, ID, &s, &g_err), 0);
	ck_assert(http_fixture_asked("?stream=1&stdin=1&stdout=1&stderr=1 HTTP/1.1\r\n"));
	ck_assert_int_eq(engine_stream_read(s, USEC_NEVER, &channel, &data, &len, &g_err),
			 -ERR_PROTOCOL);
	engine_stream_close(s);
}
END_TEST

/* As many volumes of packages as there may be: those of others do not count. */
/* Whether a volume is there: an engine that cannot say has not said that it is none. */
START_TEST(test_volumes_looked_for)
{
	HTTP_RUN(PING("1.41"), SAYS("200", "{\"Labels\":{\"celeriac.role\":\"agent\"}}"),
		 SAYS("200", "{\"Labels\":{}}"), MESSAGE("404", "get: no such volume"),
		 MESSAGE("500", "no"), SAYS("200", "{\"Labels\":{\"celeriac.instance\":\"mine\"}}"),
		 SAYS("200", "{\"Labels\":{\"celeriac.instance\":\"mine2\"}}"),
		 MESSAGE("404", "get: no such volume"), MESSAGE("500", "no"));
	connect_engine();
	ck_assert_int_eq(engine_agent_exists(g_engine, AGENT, &g_err), 1);
	ck_assert_int_eq(engine_agent_exists(g_engine, AGENT, &g_err), 0);
	ck_assert_int_eq(engine_agent_exists(g_engine, AGENT, &g_err), 0);
	ck_assert_int_eq(engine_agent_exists(g_engine, AGENT, &g_err), -ERR_FAILED);
	ck_assert(err_is_transient(&g_err));
	ck_assert_int_eq(engine_package_look(g_engine, PACKAGE, &g_err), 1);
	ck_assert_int_eq(engine_package_look(g_engine, PACKAGE, &g_err), 0);
	ck_assert_int_eq(engine_package_look(g_engine, PACKAGE, &g_err), 0);
	ck_assert_int_eq(engine_package_look(g_engine, PACKAGE, &g_err), -ERR_FAILED);
	ck_assert(err_is_transient(&g_err));
	ck_assert_uint_eq(http_fixture_requests(), 9);
	ck_assert_int_eq(engine_agent_exists(g_engine, "postgres-data", &g_err), 0);
	ck_assert_int_eq(engine_package_look(g_engine, "postgres-data", &g_err), 0);
	ck_assert_uint_eq(http_fixture_requests(), 9);
}
END_TEST

START_TEST(test_package_volumes)
{
	static char full[BOUND_PACKAGE_VOLUMES * 200], others[sizeof(full)];
	const char *const owners[] = {"mine", "another"};
	char *const texts[] = {full, others};
	bool made = true;

	for (size_t t = 0; t < 2; t++) {
		struct buf b = BUF_INIT(sizeof(full));

		buf_append_str(&b, "HTTP/1.1 200 X\r\n\r\n{\"Volumes\":[");
		for (size_t i = 0; i < BOUND_PACKAGE_VOLUMES; i++)
			buf_appendf(&b,
				    "%s{\"Name\":\"celeriac-package-%zu\",\"Labels\":{\"celeriac."
				    "role\":\"package\",\"celeriac.instance\":\"%s\"}}",
				    i ? "," : "", i, i ? "mine" : owners[t]);
		buf_append_str(&b, "]}");
		ck_assert(!b.failed);
		memcpy(texts[t], b.data, b.len);
		buf_done(&b);
	}
	HTTP_RUN(PING("1.41"), MESSAGE("404", "no such volume"), {full, CLOSE, 0},
		 MESSAGE("404", "no such volume"), {others, CLOSE, 0},
		 SAYS("201", "{\"Name\":\"celeriac-package-x\"}"),
		 SAYS("200", "{\"Name\":\"celeriac-package-x\",\"Labels\":{\"celeriac.instance\":"
			     "\"mine\"}}"));
	connect_engine();
	ck_assert_int_eq(engine_package_volume(g_engine, "celeriac-package-x", &made, &g_err),
			 -ERR_DENIED);
	ck_assert_ptr_nonnull(strstr(g_err.msg, "there are 64 volumes of packages"));
	ck_assert(!made);
	ck_assert(!http_fixture_asked("POST "));
	ck_assert_int_eq(engine_package_volume(g_engine, "celeriac-package-x", &made, &g_err), 0);
	ck_assert(made);
	/* one that is there is used, however many there are */
	ck_assert_int_eq(engine_package_volume(g_engine, "celeriac-package-x", &made, &g_err), 0);
	ck_assert(!made);
	ck_assert_uint_eq(http_fixture_requests(), 7);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("engine_fake");
	TCase *t = tcase_create("engine");
	struct err err;

	if (http_global_init(&err) < 0)
		return EXIT_FAILURE;
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, NULL, done);
	tcase_add_test(t, test_newer_engine);
	tcase_add_test(t, test_older_engine);
	tcase_add_test(t, test_garbled_engine);
	tcase_add_test(t, test_exchanged_engine);
	tcase_add_test(t, test_pinned);
	tcase_add_test(t, test_remove_is_patient);
	tcase_add_test(t, test_remove_is_careful);
	tcase_add_test(t, test_removed_by_one);
	tcase_add_test(t, test_events);
	tcase_add_test(t, test_endless_event);
	tcase_add_test(t, test_create);
	tcase_add_test(t, test_create_for_another_engine);
	tcase_add_test(t, test_start_and_kill);
	tcase_add_test(t, test_monstrous_answers);
	tcase_add_test(t, test_attach);
	tcase_add_test(t, test_volumes_looked_for);
	tcase_add_test(t, test_package_volumes);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
