/*
 * test_isoparse.c: the same texts, and the same instants, as dateutil.parser.isoparse 2.9.
 */
#include <check.h>

#include "clock.h"
#include "tests/unit/suite.h"

#define JULY_1 1782864000 /* 2026-07-01 */
#define HOUR   3600

static const struct {
	const char *text;
	double seconds;
} good[] = {
	{"2026-07-01T12:00:00", JULY_1 + 12 * HOUR},
	{"2026-07-01T12:00:00+02:00", JULY_1 + 10 * HOUR},
	{"2026-07-01 12:00:00", JULY_1 + 12 * HOUR},
	{"2026-07-01_12", JULY_1 + 12 * HOUR},
	{"2026-07-01T12:00:00Z", JULY_1 + 12 * HOUR},
	{"2026-07-01T12:00:00-00:00", JULY_1 + 12 * HOUR},
	{"20260701T120000", JULY_1 + 12 * HOUR},
	{"20260701T12:00:00", JULY_1 + 12 * HOUR},
	{"2026-07-01T1230", JULY_1 + 12.5 * HOUR},
	{"2026-07-01", JULY_1},
	{"20260701", JULY_1},
	{"2026-07", JULY_1},
	{"2026", 1767225600},
	{"2026-W27-3", JULY_1},
	{"2026W273", JULY_1},
	{"2026-W27-3T06", JULY_1 + 6 * HOUR},
	{"2026-W01-1", 1766966400}, /* 2025-12-29 */
	{"2026-W01", 1766966400},
	{"1969-W01-1", -259200 - 86400 * 365.0 + 86400}, /* 1968-12-30 */
	{"2026-182", JULY_1},
	{"2026182", JULY_1},
	{"2024-366", 1735603200},
	{"2026-07-01T24:00", JULY_1 + 24 * HOUR},
	{"2026-07-01T24:00:00.000", JULY_1 + 24 * HOUR},
	{"2026-07-01T12:00:00.1234567", JULY_1 + 12 * HOUR + 0.123456},
	{"2026-07-01T12:00:00,5", JULY_1 + 12 * HOUR + 0.5},
	{"2026-07-01T12:00:00+0200", JULY_1 + 10 * HOUR},
	{"2026-07-01T12:00:00+02", JULY_1 + 10 * HOUR},
};

START_TEST(test_good)
{
	struct err err = {0};
	usec_t wall = 0;

	ck_assert_msg(clock_isoparse(good[_i].text, &wall, &err) == 0, "%s", err.msg);
	ck_assert_msg(
		wall == (usec_t)(good[_i].seconds * 1e6 + (good[_i].seconds < 0 ? -0.5 : 0.5)),
		"%s: %lld", good[_i].text, (long long)wall);
}
END_TEST

static const char *const bad[] = {
	"",
	"garbage",
	"2026-13-01",
	"2026-7-1",
	" 2026-07-01",
	"2026-07-01T12:00:00 +02:00",
	"2026-366",
	"2026-000",
	"2026-W54-1",
	"2026-W00-1",
	"2026-W27-0",
	"2026-W27-8",
	"2026-W27T06",
	"202607",
	"2026-0701",
	"2026-07-01T",
	"2026-07-01T1",
	"2026-07-01T24:01",
	"2026-07-01T25:00",
	"2026-07-01T12:0",
	"2026-07-01T12:00:60",
	"0000-01-01",
	"2026-07-01T12:00:00+1",
	"2026-07T12",
	"2026-07-01T12:00:00+02:00x",
	"2026-02-29",
	"20260",
	"5",
};

START_TEST(test_bad)
{
	struct err err = {0};
	usec_t wall = 42;

	ck_assert_msg(clock_isoparse(bad[_i], &wall, &err) == -ERR_INVALID, "%s", bad[_i]);
	ck_assert_int_eq(wall, 42);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("isoparse");

	tcase_add_loop_test(t, test_good, 0, ARRAY_LEN(good));
	tcase_add_loop_test(t, test_bad, 0, ARRAY_LEN(bad));
	return suite_run("isoparse", t);
}
