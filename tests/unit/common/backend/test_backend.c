/* Which backend a URL chooses, and what is said of those that are none. */
#include <string.h>

#include "backend.h"
#include "tests/unit/suite.h"

static const char g_none[] = "";

static int check(const char *url, struct err *err)
{
	struct settings s = {
		.result_backend = url, .result_serializer = "json", .result_pickle = true};

	*err = (struct err){0};
	return backend_check(&s, err);
}

START_TEST(test_known)
{
	static const char *const urls[] = {
		g_none,	       "disabled://",	   "redis://h/1",
		"rediss://h",  "socket:///a/sock", "redis+socket:///a/sock",
		"sentinel://h"};
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(urls); i++)
		ck_assert_msg(check(urls[i], &err) == 0, "%s: %s", urls[i], err.msg);
}
END_TEST

/* The scheme is named, and nothing of what may hold a password. */
START_TEST(test_refused)
{
	static const struct {
		const char *url, *text;
	} rows[] = {
		{"cache+memory://", "result_backend: cache+memory: results in the memory of this "
				    "process can be read by nobody else"},
		{"mongodb://u:secret@h/", "result_backend: mongodb is not built in"},
		{"db+mysql://u:secret@h/d", "result_backend: db+mysql is not built in"},
		{"db+sqlite:///secret.db", "result_backend: db+sqlite is not built in"},
		{"postgresql://u:secret@h/d", "result_backend: postgresql is not built in"},
		{"redis", "result_backend: redis is not built in"},
	};
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		ck_assert_int_eq(check(rows[i].url, &err), -ERR_UNSUPPORTED);
		ck_assert_msg(strncmp(err.msg, rows[i].text, strlen(rows[i].text)) == 0, "%s",
			      err.msg);
		ck_assert_ptr_null(strstr(err.msg, "secret"));
	}
}
END_TEST

START_TEST(test_database_settings)
{
	static const struct {
		const char *names, *compression, *url;
		bool pickle;
		const char *text;
	} rows[] = {
		{"{\"task\": \"t\", \"group\": \"g\"}", "", "db+postgresql://h", true, NULL},
		{g_none, "gzip", "db+postgresql://h", false, NULL},
		{g_none, "gzip", "db+postgresql://h", true, "result_compression: results in a"},
		{"[]", "", "db+postgresql://h", true, "database_table_names: a list"},
		{"{", "", "db+postgresql://h", true, "database_table_names: "},
		{"{\"tasks\": \"t\"}", "", "db+postgresql://h", true,
		 "database_table_names: there"},
		{"{\"task\": 1}", "", "db+postgresql://h", true, "database_table_names: task"},
		{"{\"task\": \"\"}", "", "db+postgresql://h", true, "database_table_names: task"},
		{g_none, "", "db+postgresql://u:secret@h/d?bogus=1", true, "result_backend: "},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct settings s = {.result_backend = rows[i].url,
				     .result_serializer = "json",
				     .result_compression = rows[i].compression,
				     .result_pickle = rows[i].pickle,
				     .database_table_names = rows[i].names};
		struct err err = {0};
		int rc = backend_check(&s, &err);

		ck_assert_msg((rc == 0) == (rows[i].text == NULL), "%zu: %s", i, err.msg);
		if (rows[i].text != NULL)
			ck_assert_msg(strncmp(err.msg, rows[i].text, strlen(rows[i].text)) == 0 &&
					      strstr(err.msg, "secret") == NULL,
				      "%zu: %s", i, err.msg);
	}
}
END_TEST

START_TEST(test_disabled)
{
	struct settings s = {.result_backend = g_none, .result_serializer = "json"};
	struct backend *b = NULL;
	struct task_meta meta = {.task_id = "t", .state = TASK_SUCCESS};
	struct backend_write w = {0};
	json_t *read = NULL;
	const char *id = "t";
	struct err err = {0};

	ck_assert_int_eq(backend_open(&s, &(struct backend_links){0}, &b, &err), 0);
	ck_assert(backend_ready(b) && backend_is_disabled(b));
	ck_assert(!backend_shares_broker(b) && !backend_counts_chords(b) && !backend_compresses(b));
	ck_assert_int_eq(backend_encode(b, &meta, &w, &err), -ERR_UNSUPPORTED);
	ck_assert_int_eq(backend_get_many(b, &id, 1, 0, &read, &err), -ERR_UNSUPPORTED);
	ck_assert_int_eq(backend_load(b, "t", 0, &read, &err), 0);
	ck_assert_ptr_null(read);
	ck_assert_int_eq(backend_cleanup(b, &err), 0);
	backend_close(b, 0);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("backend");

	tcase_add_test(c, test_known);
	tcase_add_test(c, test_refused);
	tcase_add_test(c, test_database_settings);
	tcase_add_test(c, test_disabled);
	return suite_run("backend", c);
}
