/*
 * test_fetch.c: deliveries that are held without their payload: read again, given back in order,
 * renewed.
 */
#include <check.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/broker/redis_broker.h"
#include "clock.h"
#include "mem.h"
#include "tests/unit/redis_fixture.h"

#define PATIENCE clock_deadline(20 * USEC_PER_SEC)
#define COUNT	 BOUND_CLAIM_BATCH

static struct redis_server *g_server;
static struct broker *g_broker;
static struct presence *g_presence;
static struct redis *g_redis;
static char *g_queues[] = {(char *)(uintptr_t) "celery", (char *)(uintptr_t) "other \"queue\""};

static void setup(void)
{
	struct settings settings = {0};
	struct err err = {0};
	_cleanup_free_ char *url = NULL;

	g_server = redis_server_start(NULL);
	url = redis_server_url(g_server, 0);
	settings.broker_url = url;
	settings.broker_transport_options = "";
	settings.task_default_queue = "celery";
	settings.task_create_missing_queues = true;
	settings.worker_queues = (struct str_list){g_queues, 2};
	ck_assert_int_eq(broker_open(&settings, &g_broker, &err), 0);
	ck_assert_int_eq(
		redis_open(broker_address(g_broker), "test", 20 * USEC_PER_SEC, &g_redis, &err), 0);
	ck_assert_int_eq(presence_join(g_redis, "", "test", "a", PATIENCE, &g_presence, &err), 0);
	ck_assert_msg(broker_connect(g_broker, g_presence, &err) == 0, "%s", err.msg);
	while (!broker_ready(g_broker)) {
		usleep(1000);
	}
}

static void teardown(void)
{
	presence_free(g_presence);
	redis_close(g_redis);
	broker_close(g_broker, PATIENCE);
	redis_server_free(g_server);
}

static int64_t ask(const char *command, const char *key)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct err err = {0};

	ck_assert_msg(redis_do(g_redis, &reply, &err, "%s %s", command, key) == 0, "%s", err.msg);
	return redis_reply_int(reply);
}

static void push(const char *key, int first, int count)
{
	struct err err = {0};

	for (int i = first; i < first + count; i++) {
		_cleanup_reply_ struct redis_reply *reply = NULL;
		_cleanup_free_ char *text = xasprintf("{\"n\": %d}", i);

		ck_assert_int_eq(redis_do(g_redis, &reply, &err, "LPUSH %s %s", key, text), 0);
	}
}

/* Claims `count` and forgets their payloads. */
static void claim(struct delivery_ref *refs, size_t count)
{
	_cleanup_free_ struct delivery *d = xcalloc(count, sizeof(*d));
	struct err err = {0};
	size_t got = 0;

	ck_assert_int_eq(broker_claim(g_broker, count, d, &got, &err), 0);
	ck_assert_uint_eq(got, count);
	for (size_t i = 0; i < count; i++) {
		char tag[BROKER_TAG_SIZE];

		broker_tag(g_broker, &d[i].ref, tag);
		ck_assert_str_eq(tag, d[i].tag);
		refs[i] = d[i].ref;
		free(d[i].data);
	}
}

static int number_of(const struct delivery *d)
{
	int n;

	ck_assert_ptr_nonnull(d->data);
	ck_assert_int_eq(sscanf(d->data, "{\"n\": %d}", &n), 1);
	return n;
}

START_TEST(test_payloads_are_read_again)
{
	struct delivery_ref refs[COUNT];
	struct delivery d[COUNT];
	struct err err = {0};

	push("celery", 0, COUNT - 1);
	push("other \"queue\"\x06\x16"
	     "6",
	     COUNT - 1, 1);
	claim(refs, COUNT);
	ck_assert_str_eq(refs[COUNT - 1].queue, "other \"queue\"");
	ck_assert_int_eq(refs[COUNT - 1].step, 6);
	ck_assert_int_eq(broker_fetch(g_broker, refs, COUNT, PATIENCE, d, &err), 0);
	for (int i = 0; i < COUNT; i++) {
		ck_assert_int_eq(number_of(&d[i]), i);
		ck_assert_uint_eq(d[i].len, strlen(d[i].data));
		ck_assert_str_eq(d[i].queue, refs[i].queue);
		free(d[i].data);
	}
	ck_assert_int_eq(ask("HLEN", "unacked"), COUNT);
}
END_TEST

/* A record of another form, a missing one and one of ours: each is told for itself. */
START_TEST(test_what_is_not_ours_has_no_payload)
{
	_cleanup_reply_ struct redis_reply *first = NULL, *second = NULL;
	struct delivery_ref refs[3];
	struct delivery d[3];
	char tag[BROKER_TAG_SIZE];
	struct err err = {0};

	push("celery", 0, 3);
	claim(refs, 3);
	broker_tag(g_broker, &refs[0], tag);
	ck_assert_int_eq(redis_do(g_redis, &first, &err, "HDEL unacked %s", tag), 0);
	broker_tag(g_broker, &refs[1], tag);
	ck_assert_int_eq(redis_do(g_redis, &second, &err, "HSET unacked %s %s", tag, "[]"), 0);
	ck_assert_int_eq(broker_fetch(g_broker, refs, 3, PATIENCE, d, &err), 0);
	ck_assert_ptr_null(d[0].data);
	ck_assert_ptr_null(d[1].data);
	ck_assert_int_eq(number_of(&d[2]), 2);
	free(d[2].data);
}
END_TEST

START_TEST(test_given_back_in_order)
{
	struct delivery_ref refs[4], again[5];
	struct delivery d[5];
	struct err err = {0};

	push("celery", 0, 3);
	push("celery\x06\x16"
	     "3",
	     3, 1);
	claim(refs, 4);
	push("celery", 10, 1);
	/* the last is the next to be taken */
	ck_assert_int_eq(
		broker_give_back(g_broker,
				 (struct delivery_ref[]){refs[3], refs[2], refs[1], refs[0]}, 4,
				 PATIENCE, &err),
		0);
	ck_assert_int_eq(ask("HLEN", "unacked"), 0);
	ck_assert_int_eq(ask("ZCARD", "unacked_index"), 0);
	ck_assert_int_eq(ask("LLEN", "celery\x06\x16"
				     "3"),
			 1);
	/* what is no longer ours is left alone */
	ck_assert_int_eq(broker_give_back(g_broker, refs, 4, PATIENCE, &err), 0);
	claim(again, 5);
	ck_assert_int_eq(broker_fetch(g_broker, again, 5, PATIENCE, d, &err), 0);
	for (int i = 0; i < 5; i++) {
		static const int expected[] = {0, 1, 2, 10, 3};

		ck_assert_int_eq(number_of(&d[i]), expected[i]);
		free(d[i].data);
	}
}
END_TEST

static void renewed(void *arg)
{
	atomic_store((atomic_bool *)arg, true);
}

START_TEST(test_only_what_is_recorded_is_renewed)
{
	_cleanup_reply_ struct redis_reply *aged = NULL, *gone = NULL;
	struct delivery_ref refs[COUNT];
	char tag[BROKER_TAG_SIZE];
	atomic_bool done = false;
	struct err err = {0};

	push("celery", 0, COUNT);
	claim(refs, COUNT);
	broker_tag(g_broker, &refs[0], tag);
	ck_assert_int_eq(redis_do(g_redis, &gone, &err, "ZREM unacked_index %s", tag), 0);
	broker_tag(g_broker, &refs[1], tag);
	ck_assert_int_eq(redis_do(g_redis, &aged, &err, "ZADD unacked_index 1 %s", tag), 0);
	broker_renew(g_broker, refs, COUNT, renewed, &done);
	while (!atomic_load(&done)) {
		usleep(1000);
	}
	ck_assert_int_eq(ask("ZCARD", "unacked_index"), COUNT - 1);
	redis_reply_free(aged);
	aged = NULL;
	ck_assert_int_eq(redis_do(g_redis, &aged, &err, "ZCOUNT unacked_index 0 1000000"), 0);
	ck_assert_int_eq(redis_reply_int(aged), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fetch");
	TCase *c = tcase_create("fetch");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, test_payloads_are_read_again);
	tcase_add_test(c, test_what_is_not_ours_has_no_payload);
	tcase_add_test(c, test_given_back_in_order);
	tcase_add_test(c, test_only_what_is_recorded_is_renewed);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
