/*
 * test_redis_link_batch.c: commands that others join until they are written.
 */
#include <check.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "bounds.h"
#include "clock.h"
#include "common/client/redis_link.h"
#include "tests/unit/redis_fixture.h"

static struct redis_server *g_server;

static void start(void)
{
	g_server = redis_server_start(NULL);
}

static void stop(void)
{
	redis_server_free(g_server);
}

static usec_t seconds(int n)
{
	return clock_deadline(n * USEC_PER_SEC);
}

static void pause_ms(int ms)
{
	nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

static struct redis_link *link_to(const struct redis_server *s)
{
	char *url = redis_server_url(s, 0);
	struct redis_address a;
	struct redis_link *l = NULL;
	struct err err;

	ck_assert_int_eq(redis_address_parse(url, &a, &err), 0);
	free(url);
	ck_assert_int_eq(redis_link_new(&a, "test-link", &l, &err), 0);
	redis_address_done(&a);
	return l;
}

static int64_t ask_number(struct redis_link *l, const char *fmt, const char *key)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct err err;
	int rc = redis_link_do(l, seconds(10), &reply, &err, fmt, key);

	ck_assert_msg(rc == 0, "%s: %s", fmt, err.msg);
	return redis_reply_int(reply);
}

static void count(void *arg, struct redis_reply *const *replies, size_t n, const struct err *err)
{
	if (err == NULL && n == 1 && redis_reply_type(replies[0]) == REDIS_INTEGER)
		atomic_fetch_add((atomic_int *)arg, 1);
}

/* While the owner is kept busy, nothing is written. */
struct gate {
	atomic_bool shut, there;
};

static void wait_at_gate(void *arg, unused_arg struct redis_reply *const *replies,
			 unused_arg size_t n, unused_arg const struct err *err)
{
	struct gate *g = arg;

	atomic_store(&g->there, true);
	while (atomic_load(&g->shut))
		pause_ms(1);
}

struct adding {
	int64_t sum, written;
	atomic_int ok;
};

static bool add_up(void *arg, void *entry)
{
	struct adding *a = arg;
	int64_t n = *(int64_t *)entry;

	if (n > 100)
		return false;
	a->sum += n;
	return true;
}

static void write_sum(void *arg, struct buf *out)
{
	struct adding *a = arg;

	a->written++;
	redis_command(out, "INCRBY sum %lld", (long long)a->sum);
}

static void count_adding(void *arg, struct redis_reply *const *replies, size_t n,
			 const struct err *err)
{
	count(&((struct adding *)arg)->ok, replies, n, err);
}

/* What joins is one command with the rest; what was submitted behind a batch is not overtaken. */
START_TEST(test_batches)
{
	static const struct redis_link_batch kind = {add_up, write_sum, count_adding},
					     other = {add_up, write_sum, count_adding};
	struct redis_link *l = link_to(g_server);
	struct gate g = {.shut = true};
	struct adding first = {.sum = 1}, second = {.sum = 1000};
	atomic_int between = 0;
	struct buf b = BUF_INIT(64);
	int64_t two = 2, much = 101;

	redis_command(&b, "SET sum 0");
	redis_link_submit(l, &b, 1, 0, wait_at_gate, &g);
	while (!atomic_load(&g.there))
		pause_ms(1);
	ck_assert(!redis_link_join(l, &kind, &two, 8));
	redis_link_submit_batch(l, &kind, 8, REDIS_LINK_KEEP, &first);
	ck_assert(redis_link_join(l, &kind, &two, 8));
	ck_assert(!redis_link_join(l, &other, &two, 8));
	ck_assert(!redis_link_join(l, &kind, &much, 8));
	redis_command(&b, "INCRBY sum 10");
	redis_link_submit(l, &b, 1, 0, count, &between);
	ck_assert(!redis_link_join(l, &kind, &two, 8));
	redis_link_submit_batch(l, &kind, 8, REDIS_LINK_KEEP, &second);
	atomic_store(&g.shut, false);
	ck_assert_int_eq(ask_number(l, "INCRBY sum %s", "0"), 1013);
	ck_assert_int_eq(first.written, 1);
	ck_assert_int_eq(second.written, 1);
	ck_assert_int_eq(atomic_load(&first.ok) + atomic_load(&second.ok), 2);
	redis_link_free(l, seconds(5));
	ck_assert_int_eq(atomic_load(&between), 1);
}
END_TEST

/* A batch that waits for the one before goes by itself, whether that is answered or not. */
START_TEST(test_a_batch_waits_for_the_one_before)
{
	static const struct redis_link_batch kind = {add_up, write_sum, count_adding};
	struct redis_link *l = link_to(g_server);
	struct adding all[50] = {0};

	for (int paused = 0; paused < 2; paused++) {
		if (paused)
			ck_assert_int_eq(ask_number(l, "CLIENT PAUSE 100 %s", "ALL"), 0);
		for (size_t i = 0; i < ARRAY_LEN(all); i++) {
			all[i] = (struct adding){.sum = 1};
			redis_link_submit_batch(l, &kind, 8, REDIS_LINK_KEEP, &all[i]);
		}
		for (size_t i = 0; i < ARRAY_LEN(all); i++) {
			for (int n = 0; n < 5000 && atomic_load(&all[i].ok) == 0; n++)
				pause_ms(1);
			ck_assert_int_eq(atomic_load(&all[i].ok), 1);
		}
	}
	redis_link_free(l, seconds(5));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("redis link batches");
	TCase *c = tcase_create("real server");
	SRunner *runner;
	int failed;

	tcase_add_unchecked_fixture(c, start, stop);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, test_batches);
	tcase_add_test(c, test_a_batch_waits_for_the_one_before);
	suite_add_tcase(s, c);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
