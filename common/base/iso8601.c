/*
 * iso8601.c: dates as Celery's producers write them.
 */
#include <string.h>

#include "clock.h"
#include "iso8601.h"

/* The last `width` digits of `value`, and `after`. */
static char *put(char *to, unsigned value, int width, const char *after)
{
	for (int i = width - 1; i >= 0; i--, value /= 10)
		to[i] = (char)('0' + value % 10);
	return stpcpy(to + width, after);
}

void clock_iso(usec_t wall, char out[CLOCK_ISO_SIZE])
{
	usec_t usec = wall % USEC_PER_SEC;
	if (usec < 0)
		usec += USEC_PER_SEC;
	time_t sec = (time_t)((wall - usec) / USEC_PER_SEC);
	struct tm tm;
	if (!gmtime_r(&sec, &tm))
		memset(&tm, 0, sizeof(tm));
	/* Years beyond four digits never come from a clock. */
	char *to = put(out, (unsigned)(tm.tm_year + 1900), 4, "-");
	to = put(to, (unsigned)tm.tm_mon + 1, 2, "-");
	to = put(to, (unsigned)tm.tm_mday, 2, "T");
	to = put(to, (unsigned)tm.tm_hour, 2, ":");
	to = put(to, (unsigned)tm.tm_min, 2, ":");
	to = put(to, (unsigned)tm.tm_sec, 2, usec ? "." : "+00:00");
	if (usec)
		(void)put(to, (unsigned)usec, 6, "+00:00");
}

bool iso_number(const char **p, int count, int min, int max, int *ret)
{
	int v = 0;
	for (int i = 0; i < count; i++, (*p)++) {
		if (**p < '0' || **p > '9')
			return false;
		v = v * 10 + (**p - '0');
	}
	*ret = v;
	return v >= min && v <= max;
}

bool iso_is_leap(int year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

int iso_days_in(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	return month == 2 && iso_is_leap(year) ? 29 : days[month - 1];
}

void iso_fraction(const char **p, int most, usec_t *ret_usec)
{
	if (**p != '.' && **p != ',')
		return;
	(*p)++;
	usec_t unit = 100000;
	for (int digits = 0; **p >= '0' && **p <= '9' && digits < most;
	     (*p)++, digits++, unit /= 10)
		*ret_usec += (**p - '0') * unit;
}

static bool parse_date(const char **p, struct tm *tm)
{
	int year;
	int month;
	if (!iso_number(p, 4, 1, 9999, &year) || *(*p)++ != '-')
		return false;
	if (!iso_number(p, 2, 1, 12, &month) || *(*p)++ != '-')
		return false;
	if (!iso_number(p, 2, 1, iso_days_in(year, month), &tm->tm_mday))
		return false;
	tm->tm_year = year - 1900;
	tm->tm_mon = month - 1;
	return true;
}

/* hh:mm[:ss[.ffffff]] */
static bool parse_time(const char **p, struct tm *tm, usec_t *ret_usec)
{
	if (!iso_number(p, 2, 0, 23, &tm->tm_hour) || *(*p)++ != ':')
		return false;
	if (!iso_number(p, 2, 0, 59, &tm->tm_min))
		return false;
	if (**p != ':')
		return true;
	(*p)++;
	if (!iso_number(p, 2, 0, 59, &tm->tm_sec))
		return false;
	iso_fraction(p, 9, ret_usec);
	return true;
}

bool iso_zone(const char **p, usec_t *ret_offset)
{
	if (**p == 'Z' || **p == 'z') {
		(*p)++;
		return true;
	}
	if (**p != '+' && **p != '-')
		return true;
	int sign = *(*p)++ == '-' ? -1 : 1;
	int part[3] = {0, 0, 0};
	if (!iso_number(p, 2, 0, 23, &part[0]))
		return false;
	for (int i = 1; i < 3 && **p; i++) {
		if (**p == ':')
			(*p)++;
		if (!iso_number(p, 2, 0, 59, &part[i]))
			return false;
	}
	*ret_offset = sign * ((part[0] * 60 + part[1]) * (usec_t)60 + part[2]) * USEC_PER_SEC;
	return true;
}

int clock_parse_iso(const char *text, usec_t *ret_wall, struct err *err)
{
	struct tm tm = {0};
	usec_t usec = 0;
	usec_t offset = 0;
	const char *p = text;
	bool ok = parse_date(&p, &tm);
	if (ok && (*p == 'T' || *p == 't' || *p == ' ')) {
		p++;
		ok = parse_time(&p, &tm, &usec) && iso_zone(&p, &offset);
	}
	if (!ok || *p != '\0')
		return err_set(err, ERR_INVALID, "\"%.64s\" is not an ISO 8601 date", text);
	*ret_wall = (usec_t)timegm(&tm) * USEC_PER_SEC + usec - offset;
	return 0;
}
