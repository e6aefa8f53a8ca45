/*
 * test_redis_conn.c: one connection against a real server.
 */
#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bounds.h"
#include "clock.h"
#include "common/client/redis_conn.h"
#include "mem.h"
#include "tests/unit/redis_fixture.h"

static struct redis_server *g_server, *g_locked;

static void start(void)
{
	g_server = redis_server_start(NULL);
	g_locked = redis_server_start("hunter2");
}

static void stop(void)
{
	redis_server_free(g_server);
	redis_server_free(g_locked);
}

static int open_url(char *url, usec_t timeout, struct redis **ret, struct err *err)
{
	struct redis_address a;
	int rc;

	ck_assert_int_eq(redis_address_parse(url, &a, err), 0);
	free(url);
	rc = redis_open(&a, "test", timeout, ret, err);
	redis_address_done(&a);
	return rc;
}

static struct redis *open_server(const struct redis_server *s)
{
	struct redis *r = NULL;
	struct err err;

	ck_assert_msg(open_url(redis_server_url(s, 1), 5 * USEC_PER_SEC, &r, &err) == 0, "%s",
		      err.msg);
	return r;
}

START_TEST(test_open)
{
	struct redis *r = open_server(g_server);
	struct redis_reply *reply;
	struct err err;

	ck_assert_int_eq(redis_do(r, &reply, &err, "CLIENT GETNAME"), 0);
	ck_assert_str_eq(redis_reply_str(reply).data, "test");
	redis_reply_free(reply);
	/* Database 1, as the URL says. */
	ck_assert_int_eq(redis_do(r, NULL, &err, "SET in1 x"), 0);
	ck_assert_int_eq(redis_do(r, NULL, &err, "SELECT 0"), 0);
	ck_assert_int_eq(redis_do(r, &reply, &err, "EXISTS in1"), 0);
	ck_assert_int_eq(redis_reply_int(reply), 0);
	redis_reply_free(reply);
	redis_close(r);
	ck_assert_int_eq(
		open_url(redis_server_socket_url(g_server, 2), 20 * USEC_PER_SEC, &r, &err), 0);
	redis_close(r);
	redis_close(NULL);
}
END_TEST

START_TEST(test_password)
{
	struct redis *r = NULL;
	struct err err;
	char *url;

	redis_close(open_server(g_locked));
	ck_assert_int_eq(
		open_url(redis_server_socket_url(g_locked, 0), 20 * USEC_PER_SEC, &r, &err), 0);
	redis_close(r);
	r = NULL;

	url = redis_server_url(g_locked, 0);
	*strstr(url, "hunter2") = 'X';
	ck_assert_int_eq(open_url(url, 20 * USEC_PER_SEC, &r, &err), -ERR_DENIED);
	ck_assert(!err_is_transient(&err));
	ck_assert_ptr_null(strstr(err.msg, "unter2"));
	ck_assert_ptr_null(r);

	url = redis_server_url(g_locked, 0);
	memmove(strchr(url, ':') + 3, strchr(url, '@') + 1, strlen(strchr(url, '@')));
	ck_assert_int_eq(open_url(url, 20 * USEC_PER_SEC, &r, &err), -ERR_DENIED);
	ck_assert_ptr_nonnull(strstr(err.msg, "wants a password"));
}
END_TEST

START_TEST(test_unreachable)
{
	struct redis *r;
	struct err err;

	ck_assert_int_eq(open_url(strdup("redis://:hunter2@127.0.0.1:1"), USEC_PER_SEC, &r, &err),
			 -ERR_UNAVAILABLE);
	ck_assert(err_is_transient(&err));
	ck_assert_ptr_null(strstr(err.msg, "hunter2"));
	ck_assert_int_eq(open_url(strdup("redis+socket:///nonexistent/s"), USEC_PER_SEC, &r, &err),
			 -ERR_UNAVAILABLE);
	ck_assert_int_eq(open_url(strdup("redis://no-such-host.invalid"), USEC_PER_SEC, &r, &err),
			 -ERR_UNAVAILABLE);
}
END_TEST

/* A server that accepts and then says nothing. */
START_TEST(test_silent_server)
{
	struct redis_server *s = redis_server_start(NULL);
	struct redis *r = open_server(s), *other;
	struct redis_address a;
	struct err err;
	usec_t begin = clock_mono();
	uint64_t one = 1;
	int cancel = eventfd(0, EFD_CLOEXEC);
	char *url = redis_server_url(s, 0);

	redis_server_freeze(s);
	ck_assert_int_eq(open_url(strdup(url), 200 * USEC_PER_MSEC, &other, &err), -ERR_TIMEOUT);
	ck_assert_int_lt(clock_mono() - begin, 2 * USEC_PER_SEC);
	ck_assert_int_eq(redis_address_parse(url, &a, &err), 0);
	ck_assert_int_eq(write(cancel, &one, sizeof(one)), sizeof(one));
	ck_assert_int_eq(redis_open_cancellable(&a, "x", 10 * USEC_PER_SEC, cancel, &other, &err),
			 -ERR_CANCELLED);
	redis_address_done(&a);
	free(url);
	close(cancel);

	r->timeout = 200 * USEC_PER_MSEC;
	ck_assert_int_eq(redis_do(r, NULL, &err, "PING"), -ERR_TIMEOUT);
	redis_server_thaw(s);
	/* The late reply must not be taken for that of the next command. */
	ck_assert_int_eq(redis_do(r, NULL, &err, "PING"), -ERR_CLOSED);
	redis_close(r);
	redis_server_free(s);
}
END_TEST

/* ---- a server whose answer comes in pieces, or that takes what it is asked in them ---- */
struct pieces {
	int listener;
	size_t count, each;
	int pause_ms;
	size_t asked; /* bytes of the question, all of them; 0 = a short one */
};

static void pause_between(const struct pieces *p)
{
	nanosleep(&(struct timespec){.tv_sec = p->pause_ms / 1000,
				     .tv_nsec = p->pause_ms % 1000 * 1000000L},
		  NULL);
}

static void take_in_pieces(const struct pieces *p, int fd, char *room)
{
	ssize_t n = 1;

	for (size_t got = 0; n > 0 && got < p->asked; got += (size_t)n) {
		pause_between(p);
		n = recv(fd, room, p->asked - got < p->each ? p->asked - got : p->each,
			 MSG_WAITALL);
	}
	if (n > 0)
		(void)send(fd, "$0\r\n\r\n", 6, MSG_NOSIGNAL);
}

/* Says OK to the two commands of the handshake, and one text to the next. */
static void *answer_in_pieces(void *arg)
{
	const struct pieces *p = arg;
	_cleanup_free_ char *text = xcalloc(1, p->each);
	int fd = accept(p->listener, NULL, NULL);
	char asked[4096], head[64];
	ssize_t sent;

	ck_assert_int_gt(read(fd, asked, sizeof(asked)), 0);
	sent = send(fd, "+OK\r\n+PONG\r\n", 12, MSG_NOSIGNAL);
	if (p->asked) {
		take_in_pieces(p, fd, text);
		close(fd);
		return NULL;
	}
	ck_assert_int_gt(read(fd, asked, sizeof(asked)), 0);
	snprintf(head, sizeof(head), "$%zu\r\n", p->count * p->each);
	sent = send(fd, head, strlen(head), MSG_NOSIGNAL);
	for (size_t i = 0; sent > 0 && i < p->count; i++) {
		pause_between(p);
		sent = send(fd, text, p->each, MSG_NOSIGNAL);
	}
	if (sent > 0)
		(void)send(fd, "\r\n", 2, MSG_NOSIGNAL);
	close(fd);
	return NULL;
}

static int ask_in_pieces(struct pieces *p, const char *question, size_t len, usec_t timeout,
			 size_t *ret_len, struct err *err)
{
	_cleanup_buf_ struct buf b = BUF_INIT(BOUND_REDIS_COMMAND);
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(at);
	struct redis *r;
	pthread_t thread;
	int rc;

	redis_command(&b, "GET %b", question, len);
	p->asked = len > p->each ? b.len : 0;
	p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(p->listener, SOL_SOCKET, SO_RCVBUF, &(int){64 << 10}, sizeof(int));
	ck_assert_int_eq(bind(p->listener, (struct sockaddr *)&at, size), 0);
	ck_assert_int_eq(listen(p->listener, 1), 0);
	ck_assert_int_eq(getsockname(p->listener, (struct sockaddr *)&at, &size), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, answer_in_pieces, p), 0);
	ck_assert_int_eq(open_url(xasprintf("redis://127.0.0.1:%d", ntohs(at.sin_port)),
				  5 * USEC_PER_SEC, &r, err),
			 0);
	r->timeout = timeout;
	/* little is on its way before it is read */
	setsockopt(redis_fd(r), SOL_SOCKET, SO_SNDBUF, &(int){64 << 10}, sizeof(int));
	rc = redis_exchange(r, &b, 1, &reply, err);
	if (rc == 0)
		*ret_len = redis_reply_str(reply).len;
	redis_close(r);
	pthread_join(thread, NULL);
	close(p->listener);
	return rc;
}

/* What comes is waited for, for longer than a server may say nothing; what hardly comes is not. */
START_TEST(test_pieces)
{
	struct pieces steady = {.count = 4, .each = 3u << 20, .pause_ms = 900},
		      crawling = {.count = 100000, .each = 1, .pause_ms = 10};
	struct err err;
	size_t len = 0;
	int rc = ask_in_pieces(&steady, "k", 1, 3 * USEC_PER_SEC, &len, &err);

	ck_assert_msg(rc == 0, "%s", err.msg);
	ck_assert_uint_eq(len, 12u << 20);
	ck_assert_int_eq(ask_in_pieces(&crawling, "k", 1, USEC_PER_SEC / 2, &len, &err),
			 -ERR_TIMEOUT);
}
END_TEST

/* The same of what the server is asked. */
START_TEST(test_asked_in_pieces)
{
	struct pieces steady = {.each = 4u << 20, .pause_ms = 900},
		      crawling = {.each = 1000, .pause_ms = 10};
	const size_t size = 28u << 20;
	_cleanup_free_ char *question = xcalloc(1, size);
	struct err err;
	size_t len = 1;
	int rc = ask_in_pieces(&steady, question, size, 3 * USEC_PER_SEC, &len, &err);

	ck_assert_msg(rc == 0, "%s", err.msg);
	ck_assert_uint_eq(len, 0);
	ck_assert_int_eq(ask_in_pieces(&crawling, question, size, USEC_PER_SEC / 2, &len, &err),
			 -ERR_TIMEOUT);
}
END_TEST

START_TEST(test_errors_are_replies)
{
	struct redis *r = open_server(g_server);
	_cleanup_buf_ struct buf b = BUF_INIT(1024);
	struct redis_reply *replies[2];
	struct err err;

	redis_command(&b, "NONSENSE");
	redis_command(&b, "PING");
	ck_assert_int_eq(redis_exchange(r, &b, 2, replies, &err), 0);
	ck_assert_uint_eq(b.len, 0);
	ck_assert_int_eq(redis_reply_type(replies[0]), REDIS_ERROR);
	ck_assert_int_eq(redis_reply_type(replies[1]), REDIS_STATUS);
	redis_reply_free(replies[0]);
	redis_reply_free(replies[1]);
	ck_assert_int_eq(redis_do(r, NULL, &err, "LPOP"), -ERR_FAILED);
	ck_assert_ptr_nonnull(strstr(err.msg, "wrong number of arguments"));
	ck_assert_int_eq(redis_do(r, NULL, &err, "PING"), 0);
	redis_close(r);
}
END_TEST

/* Far more than both sockets hold in each direction. */
START_TEST(test_huge_pipeline)
{
	enum { COUNT = 300 };
	struct redis *r = open_server(g_server);
	struct buf b = BUF_INIT(BOUND_REDIS_COMMAND);
	struct redis_reply *replies[COUNT];
	struct err err;
	size_t size = 200000;
	char *value = malloc(size);

	r->timeout = 50 * USEC_PER_SEC; /* other programs may have the processors */
	memset(value, 'v', size);
	for (int i = 0; i < COUNT; i++)
		redis_command(&b, "ECHO %b", value, size);
	ck_assert_msg(redis_exchange(r, &b, COUNT, replies, &err) == 0, "%s", err.msg);
	for (int i = 0; i < COUNT; i++) {
		ck_assert_uint_eq(redis_reply_str(replies[i]).len, size);
		redis_reply_free(replies[i]);
	}
	free(value);
	buf_done(&b);
	redis_close(r);
}
END_TEST

START_TEST(test_run_script)
{
	struct redis *r = open_server(g_server);
	struct redis_script s, bad;
	const struct slice args[] = {{"script-key", 10}, {"v1", 2}};
	struct redis_reply *reply;
	struct err err;

	redis_script_init(&s,
			  "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[1])");
	redis_script_init(&bad, "return redis.error_reply('ERR said no')");
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(redis_do(r, NULL, &err, "SCRIPT FLUSH"), 0);
		ck_assert_int_eq(redis_run_script(r, &s, 1, args, 2, &reply, &err), 0);
		ck_assert_str_eq(redis_reply_str(reply).data, "v1");
		redis_reply_free(reply);
	}
	ck_assert_int_eq(redis_run_script(r, &bad, 0, NULL, 0, &reply, &err), -ERR_FAILED);
	ck_assert_ptr_nonnull(strstr(err.msg, "said no"));
	redis_close(r);
}
END_TEST

START_TEST(test_send_receive)
{
	struct redis *r = open_server(g_server), *other = open_server(g_server);
	struct redis_reply *reply = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT(1024);
	struct pollfd fd = {.fd = redis_fd(r), .events = POLLIN};
	struct err err;
	int got = 0;

	redis_command(&b, "BLPOP no-list-yet 0");
	redis_command(&b, "PING");
	ck_assert_int_eq(redis_send(r, &b, &err), 0);
	ck_assert_int_eq(redis_receive(r, &reply, &err), 0);
	ck_assert_int_eq(redis_do(other, NULL, &err, "LPUSH no-list-yet x"), 0);
	while (got < 2) {
		ck_assert_int_eq(poll(&fd, 1, 5000), 1);
		while (redis_receive(r, &reply, &err) == 1) {
			ck_assert_int_eq(redis_reply_type(reply),
					 got++ == 0 ? REDIS_ARRAY : REDIS_STATUS);
			redis_reply_free(reply);
		}
	}
	redis_close(r);
	redis_close(other);
}
END_TEST

START_TEST(test_server_goes_away)
{
	struct redis_server *s = redis_server_start(NULL);
	struct redis *r = open_server(s);
	struct redis_reply *reply;
	struct err err;

	redis_server_down(s);
	ck_assert_int_eq(redis_receive(r, &reply, &err), -ERR_CLOSED);
	ck_assert(err_is_transient(&err));
	ck_assert_int_eq(redis_do(r, NULL, &err, "PING"), -ERR_CLOSED);
	redis_close(r);
	redis_server_free(s);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("redis connection");
	TCase *c = tcase_create("real server");
	SRunner *runner;
	int failed;

	tcase_add_unchecked_fixture(c, start, stop);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, test_open);
	tcase_add_test(c, test_password);
	tcase_add_test(c, test_unreachable);
	tcase_add_test(c, test_silent_server);
	tcase_add_test(c, test_pieces);
	tcase_add_test(c, test_asked_in_pieces);
	tcase_add_test(c, test_errors_are_replies);
	tcase_add_test(c, test_huge_pipeline);
	tcase_add_test(c, test_run_script);
	tcase_add_test(c, test_send_receive);
	tcase_add_test(c, test_server_goes_away);
	suite_add_tcase(s, c);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
