/*
 * test_timezone.c: zones of the system's database, as Python's zoneinfo knows them.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/suite.h"
#include "timezone.h"

static const struct {
	const char *zone;
	usec_t seconds;
	const char *text;
} rows[] = {
	{"UTC", 1782900000, "2026-07-01T10:00:00+00:00"},
	{"", 1782900000, "2026-07-01T10:00:00+00:00"},
	{"Europe/Berlin", 1782900000, "2026-07-01T12:00:00+02:00"},
	{"Europe/Berlin", 1774745999, "2026-03-29T01:59:59+01:00"}, /* the last second of winter */
	{"Europe/Berlin", 1774746000, "2026-03-29T03:00:00+02:00"},
	{"Europe/Berlin", 1792889999, "2026-10-25T02:59:59+02:00"}, /* that hour comes twice */
	{"Europe/Berlin", 1792890000, "2026-10-25T02:00:00+01:00"},
	{"Europe/Berlin", 4070944800,
	 "2099-01-01T11:00:00+01:00"}, /* by the rule beyond the table */
	{"Europe/Berlin", 4086633600, "2099-07-02T02:00:00+02:00"},
	{"Asia/Kolkata", 1782900000, "2026-07-01T15:30:00+05:30"},
	{"America/St_Johns", 1782900000, "2026-07-01T07:30:00-02:30"},
	{"Pacific/Kiritimati", 1782900000, "2026-07-02T00:00:00+14:00"},
};

START_TEST(test_zones)
{
	const struct timezone_info *z = NULL;
	char text[CLOCK_ISO_SIZE];
	struct err err = {0};

	ck_assert_msg(timezone_open(rows[_i].zone, true, &z, &err) == 0, "%s", err.msg);
	timezone_iso(z, rows[_i].seconds * USEC_PER_SEC, text);
	ck_assert_str_eq(text, rows[_i].text);
	timezone_iso(z, rows[_i].seconds * USEC_PER_SEC + 5, text);
	ck_assert_ptr_nonnull(strstr(text, ".000005"));
	timezone_close(z);
}
END_TEST

START_TEST(test_the_machines_own)
{
	const struct timezone_info *z = NULL;
	char text[CLOCK_ISO_SIZE];
	struct err err = {0};

	setenv("TZ", "Asia/Kolkata", 1);
	ck_assert_int_eq(timezone_open("", false, &z, &err), 0);
	timezone_iso(z, 1782900000 * USEC_PER_SEC, text);
	ck_assert_str_eq(text, "2026-07-01T15:30:00+05:30");
	timezone_close(z);
	ck_assert_int_eq(timezone_open("Europe/Berlin", false, &z, &err),
			 0); /* by name all the same */
	ck_assert_int_eq(timezone_offset(z, 1782900000 * USEC_PER_SEC), 7200);
	timezone_close(z);
}
END_TEST

static const char *const unknown[] = {"Mars/Olympus",	"europe/berlin!", "../../../etc/passwd",
				      "/etc/localtime", "Europe",	  "+02:00",
				      "Europe/../UTC"};

START_TEST(test_unknown)
{
	const struct timezone_info *z = NULL;
	struct err err = {0};

	ck_assert_int_eq(timezone_check(unknown[_i], &err), -ERR_INVALID);
	ck_assert_ptr_nonnull(strstr(err.msg, unknown[_i]));
	ck_assert_int_eq(timezone_open(unknown[_i], true, &z, &err), -ERR_INVALID);
	ck_assert_ptr_null(z);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("timezone");

	tcase_add_loop_test(t, test_zones, 0, ARRAY_LEN(rows));
	tcase_add_test(t, test_the_machines_own);
	tcase_add_loop_test(t, test_unknown, 0, ARRAY_LEN(unknown));
	return suite_run("timezone", t);
}
