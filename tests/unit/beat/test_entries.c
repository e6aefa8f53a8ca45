/* Which entries there are: rows of settings, of files and of the table, and what is wrong with one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "beat/beat.h"
#include "bounds.h"
#include "json.h"
#include "mem.h"
#include "tests/unit/suite.h"

static struct entries g_entries;
static struct settings g_settings;
static struct err g_err;

static void setup(void)
{
	ck_assert_int_eq(settings_load((char *const *)(uintptr_t)(const char *const[]){NULL},
				       &g_settings, &g_err),
			 0);
	entries_init(&g_entries, NULL);
}

static void teardown(void)
{
	entries_done(&g_entries);
	settings_done(&g_settings);
}

static int add(const char *name, const char *text)
{
	_cleanup_json_ json_t *row = json_loads(text, 0, NULL);

	ck_assert_msg(row != NULL, "%s", text);
	return entries_add(&g_entries, name, row, "celery", &g_err);
}

static const struct entry *find(const char *name)
{
	for (size_t i = 0; i < g_entries.count; i++)
		if (strcmp(g_entries.list[i].name, name) == 0)
			return &g_entries.list[i];
	return NULL;
}

START_TEST(test_row)
{
	const struct entry *e;

	ck_assert_msg(
		add("all",
		    "{\"task\": \"t\", \"schedule\": 5, \"args\": [1], \"kwargs\": {\"k\": 2}, "
		    "\"relative\": "
		    "true, \"enabled\": true, \"last_run_at\": \"2026-11-29T00:00:00Z\", "
		    "\"total_run_count\": 7, \"options\": {\"queue\": \"q\", \"shadow\": \"s\", "
		    "\"priority\": 4, \"expires\": 60, \"countdown\": 1.5, \"headers\": {\"h\": "
		    "1}, "
		    "\"time_limit\": 30, \"soft_time_limit\": 20, \"ignore_result\": true, "
		    "\"retry\": false, "
		    "\"retry_policy\": {}, \"exchange\": null}}") == 0,
		"%s", g_err.msg);
	e = find("all");
	ck_assert_str_eq(e->task, "t");
	ck_assert_str_eq(e->queue, "q");
	ck_assert_str_eq(e->shadow, "s");
	ck_assert_int_eq(e->priority, 4);
	ck_assert_int_eq(e->expires, 60 * USEC_PER_SEC);
	ck_assert_int_eq(e->countdown, 1500 * USEC_PER_MSEC);
	ck_assert_int_eq(json_integer_value(json_object_get(e->headers, "h")), 1);
	ck_assert_int_eq(json_integer_value(e->time_limit), 30);
	ck_assert_int_eq(json_integer_value(e->soft_time_limit), 20);
	ck_assert_int_eq(e->ignore_result, 1);
	ck_assert(e->schedule.relative && !e->is_row);
	ck_assert_int_eq(e->known_run_count, 7);
	ck_assert_int_eq(e->known_run_at, (usec_t)1795910400 * USEC_PER_SEC);
	ck_assert_uint_eq(json_array_size(e->args), 1);
	/* the last of a name takes the place of the first, and who is disabled is none */
	ck_assert_int_eq(add("other", "{\"task\": \"u\", \"schedule\": 1, \"options\": "
				      "{\"ignore_result\": false}}"),
			 0);
	ck_assert_int_eq(add("all", "{\"task\": \"v\", \"schedule\": 1}"), 0);
	ck_assert_int_eq(add("off", "{\"task\": 5, \"enabled\": false}"), 0);
	ck_assert_uint_eq(g_entries.count, 2);
	ck_assert_str_eq(find("all")->task, "v");
	ck_assert_str_eq(find("all")->queue, "celery");
	ck_assert_int_eq(find("other")->ignore_result, -1);
	for (int i = 0; i < 40; i++) {
		char name[20];

		snprintf(name, sizeof(name), "e%d", i);
		ck_assert_int_eq(add(name, "{\"task\": \"t\", \"schedule\": 1}"), 0);
	}
	ck_assert_uint_eq(g_entries.count, 42);
	ck_assert(entry_is_option("queue") && entry_is_option("eta") && !entry_is_option("args"));
}
END_TEST

#define T "\"task\": \"t\", \"schedule\": 1"
static const struct {
	const char *row, *words;
	int code;
} wrong[] = {
	{"{\"schedule\": 1}", "task is missing", ERR_INVALID},
	{"{\"task\": \"\", \"schedule\": 1}", "task is missing", ERR_INVALID},
	{"{" T ", \"args\": {}}", "args must be a list", ERR_INVALID},
	{"{" T ", \"kwargs\": []}", "kwargs and options objects", ERR_INVALID},
	{"{" T ", \"options\": []}", "kwargs and options objects", ERR_INVALID},
	{"{\"task\": \"t\", \"schedule\": 0}", "no interval", ERR_INVALID},
	{"{" T ", \"kwarg\": {}}", "'kwarg' is no member of an entry", ERR_INVALID},
	{"{" T ", \"relative\": 1}", "relative must be true or false", ERR_INVALID},
	{"{" T ", \"last_run_at\": 5}", "last_run_at must be a time in ISO 8601", ERR_INVALID},
	{"{" T ", \"last_run_at\": \"soon\"}", "last_run_at: ", ERR_INVALID},
	{"{" T ", \"total_run_count\": -1}", "total_run_count must be a number", ERR_INVALID},
	{"{" T ", \"options\": {\"hat\": 1}}", "options: hat: there is no option", ERR_INVALID},
	{"{" T ", \"options\": {\"queue\": \"\"}}", "options: queue: must be a text", ERR_INVALID},
	{"{" T ", \"options\": {\"queue\": 7}}", "options: queue: must be a text", ERR_INVALID},
	{"{" T ", \"options\": {\"shadow\": []}}", "options: shadow: must be a text", ERR_INVALID},
	{"{" T ", \"options\": {\"priority\": 256}}", "a number from 0 to 255", ERR_INVALID},
	{"{" T ", \"options\": {\"expires\": -1}}", "must be a number of seconds", ERR_INVALID},
	{"{" T ", \"options\": {\"countdown\": \"1\"}}", "must be a number of seconds",
	 ERR_INVALID},
	{"{" T ", \"options\": {\"time_limit\": 1e11}}", "time_limit: must be a number",
	 ERR_INVALID},
	{"{" T ", \"options\": {\"soft_time_limit\": []}}", "soft_time_limit: must", ERR_INVALID},
	{"{" T ", \"options\": {\"ignore_result\": 1}}", "must be true or false", ERR_INVALID},
	{"{" T ", \"options\": {\"headers\": []}}", "headers: must be an object", ERR_INVALID},
	{"{" T ", \"options\": {\"exchange\": \"x\"}}", "a queue is what they can have",
	 ERR_UNSUPPORTED},
	{"{" T ", \"options\": {\"routing_key\": \"x\"}}", "a queue is what they can have",
	 ERR_UNSUPPORTED},
	{"{" T ", \"options\": {\"eta\": \"x\"}}", "say countdown", ERR_UNSUPPORTED},
	{"{" T ", \"options\": {\"task_id\": \"x\"}}", "each has its own", ERR_UNSUPPORTED},
};

START_TEST(test_wrong)
{
	ck_assert_int_eq(add("n", wrong[_i].row), -wrong[_i].code);
	ck_assert_msg(strncmp(g_err.msg, "entry 'n': ", 11) == 0 &&
			      strstr(g_err.msg, wrong[_i].words),
		      "%s: %s", wrong[_i].row, g_err.msg);
	ck_assert_uint_eq(g_entries.count, 0);
}
END_TEST

/* What beat adds by itself, by what the workers have. */
START_TEST(test_own)
{
	static const struct {
		const char *name, *value;
		bool retention, cleanup;
	} rows[] = {
		{"CELERY_RESULT_BACKEND", "redis://h", false, false},
		{"CELERY_RESULT_BACKEND", "rpc://", false, false},
		{"CELERY_RESULT_BACKEND", "db+postgresql://h/d", false, true},
		{"CELERY_RESULT_EXPIRES", "0", false, false},
		{"CELERIAC_RETENTION_RESULTS", "1d", false, false},
		{"DATABASE_URL", "postgresql://h/d", true, false},
		{"CELERIAC_RETENTION_RESULTS", "0", false, false},
		{"CELERIAC_RETENTION_OUTPUTS", "1d", true, false},
		{"CELERIAC_RETENTION_OUTPUTS", "0", false, false},
		{"CELERIAC_RETENTION_EVENTS", "1d", true, false},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		ck_assert_msg(
			settings_set(&g_settings, rows[i].name, rows[i].value, "test", &g_err) == 0,
			"%s", g_err.msg);
		entries_done(&g_entries);
		entries_init(&g_entries, NULL);
		ck_assert_int_eq(entries_add_own(&g_entries, &g_settings, &g_err), 0);
		ck_assert_str_eq(find("sandbox.cleanup")->task, "sandbox.cleanup");
		ck_assert_msg((find("celeriac.retention") != NULL) == rows[i].retention, "%zu", i);
		ck_assert_msg((find("celery.backend_cleanup") != NULL) == rows[i].cleanup, "%zu",
			      i);
	}
}
END_TEST

/* In JSON by its name or its first letter, else in INI. */
START_TEST(test_files)
{
	static const struct {
		const char *name, *text, *words; /* NULL: the entry "a" is in it */
		size_t len;
	} rows[] = {
		{"x.json", "{\"a\": {\"task\": \"t\", \"schedule\": 1}}", NULL, 0},
		{"x", " \n{\"a\": {\"task\": \"t\", \"schedule\": 1}}", NULL, 0},
		{"x.ini", "[a]\ntask = t\nschedule = 1\n", NULL, 0},
		{"x.json", "[1]", "not an object of entries by their names", 0},
		{"x.json", "{", "JSON", 0},
		{"x.json", "{\"a\": {\"task\": \"t\", \"schedule\": []}}", "entry 'a': schedule",
		 0},
		{"x.ini", "[a]\0", "a NUL is in it", 4},
		{"x.ini", "a = 1\n", "Key file", 0},
	};
	char dir[] = "/tmp/celeriac-entries-XXXXXX";

	ck_assert_ptr_nonnull(mkdtemp(dir));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", dir, rows[i].name);
		size_t len = rows[i].len ? rows[i].len : strlen(rows[i].text);
		FILE *f = fopen(path, "w");
		int rc;

		ck_assert_uint_eq(fwrite(rows[i].text, 1, len, f), len);
		fclose(f);
		entries_done(&g_entries);
		entries_init(&g_entries, NULL);
		rc = entries_add_file(&g_entries, path, &g_settings, &g_err);
		if (rows[i].words) {
			ck_assert_int_eq(rc, -ERR_INVALID);
			ck_assert_msg(strstr(g_err.msg, path) && strstr(g_err.msg, rows[i].words),
				      "%s", g_err.msg);
		} else {
			ck_assert_msg(rc == 0, "%s", g_err.msg);
			ck_assert_str_eq(find("a")->task, "t");
		}
		ck_assert_int_eq(unlink(path), 0);
	}
	ck_assert_int_eq(entries_add_file(&g_entries, "/no/such/file", &g_settings, &g_err),
			 -ERR_NOTFOUND);
	ck_assert_int_eq(entries_add_file(&g_entries, dir, &g_settings, &g_err), -ERR_FAILED);
	ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

/* One bad row of the table takes none of the others away. */
START_TEST(test_table)
{
	_cleanup_json_ json_t *rows = json_loads(
		"[{\"name\": \"a\", \"task\": \"t\", \"schedule\": 1}, {\"name\": \"b\", "
		"\"task\": \"t\", \"schedule\": 0}, {\"task\": \"t\"}, {\"name\": \"c\", "
		"\"task\": \"t\", \"schedule\": 2}, {\"name\": \"d\", \"enabled\": false}]",
		0, NULL);

	entries_add_rows(&g_entries, rows, &g_settings);
	ck_assert_uint_eq(g_entries.count, 2);
	ck_assert(find("a")->is_row && find("c")->is_row);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("entries");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_row);
	tcase_add_loop_test(t, test_wrong, 0, ARRAY_LEN(wrong));
	tcase_add_test(t, test_own);
	tcase_add_test(t, test_files);
	tcase_add_test(t, test_table);
	return suite_run("entries", t);
}
