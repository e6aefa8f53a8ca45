/*
 * test_claim.c: messages are taken from a real Redis: which, in which order, what is recorded of
 * them, and what becomes of a claim whose answer is late or never comes.
 */
#include "common/broker/redis_broker.h"
#include "tests/unit/broker_fixture.h"
#include "tests/unit/suite.h"

START_TEST(test_priority_then_order)
{
	struct delivery d[8];

	push_number("celery\x06\x16"
		    "9",
		    1);
	push_number("celery", 2);
	push_number("celery", 3);
	push_number("celery\x06\x16"
		    "3",
		    4);
	ck_assert_uint_eq(claim(8, d), 4);
	ck_assert_int_eq(number_of(&d[0]), 2);
	ck_assert_int_eq(number_of(&d[1]), 3);
	ck_assert_int_eq(number_of(&d[2]), 4);
	ck_assert_int_eq(number_of(&d[3]), 1);
	ck_assert_str_eq(d[0].queue, "celery");
	ck_assert_ptr_nonnull(strstr(d[3].tag, ":9:"));
	drop(d, 4);
	ck_assert_int_eq(ask("HLEN", "unacked"), 4);
	ck_assert_int_eq(ask("ZCARD", "unacked_index"), 4);
}
END_TEST

/* Which of two queues is served next, by queue_order_strategy: of three messages each, in claims of
 * one. */
START_TEST(test_queue_order)
{
	static char *queues[] = {(char *)(uintptr_t) "b", (char *)(uintptr_t) "a"};
	static const struct {
		const char *options, *order;
	} rows[] = {{"", "bababa"},
		    {"{\"queue_order_strategy\": \"sorted\"}", "aaabbb"},
		    {"{\"queue_order_strategy\": \"priority\"}", "bbbaaa"}};

	g_settings.worker_queues = (struct str_list){queues, 2};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char order[7] = "";
		struct delivery d[1];

		close_broker();
		g_settings.broker_transport_options = rows[i].options;
		open_broker("a");
		for (int n = 0; n < 3; n++) {
			push_number("a", n);
			push_number("b", n);
		}
		for (int n = 0; n < 6; n++) {
			ck_assert_uint_eq(claim(1, d), 1);
			order[n] = d[0].queue[0];
			drop(d, 1);
		}
		ck_assert_str_eq(order, rows[i].order);
	}
}
END_TEST

START_TEST(test_takes_no_more_than_asked)
{
	struct delivery d[8];

	for (int i = 0; i < 5; i++) {
		push_number("celery", i);
	}
	ck_assert_uint_eq(claim(2, d), 2);
	drop(d, 2);
	ck_assert_int_eq(ask("LLEN", "celery"), 3);
}
END_TEST

START_TEST(test_order_of_many)
{
	struct delivery d[256];

	for (int i = 0; i < 300; i++)
		push_number(i < 150 ? "celery" : "other \"queue\"", i);
	ck_assert_uint_eq(claim(256, d), 256);
	for (int i = 0; i < 256; i++) {
		ck_assert_int_eq(number_of(&d[i]), i);
		ck_assert_uint_eq(d[i].ref.number, d[0].ref.number + (uint64_t)i);
	}
	drop(d, 256);
	ck_assert_uint_eq(claim(256, d), 44);
	ck_assert_int_eq(number_of(&d[43]), 299);
	drop(d, 44);
}
END_TEST

static void push_long(int n, const char *padding)
{
	_cleanup_free_ char *text = xasprintf("{\"n\": %d, \"padding\": \"%s\"}", n, padding);

	push("celery", text);
}

/* How many were put back since the server began. */
static int64_t put_back(void)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct err err;
	const char *found;

	ck_assert_int_eq(redis_do(g_redis, &reply, &err, "INFO commandstats"), 0);
	found = strstr(redis_reply_str(reply).data, "cmdstat_rpush:calls=");
	return found ? atoll(strchr(found, '=') + 1) : 0;
}

/* A claim ends at 16 MiB, and leaves most of what is beyond where it is. */
START_TEST(test_takes_no_more_than_16_mib)
{
	_cleanup_free_ char *padding = xmalloc((1 << 20) + 1);
	struct delivery d[64];

	memset(padding, 'x', 1 << 20);
	padding[1 << 20] = '\0';
	for (int i = 0; i < 40; i++)
		push_long(i, padding);
	for (int from = 0; from < 32; from += 16) {
		ck_assert_uint_eq(claim(64, d), 16);
		for (int i = 0; i < 16; i++)
			ck_assert_int_eq(number_of(&d[i]), from + i);
		drop(d, 16);
	}
	ck_assert_int_eq(ask("LLEN", "celery"), 8);
	ck_assert_int_le(put_back(), 2);
	ck_assert_uint_eq(claim(64, d), 8);
	ck_assert_int_eq(number_of(&d[7]), 39);
	drop(d, 8);
}
END_TEST

START_TEST(test_record_is_what_kombu_restores)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct delivery d[1];
	struct err err;

	push_number("other \"queue\"", 7);
	ck_assert_uint_eq(claim(1, d), 1);
	ck_assert_int_eq(redis_do(g_redis, &reply, &err, "HGET unacked %s", d[0].tag), 0);
	ck_assert_str_eq(redis_reply_str(reply).data,
			 "[{\"body\": \"W10=\", \"headers\": {}, \"properties\": {}, \"n\": 7}, "
			 "\"\", \"other \\\"queue\\\"\"]");
	drop(d, 1);
}
END_TEST

START_TEST(test_unreadable_goes_to_the_dead)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct delivery d[4];
	struct err err;

	push("celery", "not json");
	push("celery", "");
	push_number("celery", 1);
	ck_assert_uint_eq(claim(4, d), 1);
	drop(d, 1);
	ck_assert_int_eq(ask("LLEN", "celeriac:dead"), 2);
	ck_assert_int_eq(ask("HLEN", "unacked"), 1);
	ck_assert_int_eq(redis_do(g_redis, &reply, &err, "LINDEX celeriac:dead -1"), 0);
	ck_assert_ptr_nonnull(strstr(redis_reply_str(reply).data, "}\nnot json"));
}
END_TEST

START_TEST(test_claim_without_an_answer)
{
	struct delivery d[4];
	uint64_t held[2];
	struct err err = {0};
	int64_t restored = -1;

	for (int i = 0; i < 4; i++)
		push_number("celery", i);
	ck_assert_uint_eq(claim(4, d), 4);
	held[0] = d[3].ref.number;
	held[1] = d[1].ref.number;
	ck_assert_int_eq(broker_restore_lost(g_broker, g_presence, held, 2, &restored, &err), 0);
	ck_assert_int_eq(restored, 2);
	ck_assert_int_eq(ask("LLEN", "celery"), 2);
	ck_assert_int_eq(ask("HLEN", "unacked"), 2);
	drop(d, 4);

	uint64_t before = g_broker->next_number;
	ck_assert_uint_eq(claim(4, d), 2);
	ck_assert_uint_eq(g_broker->next_number, before + 4);
	drop(d, 2);
}
END_TEST

START_TEST(test_a_message_may_hold_nuls)
{
	static const char message[] = "{\"a\": \"\0\", \"n\": 1}";
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct delivery d[1];
	struct err err;

	ck_assert_int_eq(
		redis_do(g_redis, &reply, &err, "LPUSH celery %b", message, sizeof(message) - 1),
		0);
	ck_assert_uint_eq(claim(1, d), 1);
	ck_assert_uint_eq(d[0].len, sizeof(message) - 1);
	ck_assert_int_eq(memcmp(d[0].data, message, sizeof(message)), 0);
	drop(d, 1);
}
END_TEST

static size_t claim_answer(struct delivery *out)
{
	struct err err = {0};
	size_t count = 0;

	ck_assert_msg(broker_claim_answer(g_broker, out, &count, &err) == 0, "%s", err.msg);
	return count;
}

/* Asks for more before it looks at what it has. */
START_TEST(test_claimed_ahead)
{
	struct delivery first[4], second[4];
	struct err err = {0};

	for (int i = 0; i < 7; i++)
		push_number("celery", i);
	ck_assert_uint_eq(claim(3, first), 3);
	ck_assert_int_eq(broker_claim_ahead(g_broker, 3, &err), 1);
	ck_assert_uint_eq(claim_answer(second), 3);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(number_of(&first[i]), i);
		ck_assert_int_eq(number_of(&second[i]), i + 3);
		ck_assert_uint_eq(second[i].ref.number, first[i].ref.number + 3);
	}
	drop(first, 3);
	drop(second, 3);
	ck_assert_int_eq(broker_claim_ahead(g_broker, 3, &err), 1);
	ck_assert_uint_eq(claim_answer(first), 1);
	drop(first, 1);
	ck_assert_int_eq(broker_claim_ahead(g_broker, 3, &err), 1);
	ck_assert_uint_eq(claim_answer(first), 0);
	ck_assert_int_eq(ask("HLEN", "unacked"), 7);
}
END_TEST

/* A server that has forgotten the script has taken nothing, and the next claim is as ever. */
START_TEST(test_claimed_ahead_without_a_script)
{
	struct delivery d[4];
	struct err err = {0};

	for (int i = 0; i < 4; i++)
		push_number("celery", i);
	ck_assert_uint_eq(claim(2, d), 2);
	drop(d, 2);
	ck_assert_int_eq(redis_do(g_redis, NULL, &err, "SCRIPT FLUSH"), 0);
	ck_assert_int_eq(broker_claim_ahead(g_broker, 2, &err), 1);
	ck_assert_uint_eq(claim_answer(d), 0);
	ck_assert_int_eq(ask("HLEN", "unacked"), 2);
	ck_assert_uint_eq(claim(2, d), 2);
	drop(d, 2);
}
END_TEST

/* What a connection has taken whose answer does not come any more is put back. */
START_TEST(test_claimed_ahead_and_no_answer)
{
	struct delivery d[2];
	struct err err = {0};
	int64_t restored = -1;

	ck_assert_uint_eq(claim(2, d), 0); /* the server knows the script */
	for (int i = 0; i < 2; i++)
		push_number("celery", i);
	ck_assert_int_eq(broker_claim_ahead(g_broker, 2, &err), 1);
	while (ask("HLEN", "unacked") < 2)
		usleep(1000);
	ck_assert_int_eq(broker_connect(g_broker, g_presence, &err), 0);
	ck_assert_int_eq(broker_restore_lost(g_broker, g_presence, NULL, 0, &restored, &err), 0);
	ck_assert_int_eq(restored, 2);
	ck_assert_uint_eq(claim(2, d), 2);
	ck_assert_int_eq(number_of(&d[0]), 0);
	drop(d, 2);
}
END_TEST

/* When nothing can be there, and when there may be more. */
START_TEST(test_dry)
{
	struct delivery d[4];
	struct err err = {0};

	ck_assert(!broker_is_dry(g_broker));
	ck_assert_uint_eq(claim(4, d), 0);
	ck_assert(broker_is_dry(g_broker));
	push_number("celery", 1);
	ck_assert_uint_eq(claim(1, d), 1);
	ck_assert(!broker_is_dry(g_broker));
	drop(d, 1);
	push_number("celery", 2);
	ck_assert_uint_eq(claim(4, d), 1);
	ck_assert(broker_is_dry(g_broker));
	drop(d, 1);
	push_number("celery", 3);
	ck_assert_int_eq(broker_wait(g_broker, -1, clock_deadline(20 * USEC_PER_SEC), &err), 0);
	ck_assert(!broker_is_dry(g_broker));
	ck_assert_uint_eq(claim(4, d), 1);
	drop(d, 1);
	push("celery", "no message");
	ck_assert_uint_eq(claim(1, d), 0);
	ck_assert(!broker_is_dry(g_broker));
	push("celery", "no message");
	ck_assert_uint_eq(claim(4, d), 0);
	ck_assert(broker_is_dry(g_broker));
}
END_TEST

/* What is no answer of the script's: nothing of it is taken. An odd count of items is half a
 * delivery; `said` NULL: it is an answer all the same. */
static const struct {
	const char *script, *said;
} g_answers[] = {
	{"return {}", "claim script answered 0 items"},
	{"return {0, 0, {1, 1}, {}, 0}", "claim script answered 5 items"},
	{"return {0, 0, {1, 1}, {}, 0, '{}', 0, '{}', 0, '{}'}", "claim script answered 10 items"},
	{"return {0, 0, {1, 1}, {}, 99, '{}'}", "claim script answered no delivery"},
	{"return {0, 0, {1, 1}, {}, 0, '{}', -1, '{}'}", "claim script answered no delivery"},
	{"return {0, 0, {1, 1}, {}, 0, 7}", "claim script answered no delivery"},
	{"return {0, 0, {1, 1}, {}, {}, '{}'}", NULL},
	{"return {0, 0, {1, 1}, {1, 'x'}, 0, '{}'}", "claim script answered no delivery"},
	{"return {0, 0, {1, 1}, {-1, 'x'}, 0, '{}'}", "claim script answered no delivery"},
	{"return {0, 0, {1, 1}, {0, string.rep('x', 5000)}, 0, '{}'}",
	 "claim script answered no delivery"},
	{"return {0, 0, {1, 1}, {0}, 0, '{}'}", NULL},
	{"return {0, 0, {2^62, 2^62, 2^62}, {}, 0, '{}'}", NULL},
	{"return {0, 0, {-2^62, -2^62, -2^62}, {}, 0, '{}'}", NULL},
	{"return {0, 0, {}, {}, 0, '{}'}", NULL},
	{"return {0, 0, 'x', 'x', 0, '{}'}", NULL},
};

START_TEST(test_nonsense)
{
	struct delivery d[2];
	size_t count = 9;
	struct err err = {0};
	int rc;

	ck_assert_uint_eq(claim(2, d), 0); /* the script is made */
	redis_script_init(&g_broker->claim, g_answers[_i].script);
	rc = broker_claim(g_broker, 2, d, &count, &err);
	ck_assert_msg(rc == (g_answers[_i].said ? -ERR_PROTOCOL : 0), "%d: %s", rc, err.msg);
	ck_assert_uint_eq(count, g_answers[_i].said ? 0 : 1);
	if (g_answers[_i].said)
		ck_assert_str_eq(err.msg, g_answers[_i].said);
	drop(d, count);
}
END_TEST

/* Though there is always more than a claim takes. */
START_TEST(test_a_list_again)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct delivery d[4];
	struct err err;

	ck_assert_int_eq(redis_do(g_redis, &reply, &err, "SET celery x"), 0);
	ck_assert_uint_eq(claim(2, d), 0);
	ck_assert(g_broker->lists[0]->no_list);
	ck_assert_int_eq(ask("DEL", "celery"), 1);
	for (int i = 0; i < 10; i++)
		push_number("celery", i);
	ck_assert_uint_eq(claim(2, d), 2);
	ck_assert(!g_broker->lists[0]->no_list);
	drop(d, 2);
}
END_TEST

/* What somebody took and nobody lived to read is taken alone: behind it, and before it, there is
 * more. */
START_TEST(test_not_dry_beside_what_is_counted)
{
	static const char suspect[] = "{\"n\": 1, \"redelivered\": true}";
	struct delivery d[4];

	close_broker();
	g_settings.redelivery_limit = 3;
	open_broker("a");
	push("celery", suspect);
	ck_assert_uint_eq(claim(4, d), 1);
	ck_assert(broker_is_dry(g_broker));
	drop(d, 1);
	push("celery", suspect);
	push_number("celery", 2);
	ck_assert_uint_eq(claim(4, d), 1);
	ck_assert_int_eq(number_of(d), 1);
	ck_assert(!broker_is_dry(g_broker));
	drop(d, 1);
	push("celery", suspect);
	ck_assert_uint_eq(claim(4, d), 1);
	ck_assert_int_eq(number_of(d), 2);
	ck_assert(!broker_is_dry(g_broker));
	drop(d, 1);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("redis");

	tcase_set_timeout(t, 40);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_priority_then_order);
	tcase_add_test(t, test_queue_order);
	tcase_add_test(t, test_takes_no_more_than_asked);
	tcase_add_test(t, test_order_of_many);
	tcase_add_test(t, test_takes_no_more_than_16_mib);
	tcase_add_test(t, test_record_is_what_kombu_restores);
	tcase_add_test(t, test_unreadable_goes_to_the_dead);
	tcase_add_test(t, test_claim_without_an_answer);
	tcase_add_test(t, test_a_message_may_hold_nuls);
	tcase_add_test(t, test_claimed_ahead);
	tcase_add_test(t, test_claimed_ahead_without_a_script);
	tcase_add_test(t, test_claimed_ahead_and_no_answer);
	tcase_add_test(t, test_dry);
	tcase_add_test(t, test_not_dry_beside_what_is_counted);
	tcase_add_test(t, test_a_list_again);
	tcase_add_loop_test(t, test_nonsense, 0, ARRAY_LEN(g_answers));
	return suite_run("claim", t);
}
