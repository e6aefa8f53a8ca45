/*
 * test_redis_link_write.c: commands that are written by who hands them over, while the link's owner
 * sleeps.
 */
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "bounds.h"
#include "clock.h"
#include "common/client/redis_link.h"
#include "mem.h"
#include "tests/unit/redis_fixture.h"
#include "tests/unit/suite.h"

#define TRIES 1000

static struct redis_server *g_server;
static struct redis_link *g_link;

static void start_with(const struct redis_tuning *tuning)
{
	_cleanup_free_ char *url = NULL;
	struct redis_address a;
	struct err err;

	g_server = redis_server_start(NULL);
	url = redis_server_url(g_server, 0);
	ck_assert_int_eq(redis_address_parse_tuned(url, tuning, &a, &err), 0);
	ck_assert_int_eq(redis_link_new(&a, "test-link", &g_link, &err), 0);
	redis_address_done(&a);
}

static void start(void)
{
	start_with(NULL);
}

static void stop(void)
{
	redis_link_free(g_link, clock_deadline(USEC_PER_SEC));
	redis_server_free(g_server);
}

static int64_t ask(const char *fmt, const char *arg)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct err err;
	int rc = redis_link_do(g_link, clock_deadline(20 * USEC_PER_SEC), &reply, &err, fmt, arg);

	ck_assert_msg(rc == 0, "%s: %s", fmt, err.msg);
	return redis_reply_int(reply);
}

/* One batch, and which threads had it. */
struct seen {
	pthread_t writer, teller;
	bool fails;
	int code;
	atomic_bool done;
};

static bool add_nothing(unused_arg void *arg, unused_arg void *entry)
{
	return false;
}

static void note_writer(void *arg, struct buf *out)
{
	struct seen *seen = arg;

	seen->writer = pthread_self();
	redis_command(out, "INCR n");
	if (seen->fails)
		buf_fail(out, ERR_TOOBIG);
}

static void note_teller(void *arg, unused_arg struct redis_reply *const *replies,
			unused_arg size_t count, const struct err *err)
{
	struct seen *seen = arg;

	seen->teller = pthread_self();
	seen->code = err ? (int)err->code : 0;
	atomic_store(&seen->done, true);
}

/* Each when the one before has its answer, until one was written by this thread, as the owner slept
 * at last. */
static int written_here(bool fails, struct seen *seen)
{
	static const struct redis_link_batch kind = {add_nothing, note_writer, note_teller};
	int tries = 0;

	do {
		*seen = (struct seen){.fails = fails};
		redis_link_submit_batch(g_link, &kind, 8, 0, seen);
		while (!atomic_load(&seen->done))
			nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
		ck_assert(!pthread_equal(seen->teller, pthread_self()));
		tries++;
	} while (!pthread_equal(seen->writer, pthread_self()) && tries < TRIES);
	ck_assert_int_lt(tries, TRIES);
	return tries;
}

START_TEST(test_written_by_who_submits)
{
	struct seen seen;
	int tries;

	ck_assert_int_eq(ask("DEL %s", "n"), 0);
	tries = written_here(false, &seen);
	ck_assert_int_eq(seen.code, 0);
	ck_assert_int_eq(ask("INCR %s", "n"), tries + 1);
}
END_TEST

/* Callbacks run on the owner's thread, whoever found the fault; what comes after it is not held up,
 * and nothing of it was sent. */
START_TEST(test_a_fault_is_the_owners_to_tell)
{
	struct seen seen;

	ck_assert_int_eq(ask("DEL %s", "n"), 0);
	(void)written_here(true, &seen);
	ck_assert_int_eq(seen.code, ERR_TOOBIG);
	ck_assert_int_eq(ask("INCR %s", "n"), 1);
}
END_TEST

/* More than a socket takes at once: the rest is the owner's. */
START_TEST(test_more_than_a_socket_takes)
{
	_cleanup_free_ char *value = xmalloc((32u << 20) + 1);

	memset(value, 'x', 32u << 20);
	value[32u << 20] = '\0';
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(ask("DEL %s", "long"), i > 0);
		ck_assert_int_eq(ask("APPEND long %s", value), 32 << 20);
		ck_assert_int_eq(ask("STRLEN %s", "long"), 32 << 20);
	}
}
END_TEST

/* The owner went to sleep when nothing was owed, and nothing asks whether the server lives. */
START_TEST(test_a_reply_that_is_owed_to_a_sleeper)
{
	const struct redis_tuning unwatched = {.socket_timeout = USEC_PER_SEC,
					       .health_check_interval = USEC_NEVER};
	struct err err;
	struct seen seen;

	stop();
	start_with(&unwatched);
	(void)written_here(false, &seen);
	redis_server_freeze(g_server);
	ck_assert_int_eq(
		redis_link_do(g_link, clock_deadline(30 * USEC_PER_SEC), NULL, &err, "PING"),
		-ERR_TIMEOUT);
	ck_assert_ptr_nonnull(strstr(err.msg, "no reply for 1 s"));
	redis_server_thaw(g_server);
	while (!redis_link_up(g_link))
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	ck_assert_int_gt(ask("INCR %s", "n"), 0);
}
END_TEST

static void *count_up(void *errors)
{
	for (int i = 0; i < 500; i++) {
		struct err err;

		if (redis_link_do(g_link, clock_deadline(20 * USEC_PER_SEC), NULL, &err,
				  "INCR all") < 0)
			atomic_fetch_add((atomic_int *)errors, 1);
	}
	return NULL;
}

/* Writers, and the owner that reads, one after the other in every order. */
START_TEST(test_many_who_wait)
{
	pthread_t threads[6];
	atomic_int errors = 0;

	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, count_up, &errors), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_eq(atomic_load(&errors), 0);
	ck_assert_int_eq(ask("INCR %s", "all"), 3001);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("real server");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, start, stop);
	tcase_add_test(t, test_written_by_who_submits);
	tcase_add_test(t, test_a_fault_is_the_owners_to_tell);
	tcase_add_test(t, test_more_than_a_socket_takes);
	tcase_add_test(t, test_many_who_wait);
	tcase_add_test(t, test_a_reply_that_is_owed_to_a_sleeper);
	return suite_run("redis link, written at once", t);
}
