/* Calls of conversations at a real server: what others do between a claim and its routing. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/broker/redis_broker.h"
#include "clock.h"
#include "mem.h"
#include "tests/unit/redis_fixture.h"
#include "tests/unit/suite.h"

#define NODES	"celeriac.node.test:"
#define MESSAGE "{\"body\": \"W10=\", \"headers\": {}, \"properties\": {}, \"n\": %d}"

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
	ck_assert_int_eq(redis_open(broker_address(g_broker), "test", USEC_PER_SEC, &g_redis, &err),
			 0);
	ck_assert_int_eq(presence_join(g_redis, "", "test", "a", clock_deadline(20 * USEC_PER_SEC),
				       &g_presence, &err),
			 0);
	ck_assert_int_eq(broker_route_begin(g_broker, g_presence, &err), 0);
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

static int64_t run(const char *command, const char *key, const char *value)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct err err = {0};
	int rc = value[0] ? redis_do(g_redis, &reply, &err, "%s %s %s", command, key, value)
			  : redis_do(g_redis, &reply, &err, "%s %s", command, key);

	ck_assert_msg(rc == 0, "%s", err.msg);
	return redis_reply_int(reply);
}

static void push_number(const char *list, int n)
{
	_cleanup_free_ char *text = xasprintf(MESSAGE, n);

	run("LPUSH", list, text);
}

static size_t claim(size_t max, struct delivery *out)
{
	struct err err = {0};
	size_t count = 0;

	ck_assert_msg(broker_claim(g_broker, max, out, &count, &err) == 0, "%s", err.msg);
	return count;
}

static int number_of(const struct delivery *d)
{
	return atoi(strstr(d->data, "\"n\": ") + 5);
}

/* What was claimed is of one conversation; their data is freed. */
static void route(struct delivery *d, size_t count, struct broker_call *calls)
{
	struct err err = {0};
	bool routed = false;
	int rc;

	for (size_t i = 0; i < count; i++)
		calls[i] = (struct broker_call){
			.tag = d[i].tag, .conversation = "one", .ref = d[i].ref};
	rc = broker_route(g_broker, calls, count, clock_deadline(20 * USEC_PER_SEC), &routed, &err);
	ck_assert_msg(rc == 0, "%s", err.msg);
	ck_assert(routed);
	for (size_t i = 0; i < count; i++)
		free(d[i].data);
}

/* A node died that had older calls of the conversation, and its list was put back, after this one
 * was taken from a queue. */
START_TEST(test_what_a_node_left_comes_first)
{
	struct delivery d[4];
	struct broker_call calls[4];

	push_number("celery", 3);
	ck_assert_uint_eq(claim(1, d), 1);
	push_number(NODES, 1);
	push_number(NODES, 2);
	route(d, 1, calls);
	ck_assert_int_eq(calls[0].routed, BROKER_CALL_MOVED);
	ck_assert_str_eq(calls[0].node, "*");
	push_number("celery", 4);
	ck_assert_uint_eq(claim(4, d), 4);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(number_of(&d[i]), i + 1);
	route(d, 4, calls);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(calls[i].routed, BROKER_CALL_OURS);
	ck_assert_int_eq(run("HLEN", "unacked", ""), 4);
}
END_TEST

/* The conversation is on its way by then: the rest of what was left is of others. */
START_TEST(test_what_is_from_the_list_of_all_stays)
{
	struct delivery d[1];
	struct broker_call calls[1];

	push_number(NODES, 1);
	push_number(NODES, 2);
	ck_assert_uint_eq(claim(1, d), 1);
	route(d, 1, calls);
	ck_assert_int_eq(calls[0].routed, BROKER_CALL_OURS);
	ck_assert_int_eq(run("LLEN", NODES, ""), 1);
}
END_TEST

/* Keys of another type: each call is in one place all the same. */
START_TEST(test_wrong_keys)
{
	struct delivery d[2];
	struct broker_call calls[2];

	run("LPUSH", "celeriac:test:route:one", "x");
	run("SET", NODES "b", "x");
	push_number("celery", 1);
	ck_assert_uint_eq(claim(1, d), 1);
	route(d, 1, calls);
	ck_assert_int_eq(calls[0].routed, BROKER_CALL_OURS);
	run("SADD", "celeriac:test:routers", "b@1");
	run("SET", "celeriac:test:route:one", "b@1");
	push_number("celery", 2);
	push_number("celery", 3);
	ck_assert_uint_eq(claim(2, d), 2);
	route(d, 2, calls);
	ck_assert_int_eq(calls[0].routed, BROKER_CALL_OURS);
	ck_assert_int_eq(calls[1].routed, BROKER_CALL_OURS);
	ck_assert_int_eq(run("HLEN", "unacked", ""), 3);
}
END_TEST

/* We are said to reach an engine that we do not: whoever asks afterwards is not sent to us. */
START_TEST(test_an_engine_that_is_not_reached)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct delivery d[1];
	struct broker_call calls[1];
	struct err err = {0};

	run("SADD", "celeriac:test:engine:far", presence_owner(g_presence));
	ck_assert_int_eq(redis_do(g_redis, &reply, &err,
				  "HSET celeriac:test:conversation:one container c engine far"),
			 0);
	push_number("celery", 1);
	ck_assert_uint_eq(claim(1, d), 1);
	route(d, 1, calls);
	ck_assert_int_eq(calls[0].routed, BROKER_CALL_OURS);
	ck_assert_int_eq(run("SCARD", "celeriac:test:engine:far", ""), 0);
}
END_TEST

/* One that was forgotten while it slept is looked for again when it is dead. */
START_TEST(test_who_routes_is_known)
{
	struct delivery d[1];
	struct broker_call calls[1];

	push_number("celery", 1);
	ck_assert_uint_eq(claim(1, d), 1);
	run("DEL", "celeriac:test:owners", "");
	route(d, 1, calls);
	ck_assert_int_eq(run("SISMEMBER", "celeriac:test:owners", presence_owner(g_presence)), 1);
}
END_TEST

/* Who finds a node dead need not route calls itself: what waits for the node is the next for all.
 */
START_TEST(test_list_of_a_dead_node_goes_to_all)
{
	struct presence *presence = NULL;
	struct broker *other = NULL;
	struct delivery d[3];
	struct err err = {0};
	int64_t restored = -1;

	run("SADD", "celeriac:test:owners", "b@1");
	run("SADD", "celeriac:test:routers", "b@1");
	run("SADD", "celeriac:test:routers", "b@1!");
	push_number(NODES, 3);
	push_number(NODES "b", 1);
	push_number(NODES "b", 2);
	ck_assert_int_eq(broker_open(&g_settings, &other, &err), 0);
	ck_assert_int_eq(presence_join(g_redis, "", "test", "c", clock_deadline(20 * USEC_PER_SEC),
				       &presence, &err),
			 0);
	ck_assert_msg(broker_connect(other, presence, &err) == 0, "%s", err.msg);
	while (!broker_ready(other))
		usleep(1000);
	ck_assert_int_eq(broker_restore_dead(other, presence, false, &restored, &err), 1);
	ck_assert_int_eq(run("SISMEMBER", "celeriac:test:owners", "b@1"), 0);
	ck_assert_int_eq(run("SCARD", "celeriac:test:routers", ""), 0);
	ck_assert_int_eq(run("LLEN", NODES "b", ""), 0);
	ck_assert_uint_eq(claim(3, d), 3);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(number_of(&d[i]), i + 1);
		free(d[i].data);
	}
	presence_leave(presence, g_redis);
	presence_free(presence);
	broker_close(other, clock_deadline(USEC_PER_SEC));
}
END_TEST

/* A node whose list has calls comes back under its name: what becomes of them? */
static void come_back(bool routes, int64_t left_there, int64_t left_to_all)
{
	struct presence *presence = NULL;
	struct broker *other = NULL;
	struct err err = {0};
	int64_t restored = -1;

	run("SADD", "celeriac:test:owners", "b@1");
	run("SADD", "celeriac:test:routers", "b@1");
	push_number(NODES "b", 1);
	ck_assert_int_eq(presence_join(g_redis, "", "test", "b", clock_deadline(20 * USEC_PER_SEC),
				       &presence, &err),
			 0);
	ck_assert_int_eq(broker_open(&g_settings, &other, &err), 0);
	if (routes)
		ck_assert_int_eq(broker_route_begin(other, presence, &err), 0);
	ck_assert_msg(broker_connect(other, presence, &err) == 0, "%s", err.msg);
	while (!broker_ready(other))
		usleep(1000);
	if (routes)
		broker_route_reach(other, "engine", true);
	ck_assert_int_eq(broker_restore_dead(other, presence, true, &restored, &err), 1);
	ck_assert_int_eq(run("LLEN", NODES "b", ""), left_there);
	ck_assert_int_eq(run("LLEN", NODES, ""), left_to_all);
	presence_leave(presence, g_redis);
	presence_free(presence);
	broker_close(other, clock_deadline(USEC_PER_SEC));
}

START_TEST(test_node_that_comes_back_reads_its_list)
{
	come_back(true, 1, 0);
}
END_TEST

/* Without a database, say. */
START_TEST(test_node_that_comes_back_and_routes_nothing)
{
	come_back(false, 0, 1);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("redis");

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, test_what_a_node_left_comes_first);
	tcase_add_test(c, test_what_is_from_the_list_of_all_stays);
	tcase_add_test(c, test_wrong_keys);
	tcase_add_test(c, test_an_engine_that_is_not_reached);
	tcase_add_test(c, test_who_routes_is_known);
	tcase_add_test(c, test_list_of_a_dead_node_goes_to_all);
	tcase_add_test(c, test_node_that_comes_back_reads_its_list);
	tcase_add_test(c, test_node_that_comes_back_and_routes_nothing);
	return suite_run("route", c);
}
