/*
 * schedule.c: the kinds of schedules, read and asked.
 */
#include "schedule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

/* A run that is later than this counts from when it is sent: after an outage the next one comes a
 * whole period later. Another beat leads within 5 s, and may die before it has made up for that:
 * twice as long, so that nothing is missed when two do one after the other. */
#define LATE	   (10 * USEC_PER_SEC)
#define PERIOD_MAX (1000.0 * 366 * 86400)
#define PERIOD_MIN 0.001

static int set_interval(double seconds, struct schedule *ret, struct err *err)
{
	if (!(seconds >= PERIOD_MIN && seconds <= PERIOD_MAX))
		return err_set(err, ERR_INVALID, "schedule: %g seconds are no interval", seconds);
	ret->kind = SCHEDULE_INTERVAL;
	ret->period = (usec_t)(seconds * (double)USEC_PER_SEC + 0.5);
	return 0;
}

static int parse_text(const char *text, struct schedule *ret, struct err *err)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end != text && *end == '\0')
		return set_interval(seconds, ret, err);
	ret->kind = SCHEDULE_CRONTAB;
	int rc = crontab_parse_line(text, &ret->crontab, err);
	return rc < 0 ? err_wrap(err, "schedule") : 0;
}

static int parse_interval(const json_t *object, struct schedule *ret, struct err *err)
{
	static const struct {
		const char *name;
		double seconds;
	} units[] = {{"microseconds", 1e-6}, {"seconds", 1},  {"minutes", 60},
		     {"hours", 3600},	     {"days", 86400}, {"weeks", 7 * 86400}};
	const json_t *every = json_object_get(object, "every");
	const char *period = json_member_str(object, "period");

	ret->relative = json_is_true(json_object_get(object, "relative"));
	if (!json_is_number(every))
		return err_set(err, ERR_INVALID, "schedule: every must be a number");
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (strcmp(units[i].name, period ? period : "seconds") == 0)
			return set_interval(json_number_value(every) * units[i].seconds, ret, err);
	return err_set(err, ERR_INVALID, "schedule: period '%.40s' is not known", period);
}

/* A field of a crontab may be a number, a string or a list of numbers. */
static int field_text(const json_t *value, const char *name, char *out, size_t size,
		      struct err *err)
{
	size_t len = 0, i;
	json_t *one;

	if (json_is_string(value) && json_string_length(value) < size) {
		snprintf(out, size, "%s", json_string_value(value));
		return 0;
	}
	if (json_is_integer(value)) {
		snprintf(out, size, "%lld", (long long)json_integer_value(value));
		return 0;
	}
	if (!json_is_array(value) || json_array_size(value) == 0 || json_array_size(value) > 60)
		return err_set(err, ERR_INVALID, "schedule: %s is no field of a crontab", name);
	json_array_foreach((json_t *)(uintptr_t)value, i, one)
	{
		if (!json_is_integer(one) || llabs(json_integer_value(one)) > 1000)
			return err_set(err, ERR_INVALID, "schedule: %s holds what is no number",
				       name);
		len += (size_t)snprintf(out + len, size - len, "%s%d", i ? "," : "",
					(int)json_integer_value(one));
	}
	return 0;
}

static int parse_crontab(const json_t *object, struct schedule *ret, struct err *err)
{
	char texts[CRONTAB_FIELDS][512];
	const char *fields[CRONTAB_FIELDS];

	for (int i = 0; i < CRONTAB_FIELDS; i++) {
		const json_t *value = json_member(object, crontab_names[i]);
		int rc =
			value ? field_text(value, crontab_names[i], texts[i], sizeof(texts[i]), err)
			      : 0;
		if (rc < 0)
			return rc;
		fields[i] = value ? texts[i] : NULL;
	}
	ret->kind = SCHEDULE_CRONTAB;
	int rc = crontab_parse(fields, &ret->crontab, err);
	return rc < 0 ? err_wrap(err, "schedule") : 0;
}

static int parse_clocked(const json_t *object, struct schedule *ret, struct err *err)
{
	const char *text = json_member_str(object, "clocked_time");

	if (!text)
		return err_set(err, ERR_INVALID, "schedule: clocked_time is missing");
	ret->kind = SCHEDULE_CLOCKED;
	int rc = clock_parse_iso(text, &ret->clocked, err);
	return rc < 0 ? err_wrap(err, "schedule: clocked_time") : 0;
}

static int read_degrees(const json_t *object, const char *name, double most, double *ret,
			struct err *err)
{
	const json_t *value = json_object_get(object, name);
	double degrees = json_number_value(value);

	if (!json_is_number(value) || !(degrees >= -most && degrees <= most))
		return err_set(err, ERR_INVALID, "schedule: %s must be a number from -%g to %g",
			       name, most, most);
	*ret = degrees;
	return 0;
}

static int parse_solar(const json_t *object, struct schedule *ret, struct err *err)
{
	const char *event = json_member_str(object, "event");
	int rc;

	ret->kind = SCHEDULE_SOLAR;
	ret->solar.event = event ? solar_event(event) : -1;
	if (ret->solar.event < 0)
		return err_set(err, ERR_INVALID, "schedule: event must be one of %s", solar_events);
	rc = read_degrees(object, "lat", 90, &ret->solar.latitude, err);
	return rc < 0 ? rc : read_degrees(object, "lon", 180, &ret->solar.longitude, err);
}

#define MEMBERS 5
/* A member that is misspelt must not be passed over. */
static int check_members(const json_t *object, const char *const *known, struct err *err)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)object, key, value)
	{
		size_t i = 0;

		while (i < MEMBERS && known[i] && strcmp(known[i], key) != 0)
			i++;
		if ((i == MEMBERS || !known[i]) && strcmp(key, "type") != 0)
			return err_set(err, ERR_INVALID,
				       "schedule: '%.60s' is no member of a schedule of this type",
				       key);
	}
	return 0;
}

static int parse_object(const json_t *object, struct schedule *ret, struct err *err)
{
	static const struct {
		const char *type;
		int (*parse)(const json_t *object, struct schedule *ret, struct err *err);
		const char *members[MEMBERS];
	} kinds[] = {
		{"interval", parse_interval, {"every", "period", "relative"}},
		{"crontab",
		 parse_crontab,
		 {"minute", "hour", "day_of_month", "month_of_year", "day_of_week"}},
		{"clocked", parse_clocked, {"clocked_time"}},
		{"solar", parse_solar, {"event", "lat", "lon"}},
	};
	const char *type = json_member_str(object, "type");

	for (size_t i = 0; type && i < ARRAY_LEN(kinds); i++) {
		if (strcmp(kinds[i].type, type) != 0)
			continue;
		int rc = check_members(object, kinds[i].members, err);
		return rc < 0 ? rc : kinds[i].parse(object, ret, err);
	}
	return err_set(
		err, ERR_INVALID,
		"schedule: its type must be interval, crontab, solar or clocked, not '%.40s'",
		type ? type : "");
}

/* The column of the table holds an object as text. */
static int parse_string(const char *text, struct schedule *ret, struct err *err)
{
	_cleanup_json_ json_t *object = NULL;

	if (*text != '{')
		return parse_text(text, ret, err);
	int rc = json_load_strict(text, strlen(text), &object, err);
	return rc < 0 ? err_wrap(err, "schedule") : parse_object(object, ret, err);
}

int schedule_parse(const json_t *value, struct schedule *ret, struct err *err)
{
	struct schedule s = {0};
	int rc;

	if (json_is_number(value))
		rc = set_interval(json_number_value(value), &s, err);
	else if (json_is_string(value) &&
		 strlen(json_string_value(value)) == json_string_length(value))
		rc = parse_string(json_string_value(value), &s, err);
	else if (json_is_object(value))
		rc = parse_object(value, &s, err);
	else
		rc = err_set(err, ERR_INVALID,
			     "schedule: neither seconds, nor a crontab, nor an object");
	if (rc == 0)
		*ret = s;
	return rc;
}

/* What is left of it on the zone's clocks: Celery's `relative`. */
static usec_t on_the_clock(usec_t next, usec_t period, const struct timezone_info *z, usec_t last)
{
	static const int units[] = {86400, 3600, 60, 1};
	usec_t local = next + timezone_offset(z, next) * USEC_PER_SEC, unit, at;
	size_t i = 0;

	while (i + 1 < ARRAY_LEN(units) && period < units[i] * USEC_PER_SEC)
		i++;
	unit = units[i] * USEC_PER_SEC;
	local -= local % unit;
	at = timezone_instant(z, local);
	if (at <= last && unit > USEC_PER_SEC) /* of a day of 25 hours */
		at = timezone_instant(z, local + unit);
	return at > last ? at : next;
}

static usec_t interval_next(const struct schedule *s, const struct timezone_info *z, usec_t last)
{
	return s->relative ? on_the_clock(last + s->period, s->period, z, last) : last + s->period;
}

usec_t schedule_next(const struct schedule *s, const struct timezone_info *z, usec_t last,
		     bool ever_run)
{
	switch (s->kind) {
	case SCHEDULE_INTERVAL:
		return interval_next(s, z, last);
	case SCHEDULE_CRONTAB:
		return crontab_next(&s->crontab, z, last);
	case SCHEDULE_SOLAR:
		return solar_next(&s->solar, last);
	case SCHEDULE_CLOCKED:
		return ever_run ? USEC_NEVER : s->clocked;
	}
	return USEC_NEVER;
}

bool schedule_is_on_time(usec_t slot, usec_t wall)
{
	return wall - slot <= LATE;
}

void schedule_text(const json_t *value, const struct schedule *s, char out[SCHEDULE_TEXT])
{
	if (s->kind == SCHEDULE_INTERVAL)
		snprintf(out, SCHEDULE_TEXT, "every %g s",
			 (double)s->period / (double)USEC_PER_SEC);
	else if (json_is_string(value) && json_string_value(value)[0] != '{')
		snprintf(out, SCHEDULE_TEXT, "at %.100s", json_string_value(value));
	else
		snprintf(out, SCHEDULE_TEXT, "%s",
			 s->kind == SCHEDULE_CRONTAB ? "by a crontab"
			 : s->kind == SCHEDULE_SOLAR ? "by the sun"
						     : "once");
}
