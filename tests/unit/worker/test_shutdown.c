/*
 * test_shutdown.c: which signal leads from which stage of the end to which, and when the watchdog
 * barks.
 */
#include <check.h>
#include <signal.h>
#include <stdlib.h>

#include "tests/unit/suite.h"
#include "worker/shutdown.h"
#include "worker/watchdog.h"

#define MOST 5

/* What Celery 5.7 does with the same signals, but for the restart. */
static const struct {
	bool remap;
	int signals[MOST]; /* 0 = none */
	enum shutdown_stage stage;
	int status;
	bool restart;
} cases[] = {
	{false, {SIGTERM}, SHUTDOWN_WARM, 0, false},
	{false, {SIGTERM, SIGTERM, SIGTERM}, SHUTDOWN_WARM, 0, false},
	{false, {SIGINT}, SHUTDOWN_WARM, 1, false},
	{false, {SIGINT, SIGINT}, SHUTDOWN_SOFT, 1, false},
	{false, {SIGINT, SIGINT, SIGINT}, SHUTDOWN_LAST, 1, false},
	{false, {SIGINT, SIGINT, SIGINT, SIGINT}, SHUTDOWN_FORCED, 1, false},
	{false, {SIGTERM, SIGINT}, SHUTDOWN_WARM, 0, false},
	{false, {SIGTERM, SIGINT, SIGINT}, SHUTDOWN_SOFT, 0, false},
	{false, {SIGTERM, SIGQUIT}, SHUTDOWN_SOFT, 0, false},
	{false, {SIGQUIT}, SHUTDOWN_SOFT, 0, false},
	{false, {SIGQUIT, SIGTERM}, SHUTDOWN_SOFT, 0, false},
	{false, {SIGQUIT, SIGQUIT}, SHUTDOWN_LAST, 0, false},
	{false, {SIGQUIT, SIGINT}, SHUTDOWN_LAST, 0, false},
	{false, {SIGQUIT, SIGQUIT, SIGQUIT}, SHUTDOWN_FORCED, 1, false},
	{true, {SIGTERM}, SHUTDOWN_SOFT, 0, false},
	{true, {SIGTERM, SIGTERM}, SHUTDOWN_LAST, 0, false},
	{true, {SIGINT, SIGTERM}, SHUTDOWN_SOFT, 1, false},
	{false, {SIGHUP}, SHUTDOWN_WARM, 0, true},
	{false, {SIGHUP, SIGHUP}, SHUTDOWN_WARM, 0, true},
	{false, {SIGHUP, SIGTERM}, SHUTDOWN_WARM, 0, false},
	{false, {SIGTERM, SIGHUP}, SHUTDOWN_WARM, 0, false},
	{false, {SIGUSR1}, SHUTDOWN_NONE, 0, false},
};

START_TEST(test_signals)
{
	struct shutdown s = {.term_is_quit = cases[_i].remap};

	for (size_t i = 0; i < MOST && cases[_i].signals[i] != 0; i++) {
		enum shutdown_stage before = s.stage;

		ck_assert_int_eq(shutdown_signal(&s, cases[_i].signals[i]), s.stage != before);
	}
	ck_assert_int_eq(s.stage, cases[_i].stage);
	ck_assert_int_eq(s.status, cases[_i].status);
	ck_assert_int_eq(s.restart, cases[_i].restart);
	ck_assert_int_eq(s.by_force, s.stage == SHUTDOWN_FORCED);
}
END_TEST

START_TEST(test_time)
{
	struct shutdown s = {0};

	shutdown_signal(&s, SIGTERM);
	shutdown_late(&s);
	ck_assert_int_eq(s.stage, SHUTDOWN_COLD);
	shutdown_late(&s);
	ck_assert_int_eq(s.stage, SHUTDOWN_FORCED);
	ck_assert_int_eq(s.status, 0);
	ck_assert(!s.by_force);
}
END_TEST

START_TEST(test_watchdog)
{
	struct watchdog d = {0};

	ck_assert_int_eq(watchdog_judge(&d, 100, 10, true), WATCHDOG_OK); /* it has not begun */
	d.progress = 100;
	ck_assert_int_eq(watchdog_judge(&d, 109, 10, true), WATCHDOG_OK);
	ck_assert_int_eq(watchdog_judge(&d, 110, 10, true), WATCHDOG_REBUILD);
	ck_assert_int_eq(watchdog_judge(&d, 119, 10, true), WATCHDOG_OK);
	ck_assert_int_eq(watchdog_judge(&d, 120, 10, true), WATCHDOG_GIVE_UP);
	d.progress = 121; /* it was only slow: all is forgotten */
	ck_assert_int_eq(watchdog_judge(&d, 130, 10, true), WATCHDOG_OK);
	ck_assert_int_eq(watchdog_judge(&d, 131, 10, true), WATCHDOG_REBUILD);
	/* while Redis is away nothing counts, and what counted before does not */
	ck_assert_int_eq(watchdog_judge(&d, 140, 10, false), WATCHDOG_OK);
	ck_assert_int_eq(watchdog_judge(&d, 149, 10, true), WATCHDOG_OK);
	ck_assert_int_eq(watchdog_judge(&d, 150, 10, true), WATCHDOG_GIVE_UP);
	d.progress = 151;
	ck_assert_int_eq(watchdog_judge(&d, 1000, 0, true), WATCHDOG_OK); /* off */
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("all");

	tcase_add_loop_test(c, test_signals, 0, ARRAY_LEN(cases));
	tcase_add_test(c, test_time);
	tcase_add_test(c, test_watchdog);
	return suite_run("shutdown", c);
}
