/*
 * test_limits.c: rates as Celery writes them, and turns.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/suite.h"
#include "worker/limits.h"

static struct limits g_limits;

static void setup(void)
{
	limits_init(&g_limits);
}

static void teardown(void)
{
	limits_done(&g_limits);
}

START_TEST(test_rates)
{
	static const struct {
		const char *text;
		double per_second;
	} rows[] = {{"", 0},	   {"0", 0},	   {"10", 10},	   {"10/s", 10},
		    {"90/m", 1.5}, {"36/h", 0.01}, {"0.5/s", 0.5}, {" 2/s", 2}};
	struct err err = {0};
	double rate = -1;

	ck_assert_msg(limits_parse_rate(rows[_i].text, &rate, &err) == 0, "%s", err.msg);
	ck_assert(fabs(rate - rows[_i].per_second) < 1e-9);
}
END_TEST

START_TEST(test_wrong_rates)
{
	static const char *const texts[] = {"x",    "/m",  "1/y",   "1 /s",
					    "-1/s", "nan", "1e300", "1/s/s"};
	struct err err = {0};
	double rate = -1;

	ck_assert_int_eq(limits_parse_rate(texts[_i], &rate, &err), -ERR_INVALID);
	ck_assert(rate == -1);
}
END_TEST

START_TEST(test_turns)
{
	const usec_t now = 1000 * USEC_PER_SEC;
	char *text;

	ck_assert_int_eq(limits_take_turn(&g_limits, "a", now), 0);
	limits_set_rate(&g_limits, "a", 2, "2/s");
	ck_assert_int_eq(limits_take_turn(&g_limits, "b", now), 0);
	ck_assert_int_eq(limits_take_turn(&g_limits, "a", now), now);
	ck_assert_int_eq(limits_take_turn(&g_limits, "a", now), now + USEC_PER_SEC / 2);
	ck_assert_int_eq(limits_take_turn(&g_limits, "a", now), now + USEC_PER_SEC);
	/* what was not used is not saved up */
	ck_assert_int_eq(limits_take_turn(&g_limits, "a", now + 60 * USEC_PER_SEC),
			 now + 60 * USEC_PER_SEC);
	text = limits_rate_text(&g_limits, "a");
	ck_assert_str_eq(text, "2/s");
	free(text);
	limits_set_rate(&g_limits, "a", 1, "1/s"); /* turns begin anew */
	ck_assert_int_eq(limits_take_turn(&g_limits, "a", now), now);
	limits_set_rate(&g_limits, "a", 1e-300, "1e-300");
	ck_assert_int_eq(limits_take_turn(&g_limits, "a", now), now);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(limits_take_turn(&g_limits, "a", now), USEC_NEVER);
	limits_set_rate(&g_limits, "a", 0, "");
	ck_assert_int_eq(limits_take_turn(&g_limits, "a", now), 0);
	ck_assert_uint_eq(atomic_load(&g_limits.limited), 0);
}
END_TEST

START_TEST(test_time)
{
	usec_t soft = 1, hard = 1;

	ck_assert(!limits_time(&g_limits, "a", &soft, &hard));
	limits_set_time(&g_limits, "a", 5, 9);
	ck_assert(limits_time(&g_limits, "a", &soft, &hard));
	ck_assert_int_eq(soft, 5);
	ck_assert_int_eq(hard, 9);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("limits");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_loop_test(c, test_rates, 0, 8);
	tcase_add_loop_test(c, test_wrong_rates, 0, 8);
	tcase_add_test(c, test_turns);
	tcase_add_test(c, test_time);
	return suite_run("limits", c);
}
