/*
 * test_drift.c: when a clock is corrected, and when the log hears of it.
 */
#include <check.h>

#include "clock.h"
#include "tests/unit/suite.h"
#include "worker/drift.h"

#define S USEC_PER_SEC

START_TEST(test_steps)
{
	static const struct {
		usec_t ahead, correction;
		bool tell;
	} steps[] = {
		{0, 0, false},
		{16 * S, 0, false},
		{-16 * S, 0, false},
		{3600 * S, 3600 * S, true},
		{3601 * S, 3601 * S, false},
		{3617 * S, 3617 * S, true},
		{-3600 * S, -3600 * S, true},
		{17 * S, 17 * S, true},
		{1 * S, 0, true},
		{2 * S, 0, false},
		{-17 * S, -17 * S, true},
		{0, 0, true},
	};
	struct drift d = {0};

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		bool tell;

		ck_assert_int_eq(drift_judge(&d, steps[i].ahead, &tell), steps[i].correction);
		ck_assert_msg(tell == steps[i].tell, "step %zu", i);
	}
}
END_TEST

static usec_t g_wall, g_mono;

static usec_t wall(void)
{
	return g_wall;
}

static usec_t mono(void)
{
	return g_mono;
}

static void tick(usec_t span)
{
	g_wall += span;
	g_mono += span;
}

static void begin(void)
{
	g_wall = 5000 * S;
	g_mono = 70 * S;
	clock_hook(wall, mono);
}

START_TEST(test_the_clock)
{
	begin();
	ck_assert_int_eq(clock_wall(), 5000 * S);
	clock_correct(3600 * S);
	ck_assert_int_eq(clock_wall(), 1400 * S);
	ck_assert_int_eq(clock_machine(), 5000 * S);
	tick(5 * S);
	ck_assert_int_eq(clock_wall(), 1405 * S);
	clock_correct(-60 * S);
	ck_assert_int_eq(clock_wall(), 5065 * S);
	clock_correct(0);
	ck_assert_int_eq(clock_wall(), 5005 * S);
	clock_hook(NULL, NULL);
}
END_TEST

/* The machine's clock is set while nobody looks: what has our time does not notice. */
START_TEST(test_a_step)
{
	begin();
	g_wall += 3600 * S;
	ck_assert(!clock_was_set()); /* nobody knows what is right */
	ck_assert_int_eq(clock_wall(), 8600 * S);
	for (usec_t step = -3600 * S; step <= 3600 * S; step += 7200 * S) {
		begin();
		clock_correct(0);
		tick(S);
		ck_assert(!clock_was_set());
		g_wall += step;
		ck_assert(clock_was_set());
		ck_assert_int_eq(clock_wall(), 5001 * S);
		clock_correct(step); /* as the server says */
		ck_assert(!clock_was_set());
		ck_assert_int_eq(clock_wall(), 5001 * S);
		g_wall -= step; /* and back */
		ck_assert(clock_was_set());
		ck_assert_int_eq(clock_wall(), 5001 * S);
	}
	clock_hook(NULL, NULL);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("drift");

	tcase_add_test(c, test_steps);
	tcase_add_test(c, test_the_clock);
	tcase_add_test(c, test_a_step);
	return suite_run("drift", c);
}
