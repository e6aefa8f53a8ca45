/*
 * test_fanout.c: channels, bindings and replies against a real Redis, as kombu finds them.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "fanout.h"
#include "mem.h"
#include "tests/unit/redis_fixture.h"
#include "tests/unit/suite.h"

#define PATIENCE (10 * USEC_PER_SEC)

static struct redis_server *g_server;
static struct settings g_settings;
static struct fanout *g_fanout;
static struct redis *g_redis;

static void open_fanout(const char *options)
{
	struct redis_address address = {0};
	struct err err = {0};

	g_settings = (struct settings){.broker_url = redis_server_url(g_server, 3),
				       .broker_transport_options = options};
	ck_assert_msg(fanout_open(&g_settings, NULL, &g_fanout, &err) == 0, "%s", err.msg);
	ck_assert_int_eq(redis_address_parse(g_settings.broker_url, &address, &err), 0);
	ck_assert_int_eq(redis_open(&address, "test", 20 * USEC_PER_SEC, &g_redis, &err), 0);
	redis_address_done(&address);
	while (!fanout_up(g_fanout)) {
		usleep(1000);
	}
}

static void setup(void)
{
	g_server = redis_server_start(NULL);
}

static void teardown(void)
{
	fanout_close(g_fanout, clock_deadline(USEC_PER_SEC));
	redis_close(g_redis);
	free((char *)(uintptr_t)g_settings.broker_url);
	redis_server_free(g_server);
}

static int64_t tell(const char *fmt, const char *a, const char *b)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct err err = {0};

	ck_assert_msg(redis_do(g_redis, &reply, &err, fmt, a, b) == 0, "%s", err.msg);
	return redis_reply_int(reply);
}

/* Publishes until the listener is there, and returns what it heard. */
static char *hear(const char *channel, const char *text)
{
	usec_t deadline = clock_deadline(PATIENCE);
	char *data = NULL;
	size_t len = 0;
	struct err err = {0};
	int rc = 0;

	while (rc == 0 && clock_mono() < deadline) {
		tell("PUBLISH %s %s", channel, text);
		rc = fanout_receive(g_fanout, -1, clock_deadline(20 * USEC_PER_MSEC), &data, &len,
				    &err);
	}
	ck_assert_msg(rc == 1, "%s", err.msg);
	ck_assert_uint_eq(len, strlen(text));
	return data;
}

START_TEST(test_channels)
{
	static const struct {
		const char *options, *channel, *other;
	} rows[] = {
		{"", "/3.celery.pidbox", "/3.celeryXpidbox"},
		{"{\"fanout_prefix\": false}", "celery.pidbox", "/3.celery.pidbox"},
		{"{\"fanout_prefix\": \"[{db}]*\"}", "[3]*celery.pidbox", "3xcelery.pidbox"},
		{"{\"global_keyprefix\": \"p:\"}", "p:/3.celery.pidbox", "/3.celery.pidbox"},
	};
	_cleanup_free_ char *heard = NULL;
	struct err err = {0};

	open_fanout(rows[_i].options);
	ck_assert_int_eq(
		fanout_listen(g_fanout, &(struct fanout_mailbox){"celery.pidbox", "", ""}, &err),
		0);
	heard = hear(rows[_i].channel, "hello");
	ck_assert_str_eq(heard, "hello");
	ck_assert_int_eq(tell("PUBLISH %s %s", rows[_i].other, "x"), 0);
}
END_TEST

START_TEST(test_publish_reaches_patterns)
{
	struct err err = {0};
	_cleanup_free_ char *data = NULL;
	size_t len;
	struct fanout *other;
	int rc = 0;

	open_fanout("");
	ck_assert_int_eq(fanout_open(&g_settings, NULL, &other, &err), 0);
	ck_assert_int_eq(fanout_listen(other,
				       &(struct fanout_mailbox){"celeryev/task.received", "", ""},
				       &err),
			 0);
	for (int i = 0; i < 1000 && rc == 0; i++) {
		fanout_publish(g_fanout, "celeryev", "task.received", (struct slice){"{}", 2});
		rc = fanout_receive(other, -1, clock_deadline(10 * USEC_PER_MSEC), &data, &len,
				    &err);
	}
	ck_assert_int_eq(rc, 1);
	ck_assert_str_eq(data, "{}");
	fanout_close(other, 0);
	while (fanout_backlog(g_fanout) > 0) {
		usleep(1000);
	}
}
END_TEST

START_TEST(test_replies_go_only_where_somebody_waits)
{
	const char *bindings = "_kombu.binding.reply.celery.pidbox";

	open_fanout("");
	tell("SADD %s %s", bindings, "oid\x06\x16\x06\x16oid.reply.celery.pidbox");
	tell("SADD %s %s", bindings,
	     "evil\x06\x16\x06\x16"
	     "celery");
	fanout_reply(g_fanout, "reply.celery.pidbox", "gone", (struct slice){"1", 1});
	fanout_reply(g_fanout, "reply.celery.pidbox", "evil", (struct slice){"2", 1});
	fanout_reply(g_fanout, "reply.celery.pidbox", "oid", (struct slice){"3", 1});
	while (tell("LLEN %s%s", "oid.reply.celery.pidbox", "") != 1) {
		usleep(1000);
	}
	ck_assert_int_gt(tell("PTTL %s%s", "oid.reply.celery.pidbox", ""), 0);
	ck_assert_int_eq(tell("EXISTS %s%s", "celery", ""), 0);
	ck_assert_int_eq(tell("DBSIZE%s%s", "", ""), 2);
}
END_TEST

START_TEST(test_bindings)
{
	const char *member = "\x06\x16\x06\x16n.celery.pidbox";
	struct fanout_binding mailbox = {"celery.pidbox", "", "", "n.celery.pidbox", false};
	struct fanout_binding queue = {"ex", "a.*", "^a$", "q", true};

	open_fanout("");
	fanout_bind(g_fanout, &mailbox);
	while (tell("SISMEMBER %s %s", "_kombu.binding.celery.pidbox", member) != 1) {
		usleep(1000);
	}
	fanout_unbind(g_fanout, &mailbox);
	while (tell("SISMEMBER %s %s", "_kombu.binding.celery.pidbox", member) != 0) {
		usleep(1000);
	}
	ck_assert_int_eq(tell("EXISTS %s%s", "_kombu.binding_permanent.celery.pidbox", ""), 0);
	fanout_bind(g_fanout, &queue);
	while (tell("SISMEMBER %s %s", "_kombu.binding_permanent.ex", "a.*\x06\x16^a$\x06\x16q") !=
	       1) {
		usleep(1000);
	}
	ck_assert_int_eq(tell("SCARD %s%s", "_kombu.binding.ex", ""), 1);
}
END_TEST

START_TEST(test_lost_connection_is_an_error)
{
	struct err err = {0};
	char *data;
	size_t len;
	int rc = 0;

	open_fanout("");
	ck_assert_int_eq(
		fanout_listen(g_fanout, &(struct fanout_mailbox){"celery.pidbox", "", ""}, &err),
		0);
	redis_server_down(g_server);
	for (int i = 0; i < 100 && rc == 0; i++) {
		rc = fanout_receive(g_fanout, -1, clock_deadline(100 * USEC_PER_MSEC), &data, &len,
				    &err);
	}
	ck_assert_int_lt(rc, 0);
	ck_assert_int_lt(
		fanout_listen(g_fanout, &(struct fanout_mailbox){"celery.pidbox", "", ""}, &err),
		0);
	redis_server_up(g_server);
	ck_assert_int_eq(
		fanout_listen(g_fanout, &(struct fanout_mailbox){"celery.pidbox", "", ""}, &err),
		0);
}
END_TEST

START_TEST(test_wrong_options)
{
	static const char *const options[] = {"{\"fanout_prefix\": 3}", "{\"fanout_patterns\": 1}",
					      "[]"};
	struct settings s = {.broker_url = "redis://localhost/",
			     .broker_transport_options = options[_i]};
	struct fanout *f;
	struct err err = {0};

	ck_assert_int_eq(fanout_open(&s, NULL, &f, &err), -ERR_INVALID);
	g_settings.broker_url = NULL;
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("redis");

	tcase_set_timeout(c, 40);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_loop_test(c, test_channels, 0, 4);
	tcase_add_test(c, test_publish_reaches_patterns);
	tcase_add_test(c, test_replies_go_only_where_somebody_waits);
	tcase_add_test(c, test_bindings);
	tcase_add_test(c, test_lost_connection_is_an_error);
	tcase_add_loop_test(c, test_wrong_options, 0, 3);
	return suite_run("fanout", c);
}
