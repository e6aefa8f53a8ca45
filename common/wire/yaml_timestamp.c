/*
 * yaml_timestamp.c: dates in YAML, as PyYAML's SafeConstructor reads them, into kombu's typed
 * values.
 */
#include "yaml_scalar.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "typed.h"

struct stamp {
	int year, month, day, hour, minute, second, usec;
	int zone; /* minutes east */
	bool has_time, has_zone;
};

/* Reads `least` to `most` digits at *p. */
static bool number(const char **p, const char *end, int least, int most, int *ret)
{
	int n = 0, value = 0;

	while (*p < end && n < most && isdigit((unsigned char)**p)) {
		value = value * 10 + (*(*p)++ - '0');
		n++;
	}
	*ret = value;
	return n >= least;
}

static bool literal(const char **p, const char *end, char c)
{
	if (*p == end || **p != c)
		return false;
	(*p)++;
	return true;
}

static bool blanks(const char **p, const char *end)
{
	const char *from = *p;

	while (*p < end && (**p == ' ' || **p == '\t'))
		(*p)++;
	return *p > from;
}

/* At most six digits count. */
static void fraction(const char **p, const char *end, int *ret)
{
	int scale = 100000;

	*ret = 0;
	for (; *p < end && isdigit((unsigned char)**p); (*p)++, scale /= 10)
		*ret += (**p - '0') * scale;
}

static bool zone(const char **p, const char *end, struct stamp *s)
{
	int sign, hours = 0, minutes = 0;

	(void)blanks(p, end);
	if (*p == end)
		return true;
	s->has_zone = true;
	if (literal(p, end, 'Z'))
		return true;
	sign = **p == '-' ? -1 : 1;
	if (!literal(p, end, '-') && !literal(p, end, '+'))
		return false;
	if (!number(p, end, 1, 2, &hours))
		return false;
	if (literal(p, end, ':') && !number(p, end, 2, 2, &minutes))
		return false;
	s->zone = sign * (hours * 60 + minutes);
	return true;
}

static bool parse(const char *text, size_t len, struct stamp *s)
{
	const char *p = text, *end = text + len;

	*s = (struct stamp){0};
	if (!number(&p, end, 4, 4, &s->year) || !literal(&p, end, '-') ||
	    !number(&p, end, 1, 2, &s->month) || !literal(&p, end, '-') ||
	    !number(&p, end, 1, 2, &s->day))
		return false;
	if (p == end)
		return len == strlen("2026-01-01");
	s->has_time = true;
	if (!literal(&p, end, 'T') && !literal(&p, end, 't') && !blanks(&p, end))
		return false;
	if (!number(&p, end, 1, 2, &s->hour) || !literal(&p, end, ':') ||
	    !number(&p, end, 2, 2, &s->minute) || !literal(&p, end, ':') ||
	    !number(&p, end, 2, 2, &s->second))
		return false;
	if (literal(&p, end, '.'))
		fraction(&p, end, &s->usec);
	return zone(&p, end, s) && p == end;
}

bool yaml_is_timestamp(const char *text, size_t len)
{
	struct stamp s;

	return parse(text, len, &s);
}

int yaml_timestamp_value(const char *text, size_t len, json_t **ret, struct err *err)
{
	char iso[80], tail[48] = "";
	struct stamp s;
	json_t *value;
	usec_t wall;
	int n, rc;

	if (!parse(text, len, &s))
		return err_set(err, ERR_INVALID, "\"%.40s\" is not a YAML timestamp", text);
	n = snprintf(iso, sizeof(iso), "%04d-%02d-%02d", s.year, s.month, s.day);
	if (s.has_time && s.usec != 0)
		snprintf(tail, sizeof(tail), ".%06d", s.usec);
	if (s.has_time)
		n += snprintf(iso + n, sizeof(iso) - (size_t)n, "T%02d:%02d:%02d%s", s.hour,
			      s.minute, s.second, tail);
	if (s.has_zone)
		snprintf(iso + n, sizeof(iso) - (size_t)n, "%c%02d:%02d", s.zone < 0 ? '-' : '+',
			 (s.zone < 0 ? -s.zone : s.zone) / 60,
			 (s.zone < 0 ? -s.zone : s.zone) % 60);
	rc = clock_parse_iso(iso, &wall, err);
	if (rc < 0)
		return rc;
	value = typed_time(s.has_time ? TYPED_DATETIME : TYPED_DATE, iso);
	if (value == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a date");
	*ret = value;
	return 0;
}
