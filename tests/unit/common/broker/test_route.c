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
	ck_assert_int_eq(
		redis_open(broker_address(g_broker), "test", 20 * USEC_PER_SEC, &g_redis, &err), 0);
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

static size_t claim_of(struct broker *b, size_t max, struct delivery *out)
{
	struct err err = {0};
	size_t count = 0;

	ck_assert_msg(broker_claim(b, max, out, &count, &err) == 0, "%s", err.msg);
	return count;
}

static size_t claim(size_t max, struct delivery *out)
{
	return claim_of(g_broker, max, out);
}

static int number_of(const struct delivery *d)
{
	return atoi(strstr(d->data, "\"n\": ") + 5);
}

/* What was claimed is of one conversation. */
static enum broker_turn try_route(struct broker *b, struct delivery *d, size_t count,
				  struct broker_call *calls)
{
	enum broker_turn turn = BROKER_TURN_OTHERS;
	struct err err = {0};
	int rc;

	for (size_t i = 0; i < count; i++)
		calls[i] = (struct broker_call){
			.tag = d[i].tag, .conversation = "one", .ref = d[i].ref};
	rc = broker_route(b, calls, count, clock_deadline(20 * USEC_PER_SEC), &turn, &err);
	ck_assert_msg(rc == 0, "%s", err.msg);
	return turn;
}

/* And their data is freed. */
static void route(struct delivery *d, size_t count, struct broker_call *calls)
{
	ck_assert_int_eq(try_route(g_broker, d, count, calls), BROKER_TURN_OURS);
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

/* The connection that claimed breaks before it could ask whose the call is: asked by the link. */
START_TEST(test_routes_though_the_claiming_connection_broke)
{
	struct delivery d[1];
	struct broker_call calls[1];

	push_number("celery", 1);
	ck_assert_uint_eq(claim(1, d), 1);
	broker_interrupt(g_broker);
	route(d, 1, calls);
	ck_assert_int_eq(calls[0].routed, BROKER_CALL_OURS);
	ck_assert_int_eq(run("HLEN", "unacked", ""), 1);
}
END_TEST

/* A server that was told to forget its scripts. */
START_TEST(test_routes_though_the_script_was_forgotten)
{
	struct delivery d[1];
	struct broker_call calls[1];

	push_number("celery", 1);
	ck_assert_uint_eq(claim(1, d), 1);
	run("SCRIPT", "FLUSH", "");
	route(d, 1, calls);
	ck_assert_int_eq(calls[0].routed, BROKER_CALL_OURS);
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
	run("SET", "celeriac:test:lost", "x");
	push_number("celery", 1);
	ck_assert_uint_eq(claim(1, d), 1);
	free(d[0].data);
	run("DEL", "celeriac:test:lost", "");
	run("DEL", "celeriac:test:claims", "");
	run("DEL", "unacked", "");
	run("DEL", "unacked_index", "");
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

/* Another worker, on the same server. */
struct other {
	struct presence *presence;
	struct broker *broker;
};

static void start_other(struct other *o, const char *node)
{
	struct err err = {0};

	ck_assert_int_eq(presence_join(g_redis, "", "test", node, clock_deadline(20 * USEC_PER_SEC),
				       &o->presence, &err),
			 0);
	ck_assert_int_eq(broker_open(&g_settings, &o->broker, &err), 0);
	ck_assert_int_eq(broker_route_begin(o->broker, o->presence, &err), 0);
	ck_assert_msg(broker_connect(o->broker, o->presence, &err) == 0, "%s", err.msg);
	while (!broker_ready(o->broker))
		usleep(1000);
}

/* Its lease is gone as by time. */
static void kill_other(struct other *o)
{
	presence_leave(o->presence, g_redis);
	broker_close(o->broker, clock_deadline(USEC_PER_SEC));
}

static void stop_other(struct other *o)
{
	kill_other(o);
	presence_free(o->presence);
}

static bool put_back(struct broker *b, struct delivery *d, size_t count, struct broker_call *calls,
		     bool leaves)
{
	struct err err = {0};
	bool done = false;

	ck_assert_msg(broker_route_return(b, calls, count, leaves,
					  clock_deadline(20 * USEC_PER_SEC), &done, &err) == 0,
		      "%s", err.msg);
	for (size_t i = 0; done && i < count; i++)
		free(d[i].data);
	return done;
}

/* All of the queue, in order, to be routed here. */
static void expect_in_order(int last)
{
	struct delivery d[8];
	struct broker_call calls[8];

	ck_assert_uint_eq(claim(8, d), (size_t)last);
	for (int i = 0; i < last; i++)
		ck_assert_int_eq(number_of(&d[i]), i + 1);
	route(d, (size_t)last, calls);
	for (int i = 0; i < last; i++)
		ck_assert_int_eq(calls[i].routed, BROKER_CALL_OURS);
	ck_assert_int_eq(run("EXISTS", "celeriac:test:lost", ""), 0);
	ck_assert_int_eq(run("EXISTS", "celeriac:test:claims", ""), 0);
	ck_assert_int_eq(run("ZCARD", "unacked_index", ""), last);
}

/* Long enough for whoever lives to have a lease. */
static void have_been_connected(struct broker *b)
{
	b->connected_at -= PRESENCE_TTL;
}

/* It dies between taking a call and routing it; we have taken the next one meanwhile. */
START_TEST(test_claim_of_a_dead_one_is_put_back_before_ours)
{
	struct delivery d[2], theirs[2];
	struct broker_call calls[2];
	struct other two;

	start_other(&two, "b");
	for (int n = 1; n <= 4; n++)
		push_number("celery", n);
	ck_assert_uint_eq(claim_of(two.broker, 2, theirs), 2);
	ck_assert_uint_eq(claim(2, d), 2);
	ck_assert_int_eq(number_of(&d[0]), 3);
	ck_assert_int_eq(try_route(g_broker, d, 2, calls), BROKER_TURN_OTHERS);
	kill_other(&two);
	ck_assert_int_eq(try_route(g_broker, d, 2, calls), BROKER_TURN_BACK);
	ck_assert_msg(!put_back(g_broker, d, 2, calls, false), "its lease may be on its way");
	have_been_connected(g_broker);
	ck_assert(put_back(g_broker, d, 2, calls, false));
	expect_in_order(4);
	for (int i = 0; i < 2; i++)
		free(theirs[i].data);
	presence_free(two.presence);
}
END_TEST

/* Three have taken calls. The second ends, or dies: the third goes back first, and nobody takes
 * anything meanwhile. */
static void three_claims(bool dies)
{
	struct delivery d[1], second[1], third[1], none[1];
	struct broker_call ours[1], calls[1], last[1];
	struct other two, three;

	start_other(&two, "b");
	start_other(&three, "c");
	for (int n = 1; n <= 3; n++)
		push_number("celery", n);
	ck_assert_uint_eq(claim(1, d), 1);
	ck_assert_uint_eq(claim_of(two.broker, 1, second), 1);
	ck_assert_uint_eq(claim_of(three.broker, 1, third), 1);
	have_been_connected(three.broker);
	ck_assert_int_eq(try_route(two.broker, second, 1, calls), BROKER_TURN_OTHERS);
	ck_assert_int_eq(try_route(three.broker, third, 1, last), BROKER_TURN_OTHERS);
	if (dies)
		kill_other(&two);
	else
		ck_assert(!put_back(two.broker, second, 1, calls, true));
	/* the first is not concerned */
	route(d, 1, ours);
	ck_assert_int_eq(ours[0].routed, BROKER_CALL_OURS);
	ck_assert_int_eq(try_route(three.broker, third, 1, last), BROKER_TURN_BACK);
	if (!dies)
		ck_assert_uint_eq(claim(1, none), 0);
	ck_assert(put_back(three.broker, third, 1, last, false));
	if (!dies)
		ck_assert(put_back(two.broker, second, 1, calls, true));
	else
		free(second[0].data);
	for (int n = 2; n <= 3; n++) {
		ck_assert_uint_eq(claim(1, d), 1);
		ck_assert_int_eq(number_of(&d[0]), n);
		route(d, 1, ours);
		ck_assert_int_eq(ours[0].routed, BROKER_CALL_OURS);
	}
	ck_assert_int_eq(run("EXISTS", "celeriac:test:claims", ""), 0);
	ck_assert_int_eq(run("ZCARD", "unacked_index", ""), 3);
	if (dies)
		presence_free(two.presence);
	else
		stop_other(&two);
	stop_other(&three);
}

START_TEST(test_who_ends_leaves_in_turn)
{
	three_claims(false);
}
END_TEST

START_TEST(test_who_dies_in_the_middle)
{
	three_claims(true);
}
END_TEST

/* Nobody has taken anything since: whoever claims next, or looks for the dead, puts it back. */
START_TEST(test_claim_of_a_dead_one_alone)
{
	struct delivery d[2], theirs[2];
	struct err err = {0};
	struct other two;
	int64_t restored = -1;

	start_other(&two, "b");
	push_number("celery", 1);
	push_number("celery", 2);
	ck_assert_uint_eq(claim_of(two.broker, 1, theirs), 1);
	kill_other(&two);
	run("SADD", "celeriac:test:lost", "b@1:1");
	ck_assert_uint_eq(claim(1, d), 0);
	have_been_connected(g_broker);
	ck_assert_int_eq(broker_restore_dead(g_broker, g_presence, false, &restored, &err), 1);
	expect_in_order(2);
	free(theirs[0].data);
	presence_free(two.presence);
}
END_TEST

/* We have later ones in our hands: who looks for the dead leaves theirs until ours went back. */
START_TEST(test_restoring_waits_for_later_claims)
{
	struct delivery d[1], theirs[1];
	struct broker_call calls[1];
	struct err err = {0};
	struct other two, three;
	int64_t restored = -1;

	start_other(&two, "b");
	start_other(&three, "c");
	push_number("celery", 1);
	push_number("celery", 2);
	ck_assert_uint_eq(claim_of(two.broker, 1, theirs), 1);
	ck_assert_uint_eq(claim(1, d), 1);
	kill_other(&two);
	ck_assert_int_eq(broker_restore_dead(three.broker, three.presence, false, &restored, &err),
			 1);
	ck_assert_int_eq(restored, 0);
	ck_assert_int_eq(run("LLEN", "celery", ""), 0);
	ck_assert_int_eq(try_route(g_broker, d, 1, calls), BROKER_TURN_BACK);
	have_been_connected(g_broker);
	ck_assert(put_back(g_broker, d, 1, calls, false));
	expect_in_order(2);
	free(theirs[0].data);
	presence_free(two.presence);
	stop_other(&three);
}
END_TEST

/* Our own lease is lost with the connection, and not yet renewed: we live all the same. */
START_TEST(test_our_own_claim_is_no_dead_ones)
{
	struct delivery d[1];
	struct broker_call calls[1];
	struct err err = {0};
	int64_t restored = -1;

	push_number("celery", 1);
	ck_assert_uint_eq(claim(1, d), 1);
	run("SADD", "celeriac:test:owners", "b@1");
	run("DEL", "celeriac:test:node:a", "");
	ck_assert_int_eq(broker_restore_dead(g_broker, g_presence, false, &restored, &err), 1);
	ck_assert_int_eq(restored, 0);
	ck_assert_int_eq(run("ZCARD", "celeriac:test:claims", ""), 1);
	route(d, 1, calls);
	ck_assert_int_eq(calls[0].routed, BROKER_CALL_OURS);
}
END_TEST

/* The answer of a claim never came; another has taken the next one. */
START_TEST(test_claim_without_an_answer)
{
	struct delivery d[1], theirs[1];
	struct broker_call calls[1];
	struct err err = {0};
	struct other two;
	int64_t restored = -1;
	uint64_t none = 0;

	start_other(&two, "b");
	push_number("celery", 1);
	push_number("celery", 2);
	ck_assert_uint_eq(claim(1, d), 1);
	free(d[0].data);
	ck_assert_uint_eq(claim_of(two.broker, 1, theirs), 1);
	ck_assert_int_eq(try_route(two.broker, theirs, 1, calls), BROKER_TURN_OTHERS);
	ck_assert_int_lt(broker_restore_lost(g_broker, g_presence, &none, 0, &restored, &err), 0);
	ck_assert(err_is_transient(&err));
	ck_assert_uint_eq(claim(1, d), 0);
	ck_assert_int_eq(try_route(two.broker, theirs, 1, calls), BROKER_TURN_BACK);
	ck_assert(put_back(two.broker, theirs, 1, calls, false));
	ck_assert_int_eq(broker_restore_lost(g_broker, g_presence, &none, 0, &restored, &err), 0);
	expect_in_order(2);
	stop_other(&two);
}
END_TEST

/* A list was put back after we took a call from a queue, and another has taken all of it since: it
 * came before ours. */
START_TEST(test_what_a_node_left_comes_first_though_it_was_taken)
{
	struct delivery d[1], theirs[2];
	struct broker_call calls[1], before[2];
	struct err err = {0};
	struct other two;
	int64_t restored = -1;

	start_other(&two, "c");
	push_number("celery", 3);
	ck_assert_uint_eq(claim(1, d), 1);
	run("SADD", "celeriac:test:owners", "b@1");
	run("SADD", "celeriac:test:routers", "b@1");
	push_number(NODES "b", 1);
	push_number(NODES "b", 2);
	ck_assert_int_eq(broker_restore_dead(two.broker, two.presence, false, &restored, &err), 1);
	ck_assert_uint_eq(claim_of(two.broker, 2, theirs), 2);
	ck_assert_int_eq(run("LLEN", NODES, ""), 0);
	route(d, 1, calls);
	ck_assert_int_eq(calls[0].routed, BROKER_CALL_MOVED);
	ck_assert_str_eq(calls[0].node, "*");
	ck_assert_int_eq(try_route(two.broker, theirs, 2, before), BROKER_TURN_OURS);
	ck_assert_int_eq(before[1].routed, BROKER_CALL_OURS);
	ck_assert_uint_eq(claim(1, d), 1);
	route(d, 1, calls);
	ck_assert_str_eq(calls[0].node, "c");
	free(theirs[0].data);
	free(theirs[1].data);
	stop_other(&two);
}
END_TEST

/* It takes nothing that is routed to it or to all, and gives what it takes from a queue by way of
 * the list of all, whoever has the conversation. */
START_TEST(test_drained)
{
	struct delivery d[2];
	struct broker_call calls[2];

	broker_route_drain(g_broker, true);
	push_number(NODES, 1);
	push_number(NODES "a", 1);
	run("SADD", "celeriac:test:routers", "b@1");
	run("SET", "celeriac:test:route:one", "b@1");
	push_number("celery", 2);
	ck_assert_uint_eq(claim(2, d), 1);
	ck_assert_int_eq(number_of(&d[0]), 2);
	route(d, 1, calls);
	ck_assert_str_eq(calls[0].node, "*");
	ck_assert_int_eq(run("SISMEMBER", "celeriac:test:routers", presence_owner(g_presence)), 0);
	broker_route_drain(g_broker, false);
	ck_assert_uint_eq(claim(1, d), 1);
	route(d, 1, calls);
	ck_assert_str_eq(calls[0].node, "b");
	ck_assert_uint_eq(claim(2, d), 2);
	ck_assert_int_eq(number_of(&d[0]), 1);
	ck_assert_int_eq(number_of(&d[1]), 2);
	route(d, 2, calls);
	ck_assert_int_eq(run("SISMEMBER", "celeriac:test:routers", presence_owner(g_presence)), 1);
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
	tcase_add_test(c, test_routes_though_the_claiming_connection_broke);
	tcase_add_test(c, test_routes_though_the_script_was_forgotten);
	tcase_add_test(c, test_what_is_from_the_list_of_all_stays);
	tcase_add_test(c, test_wrong_keys);
	tcase_add_test(c, test_an_engine_that_is_not_reached);
	tcase_add_test(c, test_who_routes_is_known);
	tcase_add_test(c, test_list_of_a_dead_node_goes_to_all);
	tcase_add_test(c, test_claim_of_a_dead_one_is_put_back_before_ours);
	tcase_add_test(c, test_who_ends_leaves_in_turn);
	tcase_add_test(c, test_who_dies_in_the_middle);
	tcase_add_test(c, test_claim_of_a_dead_one_alone);
	tcase_add_test(c, test_restoring_waits_for_later_claims);
	tcase_add_test(c, test_our_own_claim_is_no_dead_ones);
	tcase_add_test(c, test_claim_without_an_answer);
	tcase_add_test(c, test_what_a_node_left_comes_first_though_it_was_taken);
	tcase_add_test(c, test_drained);
	tcase_add_test(c, test_node_that_comes_back_reads_its_list);
	tcase_add_test(c, test_node_that_comes_back_and_routes_nothing);
	return suite_run("route", c);
}
