/*
 * redbeat.c: RedBeat's JSON, with its typed values, to ours.
 */
#include "redbeat.h"

#include <stdio.h>
#include <string.h>

#include "crontab.h"
#include "json.h"
#include "mem.h"

static int load_object(struct slice text, const char *what, json_t **ret, struct err *err)
{
	json_t *value = NULL;
	int rc = json_load_strict(text.data, text.len, &value, err);

	if (rc < 0)
		return err_wrap(err, "%s", what);
	if (!json_is_object(value)) {
		json_decref(value);
		return err_set(err, ERR_INVALID, "%s is no object", what);
	}
	*ret = value;
	return 0;
}

/* ---- {"__type__": "datetime", "year": …, "timezone": "UTC", a name, or seconds } ---- */

static int zone_time(const json_t *zone, usec_t local, usec_t *ret, struct err *err)
{
	const struct timezone_info *z = NULL;
	int rc;

	double seconds = zone ? json_number_value(zone) : 0;

	if (!zone || (json_is_number(zone) && seconds > -86400 && seconds < 86400)) {
		*ret = local - (usec_t)(seconds * (double)USEC_PER_SEC);
		return 0;
	}
	if (!json_is_string(zone))
		return err_set(err, ERR_INVALID, "timezone of a date");
	rc = timezone_open(json_string_value(zone), true, &z, err);
	if (rc == 0)
		*ret = timezone_instant(z, local);
	timezone_close(z);
	return rc;
}

static int read_date(const json_t *value, usec_t *ret, struct err *err)
{
	static const char *const parts[] = {"year",   "month",	"day",	      "hour",
					    "minute", "second", "microsecond"};
	int numbers[ARRAY_LEN(parts)];
	char text[CLOCK_ISO_SIZE];
	usec_t local;
	int rc;

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		json_int_t n = json_integer_value(json_object_get(value, parts[i]));

		if (n < 0 || n > 999999 || (i == 0 && n > 9999))
			return err_set(err, ERR_INVALID, "%s of a date", parts[i]);
		numbers[i] = (int)n;
	}
	snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%06d", numbers[0], numbers[1],
		 numbers[2], numbers[3], numbers[4], numbers[5], numbers[6]);
	rc = clock_parse_iso(text, &local, err);
	return rc < 0 ? rc : zone_time(json_member(value, "timezone"), local, ret, err);
}

static const char *type_of(const json_t *value)
{
	return json_member_str(value, "__type__");
}

/* ---- arguments ---- */

static int plain(const json_t *value, json_t **ret, struct err *err);

static int plain_date(const json_t *value, json_t **ret, struct err *err)
{
	char iso[CLOCK_ISO_SIZE];
	usec_t wall;
	int rc = read_date(value, &wall, err);

	if (rc < 0)
		return rc;
	clock_iso(wall, iso);
	*ret = json_pack("{s:s, s:s}", "__type__", "datetime", "__value__", iso);
	return 0;
}

static int plain_object(const json_t *value, json_t **ret, struct err *err)
{
	static const char *const schedules[] = {"interval", "crontab", "rrule", "weekday"};
	const char *type = type_of(value), *key;
	json_t *member;

	if (type && strcmp(type, "datetime") == 0)
		return plain_date(value, ret, err);
	for (size_t i = 0; type && i < ARRAY_LEN(schedules); i++)
		if (strcmp(type, schedules[i]) == 0)
			return err_set(err, ERR_UNSUPPORTED, "a value of type %s", type);
	_cleanup_json_ json_t *made = json_object();
	json_object_foreach((json_t *)(uintptr_t)value, key, member)
	{
		json_t *copy = NULL;
		int rc = plain(member, &copy, err);

		if (rc < 0)
			return rc;
		json_object_set_new(made, key, copy);
	}
	*ret = TAKE(made);
	return 0;
}

static int plain_array(const json_t *value, json_t **ret, struct err *err)
{
	_cleanup_json_ json_t *made = json_array();
	json_t *member;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)value, i, member)
	{
		json_t *copy = NULL;
		int rc = plain(member, &copy, err);

		if (rc < 0)
			return rc;
		json_array_append_new(made, copy);
	}
	*ret = TAKE(made);
	return 0;
}

/* As deep as the reader lets it be. */
static int plain(const json_t *value, json_t **ret, struct err *err)
{
	if (json_is_object(value))
		return plain_object(value, ret, err);
	if (json_is_array(value))
		return plain_array(value, ret, err);
	*ret = json_incref((json_t *)(uintptr_t)value);
	return 0;
}

/* ---- schedules ---- */

static int take_interval(const json_t *value, json_t **ret, struct err *err)
{
	json_t *every = json_member(value, "every");

	if (!json_is_number(every))
		return err_set(err, ERR_INVALID, "every must be a number");
	*ret = json_is_true(json_object_get(value, "relative"))
		       ? json_pack("{s:s, s:O, s:b}", "type", "interval", "every", every,
				   "relative", 1)
		       : json_incref(every);
	return 0;
}

/* On one line where that can say it. */
static bool crontab_line(const json_t *value, struct buf *out)
{
	for (int i = 0; i < CRONTAB_FIELDS; i++) {
		const json_t *field = json_member(value, crontab_names[i]);
		const char *text = json_string_value(field);

		if (i > 0)
			buf_append_str(out, " ");
		if (json_is_integer(field))
			buf_appendf(out, "%lld", (long long)json_integer_value(field));
		else if (text && *text && text[strcspn(text, " \t")] == '\0')
			buf_append_str(out, text);
		else if (!field)
			buf_append_str(out, "*");
		else
			return false;
	}
	return true;
}

static int take_crontab(const json_t *value, json_t **ret, struct err *err)
{
	_cleanup_buf_ struct buf line = BUF_INIT(4096);
	_cleanup_json_ json_t *made = NULL;

	if (crontab_line(value, &line)) {
		int rc = buf_status(&line, err);

		if (rc == 0)
			*ret = json_string(line.data);
		return rc;
	}
	made = json_copy((json_t *)(uintptr_t)value);
	json_object_del(made, "__type__");
	json_object_set_new(made, "type", json_string("crontab"));
	*ret = TAKE(made);
	return 0;
}

static int take_rrule(const json_t *value unused_arg, json_t **ret unused_arg, struct err *err)
{
	return err_set(err, ERR_UNSUPPORTED, "there are no schedules of type rrule here");
}

static int take_schedule(const json_t *value, json_t **ret, struct err *err)
{
	static const struct {
		const char *type;
		int (*take)(const json_t *value, json_t **ret, struct err *err);
	} kinds[] = {{"interval", take_interval}, {"crontab", take_crontab}, {"rrule", take_rrule}};
	const char *type = type_of(value);

	for (size_t i = 0; type && i < ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i].type, type) == 0) {
			int rc = kinds[i].take(value, ret, err);
			return rc < 0 ? err_wrap(err, "schedule") : 0;
		}
	return err_set(err, ERR_INVALID, "schedule: its type is not known");
}

/* ---- the row ---- */

static int take_texts(const json_t *definition, json_t *row, struct err *err)
{
	static const char *const names[] = {"name", "task"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const char *text = json_member_str(definition, names[i]);

		if (!text || !*text)
			return err_set(err, ERR_INVALID, "definition: %s is missing", names[i]);
		json_object_set(row, names[i], json_object_get(definition, names[i]));
	}
	return 0;
}

static int take_values(const json_t *definition, json_t *row, struct err *err)
{
	static const char *const names[] = {"args", "kwargs", "options"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const json_t *value = json_member(definition, names[i]);
		json_t *made = NULL;
		int rc = value ? plain(value, &made, err) : 0;

		if (rc < 0)
			return err_wrap(err, "%s", names[i]);
		if (made)
			json_object_set_new(row, names[i], made);
	}
	return 0;
}

static int take_meta(struct slice text, json_t *row, struct err *err)
{
	_cleanup_json_ json_t *meta = NULL;
	char iso[CLOCK_ISO_SIZE];
	json_int_t runs;
	json_t *date;
	usec_t wall;
	int rc = text.len ? load_object(text, "meta", &meta, err) : 0;

	date = json_member(meta, "last_run_at");
	runs = json_integer_value(json_member(meta, "total_run_count"));
	if (rc < 0 || !date)
		return rc;
	rc = read_date(date, &wall, err);
	if (rc < 0)
		return err_wrap(err, "meta: last_run_at");
	clock_iso(wall, iso);
	json_object_set_new(row, "last_run_at", json_string(iso));
	/* there is none as long as it never ran: then the date is when the entry was made */
	json_object_set_new(row, "total_run_count", json_integer(runs > 0 ? runs : 0));
	return 0;
}

int redbeat_row(struct slice definition, struct slice meta, json_t **ret, struct err *err)
{
	_cleanup_json_ json_t *d = NULL, *row = json_object(), *schedule = NULL;
	int rc = load_object(definition, "definition", &d, err);

	if (rc == 0)
		rc = take_texts(d, row, err);
	if (rc == 0)
		rc = take_schedule(json_member(d, "schedule"), &schedule, err);
	if (rc == 0)
		rc = take_values(d, row, err);
	if (rc == 0)
		rc = take_meta(meta, row, err);
	if (rc < 0)
		return rc;
	json_object_set(row, "schedule", schedule);
	json_object_set_new(row, "enabled",
			    json_boolean(!json_is_false(json_object_get(d, "enabled"))));
	*ret = TAKE(row);
	return 0;
}
