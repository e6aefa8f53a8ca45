/* The sun: rows by ephem 4.2, which Celery asks. tests/integration/test_solar.py asks it for more.
 */
#include <stdlib.h>

#include "beat/solar.h"
#include "tests/unit/suite.h"

static const struct {
	const char *event;
	double latitude, longitude;
	const char *after, *next;
} rows[] = {
	{"dawn_astronomical", 52.52, 13.405, "2026-06-21T00:00:00+00:00",
	 "2026-07-25T23:15:12+00:00"},
	{"dawn_nautical", 52.52, 13.405, "2026-06-21T00:00:00+00:00", "2026-06-21T00:29:24+00:00"},
	{"dawn_civil", 52.52, 13.405, "2026-06-21T00:00:00+00:00", "2026-06-21T01:52:52+00:00"},
	{"sunrise", 52.52, 13.405, "2026-06-21T00:00:00+00:00", "2026-06-21T02:43:08+00:00"},
	{"solar_noon", 52.52, 13.405, "2026-06-21T00:00:00+00:00", "2026-06-21T11:08:11+00:00"},
	{"sunset", 52.52, 13.405, "2026-06-21T00:00:00+00:00", "2026-06-21T19:33:14+00:00"},
	{"dusk_civil", 52.52, 13.405, "2026-06-21T00:00:00+00:00", "2026-06-21T20:23:31+00:00"},
	{"dusk_nautical", 52.52, 13.405, "2026-06-21T00:00:00+00:00", "2026-06-21T21:46:58+00:00"},
	{"dusk_astronomical", 52.52, 13.405, "2026-06-21T00:00:00+00:00",
	 "2026-07-25T23:11:10+00:00"},
	{"dawn_astronomical", -37.81, 144.96, "2026-11-28T00:00:00+00:00",
	 "2026-11-28T17:02:39+00:00"},
	{"dawn_nautical", -37.81, 144.96, "2026-11-28T00:00:00+00:00", "2026-11-28T17:44:31+00:00"},
	{"dawn_civil", -37.81, 144.96, "2026-11-28T00:00:00+00:00", "2026-11-28T18:22:13+00:00"},
	{"sunrise", -37.81, 144.96, "2026-11-28T00:00:00+00:00", "2026-11-28T18:52:36+00:00"},
	{"solar_noon", -37.81, 144.96, "2026-11-28T00:00:00+00:00", "2026-11-28T02:07:57+00:00"},
	{"sunset", -37.81, 144.96, "2026-11-28T00:00:00+00:00", "2026-11-28T09:23:24+00:00"},
	{"dusk_civil", -37.81, 144.96, "2026-11-28T00:00:00+00:00", "2026-11-28T09:53:47+00:00"},
	{"dusk_nautical", -37.81, 144.96, "2026-11-28T00:00:00+00:00", "2026-11-28T10:31:28+00:00"},
	{"dusk_astronomical", -37.81, 144.96, "2026-11-28T00:00:00+00:00",
	 "2026-11-28T11:13:21+00:00"},
	{"dawn_astronomical", 0.0, -78.5, "2034-03-01T12:00:00+00:00", "2034-03-02T10:13:31+00:00"},
	{"dawn_nautical", 0.0, -78.5, "2034-03-01T12:00:00+00:00", "2034-03-02T10:37:43+00:00"},
	{"dawn_civil", 0.0, -78.5, "2034-03-01T12:00:00+00:00", "2034-03-02T11:01:54+00:00"},
	{"sunrise", 0.0, -78.5, "2034-03-01T12:00:00+00:00", "2034-03-02T11:22:43+00:00"},
	{"solar_noon", 0.0, -78.5, "2034-03-01T12:00:00+00:00", "2034-03-01T17:26:14+00:00"},
	{"sunset", 0.0, -78.5, "2034-03-01T12:00:00+00:00", "2034-03-01T23:29:32+00:00"},
	{"dusk_civil", 0.0, -78.5, "2034-03-01T12:00:00+00:00", "2034-03-01T23:50:21+00:00"},
	{"dusk_nautical", 0.0, -78.5, "2034-03-01T12:00:00+00:00", "2034-03-02T00:14:33+00:00"},
	{"dusk_astronomical", 0.0, -78.5, "2034-03-01T12:00:00+00:00", "2034-03-02T00:38:45+00:00"},
	{"dawn_astronomical", 69.65, 18.96, "2026-12-01T00:00:00+00:00",
	 "2026-12-01T05:00:57+00:00"},
	{"dawn_nautical", 69.65, 18.96, "2026-12-01T00:00:00+00:00", "2026-12-01T06:16:12+00:00"},
	{"dawn_civil", 69.65, 18.96, "2026-12-01T00:00:00+00:00", "2026-12-01T07:49:26+00:00"},
	{"sunrise", 69.65, 18.96, "2026-12-01T00:00:00+00:00", "2027-01-15T10:34:38+00:00"},
	{"solar_noon", 69.65, 18.96, "2026-12-01T00:00:00+00:00", "2026-12-01T10:33:09+00:00"},
	{"sunset", 69.65, 18.96, "2026-12-01T00:00:00+00:00", "2027-01-15T11:13:01+00:00"},
	{"dusk_civil", 69.65, 18.96, "2026-12-01T00:00:00+00:00", "2026-12-01T13:16:13+00:00"},
	{"dusk_nautical", 69.65, 18.96, "2026-12-01T00:00:00+00:00", "2026-12-01T14:49:24+00:00"},
	{"dusk_astronomical", 69.65, 18.96, "2026-12-01T00:00:00+00:00",
	 "2026-12-01T16:04:34+00:00"},
};

START_TEST(test_next)
{
	struct solar s = {solar_event(rows[_i].event), rows[_i].latitude, rows[_i].longitude};
	usec_t after, next, got;
	struct err err;

	ck_assert_int_eq(clock_parse_iso(rows[_i].after, &after, &err), 0);
	ck_assert_int_eq(clock_parse_iso(rows[_i].next, &next, &err), 0);
	got = solar_next(&s, after);
	ck_assert_int_le(llabs(got - next), 10 * USEC_PER_SEC);
	/* not again, and again after it */
	ck_assert_int_eq(solar_next(&s, got - 1), got);
	ck_assert_int_gt(solar_next(&s, got), got + 20 * 3600 * USEC_PER_SEC);
}
END_TEST

START_TEST(test_events)
{
	ck_assert_int_eq(solar_event("sunset"), solar_event("sunset"));
	ck_assert_int_ne(solar_event("sunset"), solar_event("sunrise"));
	ck_assert_int_eq(solar_event("eclipse"), -1);
	ck_assert_int_eq(solar_event(""), -1);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("solar");

	tcase_add_loop_test(t, test_next, 0, ARRAY_LEN(rows));
	tcase_add_test(t, test_events);
	return suite_run("solar", t);
}
