/* Crontabs as clocks show them. Beside Celery's they are in tests/integration/test_crontab.py. */
#include <string.h>

#include "beat/crontab.h"
#include "mem.h"
#include "tests/unit/suite.h"

/* zone, crontab, after, next ("" = never) */
static const struct {
	const char *zone, *line, *after, *next;
} rows[] = {
	{"", "* * * * *", "2026-01-01T00:00:59.999999+00:00", "2026-01-01T00:01:00+00:00"},
	{"", "0 8 * * Mon-FRIDAY", "2026-01-02T09:00:00+00:00", "2026-01-05T08:00:00+00:00"},
	{"", "0 0 * * fri-mon/2", "2026-01-05T00:00:00+00:00", "2026-01-09T00:00:00+00:00"},
	/* all must match: a Friday that is a 13th */
	{"", "30 4 13 * fri", "2026-01-01T00:00:00+00:00", "2026-02-13T04:30:00+00:00"},
	/* steps count from the field's beginning */
	{"", "0 0 */10 * *", "2026-01-02T00:00:00+00:00", "2026-01-11T00:00:00+00:00"},
	{"", "50-10/10 * * * *", "2026-01-01T00:10:00+00:00", "2026-01-01T00:50:00+00:00"},
	/* a leap day as a weekday that is rare */
	{"", "0 0 29 2 sun", "2096-03-01T00:00:00+00:00", "2128-02-29T00:00:00+00:00"},
	/* set forward on 2026-03-29 at 02:00: 02:30 is an hour later, and 03:10 before it */
	{"Europe/Berlin", "30 2 * * *", "2026-03-28T02:30:00+01:00", "2026-03-29T03:30:00+02:00"},
	{"Europe/Berlin", "30,10 2,3 * * *", "2026-03-29T03:10:00+02:00",
	 "2026-03-29T03:30:00+02:00"},
	{"Europe/Berlin", "30 2 * * *", "2026-03-29T03:30:00+02:00", "2026-03-30T02:30:00+02:00"},
	/* and back on 2026-10-25 at 03:00: 02:30 counts the first time */
	{"Europe/Berlin", "30 2 * * *", "2026-10-24T02:30:00+02:00", "2026-10-25T02:30:00+02:00"},
	{"Europe/Berlin", "30 2 * * *", "2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"},
	{"Europe/Berlin", "* * * * *", "2026-10-25T02:59:00+02:00", "2026-10-25T03:00:00+01:00"},
	/* half an hour */
	{"Australia/Lord_Howe", "15 2 * * *", "2026-10-03T02:15:00+10:30",
	 "2026-10-04T02:45:00+11:00"},
	/* a day that was left out: Samoa's 30 December 2011 */
	{"Pacific/Apia", "0 12 30 12 *", "2011-12-01T00:00:00-10:00", "2011-12-31T12:00:00+14:00"},
};

START_TEST(test_next)
{
	const struct timezone_info *zone = NULL;
	char text[CLOCK_ISO_SIZE];
	struct crontab c;
	usec_t after;
	struct err err = {0};

	ck_assert_int_eq(timezone_open(rows[_i].zone, true, &zone, &err), 0);
	ck_assert_msg(crontab_parse_line(rows[_i].line, &c, &err) == 0, "%s", err.msg);
	ck_assert_int_eq(clock_parse_iso(rows[_i].after, &after, &err), 0);
	timezone_iso(zone, crontab_next(&c, zone, after), text);
	ck_assert_str_eq(text, rows[_i].next);
	timezone_close(zone);
}
END_TEST

static const struct {
	const char *line, *error;
} wrong[] = {
	{"", "a crontab has five fields"},
	{"* * * *", "a crontab has five fields"},
	{"* * * * * *", "a crontab has five fields"},
	{"60 * * * *", "minute: 60 is not in 0-59"},
	{"* 24 * * *", "hour: 24 is not in 0-23"},
	{"* * 0 * *", "day_of_month: 0 is not in 1-31"},
	{"* * * 13 *", "month_of_year: 13 is not in 1-12"},
	{"* * * * 7", "day_of_week: 7 is not in 0-6"},
	{"* * * * fun", "day_of_week: neither a number nor a name: \"fun\""},
	{"*/0 * * * *", "minute: steps must be a number above 0, not \"0\""},
	{"99999999999999999999 * * * *", "minute: neither a number nor a name"},
	{"1,,2 * * * *", "minute: a number is missing"},
	{"0 0 30 feb *", "day_of_month: no month of month_of_year has such a day"},
};

START_TEST(test_wrong)
{
	struct crontab c = {.sets = {5}};
	struct err err = {0};

	ck_assert_int_eq(crontab_parse_line(wrong[_i].line, &c, &err), -ERR_INVALID);
	ck_assert_msg(strstr(err.msg, wrong[_i].error) != NULL, "%s", err.msg);
	ck_assert_uint_eq(c.sets[0], 5);
}
END_TEST

START_TEST(test_fields)
{
	const char *const fields[CRONTAB_FIELDS] = {[CRONTAB_MINUTE] = "30", [CRONTAB_HOUR] = "4"};
	struct crontab one, other;
	struct err err = {0};

	ck_assert_int_eq(crontab_parse(fields, &one, &err), 0);
	ck_assert_int_eq(crontab_parse_line("30 4\t* * *", &other, &err), 0);
	ck_assert_mem_eq(&one, &other, sizeof(one));
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("crontab");

	tcase_add_loop_test(t, test_next, 0, ARRAY_LEN(rows));
	tcase_add_loop_test(t, test_wrong, 0, ARRAY_LEN(wrong));
	tcase_add_test(t, test_fields);
	return suite_run("crontab", t);
}
