/* When entries are due: state, slots, the heap. Clocks are the test's. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "beat/beat.h"
#include "clock.h"
#include "mem.h"

#define SEC  USEC_PER_SEC
#define WALL ((usec_t)1795000000 * SEC)

static void set_state(struct entry *e, usec_t last, int64_t count, usec_t wall, usec_t mono)
{
	_cleanup_free_ char *text = entry_state_text(last, count, "id-1");

	entry_set_state(e, (struct slice){text, strlen(text)}, wall, mono);
	ck_assert_str_eq(e->state, text);
}

START_TEST(test_state_text)
{
	_cleanup_free_ char *text = entry_state_text(WALL + 250000, 7, "id-1");

	ck_assert_str_eq(
		text,
		"{\"last_run_at\": \"2026-11-18T11:06:40.250000+00:00\", \"total_run_count\": 7, "
		"\"task_id\": \"id-1\"}");
}
END_TEST

START_TEST(test_due)
{
	struct entry e = {.name = "n", .schedule = {.period = 300 * SEC}};

	/* a minute ago: four more */
	set_state(&e, WALL - 60 * SEC, 3, WALL, 1000 * SEC);
	ck_assert_int_eq(e.due, 1240 * SEC);
	ck_assert_int_eq(e.total_run_count, 3);
	ck_assert_str_eq(e.last_id, "id-1");
	/* an hour ago: once, now */
	set_state(&e, WALL - 3600 * SEC, 3, WALL, 1000 * SEC);
	ck_assert_int_eq(e.due, 1000 * SEC);
	/* in the future, by a clock that was wrong: a period at most */
	set_state(&e, WALL + 86400 * SEC, 3, WALL, 1000 * SEC);
	ck_assert_int_eq(e.due, 1300 * SEC);
	entry_done(&e);
}
END_TEST

/* A crontab at 8: last run two days ago, now it is 9. */
START_TEST(test_deadline)
{
	struct entry e = {.name = "n"};
	usec_t eight;
	struct err err;

	ck_assert_int_eq(crontab_parse_line("0 8 * * *", &e.schedule.crontab, &err), 0);
	ck_assert_int_eq(clock_parse_iso("2026-11-18T08:00:00Z", &eight, &err), 0);
	e.schedule.kind = SCHEDULE_CRONTAB;
	/* none: made up for */
	set_state(&e, eight - 48 * 3600 * SEC, 3, eight + 3600 * SEC, 0);
	ck_assert_int_eq(e.due, 0);
	/* an hour is just enough for today's, and less is not */
	e.deadline = 3600 * SEC;
	set_state(&e, eight - 48 * 3600 * SEC, 3, eight + 3600 * SEC, 0);
	ck_assert_int_eq(e.slot, eight);
	ck_assert_int_eq(e.due, 0);
	e.deadline = 3599 * SEC;
	set_state(&e, eight - 48 * 3600 * SEC, 3, eight + 3600 * SEC, 0);
	ck_assert_int_eq(e.slot, eight + 24 * 3600 * SEC);
	ck_assert_int_eq(e.due, 23 * 3600 * SEC);
	/* what was not missed stays */
	set_state(&e, eight, 3, eight + 3600 * SEC, 0);
	ck_assert_int_eq(e.due, 23 * 3600 * SEC);
	/* of intervals nothing is said */
	e.schedule = (struct schedule){.period = 10 * SEC};
	set_state(&e, eight - 48 * 3600 * SEC, 3, eight, 0);
	ck_assert_int_eq(e.due, 0);
	entry_done(&e);
}
END_TEST

/* A last run that a wrong clock, or somebody else, wrote far ahead keeps no entry from running. */
START_TEST(test_a_run_to_come)
{
	struct entry e = {.name = "n"};
	usec_t eight;
	struct err err;

	ck_assert_int_eq(crontab_parse_line("0 8 * * *", &e.schedule.crontab, &err), 0);
	ck_assert_int_eq(clock_parse_iso("2026-11-18T08:00:00Z", &eight, &err), 0);
	e.schedule.kind = SCHEDULE_CRONTAB;
	set_state(&e, eight + 400 * 86400 * SEC, INT64_MAX, eight + 3600 * SEC, 0);
	ck_assert_int_eq(e.slot, eight + 86400 * SEC);
	ck_assert_int_lt(e.total_run_count, INT64_MAX);
	set_state(&e, eight, INT64_MIN, eight + 3600 * SEC, 0);
	ck_assert_int_eq(e.total_run_count, 0);
	/* another beat's clock is only ahead of ours: not the same minute again */
	set_state(&e, eight, 1, eight - 60 * SEC, 0);
	ck_assert_int_eq(e.slot, eight + 86400 * SEC);
	entry_done(&e);
}
END_TEST

static const char *const g_garbage[] = {"",
					"{",
					"17",
					"[]",
					"{}",
					"{\"last_run_at\": 5}",
					"{\"last_run_at\": \"yesterday\"}",
					"{\"last_run_at\": NaN}"};

START_TEST(test_garbage)
{
	struct entry e = {.name = "n", .schedule = {.period = 300 * SEC}, .total_run_count = 5};

	entry_set_state(&e, (struct slice){g_garbage[_i], strlen(g_garbage[_i])}, WALL, 1000 * SEC);
	ck_assert_int_eq(e.due, 1300 * SEC);
	ck_assert_int_eq(e.last_run_at, WALL);
	ck_assert_int_eq(e.total_run_count, 0);
	ck_assert_str_eq(e.last_id, "");
	/* what is there is kept to compare with */
	ck_assert_str_eq(e.state, g_garbage[_i]);
	entry_done(&e);
}
END_TEST

START_TEST(test_slots)
{
	struct entry e = {.name = "n", .schedule = {.period = 10 * SEC}};

	set_state(&e, WALL, 0, WALL, 0);
	/* 3 ms late, or because another beat had to take over, and one more: the slot counts, so
	 * that delays do not add up */
	ck_assert_int_eq(entry_slot(&e, WALL + 10 * SEC + 3000), WALL + 10 * SEC);
	ck_assert_int_eq(entry_slot(&e, WALL + 20 * SEC), WALL + 10 * SEC);
	/* after an outage: from now on */
	ck_assert_int_eq(entry_slot(&e, WALL + 20 * SEC + 1), WALL + 20 * SEC + 1);
	ck_assert_int_eq(entry_slot(&e, WALL + 9000 * SEC), WALL + 9000 * SEC);
	/* the wall clock was set back meanwhile */
	ck_assert_int_eq(entry_slot(&e, WALL - 500 * SEC), WALL - 500 * SEC);
	entry_done(&e);
}
END_TEST

struct counting {
	size_t count;
	usec_t last_due;
	size_t fail_after;
};

static int send(void *arg, struct entry **due, size_t count, struct err *err)
{
	struct counting *c = arg;

	ck_assert_uint_le(count, SCHEDULER_BATCH);
	for (size_t i = 0; i < count; i++) {
		struct entry *e = due[i];

		if (c->fail_after > 0 && c->count == c->fail_after)
			return err_set(err, ERR_UNAVAILABLE, "away");
		ck_assert_int_ge(e->due, i > 0 ? c->last_due : 0);
		c->last_due = e->due;
		c->count++;
		e->total_run_count++;
	}
	for (size_t i = 0; i < count; i++)
		due[i]->due += due[i]->schedule.period;
	return 0;
}

/* Thousands of entries of all periods, against a count by division. */
START_TEST(test_heap)
{
	enum { N = 2000 };
	static struct entry entries[N];
	struct scheduler s = {0};
	struct counting counting = {0};
	struct err err;
	usec_t now;

	for (size_t i = 0; i < N; i++) {
		entries[i].schedule.period = (usec_t)(i * 7919 % 977 + 1) * SEC / 10;
		entries[i].due = entries[i].schedule.period;
	}
	scheduler_init(&s, entries, N);
	for (now = 0; now <= 60 * SEC; now += SEC / 3) {
		ck_assert_int_eq(scheduler_tick(&s, now, send, &counting, &err), 0);
		ck_assert_int_gt(scheduler_first(&s)->due, now);
	}
	now -= SEC / 3;
	for (size_t i = 0; i < N; i++)
		ck_assert_int_eq(entries[i].total_run_count, now / entries[i].schedule.period);
	scheduler_done(&s);
}
END_TEST

START_TEST(test_failure_keeps_the_slot)
{
	struct entry entries[3] = {{.schedule = {.period = SEC}, .due = 1},
				   {.schedule = {.period = SEC}, .due = 2},
				   {.schedule = {.period = SEC}, .due = 3}};
	struct counting counting = {.fail_after = 1};
	struct scheduler s = {0};
	struct err err;

	scheduler_init(&s, entries, 3);
	ck_assert_int_eq(scheduler_tick(&s, 10, send, &counting, &err), -ERR_UNAVAILABLE);
	ck_assert_uint_eq(counting.count, 1);
	ck_assert_ptr_eq(scheduler_first(&s), &entries[0]);
	ck_assert_uint_eq(s.count, 3);
	counting = (struct counting){0};
	ck_assert_int_eq(scheduler_tick(&s, 2, send, &counting, &err), 0);
	ck_assert_uint_eq(counting.count, 2);
	ck_assert_ptr_eq(scheduler_first(&s), &entries[2]);
	scheduler_done(&s);
	scheduler_init(&s, entries, 0);
	ck_assert_ptr_null(scheduler_first(&s));
	ck_assert_int_eq(scheduler_tick(&s, 10, send, &counting, &err), 0);
	scheduler_done(&s);
}
END_TEST

START_TEST(test_human)
{
	char text[HUMAN_SIZE];

	service_human(300 * SEC, text);
	ck_assert_str_eq(text, "5.00 minutes");
	service_human(60 * SEC, text);
	ck_assert_str_eq(text, "1.00 minute");
	service_human(SEC / 4, text);
	ck_assert_str_eq(text, "0.25 seconds");
	service_human(36 * 3600 * SEC, text);
	ck_assert_str_eq(text, "1.50 days");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("entry");
	TCase *t = tcase_create("entry");

	tcase_add_test(t, test_state_text);
	tcase_add_test(t, test_due);
	tcase_add_test(t, test_deadline);
	tcase_add_test(t, test_a_run_to_come);
	tcase_add_loop_test(t, test_garbage, 0, ARRAY_LEN(g_garbage));
	tcase_add_test(t, test_slots);
	tcase_add_test(t, test_heap);
	tcase_add_test(t, test_failure_keeps_the_slot);
	tcase_add_test(t, test_human);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
