/*
 * test_broker.c: settling and restoring against a real Redis, and the keys that kombu
 * shares with us.
 */
#include <check.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/unit/broker_fixture.h"

struct waiting {
	atomic_int done, failed;
};

static void count_done(void *arg, const struct err *err)
{
	struct waiting *w = arg;

	if (err != NULL)
		atomic_fetch_add(&w->failed, 1);
	atomic_fetch_add(&w->done, 1);
}

static void settle(const struct delivery *d, enum settle_outcome outcome,
		   struct backend_write *result)
{
	struct waiting w = {0, 0};
	struct settlement s = {.tag = d->tag,
			       .queue = d->queue,
			       .outcome = outcome,
			       .result = result,
			       .reason = "because"};

	broker_settle(g_broker, &s, count_done, &w);
	while (atomic_load(&w.done) == 0) {
		usleep(500);
	}
	ck_assert_int_eq(atomic_load(&w.failed), 0);
}

START_TEST(test_ack_requeue_dead)
{
	struct delivery d[3], again[1];

	for (int i = 0; i < 3; i++) {
		push_number("celery\x06\x16"
			    "3",
			    i);
	}
	ck_assert_uint_eq(claim(3, d), 3);
	settle(&d[0], SETTLE_ACK, NULL);
	settle(&d[1], SETTLE_REQUEUE, NULL);
	settle(&d[2], SETTLE_DEAD, NULL);
	ck_assert_int_eq(ask("HLEN", "unacked"), 0);
	ck_assert_int_eq(ask("ZCARD", "unacked_index"), 0);
	ck_assert_int_eq(ask("LLEN", "celery\x06\x16"
				     "3"),
			 1);
	ck_assert_int_eq(ask("LLEN", "celeriac:dead"), 1);
	ck_assert_uint_eq(claim(1, again), 1);
	ck_assert_str_eq(again[0].data, d[1].data);
	ck_assert_str_ne(again[0].tag, d[1].tag);
	drop(again, 1);
	drop(d, 3);
}
END_TEST

static struct backend_write make_write(const char *value)
{
	return (struct backend_write){.key = xstrdup("celery-task-meta-x"),
				      .value = xstrdup(value),
				      .len = strlen(value),
				      .ttl = 60};
}

START_TEST(test_success_is_never_overwritten)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct backend_write first = make_write("{\"status\": \"SUCCESS\", \"result\": 1}");
	struct backend_write second = make_write("{\"status\": \"FAILURE\", \"result\": 2}");
	struct delivery d[2];
	struct err err;

	push_number("celery", 1);
	push_number("celery", 2);
	ck_assert_uint_eq(claim(2, d), 2);
	settle(&d[0], SETTLE_ACK, &first);
	settle(&d[1], SETTLE_ACK, &second);
	ck_assert_int_eq(redis_do(g_redis, &reply, &err, "GET celery-task-meta-x"), 0);
	ck_assert_ptr_nonnull(strstr(redis_reply_str(reply).data, "SUCCESS"));
	ck_assert_int_eq(ask("TTL", "celery-task-meta-x") > 50, 1);
	ck_assert_int_eq(ask("HLEN", "unacked"), 0);
	drop(d, 2);
}
END_TEST

START_TEST(test_dead_owner_is_restored)
{
	struct delivery d[3];
	struct err err = {0};
	int64_t restored = -1;

	for (int i = 0; i < 3; i++) {
		push_number(i == 2 ? "celery\x06\x16"
				     "6"
				   : "celery",
			    i);
	}
	ck_assert_uint_eq(claim(3, d), 3);
	drop(d, 3);
	ck_assert_int_eq(broker_restore_dead(g_broker, g_presence, false, &restored, &err), 0);
	ck_assert_int_eq(restored, 0); /* we are alive */
	close_broker();
	open_broker("b"); /* another life */
	ck_assert_int_eq(broker_restore_dead(g_broker, g_presence, true, &restored, &err), 0);
	ck_assert_int_eq(restored, 0); /* not of our node */
	ck_assert_int_eq(broker_restore_dead(g_broker, g_presence, false, &restored, &err), 1);
	ck_assert_int_eq(restored, 3);
	ck_assert_int_eq(ask("LLEN", "celery"), 2);
	ck_assert_int_eq(ask("LLEN", "celery\x06\x16"
				     "6"),
			 1);
	ck_assert_int_eq(ask("HLEN", "unacked"), 0);
	ck_assert_uint_eq(claim(3, d), 3);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(number_of(&d[i]), i); /* in their order */
	}
	drop(d, 3);
}
END_TEST

/* What a dead worker held says afterwards that it came before, once, where kombu would say it. */
START_TEST(test_restored_messages_say_so)
{
	static const char *const messages[][2] = {
		{"{\"a\": \"\\\"delivery_info\\\": {\", \"properties\": {\"delivery_info\": "
		 "{\"exchange\": \"\"}}}",
		 "{\"a\": \"\\\"delivery_info\\\": {\", \"properties\": {\"delivery_info\": "
		 "{\"redelivered\": true, \"exchange\": \"\"}}}"},
		{"{\"properties\":{\"delivery_info\":{}}}",
		 "{\"properties\":{\"delivery_info\":{\"redelivered\": true}}}"},
		{"{\"n\": 12345678901234567890}",
		 "{\"redelivered\": true, \"n\": 12345678901234567890}"},
		{"{}", "{\"redelivered\": true}"},
	};
	struct delivery d[1];
	struct err err = {0};
	int64_t restored = 0;

	for (size_t i = 0; i < ARRAY_LEN(messages); i++) {
		push("celery", messages[i][0]);
		for (int life = 0; life < 2; life++) { /* the second time nothing is added */
			ck_assert_uint_eq(claim(1, d), 1);
			if (life == 1)
				ck_assert_str_eq(d[0].data, messages[i][1]);
			drop(d, 1);
			close_broker();
			open_broker("a");
			ck_assert_int_eq(
				broker_restore_dead(g_broker, g_presence, true, &restored, &err),
				1);
			ck_assert_int_eq(restored, 1);
		}
		ck_assert_uint_eq(claim(1, d), 1);
		ck_assert_str_eq(d[0].data, messages[i][1]);
		settle(&d[0], SETTLE_ACK, NULL);
		drop(d, 1);
	}
}
END_TEST

static int64_t begin(const struct delivery *d)
{
	struct err err = {0};
	int64_t count = 0;

	ck_assert_msg(broker_begin(g_broker, d->tag, "an id", clock_deadline(5 * USEC_PER_SEC),
				   &count, &err) == 0,
		      "%s", err.msg);
	return count;
}

static void settle_begun(const struct delivery *d, enum settle_outcome outcome)
{
	struct waiting w = {0, 0};
	struct settlement s = {.tag = d->tag, .queue = d->queue, .outcome = outcome};

	settle_steps_add(&s.steps, STEP_GUARD, "missing", NULL, 0, 0); /* stops nothing of it */
	broker_step_begun(g_broker, &s.steps, "an id", outcome == SETTLE_REQUEUE ? d->tag : NULL);
	broker_settle(g_broker, &s, count_done, &w);
	while (atomic_load(&w.done) == 0)
		usleep(1000);
	ck_assert_int_eq(atomic_load(&w.failed), 0);
}

START_TEST(test_deliveries_that_begin)
{
	struct delivery d[3];

	for (int i = 0; i < 3; i++)
		push_number("celery", i);
	ck_assert_uint_eq(claim(3, d), 3);
	ck_assert_int_eq(begin(&d[0]), 1);
	ck_assert_int_eq(begin(&d[0]), 1); /* sent again after a lost answer */
	ck_assert_int_eq(begin(&d[1]), 2);
	ck_assert_int_eq(begin(&d[2]), 3);
	ck_assert_int_gt(ask("TTL", "celeriac:begun:an id"), 0);
	settle_begun(&d[1], SETTLE_REQUEUE);
	ck_assert_int_eq(ask("SCARD", "celeriac:begun:an id"), 2);
	ck_assert_int_eq(begin(&d[1]), -1); /* nobody's */
	settle_begun(&d[0], SETTLE_ACK);
	ck_assert_int_eq(ask("EXISTS", "celeriac:begun:an id"), 0);
	drop(d, 3);
}
END_TEST

/* Whose leases are under another name, we cannot know to be dead. */
START_TEST(test_another_deployment_is_left_alone)
{
	struct presence *other = NULL;
	struct delivery d[1];
	struct err err = {0};
	int64_t restored = -1;

	push_number("celery", 1);
	ck_assert_uint_eq(claim(1, d), 1);
	drop(d, 1);
	ck_assert_int_eq(presence_join(g_redis, "", "another", "a",
				       clock_deadline(20 * USEC_PER_SEC), &other, &err),
			 0);
	ck_assert_int_eq(broker_restore_dead(g_broker, other, false, &restored, &err), 0);
	ck_assert_int_eq(restored, 0);
	ck_assert_int_eq(ask("HLEN", "unacked"), 1);
	presence_leave(other, g_redis);
	presence_free(other);
}
END_TEST

/* More than one round trip of them; asked again, there is nobody to look for. */
START_TEST(test_many_of_a_dead_owner_in_order)
{
	struct delivery d[BOUND_CLAIM_BATCH];
	struct err err = {0};
	int64_t restored = -1;

	for (int i = 0; i < 600; i++)
		push_number("celery", i);
	for (int left = 600; left > 0; left -= 200) {
		ck_assert_uint_eq(claim(200, d), 200);
		drop(d, 200);
	}
	close_broker();
	open_broker("b");
	ck_assert_int_eq(broker_restore_dead(g_broker, g_presence, false, &restored, &err), 1);
	ck_assert_int_eq(restored, 600);
	ck_assert_int_eq(ask("SCARD", "celeriac:test:owners"), 1);
	ck_assert_int_eq(broker_restore_dead(g_broker, g_presence, false, &restored, &err), 0);
	ck_assert_int_eq(restored, 0);
	for (int done = 0; done < 600; done += 200) {
		ck_assert_uint_eq(claim(200, d), 200);
		for (int i = 0; i < 200; i++)
			ck_assert_int_eq(number_of(&d[i]), done + i);
		drop(d, 200);
	}
}
END_TEST

/* A claim whose answer never came: its records are nobody's, its numbers are not used again. */
/* What a task rejected is next to be taken, and says that it was delivered before. */
START_TEST(test_rejected_messages_say_so)
{
	struct delivery d[1], again[1];

	push("celery", "{\"n\": 1}");
	push("celery", "{\"n\": 2}");
	ck_assert_uint_eq(claim(1, d), 1);
	settle(&d[0], SETTLE_REJECT, NULL);
	ck_assert_uint_eq(claim(1, again), 1);
	ck_assert_str_eq(again[0].data, "{\"redelivered\": true, \"n\": 1}");
	ck_assert_int_eq(ask("HLEN", "unacked"), 1);
	drop(d, 1);
	drop(again, 1);
}
END_TEST

static void settle_once(const struct delivery *d, const char *what)
{
	struct waiting w = {0, 0};
	struct settlement s = {.tag = d->tag, .queue = d->queue, .outcome = SETTLE_NONE};

	broker_step_push(g_broker, &s.steps, "celery", 0, xstrdup("more"), 4);
	broker_step_once(g_broker, &s.steps, what);
	broker_settle(g_broker, &s, count_done, &w);
	while (atomic_load(&w.done) == 0)
		usleep(1000);
	ck_assert_int_eq(atomic_load(&w.failed), 0);
}

/* Of what was acknowledged before, steps are done once, however often they are sent; what is
 * recorded is left alone. */
START_TEST(test_steps_of_what_was_acknowledged)
{
	struct delivery d[2];

	push_number("celery", 1);
	push_number("celery", 2);
	ck_assert_uint_eq(claim(2, d), 2);
	settle(&d[0], SETTLE_ACK, NULL);
	settle_once(&d[0], "a");
	settle_once(&d[0], "a");
	ck_assert_int_eq(ask("LLEN", "celery"), 1);
	settle_once(&d[1], "b");
	ck_assert_int_eq(ask("LLEN", "celery"), 2);
	ck_assert_int_eq(ask("HLEN", "unacked"), 1);
	ck_assert_int_gt(ask("TTL", "celeriac:once:a"), 0);
	drop(d, 2);
}
END_TEST

START_TEST(test_wait_is_woken_and_takes_nothing)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct err err = {0};
	usec_t began = clock_mono();

	push_number("celery", 1);
	ck_assert_int_eq(broker_wait(g_broker, fd, clock_deadline(5 * USEC_PER_SEC), &err), 0);
	ck_assert(clock_mono() - began < 4 * USEC_PER_SEC);
	ck_assert_int_eq(ask("LLEN", "celery"), 1);
	close(fd);
}
END_TEST

START_TEST(test_list_key)
{
	static const struct {
		int priority;
		const char *key;
	} rows[] = {{0, "q"},
		    {2, "q"},
		    {3, "q\x06\x16"
			"3"},
		    {5, "q\x06\x16"
			"3"},
		    {9, "q\x06\x16"
			"9"}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_buf_ struct buf key = BUF_INIT(64);

		broker_list_key(g_broker, "q", rows[i].priority, &key);
		ck_assert_str_eq(key.data, rows[i].key);
	}
}
END_TEST

START_TEST(test_queues_come_and_go)
{
	const char *names[BOUND_QUEUES];
	struct delivery d[4];
	struct err err = {0};

	push_number("late", 1);
	ck_assert_uint_eq(claim(4, d), 0);
	ck_assert_int_eq(broker_add_queue(g_broker, "late", &err), 1);
	ck_assert_int_eq(broker_add_queue(g_broker, "late", &err), 0);
	ck_assert_int_eq(broker_connect(g_broker, g_presence, &err), 0);
	ck_assert_uint_eq(broker_queues(g_broker, names), 3);
	ck_assert_str_eq(names[2], "late");
	ck_assert_uint_eq(claim(4, d), 1);
	ck_assert_str_eq(d[0].queue, "late");
	ck_assert(broker_cancel_queue(g_broker, "late"));
	ck_assert(!broker_cancel_queue(g_broker, "late"));
	ck_assert(!broker_cancel_queue(g_broker, "never"));
	ck_assert_int_eq(broker_connect(g_broker, g_presence, &err), 0);
	/* what was taken from it still goes back there */
	broker_settle(g_broker,
		      &(struct settlement){
			      .tag = d[0].tag, .queue = d[0].queue, .outcome = SETTLE_REQUEUE},
		      NULL, NULL);
	drop(d, 1);
	while (ask("LLEN", "late") != 1) {
		usleep(1000);
	}
	ck_assert_uint_eq(claim(4, d), 0);
	ck_assert(broker_cancel_queue(g_broker, "celery"));
	ck_assert(broker_cancel_queue(g_broker, "other \"queue\""));
	ck_assert_int_eq(broker_connect(g_broker, g_presence, &err), 0);
	ck_assert_uint_eq(claim(4, d), 0);
	ck_assert_int_eq(broker_wait(g_broker, -1, clock_deadline(10000), &err), 0);
}
END_TEST

START_TEST(test_purge)
{
	struct err err = {0};
	int64_t erased = 0;

	push_number("celery", 1);
	push_number("celery\x06\x16"
		    "9",
		    2);
	push_number("someone's", 3);
	ck_assert_msg(broker_purge(g_broker, &erased, &err) == 0, "%s", err.msg);
	ck_assert_int_eq(erased, 2);
	ck_assert_int_eq(ask("LLEN", "celery"), 0);
	ck_assert_int_eq(ask("LLEN", "someone's"), 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("broker");
	TCase *c = tcase_create("redis");
	SRunner *r;
	int failed;

	tcase_set_timeout(c, 40);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, test_ack_requeue_dead);
	tcase_add_test(c, test_success_is_never_overwritten);
	tcase_add_test(c, test_dead_owner_is_restored);
	tcase_add_test(c, test_another_deployment_is_left_alone);
	tcase_add_test(c, test_many_of_a_dead_owner_in_order);
	tcase_add_test(c, test_restored_messages_say_so);
	tcase_add_test(c, test_deliveries_that_begin);
	tcase_add_test(c, test_rejected_messages_say_so);
	tcase_add_test(c, test_steps_of_what_was_acknowledged);
	tcase_add_test(c, test_wait_is_woken_and_takes_nothing);
	tcase_add_test(c, test_list_key);
	tcase_add_test(c, test_queues_come_and_go);
	tcase_add_test(c, test_purge);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
