/* RedBeat's JSON: what becomes of it, and what cannot be taken. What the package itself writes is
 * in tests/integration/test_redbeat.py. */
#include <stdlib.h>
#include <string.h>

#include "beat/redbeat.h"
#include "json.h"
#include "mem.h"
#include "tests/unit/suite.h"

#define EVERY "\"schedule\": {\"__type__\": \"interval\", \"every\": 5}"
#define HEAD  "{\"name\": \"n\", \"task\": \"t\", "
#define DATE(zone)                                                                                 \
	"{\"__type__\": \"datetime\", \"year\": 2026, \"month\": 7, \"day\": 1, \"hour\": 12, "    \
	"\"minute\": 30, \"second\": 1, \"microsecond\": 5" zone "}"

static const struct {
	const char *definition, *meta, *what; /* JSON, or '!' and what is wrong with it */
} rows[] = {
	{HEAD EVERY "}", "",
	 "{\"enabled\": true, \"name\": \"n\", \"schedule\": 5, \"task\": \"t\"}"},
	{HEAD EVERY ", \"enabled\": false, \"args\": null}", "{\"last_run_at\": null}",
	 "{\"enabled\": false, \"name\": \"n\", \"schedule\": 5, \"task\": \"t\"}"},
	{HEAD EVERY "}", "{\"last_run_at\": " DATE("") ", \"total_run_count\": 7}",
	 "{\"enabled\": true, \"last_run_at\": \"2026-07-01T12:30:01.000005+00:00\", \"name\": "
	 "\"n\", \"schedule\": 5, \"task\": \"t\", \"total_run_count\": 7}"},
	{HEAD EVERY ", \"args\": [" DATE(", \"timezone\": \"Europe/Berlin\"") ", {\"a\": " DATE(
		 ", \"timezone\": -3600.0") "}, {\"__type__\": \"own\"}]}",
	 "",
	 "{\"args\": [{\"__type__\": \"datetime\", \"__value__\": "
	 "\"2026-07-01T10:30:01.000005+00:00\"}, {\"a\": {\"__type__\": \"datetime\", "
	 "\"__value__\": \"2026-07-01T13:30:01.000005+00:00\"}}, {\"__type__\": \"own\"}], "
	 "\"enabled\": true, \"name\": \"n\", \"schedule\": 5, \"task\": \"t\"}"},
	{HEAD "\"schedule\": {\"__type__\": \"crontab\", \"minute\": 5, \"hour\": \"1,2\"}}", "",
	 "{\"enabled\": true, \"name\": \"n\", \"schedule\": \"5 1,2 * * *\", \"task\": \"t\"}"},
	{HEAD "\"schedule\": {\"__type__\": \"crontab\", \"minute\": 5, \"hour\": \"1, 2\"}}", "",
	 "{\"enabled\": true, \"name\": \"n\", \"schedule\": {\"hour\": \"1, 2\", \"minute\": 5, "
	 "\"type\": \"crontab\"}, \"task\": \"t\"}"},
	{HEAD "\"schedule\": {\"__type__\": \"rrule\"}}", "", "!schedule: there are no"},
	{HEAD "\"schedule\": {\"__type__\": \"solar\"}}", "", "!schedule: its type is not known"},
	{HEAD "\"schedule\": 5}", "", "!schedule: its type is not known"},
	{HEAD "\"schedule\": {\"__type__\": \"interval\", \"every\": \"5\"}}", "",
	 "!schedule: every must be a number"},
	{"", "", "!definition: "},
	{"[]", "", "!definition is no object"},
	{"{}", "", "!definition: name is missing"},
	{"{\"name\": \"n\"}", "", "!definition: task is missing"},
	{HEAD EVERY ", \"kwargs\": {\"x\": {\"__type__\": \"weekday\", \"wkday\": 1}}}", "",
	 "!kwargs: a value of type weekday"},
	{HEAD EVERY ", \"args\": [1, {\"__type__\": \"datetime\", \"year\": 99999}]}", "",
	 "!args: year of a date"},
	{HEAD EVERY
	 ", \"args\": [[{\"__type__\": \"datetime\", \"year\": 2026, \"month\": 2, \"day\": "
	 "30}]]}",
	 "", "!args: "},
	{HEAD EVERY "}", "{", "!meta: "},
	{HEAD EVERY "}", "{\"last_run_at\": 5}", "!meta: last_run_at"},
	{HEAD EVERY "}", "{\"last_run_at\": {\"year\": 99999}}",
	 "!meta: last_run_at: year of a date"},
	{HEAD EVERY "}", "{\"last_run_at\": {\"year\": 2026, \"month\": 13, \"day\": 1}}",
	 "!meta: last_run_at"},
	{HEAD EVERY "}", "{\"last_run_at\": " DATE(", \"timezone\": \"Mars/Base\"") "}",
	 "!meta: last_run_at"},
	{HEAD EVERY "}", "{\"last_run_at\": " DATE(", \"timezone\": []") "}",
	 "!meta: last_run_at: timezone of a date"},
	{HEAD EVERY "}", "{\"last_run_at\": " DATE(", \"timezone\": 1e300") "}",
	 "!meta: last_run_at: timezone of a date"},
};

START_TEST(test_row)
{
	_cleanup_json_ json_t *value = NULL;
	_cleanup_free_ char *got = NULL;
	struct err err = {0};
	int rc = redbeat_row((struct slice){rows[_i].definition, strlen(rows[_i].definition)},
			     (struct slice){rows[_i].meta, strlen(rows[_i].meta)}, &value, &err);

	if (rows[_i].what[0] == '!') {
		ck_assert_int_lt(rc, 0);
		ck_assert_msg(strncmp(err.msg, rows[_i].what + 1, strlen(rows[_i].what) - 1) == 0,
			      "%s", err.msg);
		return;
	}
	ck_assert_msg(rc == 0, "%s", err.msg);
	got = json_dumps(value, JSON_SORT_KEYS);
	ck_assert_str_eq(got, rows[_i].what);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("redbeat");

	tcase_add_loop_test(t, test_row, 0, ARRAY_LEN(rows));
	return suite_run("redbeat", t);
}
