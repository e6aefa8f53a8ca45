/* Queues and exchanges: definitions, patterns, and the step that finds the queues of a named
 * exchange. */
#include <check.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "common/broker/redis_broker.h"
#include "json.h"
#include "mem.h"
#include "tests/unit/redis_fixture.h"
#include "tests/unit/suite.h"

/* ---- definitions ---- */

static struct settings plain_settings(const char *queues)
{
	return (struct settings){.task_default_queue = "celery",
				 .task_default_exchange_type = "direct",
				 .task_create_missing_queues = true,
				 .worker_hostname = "w@h",
				 .task_queues = queues};
}

/* "name exchange type key, …" */
static char *show(const struct queue_defs *d)
{
	struct buf out = BUF_INIT(4096);
	struct err err;
	char *ret;

	for (size_t i = 0; i < d->count; i++)
		buf_appendf(&out, "%s%s %s %s %s", i ? ", " : "", d->items[i].name,
			    d->items[i].exchange, exchange_type_name(d->items[i].type),
			    d->items[i].routing_key);
	ck_assert_int_eq(buf_take(&out, &ret, NULL, &err), 0);
	return ret;
}

START_TEST(test_definitions)
{
	static const char *const rows[][2] = {
		{"", "celery celery direct celery"},
		{"[{\"name\": \"a\"}]", "a celery direct celery"},
		{"{\"a\": {}}", "a celery direct a"},
		{"{\"a\": {\"exchange\": \"x\", \"exchange_type\": \"topic\", \"routing_key\": "
		 "\"a.#\"}}",
		 "a x topic a.#"},
		{"{\"a\": {\"exchange\": \"x\", \"binding_key\": \"k\", \"x-max-priority\": 9}}",
		 "a x direct k"},
		{"[{\"name\": \"a\", \"exchange\": \"x\", \"routing_key\": null}]",
		 "a x direct celery"},
		{"[{\"name\": \"a\", \"exchange\": \"f\", \"exchange_type\": \"fanout\"}, "
		 "{\"name\": \"b\"}]",
		 "a f fanout celery, b celery direct celery"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct settings s = plain_settings(rows[i][0]);
		struct queue_defs d;
		struct err err;

		ck_assert_msg(queue_defs_read(&s, &d, &err) == 0, "%s: %s", rows[i][0], err.msg);
		_cleanup_free_ char *text = show(&d);
		ck_assert_str_eq(text, rows[i][1]);
		ck_assert_uint_eq(d.consumed, d.count);
		queue_defs_done(&d);
	}
}
END_TEST

START_TEST(test_defaults_and_direct)
{
	struct settings s = plain_settings("");
	struct queue_defs d;
	struct err err;

	s.task_default_exchange = "media";
	s.task_default_exchange_type = "topic";
	s.task_default_routing_key = "all.#";
	s.worker_direct = true;
	ck_assert_int_eq(queue_defs_read(&s, &d, &err), 0);
	_cleanup_free_ char *text = show(&d);
	ck_assert_str_eq(text, "celery media topic all.#, w@h.dq2 C.dq2 direct w@h");
	ck_assert_uint_eq(d.consumed, 1);
	queue_defs_done(&d);
}
END_TEST

START_TEST(test_arguments_of_rabbitmq)
{
	static const char *const rows[][2] = {
		{"{\"a\": {}}", "{\"x-max-priority\": 9, \"x-queue-type\": \"quorum\"}"},
		{"{\"a\": {\"queue_arguments\": {\"x-queue-type\": \"classic\"}, "
		 "\"max_priority\": 3, \"expires\": 1.5, \"message_ttl\": null}}",
		 "{\"x-max-priority\": 3, \"x-queue-type\": \"classic\", \"x-expires\": 1500}"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct settings s = plain_settings(rows[i][0]);
		struct queue_defs d;
		struct err err;

		s.task_default_queue_type = "quorum";
		s.task_queue_max_priority = 9;
		ck_assert_msg(queue_defs_read(&s, &d, &err) == 0, "%s", err.msg);
		_cleanup_json_ json_t *expected = json_loads(rows[i][1], 0, NULL);
		ck_assert(json_equal(d.items[0].arguments, expected));
		ck_assert(d.items[0].durable && !d.items[0].auto_delete);
		queue_defs_done(&d);
	}
}
END_TEST

START_TEST(test_definitions_refused)
{
	static const char *const rows[][2] = {
		{"7", "CELERY_TASK_QUEUES"},
		{"[7]", "number 1"},
		{"[{}]", "no name"},
		{"[{\"name\": \"\"}]", "no name"},
		{"[{\"name\": 7}]", "name must be a string"},
		{"[{\"name\": \"a\\nb\"}]", "control character"},
		{"[{\"name\": \"a\"}, {\"name\": \"a\"}]", "twice"},
		{"{\"a\": {\"exchange_type\": \"headers\", \"exchange\": \"x\"}}", "headers"},
		{"{\"a\": {\"exchange\": \"x\"}, \"b\": {\"exchange\": \"x\", \"exchange_type\": "
		 "\"topic\"}}",
		 "exchange x is direct for queue a and topic for b"},
		{"{\"a\"", "CELERY_TASK_QUEUES"},
		{"{\"a\": {\"durable\": 1}}", "durable must be a boolean"},
		{"{\"a\": {\"queue_arguments\": 1}}", "queue_arguments must be an object"},
		{"{\"a\": {\"expires\": -1}}", "expires must be a number"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct settings s = plain_settings(rows[i][0]);
		struct queue_defs d;
		struct err err = {0};

		ck_assert_int_lt(queue_defs_read(&s, &d, &err), 0);
		ck_assert_msg(strstr(err.msg, rows[i][1]), "%s: %s", rows[i][0], err.msg);
	}
}
END_TEST

/* As many queues as there may be, and one more. */
START_TEST(test_many_definitions)
{
	for (int more = 0; more <= 1; more++) {
		_cleanup_buf_ struct buf text = BUF_INIT(1 << 20);
		struct settings s;
		struct queue_defs d;
		struct err err;

		for (int i = 0; i < BOUND_QUEUES + more; i++)
			buf_appendf(&text, "%s{\"name\": \"q%d\", \"durable\": false}",
				    i ? ", " : "[", i);
		buf_append_char(&text, ']');
		s = plain_settings(text.data);
		if (more) {
			ck_assert_int_eq(queue_defs_read(&s, &d, &err), -ERR_TOOBIG);
			break;
		}
		ck_assert_int_eq(queue_defs_read(&s, &d, &err), 0);
		ck_assert_uint_eq(d.count, BOUND_QUEUES);
		ck_assert(!d.items[0].durable);
		queue_defs_done(&d);
	}
}
END_TEST

START_TEST(test_pattern)
{
	static const char *const rows[][2] = {
		{"", "^$"},	    {"a", "^a$"},
		{"a.b", "^a\\.b$"}, {"a.*.#", "^a\\.[^\\.]+\\..*?$"},
		{"#", "^.*?$"},	    {"a*.b-c", "^a*\\.b\\-c$"},
		{"..", "^\\.\\.$"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_buf_ struct buf out = BUF_INIT(256);

		exchange_topic_pattern(rows[i][0], &out);
		ck_assert_str_eq(out.data, rows[i][1]);
	}
}
END_TEST

/* ---- routing ---- */

static struct redis_server *g_server;
static struct broker *g_broker;
static struct presence *g_presence;
static struct redis *g_redis;

#define QUEUES                                                                                     \
	"[{\"name\": \"celery\", \"exchange\": \"celery\", \"routing_key\": \"celery\"}, "         \
	"{\"name\": \"t\", \"exchange\": \"known\", \"exchange_type\": \"topic\", "                \
	"\"routing_key\": \"t.#\"}, "                                                              \
	"{\"name\": \"d\", \"exchange\": \"straight\", \"routing_key\": \"d\"}, "                  \
	"{\"name\": \"f\", \"exchange\": \"shout\", \"exchange_type\": \"fanout\", "               \
	"\"routing_key\": \"\"}]"

static void open_broker(const char *options)
{
	static char *queues[] = {(char *)(uintptr_t) "celery"};
	struct settings s = plain_settings(QUEUES);
	struct err err = {0};

	g_server = redis_server_start(NULL);
	s.broker_url = redis_server_url(g_server, 0);
	s.broker_transport_options = options;
	s.worker_queues = (struct str_list){queues, 1};
	ck_assert_msg(broker_open(&s, &g_broker, &err) == 0, "%s", err.msg);
	ck_assert_int_eq(
		redis_open(broker_address(g_broker), "test", 20 * USEC_PER_SEC, &g_redis, &err), 0);
	ck_assert_int_eq(presence_join(g_redis, "", "test", "a", clock_deadline(20 * USEC_PER_SEC),
				       &g_presence, &err),
			 0);
	ck_assert_int_eq(broker_connect(g_broker, g_presence, &err), 0);
	while (!broker_ready(g_broker))
		usleep(1000);
	free((char *)(uintptr_t)s.broker_url);
}

static void close_broker(void)
{
	presence_leave(g_presence, g_redis);
	presence_free(g_presence);
	redis_close(g_redis);
	broker_close(g_broker, clock_deadline(USEC_PER_SEC));
	redis_server_free(g_server);
}

static int64_t ask(const char *command, const char *key)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct err err;

	ck_assert_msg(redis_do(g_redis, &reply, &err, "%s %s", command, key) == 0, "%s", err.msg);
	return redis_reply_int(reply);
}

static void bind_queue(const char *exchange, const char *member)
{
	struct err err;

	ck_assert_int_eq(
		redis_do(g_redis, NULL, &err, "SADD _kombu.binding.%s %s", exchange, member), 0);
}

static void finished(void *arg, const struct err *err)
{
	ck_assert_msg(err == NULL, "%s", err ? err->msg : "");
	atomic_store((atomic_int *)arg, 1);
}

/* Settles one delivery with one message for an exchange. */
static void route(const char *exchange, const char *key, int priority)
{
	struct delivery d[1];
	struct settlement s = {.outcome = SETTLE_ACK};
	atomic_int done = 0;
	size_t count = 0;
	struct err err;

	ck_assert_int_eq(redis_do(g_redis, NULL, &err, "LPUSH celery {}"), 0);
	ck_assert_int_eq(broker_claim(g_broker, 1, d, &count, &err), 0);
	ck_assert_uint_eq(count, 1);
	s.tag = d[0].tag;
	s.queue = d[0].queue;
	broker_step_route(g_broker, &s.steps, exchange, key, priority, xstrdup("{\"m\": 1}"), 8);
	broker_settle(g_broker, &s, finished, &done);
	while (!atomic_load(&done))
		usleep(1000);
	free(d[0].data);
	ck_assert_int_eq(ask("HLEN", "unacked"), 0);
}

#define S "\x06\x16"

/* One binding, and keys that it takes or does not: what Python's re.match says of kombu's patterns.
 */
START_TEST(test_topic)
{
	static const struct {
		const char *pattern, *key;
		bool is;
	} rows[] = {
		{"^a\\.[^\\.]+$", "a.b", true},
		{"^a\\.[^\\.]+$", "a.b.c", false},
		{"^a\\.[^\\.]+$", "a.", false},
		{"^a\\.[^\\.]+$", "a", false},
		{"^a\\.[^\\.]+\\.c$", "a.bb.c", true},
		{"^a\\.[^\\.]+\\.c$", "a.b.b.c", false},
		{"^a\\..*?$", "a.b.c", true},
		{"^a\\..*?$", "a.", true},
		{"^a\\..*?$", "a", false},
		{"^.*?$", "", true},
		{"^.*?$", "any.thing", true},
		{"^.*?\\.z$", "x.y.z", true},
		{"^.*?\\.z$", "z", false},
		{"^a\\.b$", "a.b", true},
		{"^a\\.b$", "aXb", false},
		{"^a\\.b$", "a.bc", false},
		{"^a\\.b$", "xa.b", false},
		/* kombu before 5.6 */
		{"^a\\..*?[^\\.]$", "a.b", true},
		{"^a\\..*?[^\\.]$", "a.b.c", true},
		{"^a\\..*?[^\\.]$", "a.b.", false},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_free_ char *member = xasprintf("key" S "%s" S "q%zu", rows[i].pattern, i);
		_cleanup_free_ char *exchange = xasprintf("x%zu", i), *queue = xasprintf("q%zu", i);

		bind_queue(exchange, member);
		route(exchange, rows[i].key, 0);
		ck_assert_msg(ask("LLEN", queue) == rows[i].is, "%s %s", rows[i].pattern,
			      rows[i].key);
	}
}
END_TEST

START_TEST(test_direct)
{
	bind_queue("x", "k" S S "one");
	bind_queue("x", "k" S S "two");
	bind_queue("x", "other" S S "three");
	bind_queue("x", "k" S "^k$" S "one"); /* bound twice: one copy */
	bind_queue("x", "nonsense");
	bind_queue("x", "k" S "nonsense");
	bind_queue("x", "k" S S);
	route("x", "k", 0);
	ck_assert_int_eq(ask("LLEN", "one"), 1);
	ck_assert_int_eq(ask("LLEN", "two"), 1);
	ck_assert_int_eq(ask("LLEN", "three"), 0);
	route("x", "k", 7);
	ck_assert_int_eq(ask("LLEN", "two" S "6"), 1);
	ck_assert_uint_eq(broker_undeliverable(g_broker), 0);
	/* A direct exchange by the settings takes no patterns. */
	bind_queue("straight", "d" S "^.*?$" S "d");
	route("straight", "e", 0);
	ck_assert_int_eq(ask("LLEN", "d"), 0);
	ck_assert_uint_eq(broker_undeliverable(g_broker), 1);
}
END_TEST

START_TEST(test_nobody)
{
	route("nowhere", "k", 0);
	ck_assert_uint_eq(broker_undeliverable(g_broker), 1);
	ck_assert_int_eq(ask("EXISTS", "k"), 0);
}
END_TEST

/* Many of them are one answer of bounded size. */
START_TEST(test_thousands_for_nobody)
{
	struct settle_steps steps = {0};
	struct err err;

	for (int i = 0; i < 20000; i++)
		broker_step_route(g_broker, &steps, "nowhere", "k", 0, xstrdup("m"), 1);
	ck_assert_msg(broker_perform(g_broker, &steps, clock_deadline(20 * USEC_PER_SEC), &err) ==
			      0,
		      "%s", err.msg);
	ck_assert_uint_eq(broker_undeliverable(g_broker), 20000);
}
END_TEST

START_TEST(test_broken_keys)
{
	struct err err;

	ck_assert_int_eq(redis_do(g_redis, NULL, &err, "SET _kombu.binding.x text"), 0);
	route("x", "k", 0);
	ck_assert_int_eq(redis_do(g_redis, NULL, &err, "SET q text"), 0);
	bind_queue("y", "k" S S "q");
	bind_queue("y", "k" S S "good");
	route("y", "k", 0);
	ck_assert_int_eq(ask("LLEN", "good"), 1);
	bind_queue("z", "k" S S "q");
	route("z", "k", 0);
	ck_assert_uint_eq(broker_undeliverable(g_broker), 2);
}
END_TEST

START_TEST(test_where_a_message_goes)
{
	static const struct {
		const char *queue, *exchange, *key;
	} rows[] = {{"t", "known", "t.#"},
		    {"f", "shout", "celery"},
		    {"d", NULL, NULL},
		    {"celery", NULL, NULL},
		    {"unknown", NULL, NULL}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *queue = rows[i].queue, *exchange = NULL, *key = NULL;

		broker_address_message(g_broker, &queue, &exchange, &key);
		if (rows[i].exchange == NULL) {
			ck_assert_str_eq(queue, rows[i].queue);
			ck_assert_ptr_null(exchange);
		} else {
			ck_assert_ptr_null(queue);
			ck_assert_str_eq(exchange, rows[i].exchange);
			ck_assert_str_eq(key, rows[i].key);
		}
	}
}
END_TEST

static void setup(void)
{
	open_broker("");
}

static void setup_options(void)
{
	open_broker("{\"global_keyprefix\": \"p:\", \"sep\": \":\", \"priority_steps\": [1, 5], "
		    "\"deadletter_queue\": \"dead\", \"fanout_prefix\": \"f{db}.\"}");
}

/* The options reach the keys of follow-ups. */
START_TEST(test_options)
{
	struct err err;
	struct settle_steps steps = {0};

	ck_assert_int_eq(redis_do(g_redis, NULL, &err, "SADD p:_kombu.binding.x k::q"), 0);
	broker_step_push(g_broker, &steps, "q", 7, xstrdup("m"), 1);
	ck_assert_str_eq(steps.items[0].key, "p:q:5");
	broker_step_route(g_broker, &steps, "shout", "key", 0, xstrdup("m"), 1);
	ck_assert_int_eq(steps.items[1].kind, STEP_PUBLISH);
	ck_assert_str_eq(steps.items[1].key, "p:f0.shout/key");
	settle_steps_done(&steps);
}
END_TEST

START_TEST(test_options_route)
{
	struct delivery d[1];
	struct settlement s = {.outcome = SETTLE_ACK};
	atomic_int done = 0;
	size_t count = 0;
	struct err err;

	ck_assert_int_eq(redis_do(g_redis, NULL, &err, "SADD p:_kombu.binding.x k::q"), 0);
	ck_assert_int_eq(redis_do(g_redis, NULL, &err, "LPUSH p:celery {}"), 0);
	ck_assert_int_eq(broker_claim(g_broker, 1, d, &count, &err), 0);
	ck_assert_uint_eq(count, 1);
	s.tag = d[0].tag;
	s.queue = d[0].queue;
	broker_step_route(g_broker, &s.steps, "x", "k", 7, xstrdup("m"), 1);
	broker_step_route(g_broker, &s.steps, "nowhere", "k", 0, xstrdup("m"), 1);
	broker_settle(g_broker, &s, finished, &done);
	while (!atomic_load(&done))
		usleep(1000);
	free(d[0].data);
	ck_assert_int_eq(ask("LLEN", "p:q:5"), 1);
	ck_assert_int_eq(ask("LLEN", "p:dead"), 1);
	ck_assert_uint_eq(broker_undeliverable(g_broker), 1);
}
END_TEST

int main(void)
{
	TCase *pure = tcase_create("definitions"), *routing = tcase_create("routing"),
	      *options = tcase_create("options");
	Suite *s = suite_create("exchanges");
	SRunner *r;
	int failed;

	tcase_add_test(pure, test_definitions);
	tcase_add_test(pure, test_defaults_and_direct);
	tcase_add_test(pure, test_arguments_of_rabbitmq);
	tcase_add_test(pure, test_definitions_refused);
	tcase_add_test(pure, test_many_definitions);
	tcase_add_test(pure, test_pattern);
	tcase_add_checked_fixture(routing, setup, close_broker);
	tcase_set_timeout(routing, 30);
	tcase_add_test(routing, test_topic);
	tcase_add_test(routing, test_direct);
	tcase_add_test(routing, test_nobody);
	tcase_add_test(routing, test_thousands_for_nobody);
	tcase_add_test(routing, test_broken_keys);
	tcase_add_test(routing, test_where_a_message_goes);
	tcase_add_checked_fixture(options, setup_options, close_broker);
	tcase_add_test(options, test_options);
	tcase_add_test(options, test_options_route);
	suite_add_tcase(s, pure);
	suite_add_tcase(s, routing);
	suite_add_tcase(s, options);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
