/* Schedules: what is one, and when it is due next. */
#include <stdio.h>
#include <string.h>

#include "beat/schedule.h"
#include "json.h"
#include "tests/unit/suite.h"

static json_t *parse(const char *text)
{
	json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);

	ck_assert_msg(value != NULL, "%s", text);
	return value;
}

/* zone, crontab, after, next ("" = never); local times with their offset */
static const struct {
	const char *zone, *line, *after, *next;
} rows[] = {
	{"", "* * * * *", "2026-01-01T00:00:00+00:00", "2026-01-01T00:01:00+00:00"},
	{"", "* * * * *", "2026-01-01T00:00:59.999999+00:00", "2026-01-01T00:01:00+00:00"},
	{"", "*/15 * * * *", "2026-01-01T00:50:00+00:00", "2026-01-01T01:00:00+00:00"},
	{"", "0 8 * * mon-fri", "2026-01-02T09:00:00+00:00", "2026-01-05T08:00:00+00:00"},
	{"", "0 0 * * fri-mon", "2026-01-05T00:00:00+00:00", "2026-01-09T00:00:00+00:00"},
	{"", "30 4 13 * fri", "2026-01-01T00:00:00+00:00", "2026-02-13T04:30:00+00:00"},
	{"", "0 0 29 2 *", "2026-01-01T00:00:00+00:00", "2028-02-29T00:00:00+00:00"},
	{"", "0 0 31 * *", "2026-01-31T00:00:00+00:00", "2026-03-31T00:00:00+00:00"},
	{"", "0 0 1 january *", "2026-01-01T00:00:00+00:00", "2027-01-01T00:00:00+00:00"},
	{"", "5,10-20/5 1 * * *", "2026-01-01T01:05:00+00:00", "2026-01-01T01:10:00+00:00"},
	{"", "59 23 31 12 *", "2026-12-31T23:58:59+00:00", "2026-12-31T23:59:00+00:00"},
	{"", "50-10 * * * *", "2026-01-01T00:10:00+00:00", "2026-01-01T00:50:00+00:00"},
	/* clocks set forward on 2026-03-29 at 02:00: 02:30 counts an hour later */
	{"Europe/Berlin", "30 2 * * *", "2026-03-28T02:30:00+01:00", "2026-03-29T03:30:00+02:00"},
	{"Europe/Berlin", "30 2 * * *", "2026-03-29T03:30:00+02:00", "2026-03-30T02:30:00+02:00"},
	/* and back on 2026-10-25 at 03:00: 02:30 counts the first time only */
	{"Europe/Berlin", "30 2 * * *", "2026-10-24T02:30:00+02:00", "2026-10-25T02:30:00+02:00"},
	{"Europe/Berlin", "30 2 * * *", "2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"},
	{"America/New_York", "0 12 * * *", "2026-07-01T12:00:00-04:00",
	 "2026-07-02T12:00:00-04:00"},
	{"Australia/Lord_Howe", "15 2 * * *", "2026-10-03T02:15:00+10:30",
	 "2026-10-04T02:45:00+11:00"},
};

START_TEST(test_next)
{
	const struct timezone_info *zone = NULL;
	struct schedule s;
	usec_t after, next;
	struct err err;

	ck_assert_int_eq(timezone_open(rows[_i].zone[0] ? rows[_i].zone : NULL, true, &zone, &err),
			 0);
	_cleanup_json_ json_t *value = json_string(rows[_i].line);
	ck_assert_int_eq(schedule_parse(value, &s, &err), 0);
	ck_assert_int_eq(s.kind, SCHEDULE_CRONTAB);
	ck_assert_int_eq(clock_parse_iso(rows[_i].after, &after, &err), 0);
	ck_assert_int_eq(clock_parse_iso(rows[_i].next, &next, &err), 0);
	ck_assert_int_eq(schedule_next(&s, zone, after, true), next);
	timezone_close(zone);
}
END_TEST

/* Every instant of a year is later than the one before, and none is found twice. */
START_TEST(test_rises)
{
	const struct timezone_info *zone = NULL;
	struct schedule s;
	usec_t at, end;
	struct err err;

	ck_assert_int_eq(timezone_open("Europe/Berlin", true, &zone, &err), 0);
	_cleanup_json_ json_t *value = json_string("*/20 * * * *");
	ck_assert_int_eq(schedule_parse(value, &s, &err), 0);
	ck_assert_int_eq(clock_parse_iso("2026-01-01T00:00:00Z", &at, &err), 0);
	ck_assert_int_eq(clock_parse_iso("2027-01-01T00:00:00Z", &end, &err), 0);
	while (at < end) {
		usec_t next = schedule_next(&s, zone, at, true);
		ck_assert_int_gt(next, at);
		ck_assert_int_le(next - at, 2 * 3600 * USEC_PER_SEC);
		at = next;
	}
	timezone_close(zone);
}
END_TEST

static const struct {
	const char *value, *text; /* what it is, or what is wrong with it */
} forms[] = {
	{"300", "every 300 s"},
	{"0.5", "every 0.5 s"},
	{"\"60\"", "every 60 s"},
	{"{\"type\":\"interval\",\"every\":5,\"period\":\"minutes\"}", "every 300 s"},
	{"{\"type\":\"interval\",\"every\":1,\"period\":\"days\"}", "every 86400 s"},
	{"\"{\\\"type\\\":\\\"interval\\\",\\\"every\\\":2}\"", "every 2 s"},
	{"\"0 8 * * mon-fri\"", "at 0 8 * * mon-fri"},
	{"{\"type\":\"crontab\",\"minute\":\"*/5\",\"hour\":[1,2],\"day_of_week\":\"sun\"}",
	 "by a crontab"},
	{"{\"type\":\"crontab\"}", "by a crontab"},
	{"{\"type\":\"crontab\",\"hour\":\"1, 13\"}", "by a crontab"},
	{"{\"type\":\"crontab\",\"hour\":\" 1 ,13 \"}", "by a crontab"},
	{"{\"type\":\"crontab\",\"minute\":5}", "by a crontab"},
	{"{\"type\":\"crontab\",\"minute\":60}", "!schedule: minute: 60 is not in 0-59"},
	{"\"1-2x * * * *\"", "!schedule: minute: neither a number nor a name"},
	{"\"*x * * * *\"", "!schedule: minute: nothing may stand at"},
	{"{\"type\":\"crontab\",\"hour\":\"1, ,2\"}", "!schedule: hour: neither"},
	{"{\"type\":\"crontab\",\"hour\":\"1 3\"}", "!schedule: hour: neither"},
	{"{\"type\":\"clocked\",\"clocked_time\":\"2026-12-01T09:00:00Z\"}", "once"},
	{"0", "!schedule: 0 seconds are no interval"},
	{"-5", "!schedule: -5 seconds are no interval"},
	{"1e300", "!schedule: 1e+300 seconds are no interval"},
	{"null", "!schedule: neither"},
	{"[]", "!schedule: neither"},
	{"\"\"", "!schedule: a crontab has five fields"},
	{"\"* * * *\"", "!schedule: a crontab has five fields"},
	{"\"* * * * * *\"", "!schedule: a crontab has five fields"},
	{"\"60 * * * *\"", "!schedule: minute: 60 is not in 0-59"},
	{"\"* 24 * * *\"", "!schedule: hour: 24"},
	{"\"* * 0 * *\"", "!schedule: day_of_month: 0"},
	{"\"* * * 13 *\"", "!schedule: month_of_year: 13"},
	{"\"* * * * 7\"", "!schedule: day_of_week: 7"},
	{"\"* * * * fun\"", "!schedule: day_of_week: neither a number nor a name"},
	{"\"*/0 * * * *\"", "!schedule: minute: steps must be a number above 0"},
	{"\"5/2 * * * *\"", "!schedule: minute: steps need a range"},
	{"\"1,,2 * * * *\"", "!schedule: minute: a number is missing"},
	{"\"0 0 30 2 *\"", "!schedule: day_of_month: no month"},
	{"{\"type\":\"crontab\",\"minute\":{}}", "!schedule: minute is no field"},
	{"{\"type\":\"crontab\",\"minute\":[\"a\"]}", "!schedule: minute holds what is no number"},
	{"{\"type\":\"interval\"}", "!schedule: every must be a number"},
	{"{\"type\":\"interval\",\"every\":1,\"period\":\"fortnights\"}",
	 "!schedule: period 'fortnights' is not known"},
	{"{\"type\":\"clocked\"}", "!schedule: clocked_time is missing"},
	{"{\"type\":\"clocked\",\"clocked_time\":\"soon\"}", "!schedule: clocked_time"},
	{"{\"type\":\"solar\",\"event\":\"sunset\",\"lat\":-37.8,\"lon\":145}", "by the sun"},
	{"{\"type\":\"solar\",\"event\":\"eclipse\"}",
	 "!schedule: event must be one of dawn_astronomical, "},
	{"{\"type\":\"solar\",\"event\":\"sunset\",\"lat\":91}", "!schedule: lat must be"},
	{"{\"type\":\"solar\",\"event\":\"sunset\",\"lat\":1,\"lon\":\"x\"}",
	 "!schedule: lon must be a number from -180 to 180"},
	{"{\"type\":\"interval\",\"every\":1,\"units\":\"days\"}",
	 "!schedule: 'units' is no member"},
	{"{\"type\":\"crontab\",\"hours\":8}", "!schedule: 'hours' is no member"},
	{"{\"type\":\"lunar\"}", "!schedule: its type must be"},
	{"{}", "!schedule: its type must be"},
};

START_TEST(test_form)
{
	_cleanup_json_ json_t *value = parse(forms[_i].value);
	char text[SCHEDULE_TEXT];
	struct schedule s;
	struct err err = {0};
	int r = schedule_parse(value, &s, &err);

	if (forms[_i].text[0] == '!') {
		ck_assert_int_lt(r, 0);
		ck_assert_msg(strncmp(err.msg, forms[_i].text + 1, strlen(forms[_i].text) - 1) == 0,
			      "%s", err.msg);
		return;
	}
	ck_assert_msg(r == 0, "%s", err.msg);
	schedule_text(value, &s, text);
	ck_assert_str_eq(text, forms[_i].text);
}
END_TEST

/* Celery's `relative`, in Berlin: seconds, after, next */
static const struct {
	double every;
	const char *after, *next;
} clocks[] = {
	{3600, "2026-07-01T12:34:56+02:00", "2026-07-01T13:00:00+02:00"},
	{3600, "2026-07-01T13:00:00+02:00", "2026-07-01T14:00:00+02:00"},
	{86400, "2026-07-01T12:34:56+02:00", "2026-07-02T00:00:00+02:00"},
	{90, "2026-07-01T12:34:56.5+02:00", "2026-07-01T12:36:00+02:00"},
	{30, "2026-07-01T12:34:56.5+02:00", "2026-07-01T12:35:26+02:00"},
	/* less than there is to round to: no rounding */
	{0.25, "2026-07-01T12:34:56.5+02:00", "2026-07-01T12:34:56.75+02:00"},
	/* a day of 25 hours */
	{86400, "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"},
};

START_TEST(test_relative)
{
	const struct timezone_info *zone = NULL;
	struct schedule s;
	usec_t after, next;
	struct err err;
	_cleanup_json_ json_t *value = json_pack("{s:s, s:f, s:b}", "type", "interval", "every",
						 clocks[_i].every, "relative", 1);

	ck_assert_int_eq(timezone_open("Europe/Berlin", true, &zone, &err), 0);
	ck_assert_int_eq(schedule_parse(value, &s, &err), 0);
	ck_assert_int_eq(clock_parse_iso(clocks[_i].after, &after, &err), 0);
	ck_assert_int_eq(clock_parse_iso(clocks[_i].next, &next, &err), 0);
	ck_assert_int_eq(schedule_next(&s, zone, after, true), next);
	timezone_close(zone);
}
END_TEST

START_TEST(test_once)
{
	_cleanup_json_ json_t *value =
		parse("{\"type\":\"clocked\",\"clocked_time\":\"2026-12-01T09:00:00Z\"}");
	struct schedule s;
	struct err err;

	ck_assert_int_eq(schedule_parse(value, &s, &err), 0);
	ck_assert_int_eq(schedule_next(&s, NULL, 5, false), s.clocked);
	ck_assert_int_eq(schedule_next(&s, NULL, 5, true), USEC_NEVER);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("schedules");

	tcase_add_loop_test(t, test_next, 0, ARRAY_LEN(rows));
	tcase_add_test(t, test_rises);
	tcase_add_loop_test(t, test_form, 0, ARRAY_LEN(forms));
	tcase_add_loop_test(t, test_relative, 0, ARRAY_LEN(clocks));
	tcase_add_test(t, test_once);
	return suite_run("schedule", t);
}
