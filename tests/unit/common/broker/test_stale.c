/*
 * test_stale.c: what somebody held too long is put back as kombu does it, but never lost.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/broker/redis_broker.h"
#include "clock.h"
#include "json.h"
#include "mem.h"
#include "tests/unit/redis_fixture.h"

#define PATIENCE clock_deadline(20 * USEC_PER_SEC)
#define LIST_6                                                                                     \
	"celery\x06\x16"                                                                           \
	"6"
#define SEP "\x06\x16"

static struct redis_server *g_server;
static struct broker *g_broker;
static struct presence *g_presence;
static struct redis *g_redis;

static void open_with(const char *options)
{
	struct settings settings = {.broker_transport_options = options,
				    .task_default_queue = "celery"};
	_cleanup_free_ char *url = redis_server_url(g_server, 0);
	struct err err = {0};

	settings.broker_url = url;
	ck_assert_msg(broker_open(&settings, &g_broker, &err) == 0, "%s", err.msg);
	while (!broker_ready(g_broker)) {
		usleep(1000);
	}
}

static void setup(void)
{
	struct err err = {0};

	g_server = redis_server_start(NULL);
	open_with("{\"visibility_timeout\": 60}");
	ck_assert_int_eq(
		redis_open(broker_address(g_broker), "test", 20 * USEC_PER_SEC, &g_redis, &err), 0);
	ck_assert_int_eq(presence_join(g_redis, "", "test", "a", PATIENCE, &g_presence, &err), 0);
}

static void teardown(void)
{
	presence_free(g_presence);
	redis_close(g_redis);
	broker_close(g_broker, PATIENCE);
	redis_server_free(g_server);
}

static void reopen(const char *options)
{
	broker_close(g_broker, PATIENCE);
	open_with(options);
}

/* One command; the reply as text, or NULL. Given. */
static char *say(const char *command, const char *a, const char *b, const char *c)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	_cleanup_buf_ struct buf commands = BUF_INIT(1u << 20);
	const char *words[] = {command, a, b, c};
	struct slice argv[4];
	struct redis_reply *replies[1];
	struct slice text;
	struct err err = {0};
	size_t argc = 0;

	while (argc < 4 && words[argc] != NULL) {
		argv[argc] = (struct slice){words[argc], strlen(words[argc])};
		argc++;
	}
	redis_command_argv(&commands, argv, argc);
	ck_assert_msg(redis_exchange(g_redis, &commands, 1, replies, &err) == 0, "%s", err.msg);
	reply = replies[0];
	text = redis_reply_str(reply);
	if (redis_reply_type(reply) == REDIS_INTEGER)
		return xasprintf("%lld", (long long)redis_reply_int(reply));
	return redis_reply_type(reply) == REDIS_NIL ? NULL : xstrndup(text.data, text.len);
}

static void do_(const char *command, const char *a, const char *b, const char *c)
{
	free(say(command, a, b, c));
}

static int count(const char *command, const char *key)
{
	_cleanup_free_ char *text = say(command, key, NULL, NULL);

	return atoi(text);
}

/* As a Python worker records it, `age` seconds ago. */
static void hold(const char *tag, const char *record, double age)
{
	_cleanup_free_ char *score =
		xasprintf("%.6f", (double)clock_wall() / (double)USEC_PER_SEC - age);

	do_("HSET", "unacked", tag, record);
	do_("ZADD", "unacked_index", score, tag);
}

static int64_t sweep(bool foreign_only)
{
	struct err err = {0};
	int64_t restored = -1;

	ck_assert_msg(broker_restore_stale(g_broker, g_presence, foreign_only, &restored, &err) ==
			      0,
		      "%s", err.msg);
	return restored;
}

static void expect_list(const char *key, const char *message)
{
	_cleanup_free_ char *got = say("RPOP", key, NULL, NULL);

	ck_assert_ptr_nonnull(got);
	ck_assert_str_eq(got, message);
}

static void expect_dead(const char *reason, const char *message)
{
	_cleanup_free_ char *got = say("RPOP", "celeriac:dead", NULL, NULL);
	char *line_end;

	ck_assert_ptr_nonnull(got);
	line_end = strchr(got, '\n');
	ck_assert_ptr_nonnull(line_end);
	ck_assert_str_eq(line_end + 1, message);
	*line_end = '\0';
	ck_assert_msg(strstr(got, reason) != NULL, "%s", got);
}

#define MESSAGE(n)                                                                                 \
	"{\"body\": \"" n                                                                          \
	"\", \"headers\": {\"x\": 123456789012345678901234567890, \"nan\": NaN}, "                 \
	"\"properties\": {\"priority\": 7, \"delivery_info\": {\"exchange\": \"\"}}}"
#define BACK(n)                                                                                    \
	"{\"body\": \"" n                                                                          \
	"\", \"headers\": {\"x\": 123456789012345678901234567890, \"nan\": NaN, "                  \
	"\"redelivered\": true}, \"properties\": {\"priority\": 7, \"delivery_info\": "            \
	"{\"exchange\": "                                                                          \
	"\"\", \"redelivered\": true}}}"

START_TEST(test_goes_back_as_it_was)
{
	hold("t1", "[" MESSAGE("one") ", \"\", \"celery\"]", 300);
	hold("t2", "[" MESSAGE("two") ", \"\", \"celery\"]", 200);
	hold("t3", "[" MESSAGE("young") ", \"\", \"celery\"]", 30);
	do_("LPUSH", LIST_6, "later", NULL);
	ck_assert_int_eq(sweep(true), 2);
	expect_list(LIST_6, BACK("one")); /* the oldest first, and before what waits */
	expect_list(LIST_6, BACK("two"));
	expect_list(LIST_6, "later");
	ck_assert_int_eq(count("HLEN", "unacked"), 1);
	ck_assert_int_eq(count("ZCARD", "unacked_index"), 1);
	ck_assert_int_eq(count("EXISTS", "unacked_mutex"), 0);
}
END_TEST

START_TEST(test_queues_are_looked_up)
{
	do_("SADD", "_kombu.binding.direct", "key" SEP SEP "d1", NULL);
	do_("SADD", "_kombu.binding.direct", "other" SEP SEP "d2", NULL);
	do_("SADD", "_kombu.binding.topic", "a.*" SEP "^a\\.[^\\.]+$" SEP "t1", NULL);
	do_("SADD", "_kombu.binding.topic", "#" SEP "^.*?$" SEP "t2", NULL);
	do_("SADD", "_kombu.binding.topic", "a.*.c" SEP "^a\\.[^\\.]+\\.c$" SEP "t3", NULL);
	hold("t1", "[{\"n\": 1}, \"direct\", \"key\"]", 300);
	hold("t2", "[{\"n\": 2}, \"topic\", \"a.b\"]", 300);
	ck_assert_int_eq(sweep(true), 2);
	expect_list("d1", "{\"n\": 1}");
	expect_list("t1", "{\"n\": 2}");
	expect_list("t2", "{\"n\": 2}");
	ck_assert_int_eq(count("EXISTS", "d2") + count("EXISTS", "t3"), 0);
	ck_assert_int_eq(count("HLEN", "unacked"), 0);
}
END_TEST

/* A binding set that was deleted, one that is none, and a queue whose name is something else's. */
START_TEST(test_nothing_is_lost_without_a_queue)
{
	do_("SET", "_kombu.binding.odd", "x", NULL);
	do_("SADD", "_kombu.binding.taken", "key" SEP SEP "string", NULL);
	do_("SET", "string", "x", NULL);
	hold("t1", "[{\"n\": 1}, \"gone\", \"key\"]", 303);
	hold("t2", "[{\"n\": 2}, \"odd\", \"key\"]", 302);
	hold("t3", "[{\"n\": 3}, \"taken\", \"key\"]", 301);
	hold("t4", "[{\"n\": 4}, null, null]", 300);
	ck_assert_int_eq(sweep(true), 0);
	expect_dead("no queue is bound to exchange '' for routing key ''", "{\"n\": 4}");
	expect_dead("exchange 'taken' for routing key 'key'", "{\"n\": 3}");
	expect_dead("exchange 'odd'", "{\"n\": 2}");
	expect_dead("exchange 'gone'", "{\"n\": 1}");
	ck_assert_int_eq(count("HLEN", "unacked"), 0);
	ck_assert_int_eq(count("ZCARD", "unacked_index"), 0);
	reopen("{\"visibility_timeout\": 60, \"deadletter_queue\": \"letters\"}");
	hold("t1", "[{\"n\": 1, \"properties\": {\"priority\": \"9\"}}, \"gone\", \"key\"]", 300);
	ck_assert_int_eq(sweep(true), 1);
	expect_list("letters" SEP "9", "{\"n\": 1, \"properties\": {\"priority\": \"9\"}}");
}
END_TEST

START_TEST(test_what_cannot_be_read)
{
	static const char *const records[] = {"",
					      "nonsense",
					      "[]",
					      "[1, \"\", \"celery\"]",
					      "[{}, 1, \"celery\"]",
					      "[{}, \"\", {}]",
					      "[{}, \"\", \"a\\u0000b\"]",
					      "{\"a\": 1}"};
	char tag[] = "t0";

	for (size_t i = 0; i < ARRAY_LEN(records); i++) {
		tag[1] = (char)('0' + i);
		hold(tag, records[i], 300 - (double)i);
	}
	do_("ZADD", "unacked_index", "1", "without a record");
	ck_assert_int_eq(sweep(true), 0);
	for (size_t i = ARRAY_LEN(records); i-- > 0;) {
		expect_dead("cannot be read", records[i]);
	}
	ck_assert_int_eq(count("HLEN", "unacked"), 0);
	ck_assert_int_eq(count("ZCARD", "unacked_index"), 0);
}
END_TEST

/* Of Celeriac's own it is known who lives: they renew, and must not be disturbed. */
START_TEST(test_owners_that_live_are_left_alone)
{
	_cleanup_free_ char *ours = xasprintf("celeriac:%s:0:1", presence_owner(g_presence));

	hold(ours, "[{\"n\": 1}, \"\", \"celery\"]", 400);
	hold("celeriac:dead@5:6:2", "[{\"n\": 2}, \"\", \"celery\"]", 300);
	hold("python", "[{\"n\": 3}, \"\", \"celery\"]", 200);
	ck_assert_int_eq(sweep(true), 1);
	expect_list("celery", "{\"n\": 3}");
	ck_assert_int_eq(sweep(false), 1);
	expect_list("celery", "{\"n\": 2}");
	ck_assert_int_eq(sweep(false), 0);
	ck_assert_int_eq(count("HLEN", "unacked"), 1);
}
END_TEST

START_TEST(test_many_and_the_limit)
{
	char tag[24], record[64];

	for (int i = 0; i < 700; i++) {
		_cleanup_free_ char *ours =
			xasprintf("celeriac:%s:0:%d", presence_owner(g_presence), i);

		snprintf(tag, sizeof(tag), "t%d", i);
		snprintf(record, sizeof(record), "[{\"n\": %d}, \"\", \"celery\"]", i);
		hold(tag, record, 2000 - i);
		if (i % 2 == 0) /* between them what stays */
			hold(ours, "[{}, \"\", \"celery\"]", 2000 - i);
	}
	ck_assert_int_eq(sweep(false), 700);
	for (int i = 0; i < 700; i++) {
		snprintf(record, sizeof(record), "{\"n\": %d}", i);
		expect_list("celery", record);
	}
	ck_assert_int_eq(count("ZCARD", "unacked_index"), 350);
	reopen("{\"visibility_timeout\": 60, \"unacked_restore_limit\": 3}");
	for (int i = 0; i < 5; i++) {
		snprintf(tag, sizeof(tag), "t%d", i);
		hold(tag, "[{}, \"\", \"celery\"]", 300);
	}
	ck_assert_int_eq(sweep(false), 3);
	ck_assert_int_eq(sweep(false), 2);
}
END_TEST

START_TEST(test_one_sweeper_at_a_time)
{
	_cleanup_free_ char *token = NULL;

	reopen("{\"visibility_timeout\": 60, \"unacked_mutex_key\": \"lock\", "
	       "\"global_keyprefix\": "
	       "\"p:\", \"unacked_key\": \"u\", \"unacked_index_key\": \"i\"}");
	do_("SET", "p:lock", "another", NULL);
	do_("HSET", "p:u", "t", "[{\"n\": 1}, \"\", \"celery\"]");
	do_("ZADD", "p:i", "1", "t");
	ck_assert_int_eq(sweep(true), 0);
	token = say("GET", "p:lock", NULL, NULL);
	ck_assert_str_eq(token, "another");
	do_("DEL", "p:lock", NULL, NULL);
	ck_assert_int_eq(sweep(true), 1);
	ck_assert_int_eq(count("EXISTS", "p:lock"), 0);
	expect_list("p:celery", "{\"n\": 1}");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("stale");
	TCase *c = tcase_create("stale");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, test_goes_back_as_it_was);
	tcase_add_test(c, test_queues_are_looked_up);
	tcase_add_test(c, test_nothing_is_lost_without_a_queue);
	tcase_add_test(c, test_what_cannot_be_read);
	tcase_add_test(c, test_owners_that_live_are_left_alone);
	tcase_add_test(c, test_many_and_the_limit);
	tcase_add_test(c, test_one_sweeper_at_a_time);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
