/*
 * crontab.c: when a crontab is due next: the calendar first, then the zone.
 */
#include "crontab.h"

#include <string.h>

#define MINUTE (60 * USEC_PER_SEC)
#define DAY    (86400 * USEC_PER_SEC)
#define MONTHS (60 * 12) /* looked through: 29 February comes as a given weekday every 40 years */

/* ---- the calendar ---- */

/* Days since 1970-01-01 of a date, proleptic Gregorian; years are counted from March, so that a
 * leap day is the last of its year. */
static int64_t days_from_date(int64_t year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t in_era = y - era * 400;
	int64_t in_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + in_year - 719468;
}

static void date_from_days(int64_t days, int64_t *ret_year, int *ret_month, int *ret_day)
{
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t in_era = z - era * 146097;
	int64_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
	int64_t in_year = in_era - (365 * year + year / 4 - year / 100);
	int64_t month = (5 * in_year + 2) / 153;

	*ret_day = (int)(in_year - (153 * month + 2) / 5 + 1);
	*ret_month = (int)(month < 10 ? month + 3 : month - 9);
	*ret_year = year + era * 400 + (*ret_month <= 2);
}

static bool has(const struct crontab *c, enum crontab_field field, int64_t value)
{
	return c->sets[field] >> value & 1;
}

/* The smallest of the set that is at least `from`, -1 when there is none. */
static int at_least(const struct crontab *c, enum crontab_field field, int64_t from)
{
	uint64_t left = from > 63 ? 0 : c->sets[field] >> from << from;

	return left == 0 ? -1 : __builtin_ctzll(left);
}

/* The first day at or after `from` whose date matches, -1 when there is none. */
static int64_t next_day(const struct crontab *c, int64_t from)
{
	int64_t year;
	int month, day;

	date_from_days(from, &year, &month, &day);
	for (int i = 0; i < MONTHS; i++) {
		int64_t first = days_from_date(year, month, 1);
		int64_t following =
			days_from_date(month == 12 ? year + 1 : year, month % 12 + 1, 1);

		for (int64_t d = first + day - 1;
		     has(c, CRONTAB_MONTH_OF_YEAR, month) && d < following; d++) {
			/* 1970-01-01 was a Thursday */
			if (has(c, CRONTAB_DAY_OF_MONTH, d - first + 1) &&
			    has(c, CRONTAB_DAY_OF_WEEK, ((d + 4) % 7 + 7) % 7))
				return d;
		}
		year += month == 12;
		month = month % 12 + 1;
		day = 1;
	}
	return -1;
}

/* The first minute of that day at or after `from` that matches, -1 when there is none. */
static int next_minute(const struct crontab *c, int from)
{
	int hour = at_least(c, CRONTAB_HOUR, from / 60);
	int minute = at_least(c, CRONTAB_MINUTE, hour == from / 60 ? from % 60 : 0);

	if (hour >= 0 && minute < 0) {
		hour = at_least(c, CRONTAB_HOUR, hour + 1);
		minute = at_least(c, CRONTAB_MINUTE, 0);
	}
	return hour < 0 || minute < 0 ? -1 : hour * 60 + minute;
}

/* The first matching minute after `local`, as clocks show it. */
static usec_t next_local(const struct crontab *c, usec_t local)
{
	int64_t day = local / DAY - (local % DAY < 0);
	int64_t minutes = (local - day * DAY) / MINUTE + 1;
	int64_t found = next_day(c, day);
	int minute = found < 0 ? -1 : next_minute(c, found == day ? (int)minutes : 0);

	if (found == day && minute < 0) {
		found = next_day(c, day + 1);
		minute = next_minute(c, 0);
	}
	return found < 0 || minute < 0 ? USEC_NEVER : found * DAY + minute * MINUTE;
}

/* ---- the zone ---- */

static usec_t offset(const struct timezone_info *z, usec_t wall)
{
	return timezone_offset(z, wall) * USEC_PER_SEC;
}

static usec_t least(usec_t a, usec_t b)
{
	return a < b ? a : b;
}

/*
 * Where clocks are set forward, times that they skip lie among those that follow: so the search
 * begins with what clocks would have shown without a change of the last day, and ends when nothing
 * later can be earlier than what was found.
 */
usec_t crontab_next(const struct crontab *c, const struct timezone_info *z, usec_t wall)
{
	usec_t best = USEC_NEVER, last = USEC_NEVER;
	usec_t local = wall + least(offset(z, wall - DAY), offset(z, wall));

	while ((local = next_local(c, local)) != USEC_NEVER && local <= last) {
		usec_t at = timezone_instant(z, local);

		if (at <= wall || at >= best)
			continue;
		best = at;
		last = at - least(-offset(z, at - DAY), -offset(z, at + DAY));
	}
	return best;
}
