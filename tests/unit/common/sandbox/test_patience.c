/* How long what is transient is waited out: a call that took all the time is made once more. */
#include <check.h>

#include "clock.h"
#include "common/sandbox/sandbox_internal.h"
#include "tests/unit/suite.h"

START_TEST(test_a_first_failure_is_never_the_last)
{
	struct sandbox_patience p = {.deadline = clock_mono(), .pause_ms = 1};
	struct err silent;

	(void)err_set(&silent, ERR_TIMEOUT, "the other end is silent for too long");
	ck_assert(sandbox_try_again(NULL, &p, &silent));
	ck_assert(!sandbox_try_again(NULL, &p, &silent));
}
END_TEST

START_TEST(test_time_is_for_more_tries)
{
	struct sandbox_patience p = sandbox_patience();
	struct err silent;

	(void)err_set(&silent, ERR_TIMEOUT, "the other end is silent for too long");
	p.pause_ms = 1;
	ck_assert(sandbox_try_again(NULL, &p, &silent));
	ck_assert(sandbox_try_again(NULL, &p, &silent));
	ck_assert_int_eq(p.pause_ms, 4);
}
END_TEST

START_TEST(test_what_is_for_good_is_not_tried_again)
{
	struct sandbox_patience p = sandbox_patience();
	struct err refused;

	(void)err_set(&refused, ERR_DENIED, "refused");
	ck_assert(!sandbox_try_again(NULL, &p, &refused));
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("patience");

	tcase_add_test(t, test_a_first_failure_is_never_the_last);
	tcase_add_test(t, test_time_is_for_more_tries);
	tcase_add_test(t, test_what_is_for_good_is_not_tried_again);
	return suite_run("patience", t);
}
