/* Requests and streams against a server that says exactly what a test wants, right or wrong. */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bounds.h"
#include "clock.h"
#include "http.h"
#include "tests/unit/http_fixture.h"

static struct err g_err;

static const struct http_request get = {
	.method = "GET", .path = "/x", .timeout = 20 * USEC_PER_SEC, .max_body = 1000};

/* One request by a client of its own; the body is thrown away. */
static int once(const struct http_request *req, int *ret_status)
{
	struct http_client *c = http_client_new(http_fixture_target());
	struct http_response response = {.body = BUF_INIT(10)};
	int rc = http_do(c, req, &response, &g_err);

	*ret_status = response.status;
	buf_done(&response.body);
	http_client_free(c);
	return rc;
}

START_TEST(test_requests)
{
	struct http_response response = {.body = BUF_INIT(10)};

	HTTP_RUN(
		{"HTTP/1.1 200 OK\r\nApi-Version: 1.43\r\nContent-Length: 5\r\n\r\nhello", KEEP, 0},
		{"HTTP/1.1 201 C\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", KEEP,
		 0},
		{"HTTP/1.1 204 N\r\napi-version:1.51\r\nLibpod-API-Version: 4.3.1\r\n\r\n", KEEP,
		 0},
		{"HTTP/1.1 302 F\r\nLocation: http://localhost/evil\r\nContent-Length: 0\r\n\r\n",
		 KEEP, 0});
	struct http_client *c = http_client_new(http_fixture_target());
	ck_assert_int_eq(http_do(c, &get, &response, &g_err), 0);
	ck_assert_int_eq(response.status, 200);
	ck_assert_str_eq(response.body.data, "hello");
	ck_assert_str_eq(response.api_version, "1.43");
	ck_assert(http_fixture_asked("GET /x HTTP/1.1\r\nHost: localhost\r\n"));

	struct http_request post = get;
	post.method = "POST";
	post.path = "/a%20b?c=%7B%7D";
	post.content_type = "application/json";
	post.body = "{\"a\":1}";
	post.body_len = 7;
	ck_assert_int_eq(http_do(c, &post, &response, &g_err), 0);
	ck_assert_int_eq(response.status, 201);
	ck_assert_str_eq(response.body.data, "abc");
	ck_assert_str_eq(response.api_version, "");
	ck_assert_str_eq(response.libpod_version, "");
	ck_assert(http_fixture_asked("POST /a%20b?c=%7B%7D HTTP/1.1\r\n"));
	ck_assert(http_fixture_asked("Content-Type: application/json\r\n"));
	ck_assert(http_fixture_asked("Content-Length: 7\r\n"));
	ck_assert(!http_fixture_asked("Expect"));
	ck_assert(http_fixture_asked("\r\n\r\n{\"a\":1}"));

	struct http_request del = get;
	del.method = "DELETE";
	ck_assert_int_eq(http_do(c, &del, &response, &g_err), 0);
	ck_assert_int_eq(response.status, 204);
	ck_assert_uint_eq(response.body.len, 0);
	ck_assert_str_eq(response.api_version, "1.51");
	ck_assert_str_eq(response.libpod_version, "4.3.1");
	ck_assert(!http_fixture_asked("Content-"));

	post.body = NULL;
	post.body_len = 0;
	post.content_type = NULL;
	ck_assert_int_eq(http_do(c, &post, &response, &g_err), 0);
	ck_assert_int_eq(response.status, 302);
	ck_assert(http_fixture_asked("Content-Length: 0\r\n"));
	ck_assert(!http_fixture_asked("Content-Type"));
	ck_assert_uint_eq(http_fixture_connections(), 1);
	buf_done(&response.body);
	http_client_free(c);
}
END_TEST

START_TEST(test_no_environment)
{
	const struct http_reply replies[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", KEEP, 0}};
	int status;

	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("HTTP_PROXY", "http://127.0.0.1:1", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
	http_fixture_run(true, replies, ARRAY_LEN(replies));
	ck_assert_int_eq(once(&get, &status), 0);
	ck_assert_int_eq(status, 200);
}
END_TEST

START_TEST(test_too_big)
{
	int status;

	HTTP_RUN({"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n", HOLD, 0}, {"", CLOSE, 0});
	struct http_request small = get;
	small.timeout = USEC_PER_SEC;
	/* announced only: nothing to store yet, so it is the time that ends it */
	ck_assert_int_eq(once(&small, &status), -ERR_TIMEOUT);
}
END_TEST

START_TEST(test_too_big_body)
{
	int status;

	HTTP_RUN({"HTTP/1.1 200 OK\r\n\r\n0123456789012345678901234567890123456789", CLOSE, 100});
	ck_assert_int_eq(once(&get, &status), -ERR_TOOBIG);
	ck_assert_ptr_nonnull(strstr(g_err.msg, "1000"));
}
END_TEST

START_TEST(test_too_big_head)
{
	int status;

	HTTP_RUN(
		{"HTTP/1.1 200 OK\r\nA: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nB: b",
		 CLOSE, 5000});
	ck_assert_int_eq(once(&get, &status), -ERR_TOOBIG);
}
END_TEST

START_TEST(test_trouble)
{
	int status;

	HTTP_RUN({"", CLOSE, 0}, {"hello\n", CLOSE, 0},
		 {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", CLOSE, 0}, {"", HOLD, 0});
	ck_assert_int_eq(once(&get, &status), -ERR_UNAVAILABLE);
	ck_assert(err_is_transient(&g_err));
	ck_assert_int_eq(once(&get, &status), -ERR_PROTOCOL);
	ck_assert_int_eq(once(&get, &status), -ERR_UNAVAILABLE);
	struct http_request short_time = get;
	short_time.timeout = 200 * USEC_PER_MSEC;
	usec_t before = clock_mono();
	ck_assert_int_eq(once(&short_time, &status), -ERR_TIMEOUT);
	ck_assert(err_is_transient(&g_err));
	ck_assert_int_lt(clock_mono() - before, 2 * USEC_PER_SEC);
}
END_TEST

START_TEST(test_nobody)
{
	struct http_stream *s;
	int status;

	*http_fixture_target() = (struct http_target){.base_url = "http://localhost",
						      .unix_socket = "/tmp/celeriac-no-such.sock"};
	ck_assert_int_eq(once(&get, &status), -ERR_UNAVAILABLE);
	ck_assert(err_is_transient(&g_err));
	ck_assert_int_eq(http_stream_open(http_fixture_target(), &get, &s, &g_err),
			 -ERR_UNAVAILABLE);
	*http_fixture_target() = (struct http_target){.base_url = "http://127.0.0.1:1"};
	ck_assert_int_eq(once(&get, &status), -ERR_UNAVAILABLE);
}
END_TEST

static const struct http_request upgrade = {
	.method = "POST", .path = "/attach?stdin=1", .timeout = 20 * USEC_PER_SEC};

static struct http_stream *open_stream(void)
{
	struct http_stream *s = NULL;

	ck_assert_msg(http_stream_open(http_fixture_target(), &upgrade, &s, &g_err) == 0, "%s",
		      g_err.msg);
	return s;
}

static void expect(struct http_stream *s, const char *text)
{
	usec_t deadline = clock_deadline(20 * USEC_PER_SEC);
	char got[100] = "";
	size_t have = 0;

	while (have < strlen(text)) {
		ssize_t n = http_stream_read(s, got + have, strlen(text) - have, deadline, &g_err);
		ck_assert_msg(n > 0, "%s", g_err.msg);
		have += (size_t)n;
	}
	ck_assert_str_eq(got, text);
}

/* No descriptor is left, and that is what it says. */
START_TEST(test_no_descriptors)
{
	struct http_target target = {.base_url = "http://localhost",
				     .unix_socket = "/nonexistent/socket"};
	struct http_client *c = http_client_new(&target);
	struct http_response response = {.body = BUF_INIT(10)};
	struct rlimit before, few;
	int first = dup(0);

	ck_assert_int_ge(first, 0);
	ck_assert_int_eq(http_do(c, &get, &response, &g_err), -ERR_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(g_err.msg, "No such file"));
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = (struct rlimit){.rlim_cur = (rlim_t)first, .rlim_max = before.rlim_max};
	ck_assert_int_eq(close(first), 0);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	ck_assert_int_eq(http_do(c, &get, &response, &g_err), -ERR_UNAVAILABLE);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	ck_assert_msg(strstr(g_err.msg, "Too many open files") != NULL, "%s", g_err.msg);
	ck_assert_int_eq(http_do(c, &get, &response, &g_err), -ERR_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(g_err.msg, "No such file"));
	buf_done(&response.body);
	http_client_free(c);
}
END_TEST

START_TEST(test_stream)
{
	char c;

	HTTP_RUN({"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly", ECHO,
		  0},
		 {"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\nold",
		  CLOSE, 0});
	struct http_stream *s = open_stream();
	ck_assert(http_fixture_asked("POST /attach?stdin=1 HTTP/1.1\r\n"));
	ck_assert(http_fixture_asked("Host: localhost\r\n"));
	ck_assert(http_fixture_asked("Upgrade: tcp\r\n"));
	expect(s, "ear");
	expect(s, "ly");
	ck_assert_int_eq(http_stream_write(s, "ping", 4, clock_deadline(20 * USEC_PER_SEC), &g_err),
			 0);
	expect(s, "ping");
	ck_assert_int_eq(http_stream_read(s, &c, 1, clock_mono() - 1, &g_err), -ERR_TIMEOUT);
	ck_assert_int_eq(http_stream_read(s, &c, 1, clock_mono() + 100 * USEC_PER_MSEC, &g_err),
			 -ERR_TIMEOUT);
	ck_assert_int_ge(http_stream_fd(s), 0);
	http_stream_close(s);

	s = open_stream();
	expect(s, "old");
	ck_assert_int_eq(http_stream_read(s, &c, 1, clock_deadline(20 * USEC_PER_SEC), &g_err), 0);
	http_stream_close(s);
}
END_TEST

START_TEST(test_stream_refused)
{
	static const int codes[] = {ERR_NOTFOUND, ERR_CONFLICT, ERR_PROTOCOL, ERR_PROTOCOL};
	struct http_stream *s = NULL;

	HTTP_RUN({"HTTP/1.1 404 Not Found\r\nContent-Length: 11\r\n\r\nno such one", KEEP, 0},
		 {"HTTP/1.1 409 C\r\n\r\nis paused", CLOSE, 0},
		 {"HTTP/1.1 500 E\r\nContent-Length: 4\r\n\r\noops", CLOSE, 0},
		 {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine", KEEP, 0});
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		ck_assert_int_eq(http_stream_open(http_fixture_target(), &upgrade, &s, &g_err),
				 -codes[i]);
		ck_assert(err_is_transient(&g_err) == (i == 2));
		ck_assert_ptr_null(s);
		if (i == 0)
			ck_assert_ptr_nonnull(strstr(g_err.msg, "no such one"));
	}
	struct http_request bad = upgrade;
	bad.path = "/x HTTP/1.1\r\nEvil: 1";
	ck_assert_int_eq(http_stream_open(http_fixture_target(), &bad, &s, &g_err), -ERR_INVALID);
}
END_TEST

START_TEST(test_stream_trouble)
{
	struct http_stream *s = NULL;
	struct http_request quick = upgrade;

	HTTP_RUN({"", CLOSE, 0}, {"SSH-2.0\r\n", CLOSE, 0}, {"HTTP/1.1 200", HOLD, 0});
	ck_assert_int_eq(http_stream_open(http_fixture_target(), &upgrade, &s, &g_err),
			 -ERR_UNAVAILABLE);
	ck_assert_int_eq(http_stream_open(http_fixture_target(), &upgrade, &s, &g_err),
			 -ERR_PROTOCOL);
	quick.timeout = 200 * USEC_PER_MSEC;
	ck_assert_int_eq(http_stream_open(http_fixture_target(), &quick, &s, &g_err), -ERR_TIMEOUT);
}
END_TEST

#define BOTH_WAYS (8u << 20)

static void *write_much(void *arg)
{
	static char data[BOTH_WAYS];
	struct err err;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 7 + i / 251);
	int rc =
		http_stream_write(arg, data, sizeof(data), clock_deadline(30 * USEC_PER_SEC), &err);
	return rc == 0 ? NULL : arg;
}

/* One thread reads while another writes more than all the buffers in between hold. */
START_TEST(test_stream_both_ways)
{
	static char piece[10000];
	pthread_t writer;
	void *failed;
	size_t have = 0;

	HTTP_RUN({"HTTP/1.1 101 UPGRADED\r\n\r\n", ECHO, 0});
	struct http_stream *s = open_stream();
	ck_assert_int_eq(pthread_create(&writer, NULL, write_much, s), 0);
	while (have < BOTH_WAYS) {
		ssize_t n = http_stream_read(s, piece, sizeof(piece),
					     clock_deadline(20 * USEC_PER_SEC), &g_err);
		ck_assert_msg(n > 0, "%s", g_err.msg);
		for (ssize_t i = 0; i < n; i++, have++)
			if (piece[i] != (char)(have * 7 + have / 251))
				ck_abort_msg("byte %zu is wrong", have);
	}
	pthread_join(writer, &failed);
	ck_assert_ptr_null(failed);
	http_stream_close(s);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("http");
	TCase *t = tcase_create("http");
	struct err err;

	if (http_global_init(&err) < 0)
		return EXIT_FAILURE;
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, NULL, http_fixture_clean);
	tcase_add_test(t, test_requests);
	tcase_add_test(t, test_no_environment);
	tcase_add_test(t, test_too_big);
	tcase_add_test(t, test_too_big_body);
	tcase_add_test(t, test_too_big_head);
	tcase_add_test(t, test_trouble);
	tcase_add_test(t, test_nobody);
	tcase_add_test(t, test_stream);
	tcase_add_test(t, test_no_descriptors);
	tcase_add_test(t, test_stream_refused);
	tcase_add_test(t, test_stream_trouble);
	tcase_add_test(t, test_stream_both_ways);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
