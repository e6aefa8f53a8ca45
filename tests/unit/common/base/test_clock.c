/* Clocks and dates. */
#include <limits.h>
#include <string.h>

#include "clock.h"
#include "tests/unit/suite.h"

static usec_t g_now;
static usec_t fake(void)
{
	return g_now;
}

START_TEST(test_real_clocks)
{
	usec_t before = clock_mono();
	ck_assert_int_ge(clock_mono(), before);
	ck_assert_int_gt(clock_wall(), 1700000000 * USEC_PER_SEC);
	ck_assert_int_lt(clock_wall(), 4102444800 * USEC_PER_SEC);
}
END_TEST

START_TEST(test_hook_and_deadlines)
{
	clock_hook(fake, fake);
	g_now = 5000;
	ck_assert_int_eq(clock_wall(), 5000);
	ck_assert_int_eq(clock_mono(), 5000);
	ck_assert_int_eq(clock_deadline(10), 5010);
	ck_assert_int_eq(clock_deadline(USEC_NEVER), USEC_NEVER);
	ck_assert_int_eq(clock_deadline(USEC_NEVER - 1), USEC_NEVER);
	ck_assert_int_eq(clock_left_ms(USEC_NEVER), -1);
	ck_assert_int_eq(clock_left_ms(5000), 0);
	ck_assert_int_eq(clock_left_ms(0), 0);
	ck_assert_int_eq(clock_left_ms(INT64_MIN), 0);
	ck_assert_int_eq(clock_left_ms(5001), 1);
	ck_assert_int_eq(clock_left_ms(6000), 1);
	ck_assert_int_eq(clock_left_ms(6001), 2);
	ck_assert_int_eq(clock_left_ms(USEC_NEVER - 1), INT_MAX);
	clock_hook(NULL, NULL);
	ck_assert_int_ne(clock_wall(), 5000);
}
END_TEST

static const struct {
	usec_t wall;
	const char *text;
} g_iso[] = {
	{0, "1970-01-01T00:00:00+00:00"},
	{1, "1970-01-01T00:00:00.000001+00:00"},
	{-1, "1969-12-31T23:59:59.999999+00:00"},
	{1795253400123456, "2026-11-21T09:30:00.123456+00:00"},
	{951782400000000, "2000-02-29T00:00:00+00:00"},
	{253402300799999999, "9999-12-31T23:59:59.999999+00:00"},
};

START_TEST(test_iso)
{
	char out[CLOCK_ISO_SIZE];
	struct err err;
	usec_t back;
	clock_iso(g_iso[_i].wall, out);
	ck_assert_str_eq(out, g_iso[_i].text);
	ck_assert_int_eq(clock_parse_iso(out, &back, &err), 0);
	ck_assert_int_eq(back, g_iso[_i].wall);
}
END_TEST

START_TEST(test_iso_beyond_all_years)
{
	char out[CLOCK_ISO_SIZE];
	clock_iso(INT64_MAX, out);
	ck_assert_uint_lt(strlen(out), CLOCK_ISO_SIZE);
	clock_iso(INT64_MIN, out);
	ck_assert_uint_lt(strlen(out), CLOCK_ISO_SIZE);
}
END_TEST

#define NINE_THIRTY 1795253400000000

static const struct {
	const char *text;
	usec_t wall;
} g_parse[] = {
	{"2026-11-21T09:30:00", NINE_THIRTY},
	{"2026-11-21 09:30:00", NINE_THIRTY},
	{"2026-11-21T09:30", NINE_THIRTY},
	{"2026-11-21T09:30:00Z", NINE_THIRTY},
	{"2026-11-21T09:30:00z", NINE_THIRTY},
	{"2026-11-21T09:30Z", NINE_THIRTY},
	{"2026-11-21T10:30:00+01:00", NINE_THIRTY},
	{"2026-11-21T10:30:00+0100", NINE_THIRTY},
	{"2026-11-21T10:30:00+01", NINE_THIRTY},
	{"2026-11-21T04:00:00-05:30", NINE_THIRTY},
	{"2026-11-21T09:30:30+00:00:30", NINE_THIRTY},
	{"2026-11-21T09:30:00.5", NINE_THIRTY + 500000},
	{"2026-11-21T09:30:00,25", NINE_THIRTY + 250000},
	{"2026-11-21T09:30:00.123456+00:00", NINE_THIRTY + 123456},
	{"2026-11-21T09:30:00.123456789Z", NINE_THIRTY + 123456},
	{"2026-11-21T09:30:00.", NINE_THIRTY},
	{"2026-11-21", NINE_THIRTY - 34200 * USEC_PER_SEC},
	{"2024-02-29", 1709164800 * USEC_PER_SEC},
};

START_TEST(test_parse)
{
	struct err err;
	usec_t wall;
	ck_assert_msg(clock_parse_iso(g_parse[_i].text, &wall, &err) == 0, "%s", err.msg);
	ck_assert_int_eq(wall, g_parse[_i].wall);
}
END_TEST

static const char *const g_bad[] = {
	"",
	"now",
	"2026",
	"2026-11",
	"2026-11-2",
	"2026-13-01",
	"2026-00-01",
	"2026-11-31",
	"2026-11-00",
	"2023-02-29",
	"1900-02-29",
	"0000-01-01",
	"2026-11-21T",
	"2026-11-21T9:30",
	"2026-11-21T24:00",
	"2026-11-21T09:60",
	"2026-11-21T09:30:60",
	"2026-11-21T09:30:00+1",
	"2026-11-21T09:30:00+24",
	"2026-11-21T09:30:00+01:60",
	"2026-11-21T09:30:00 Z",
	"2026-11-21T09:30:00Zx",
	"2026-11-21x",
	"2026-11-21T09:30:00.1234567890",
	" 2026-11-21",
	"2026/11/21",
	"+026-11-21",
	"2026-11-21T09:30:00+01:",
};

START_TEST(test_parse_bad)
{
	struct err err;
	usec_t wall = 42;
	ck_assert_msg(clock_parse_iso(g_bad[_i], &wall, &err) == -ERR_INVALID, "%s", g_bad[_i]);
	ck_assert_int_eq(wall, 42);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("clock");
	tcase_add_test(t, test_real_clocks);
	tcase_add_test(t, test_hook_and_deadlines);
	tcase_add_loop_test(t, test_iso, 0, ARRAY_LEN(g_iso));
	tcase_add_test(t, test_iso_beyond_all_years);
	tcase_add_loop_test(t, test_parse, 0, ARRAY_LEN(g_parse));
	tcase_add_loop_test(t, test_parse_bad, 0, ARRAY_LEN(g_bad));
	return suite_run("clock", t);
}
