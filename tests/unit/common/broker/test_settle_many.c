/*
 * test_settle_many.c: settlements that are made together, each as if it were alone.
 */
#include <check.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "common/broker/redis_broker.h"
#include "tests/unit/redis_fixture.h"

#define COUNT 200

static struct redis_server *g_server;
static struct settings g_settings;
static struct broker *g_broker;
static struct presence *g_presence;
static struct redis *g_redis;
static char *g_queues[] = {(char *)(uintptr_t) "celery"};

static void setup(void)
{
	struct err err = {0};

	g_server = redis_server_start(NULL);
	g_settings = (struct settings){.broker_url = redis_server_url(g_server, 0),
				       .broker_transport_options = "",
				       .task_default_queue = "celery",
				       .task_create_missing_queues = true,
				       .worker_queues = {g_queues, 1}};
	ck_assert_int_eq(broker_open(&g_settings, &g_broker, &err), 0);
	ck_assert_int_eq(
		redis_open(broker_address(g_broker), "test", 20 * USEC_PER_SEC, &g_redis, &err), 0);
	ck_assert_int_eq(presence_join(g_redis, "", "test", "a", clock_deadline(20 * USEC_PER_SEC),
				       &g_presence, &err),
			 0);
	ck_assert_msg(broker_connect(g_broker, g_presence, &err) == 0, "%s", err.msg);
	while (!broker_ready(g_broker))
		usleep(1000);
}

static void teardown(void)
{
	presence_leave(g_presence, g_redis);
	presence_free(g_presence);
	redis_close(g_redis);
	broker_close(g_broker, clock_deadline(USEC_PER_SEC));
	free((char *)(uintptr_t)g_settings.broker_url);
	redis_server_free(g_server);
}

static struct redis_reply *ask(const char *fmt, const char *key)
{
	struct redis_reply *reply = NULL;
	struct err err = {0};

	ck_assert_msg(redis_do(g_redis, &reply, &err, fmt, key) == 0, "%s", err.msg);
	return reply;
}

static int64_t number(const char *fmt, const char *key)
{
	_cleanup_reply_ struct redis_reply *reply = ask(fmt, key);

	return redis_reply_int(reply);
}

static void set(const char *key, const char *value)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct err err = {0};

	ck_assert_int_eq(redis_do(g_redis, &reply, &err, "SET %s %s", key, value), 0);
}

static void check_value(const char *key, const char *value)
{
	_cleanup_reply_ struct redis_reply *reply = ask("GET %s", key);

	ck_assert_str_eq(redis_reply_str(reply).data, value);
}

/* How often scripts were called since the server was started. */
static long calls(void)
{
	_cleanup_reply_ struct redis_reply *reply = ask("INFO %s", "commandstats");
	const char *at = strstr(redis_reply_str(reply).data, "cmdstat_evalsha:calls=");

	return at ? atol(at + strlen("cmdstat_evalsha:calls=")) : 0;
}

static void claim_all(struct delivery *d)
{
	struct err err = {0};
	size_t count;

	for (int i = 0; i < COUNT; i++)
		number("LPUSH celery %s", "{\"body\": \"W10=\"}");
	ck_assert_msg(broker_claim(g_broker, COUNT, d, &count, &err) == 0, "%s", err.msg);
	ck_assert_uint_eq(count, COUNT);
}

struct ended {
	atomic_int ok, failed;
};

static void count_ended(void *arg, const struct err *err)
{
	struct ended *e = arg;

	atomic_fetch_add(err ? &e->failed : &e->ok, 1);
}

static void settle(const struct delivery *d, char *key, const char *value, int64_t ttl,
		   struct ended *ended)
{
	struct backend_write w = {
		.key = key, .value = xstrdup(value), .len = strlen(value), .ttl = ttl};
	struct settlement s = {
		.tag = d->tag, .queue = d->queue, .outcome = SETTLE_ACK, .result = key ? &w : NULL};

	broker_settle(g_broker, &s, count_ended, ended);
	if (key == NULL)
		free(w.value);
}

static void await(struct ended *e, int count)
{
	for (int i = 0; i < 20000 && atomic_load(&e->ok) + atomic_load(&e->failed) < count; i++)
		usleep(1000);
	ck_assert_int_eq(atomic_load(&e->ok) + atomic_load(&e->failed), count);
}

#define FAILED	"{\"status\": \"FAILURE\"}"
#define WELL	"{\"status\": \"SUCCESS\", \"result\": 1}"
#define STARTED "{\"status\": \"STARTED\"}"

/* Of many at once each has its own end: the third has a SUCCESS, the fourth was STARTED, what the
 * fifth's key holds is no result at all; the sixth has no result, and those after it others' ttl.
 */
START_TEST(test_each_as_if_alone)
{
	struct delivery d[COUNT];
	struct ended ended = {0};
	long before;

	claim_all(d);
	set("r2", WELL);
	set("r3", STARTED);
	number("LPUSH %s x", "r4");
	before = calls();
	for (int i = 0; i < COUNT; i++)
		settle(&d[i], i == 5 ? NULL : xasprintf("r%d", i), i == 2 ? FAILED : WELL,
		       i % 100 < 50 ? 60 : 0, &ended);
	await(&ended, COUNT);
	ck_assert_int_eq(atomic_load(&ended.failed), 1);
	ck_assert_int_lt(calls() - before, COUNT);
	ck_assert_int_eq(number("HLEN %s", "unacked"), 1);
	ck_assert_int_eq(number("ZCARD %s", "unacked_index"), 1);
	ck_assert_int_eq(number("HEXISTS unacked %s", d[4].tag), 1);
	ck_assert_int_eq(number("LLEN %s", "r4"), 1);
	ck_assert_int_eq(number("EXISTS %s", "r5"), 0);
	for (int i = 0; i < COUNT; i++) {
		_cleanup_free_ char *key = xasprintf("r%d", i);

		free(d[i].data);
		if (i == 4 || i == 5)
			continue;
		check_value(key, WELL);
		if (i != 2)
			ck_assert_int_eq(number("TTL %s", key) > 0, i % 100 < 50);
	}
}
END_TEST

/* What is answered only after the connection was lost is settled once more, to the same end. */
START_TEST(test_connections_are_lost)
{
	struct delivery d[COUNT];
	struct ended ended = {0};

	claim_all(d);
	for (int i = 0; i < COUNT; i++) {
		settle(&d[i], xasprintf("r%d", i), WELL, 60, &ended);
		if (i % 20 == 19)
			number("CLIENT KILL TYPE %s SKIPME yes", "normal");
		free(d[i].data);
	}
	await(&ended, COUNT);
	ck_assert_int_eq(atomic_load(&ended.failed), 0);
	ck_assert_int_eq(number("HLEN %s", "unacked"), 0);
	for (int i = 0; i < COUNT; i++) {
		_cleanup_free_ char *key = xasprintf("r%d", i);

		check_value(key, WELL);
	}
}
END_TEST

/* Of this server at this time: all of it waits until it takes writes again. */
START_TEST(test_a_server_that_takes_no_writes)
{
	_cleanup_reply_ struct redis_reply *full = NULL, *roomy = NULL;
	struct delivery d[COUNT];
	struct ended ended = {0};
	struct err err = {0};

	claim_all(d);
	ck_assert_int_eq(redis_do(g_redis, &full, &err, "CONFIG SET maxmemory 1"), 0);
	for (int i = 0; i < COUNT; i++) {
		settle(&d[i], xasprintf("r%d", i), WELL, 60, &ended);
		free(d[i].data);
	}
	for (int i = 0; i < 20000 && broker_ready(g_broker); i++)
		usleep(1000);
	ck_assert_int_eq(atomic_load(&ended.ok) + atomic_load(&ended.failed), 0);
	ck_assert_int_eq(number("HLEN %s", "unacked"), COUNT);
	ck_assert_int_eq(redis_do(g_redis, &roomy, &err, "CONFIG SET maxmemory 0"), 0);
	await(&ended, COUNT);
	ck_assert_int_eq(atomic_load(&ended.failed), 0);
	ck_assert_int_eq(number("HLEN %s", "unacked"), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("settle many");
	TCase *c = tcase_create("redis");
	SRunner *r;
	int failed;

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, test_each_as_if_alone);
	tcase_add_test(c, test_connections_are_lost);
	tcase_add_test(c, test_a_server_that_takes_no_writes);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
