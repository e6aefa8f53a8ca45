/*
 * test_retry.c: how long automatic retries wait.
 */
#include <check.h>

#include "tests/unit/suite.h"
#include "worker/outcome.h"

START_TEST(test_backoff)
{
	static const struct {
		usec_t backoff, most;
		int64_t retries, seconds;
	} rows[] = {
		{1, 600, 0, 1},	   {1, 600, 1, 2},  {1, 600, 5, 32},	      {1, 600, 9, 512},
		{1, 600, 10, 600}, {3, 600, 2, 12}, {1, 600, INT64_MAX, 600}, {700, 600, 0, 600},
	};
	struct task_options o = {.retry_backoff = rows[_i].backoff * USEC_PER_SEC,
				 .retry_backoff_max = rows[_i].most * USEC_PER_SEC,
				 .retry_jitter = TASK_NO};

	ck_assert_int_eq(retry_countdown(&o, rows[_i].retries), rows[_i].seconds * USEC_PER_SEC);
}
END_TEST

START_TEST(test_less_than_a_second_is_one)
{
	struct task_options o = {.retry_backoff = USEC_PER_SEC / 2,
				 .retry_backoff_max = 600 * USEC_PER_SEC,
				 .retry_jitter = TASK_NO};

	ck_assert_int_eq(retry_countdown(&o, 1), 2 * USEC_PER_SEC);
}
END_TEST

START_TEST(test_without_backoff)
{
	struct task_options o = {.default_retry_delay = 180 * USEC_PER_SEC,
				 .retry_backoff_max = 600 * USEC_PER_SEC,
				 .retry_jitter = TASK_YES};

	ck_assert_int_eq(retry_countdown(&o, 7), 180 * USEC_PER_SEC);
}
END_TEST

/* Of 0 to 4 seconds each comes, and nothing else; that one is missed has a chance of 5 * 0.8^1000.
 */
START_TEST(test_jitter)
{
	struct task_options o = {.retry_backoff = USEC_PER_SEC,
				 .retry_backoff_max = 600 * USEC_PER_SEC,
				 .retry_jitter = TASK_YES};
	unsigned seen = 0;

	for (int i = 0; i < 1000; i++) {
		usec_t wait = retry_countdown(&o, 2);

		ck_assert_int_eq(wait % USEC_PER_SEC, 0);
		ck_assert(wait >= 0 && wait <= 4 * USEC_PER_SEC);
		seen |= 1u << (wait / USEC_PER_SEC);
	}
	ck_assert_uint_eq(seen, 0x1f);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("retry");

	tcase_add_loop_test(c, test_backoff, 0, 8);
	tcase_add_test(c, test_less_than_a_second_is_one);
	tcase_add_test(c, test_without_backoff);
	tcase_add_test(c, test_jitter);
	return suite_run("retry", c);
}
