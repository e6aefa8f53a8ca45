/*
 * test_panel.c: control commands called as Python would call them, and refused as Python would.
 */
#include <check.h>
#include <string.h>

#include "json.h"
#include "tests/unit/suite.h"
#include "worker/autoscale.h"
#include "worker/panel.h"

static struct err g_err;
static json_t *g_values[PANEL_PARAMS];

static int bind(const char *command, const char *arguments, json_t **ret)
{
	const struct panel_command *c = panel_find(command);

	ck_assert_ptr_nonnull(c);
	memset(g_values, 0, sizeof(g_values));
	g_err = (struct err){0};
	ck_assert_int_eq(json_load_python(arguments, strlen(arguments), ret, &g_err), 0);
	return panel_bind(c, *ret, g_values, &g_err);
}

START_TEST(test_names)
{
	ck_assert_ptr_eq(panel_find("active"), panel_find("dump_active"));
	ck_assert_ptr_null(panel_find("nope"));
	ck_assert_ptr_null(panel_find(""));
}
END_TEST

START_TEST(test_bound)
{
	_cleanup_json_ json_t *arguments = NULL;

	ck_assert_int_eq(
		bind("revoke",
		     "{\"task_id\": [\"a\", \"b\"], \"signal\": \"KILL\", \"terminate\": true, "
		     "\"more\": 1}",
		     &arguments),
		0);
	ck_assert_uint_eq(json_array_size(g_values[0]), 2);
	ck_assert(panel_bool(g_values[1]));
	ck_assert_str_eq(json_string_value(g_values[2]), "KILL");
}
END_TEST

START_TEST(test_refused)
{
	static const struct {
		const char *command, *arguments, *error;
	} rows[] = {
		{"revoke", "{}",
		 "TypeError(\"revoke() missing 1 required positional argument: 'task_id'\")"},
		{"enable_events", "{\"x\": 1}",
		 "TypeError(\"enable_events() got an unexpected keyword argument 'x'\")"},
		{"pool_grow", "{\"n\": \"x\"}",
		 "TypeError(\"pool_grow() argument 'n' must be an int, not str\")"},
		{"pool_grow", "{\"n\": 1.5}",
		 "TypeError(\"pool_grow() argument 'n' must be an int, not float\")"},
		{"pool_grow", "{\"n\": 123456789012345678901234567890}",
		 "TypeError(\"pool_grow() argument 'n' must be an int, not int\")"},
		{"revoke", "{\"task_id\": {\"a\": 1}}",
		 "TypeError(\"revoke() argument 'task_id' must be a str or a list of str, not "
		 "dict\")"},
		{"revoke", "{\"task_id\": [\"a\", 7]}",
		 "TypeError(\"revoke() argument 'task_id' must be a str or a list of str, not "
		 "list\")"},
		{"add_consumer", "{\"queue\": \"a\\u0000b\"}",
		 "TypeError(\"add_consumer() argument 'queue' must be a str, not str\")"},
		{"ping", "[]", "TypeError('ping() argument after ** must be a mapping, not list')"},
		{"ping", "7", "TypeError('ping() argument after ** must be a mapping, not int')"},
	};
	_cleanup_json_ json_t *arguments = NULL;

	ck_assert_int_eq(bind(rows[_i].command, rows[_i].arguments, &arguments), -ERR_INVALID);
	ck_assert_str_eq(g_err.msg, rows[_i].error);
}
END_TEST

START_TEST(test_none_is_absent)
{
	_cleanup_json_ json_t *arguments = NULL;

	ck_assert_int_eq(bind("revoke", "{\"task_id\": null, \"terminate\": null}", &arguments), 0);
	ck_assert_ptr_null(g_values[0]);
	ck_assert(!panel_bool(g_values[1]));
}
END_TEST

START_TEST(test_bools)
{
	static const struct {
		const char *json;
		bool value;
	} rows[] = {{"true", true},    {"false", false},  {"1", true},	   {"0", false},
		    {"\"yes\"", true}, {"\"no\"", false}, {"\"\"", false}, {"\"False\"", false}};
	_cleanup_json_ json_t *value = json_loads(rows[_i].json, JSON_DECODE_ANY, NULL);

	ck_assert_int_eq(panel_bool(value), rows[_i].value);
}
END_TEST

START_TEST(test_autoscale)
{
	static const struct {
		const char *text;
		int rc;
		size_t max, min;
	} rows[] = {{"", 0, 0, 0},	{"10", 0, 10, 0},     {"10,3", 0, 10, 3},
		    {"3,10", -1, 0, 0}, {"x", -1, 0, 0},      {"0", -1, 0, 0},
		    {"10,", -1, 0, 0},	{"10,3,2", -1, 0, 0}, {"-1,-3", -1, 0, 0},
		    {"99999", -1, 0, 0}};
	struct autoscaler a = {0};

	ck_assert_int_eq(autoscaler_init(&a, rows[_i].text, &g_err) < 0, rows[_i].rc < 0);
	ck_assert_uint_eq(a.max, rows[_i].max);
	ck_assert_uint_eq(a.min, rows[_i].min);
	ck_assert_int_eq(a.on, rows[_i].max > 0);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("panel");

	tcase_add_test(c, test_names);
	tcase_add_test(c, test_bound);
	tcase_add_loop_test(c, test_refused, 0, 10);
	tcase_add_test(c, test_none_is_absent);
	tcase_add_loop_test(c, test_bools, 0, 8);
	tcase_add_loop_test(c, test_autoscale, 0, 10);
	return suite_run("panel", c);
}
