/* Pauses between tries: they double, up to what is borne, and are not in step. */
#include <check.h>
#include <stdlib.h>

#include "backoff.h"

START_TEST(test_doubles)
{
	const usec_t want[] = {50, 100, 200, 400, 800, 1000, 1000};
	usec_t pause = 0;

	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		pause = backoff_next(pause, USEC_PER_SEC);
		ck_assert_int_eq(pause, want[i] * USEC_PER_MSEC);
	}
}
END_TEST

START_TEST(test_jitter)
{
	usec_t least = USEC_NEVER, most = 0;

	for (int i = 0; i < 10000; i++) {
		usec_t pause = backoff_jitter(1000);

		least = pause < least ? pause : least;
		most = pause > most ? pause : most;
	}
	ck_assert_int_ge(least, 500);
	ck_assert_int_lt(least, 510);
	ck_assert_int_le(most, 1000);
	ck_assert_int_gt(most, 990);
	ck_assert_int_eq(backoff_jitter(0), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("backoff");
	TCase *t = tcase_create("backoff");

	tcase_add_test(t, test_doubles);
	tcase_add_test(t, test_jitter);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
