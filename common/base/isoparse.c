/*
 * isoparse.c: dates as Celery's workers read them: everything that dateutil's isoparse takes.
 */
#include "clock.h"
#include "iso8601.h"

#define DAY (86400 * USEC_PER_SEC)

/* Days since the epoch. */
static usec_t days_until(int year, int month, int day)
{
	struct tm tm = {.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day};

	return (usec_t)timegm(&tm) * USEC_PER_SEC / DAY;
}

static size_t digits_at(const char *p)
{
	size_t n = 0;

	while (p[n] >= '0' && p[n] <= '9')
		n++;
	return n;
}

/* Www, Wwwd or Www-d; without a day it is Monday, and nothing may follow. */
static bool parse_week(const char **p, int year, bool dashes, usec_t *ret_days)
{
	int week, day = 1;
	usec_t january_4 = days_until(year, 1, 4);

	(*p)++;
	if (!iso_number(p, 2, 1, 53, &week))
		return false;
	if (**p != '\0') {
		if (dashes && *(*p)++ != '-')
			return false;
		if (!iso_number(p, 1, 1, 7, &day))
			return false;
	}
	/* the epoch was a Thursday; the fourth of January is in the first week */
	*ret_days = january_4 - (january_4 + 3 + 7000000) % 7 + (week - 1) * 7 + day - 1;
	return true;
}

static bool parse_month(const char **p, int year, bool dashes, usec_t *ret_days)
{
	int month, day = 1;

	if (!iso_number(p, 2, 1, 12, &month))
		return false;
	if (dashes && **p == '\0') {
		*ret_days = days_until(year, month, 1);
		return true;
	}
	if (dashes && *(*p)++ != '-')
		return false;
	if (!iso_number(p, 2, 1, iso_days_in(year, month), &day))
		return false;
	*ret_days = days_until(year, month, day);
	return true;
}

/* YYYY, YYYY-MM, YYYY-MM-DD, YYYYMMDD, YYYY-DDD, YYYYDDD, YYYY-Www-D, YYYYWwwD */
static bool parse_date(const char **p, usec_t *ret_days)
{
	int year, day;
	bool dashes;

	if (!iso_number(p, 4, 1, 9999, &year))
		return false;
	if (**p == '\0') {
		*ret_days = days_until(year, 1, 1);
		return true;
	}
	dashes = **p == '-';
	*p += dashes;
	if (**p == 'W')
		return parse_week(p, year, dashes, ret_days);
	if (digits_at(*p) != 3)
		return parse_month(p, year, dashes, ret_days);
	if (!iso_number(p, 3, 1, 365 + iso_is_leap(year), &day))
		return false;
	*ret_days = days_until(year, 1, 1) + day - 1;
	return true;
}

/* HH, HHMM, HH:MM, HHMMSS, HH:MM:SS and a fraction; 24:00 is the end of the day. */
static bool parse_time(const char **p, usec_t *ret)
{
	int part[3] = {0, 0, 0};
	usec_t usec = 0;
	bool colons, seconds = false;

	if (!iso_number(p, 2, 0, 24, &part[0]))
		return false;
	colons = **p == ':';
	for (int i = 1; i < 3 && (colons ? **p == ':' : digits_at(*p) > 0); i++) {
		*p += colons;
		if (!iso_number(p, 2, 0, 59, &part[i]))
			return false;
		seconds = i == 2;
	}
	if (seconds)
		iso_fraction(p, 64, &usec);
	*ret = ((part[0] * 60 + part[1]) * (usec_t)60 + part[2]) * USEC_PER_SEC + usec;
	return *ret <= DAY;
}

int clock_isoparse(const char *text, usec_t *ret_wall, struct err *err)
{
	usec_t days = 0, time = 0, offset = 0;
	const char *p = text;
	bool ok = parse_date(&p, &days);

	if (ok && *p != '\0') {
		p++; /* whatever separates them */
		ok = parse_time(&p, &time) && iso_zone(&p, &offset);
	}
	if (!ok || *p != '\0')
		return err_set(err, ERR_INVALID, "\"%.64s\" is not an ISO 8601 date", text);
	*ret_wall = days * DAY + time - offset;
	return 0;
}
