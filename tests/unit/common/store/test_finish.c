/*
 * test_finish.c: the last write of a task: all of it or nothing, once, and by its owner only.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "json.h"
#include "tests/unit/store_fixture.h"

static const char png[] = "\x89PNG\r\n\x1a\n\0\0\0";

static struct store_file file(const char *name, const void *data, size_t len)
{
	return (struct store_file){.name = name, .data = data, .len = len};
}

/* Describes and finishes with `files` (may be NULL); what a caller does. */
static int finish(struct store *s, const struct store_task *t, struct store_file *files,
		  size_t count, struct err *err)
{
	store_describe_files(t, files, count);
	const struct store_finish f = {.status = "ok",
				       .exit_code = 3,
				       .stdout_text = "out\n",
				       .stderr_text = "",
				       .container = "c0ffee",
				       .files = files,
				       .file_count = count};
	_cleanup_json_ json_t *result = json_pack("{s:s, s:i}", "status", "ok", "exit_code", 3);
	return store_finish_task(s, t, &f, result, err);
}

static void must_finish(struct store *s, const struct store_task *t, struct store_file *files,
			size_t count)
{
	struct err err = {0};
	ck_assert_msg(finish(s, t, files, count, &err) == 0, "%s", err.msg);
}

static void as_superuser(const char *sql)
{
	free(postgres_query(store_server(), "postgres", fresh_database(), sql));
}

START_TEST(test_row)
{
	const struct store_task t = sample_task("t-1");
	begin_sample(&t);
	must_finish(fresh_store(), &t, NULL, 0);
	expect_text("SELECT concat_ws('|', state, status, exit_code, stdout, stderr, container_id, "
		    "attempt)"
		    " FROM celeriac.tool_results",
		    "finished|ok|3|out\n||c0ffee|1");
	ck_assert_int_eq(
		ask_number("SELECT count(*) FROM celeriac.tool_results WHERE error IS NULL"
			   " AND finished_at >= started_at AND result ->> 'status' = 'ok'"),
		1);
}
END_TEST

START_TEST(test_hostile_text)
{
	struct err err = {0};
	const struct store_task t = sample_task("t-1");
	const struct store_finish f = {.status = "ok",
				       .stdout_text = "a\xff"
						      "b'; DROP TABLE x; --",
				       .error = "\xc3",
				       .container = ""};
	const char *text = "{\"stdout\": \"\\u0000\\udfff\", \"n\": [NaN, -Infinity]}";
	_cleanup_json_ json_t *result = NULL;
	ck_assert_int_eq(json_load_python(text, strlen(text), &result, &err), 0);
	begin_sample(&t);
	ck_assert_msg(store_finish_task(fresh_store(), &t, &f, result, &err) == 0, "%s", err.msg);
	expect_text("SELECT stdout || error FROM celeriac.tool_results WHERE stderr IS NULL",
		    "a\xef\xbf\xbd"
		    "b'; DROP TABLE x; --\xef\xbf\xbd");
	expect_text("SELECT (result -> 'n')::text FROM celeriac.tool_results",
		    "[\"NaN\", \"-Infinity\"]");
	expect_text("SELECT result ->> 'stdout' FROM celeriac.tool_results",
		    "\xef\xbf\xbd\xef\xbf\xbd");
}
END_TEST

START_TEST(test_files_in_rows)
{
	const struct store_task t = sample_task("t-1");
	struct store_file files[] = {file("plots/a b.png", png, sizeof(png)), file("empty", "", 0),
				     file("nothing.csv", NULL, 0)};
	begin_sample(&t);
	must_finish(fresh_store(), &t, files, ARRAY_LEN(files));
	ck_assert_int_eq(ask_number("SELECT count(*) FROM celeriac.conversation_outputs"
				    " WHERE task_id = 't-1' AND conversation_id = 'c-1'"
				    " AND size_bytes = length(content) AND path IS NULL"
				    " AND sha256 = encode(sha256(content), 'hex')"),
			 3);
	expect_text("SELECT mime FROM celeriac.conversation_outputs WHERE name = 'plots/a b.png'",
		    "image/png");
	expect_text("SELECT encode(content, 'hex') FROM celeriac.conversation_outputs"
		    " WHERE name LIKE 'plots%'",
		    "89504e470d0a1a0a00000000");
	char sql[128];
	snprintf(sql, sizeof(sql), "SELECT name FROM celeriac.conversation_outputs WHERE id = '%s'",
		 files[1].id);
	expect_text(sql, "empty");
}
END_TEST

START_TEST(test_twice_is_once)
{
	struct err err = {0};
	const struct store_task t = sample_task("t-1");
	struct store_file one = file("a.txt", "1", 1);
	begin_sample(&t);
	must_finish(fresh_store(), &t, &one, 1);
	/* The answer to the commit was lost, so it is sent again. */
	ck_assert_int_eq(finish(fresh_store(), &t, &one, 1, &err), 0);
	ck_assert_int_eq(finish(fresh_store(), &t, NULL, 0, &err), 0);
	ck_assert_int_eq(ask_number("SELECT count(*) FROM celeriac.conversation_outputs"), 1);
}
END_TEST

START_TEST(test_not_ours_any_more)
{
	struct err err = {0};
	const struct store_task dead = sample_task("t-1");
	struct store_task heir = dead;
	struct store_file one = file("a.txt", "1", 1), other = file("b.txt", "2", 1);
	char media[64];
	int attempt;
	scratch_make(media);
	struct store *with_media = another_store(media);

	begin_sample(&dead);
	heir.worker = "node-b";
	ck_assert_int_eq(store_take_over(fresh_store(), &heir, "node-a", 1, &attempt, &err), 0);
	ck_assert_int_eq(finish(fresh_store(), &dead, &one, 1, &err), -ERR_CONFLICT);
	ck_assert(!err_is_transient(&err));
	ck_assert_int_eq(finish(with_media, &dead, &one, 1, &err), -ERR_CONFLICT);
	ck_assert_int_eq(finish(fresh_store(), &dead, NULL, 0, &err), -ERR_CONFLICT);
	ck_assert_int_eq(ask_number("SELECT count(*) FROM celeriac.conversation_outputs"), 0);
	expect_text("SELECT state FROM celeriac.tool_results WHERE result IS NULL", "running");
	ck_assert_int_eq(rmdir(media), 0); /* nothing was written there either */

	must_finish(fresh_store(), &heir, &other, 1);
	ck_assert_int_eq(finish(fresh_store(), &dead, &one, 1, &err), -ERR_CONFLICT);
	expect_text("SELECT string_agg(name, ',') FROM celeriac.conversation_outputs", "b.txt");
	store_close(with_media);
}
END_TEST

START_TEST(test_never_begun)
{
	struct err err = {0};
	const struct store_task t = sample_task("t-1");
	ck_assert_int_eq(finish(fresh_store(), &t, NULL, 0, &err), -ERR_CONFLICT);
}
END_TEST

START_TEST(test_retry_replaces_files)
{
	struct store_task t = sample_task("t-1");
	const struct store_task neighbour = sample_task("t-2");
	struct store_file first[] = {file("keep.txt", "old", 3), file("gone.txt", "x", 1)};
	struct store_file second[] = {file("keep.txt", "newer", 5)};
	begin_sample(&neighbour);
	must_finish(fresh_store(), &neighbour, first, 2);
	begin_sample(&t);
	must_finish(fresh_store(), &t, first, 2);
	t.retries = 1;
	begin_sample(&t);
	must_finish(fresh_store(), &t, second, 1);
	expect_text("SELECT string_agg(convert_from(content, 'UTF8'), ',')"
		    " FROM celeriac.conversation_outputs WHERE task_id = 't-1'",
		    "newer");
	t.retries = 2;
	begin_sample(&t);
	must_finish(fresh_store(), &t, NULL, 0);
	ck_assert_int_eq(ask_number("SELECT count(*) FROM celeriac.conversation_outputs"), 2);
}
END_TEST

START_TEST(test_media_dir)
{
	const struct store_task t = sample_task("t-1"), u = sample_task("t-2");
	struct store_file files[] = {file("a.png", png, sizeof(png)), file("empty.txt", "", 0)};
	char media[64], path[256];
	scratch_make(media);
	struct store *s = another_store(media);
	begin_sample(&t);
	begin_sample(&u);
	must_finish(s, &t, files, 2);
	must_finish(s, &u, files, 2);

	const char *digest = files[0].sha256;
	snprintf(path, sizeof(path), "%s/%.2s/%.2s/%s", media, digest, digest + 2, digest);
	struct stat st;
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, sizeof(png));
	expect_text("SELECT path FROM celeriac.conversation_outputs WHERE task_id = 't-1'"
		    " AND content IS NULL AND name = 'a.png'",
		    path);
	ck_assert_int_eq(ask_number("SELECT count(*) FROM celeriac.conversation_outputs"), 4);
	ck_assert_int_eq(
		ask_number("SELECT count(DISTINCT path) FROM celeriac.conversation_outputs"), 2);
	store_close(s);
	scratch_remove(media);
}
END_TEST

START_TEST(test_media_dir_lost)
{
	struct err err = {0};
	const struct store_task t = sample_task("t-1");
	struct store_file one = file("a.txt", "1", 1);
	char media[64];
	scratch_make(media);
	struct store *s = another_store(media);
	begin_sample(&t);
	ck_assert_int_eq(rmdir(media), 0);
	ck_assert_int_lt(finish(s, &t, &one, 1, &err), 0);
	ck_assert(err_is_transient(&err));
	expect_text("SELECT state FROM celeriac.tool_results", "running");
	ck_assert_int_eq(mkdir(media, 0755), 0);
	must_finish(s, &t, &one, 1);
	expect_text("SELECT state FROM celeriac.tool_results", "finished");
	store_close(s);
	scratch_remove(media);
}
END_TEST

START_TEST(test_session_ends_in_the_middle)
{
	struct err err = {0};
	const struct store_task t = sample_task("t-1");
	struct store_file files[] = {file("first.txt", "1", 1), file("second.txt", "2", 1)};
	as_superuser(
		"CREATE FUNCTION public.die() RETURNS trigger LANGUAGE plpgsql AS"
		" 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END';"
		" CREATE TRIGGER die BEFORE INSERT ON celeriac.conversation_outputs FOR EACH ROW"
		" WHEN (NEW.name = 'second.txt') EXECUTE FUNCTION public.die()");
	begin_sample(&t);
	ck_assert_int_lt(finish(fresh_store(), &t, files, 2, &err), 0);
	ck_assert(err_is_transient(&err));
	ck_assert(!store_ready(fresh_store()));
	expect_text("SELECT state FROM celeriac.tool_results WHERE result IS NULL", "running");
	ck_assert_int_eq(ask_number("SELECT count(*) FROM celeriac.conversation_outputs"), 0);

	as_superuser("DROP TRIGGER die ON celeriac.conversation_outputs");
	must_finish(fresh_store(), &t, files, 2);
	ck_assert(store_ready(fresh_store()));
	ck_assert_int_eq(ask_number("SELECT count(*) FROM celeriac.conversation_outputs"), 2);
}
END_TEST

START_TEST(test_commit_fails)
{
	struct err err = {0};
	const struct store_task t = sample_task("t-1");
	struct store_file one = file("a.txt", "1", 1);
	as_superuser("CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS"
		     " 'BEGIN RAISE SQLSTATE ''40001''; END';"
		     " CREATE CONSTRAINT TRIGGER no AFTER INSERT ON celeriac.conversation_outputs"
		     " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.no()");
	begin_sample(&t);
	ck_assert_int_eq(finish(fresh_store(), &t, &one, 1, &err), -ERR_CONFLICT);
	/* Told apart from a task that is somebody else's. */
	ck_assert(err_is_transient(&err));
	expect_text("SELECT state FROM celeriac.tool_results", "running");
	ck_assert(store_ready(fresh_store()));
}
END_TEST

START_TEST(test_result_too_big)
{
	struct err err = {0};
	const struct store_task t = sample_task("t-1");
	const struct store_finish f = {.status = "ok", .container = ""};
	size_t len = (64u << 20) + 1;
	char *text = malloc(len + 1);
	ck_assert_ptr_nonnull(text);
	memset(text, 'x', len);
	text[len] = '\0';
	_cleanup_json_ json_t *result = json_string(text);
	free(text);
	begin_sample(&t);
	ck_assert_int_eq(store_finish_task(fresh_store(), &t, &f, result, &err), -ERR_TOOBIG);
	ck_assert(!err_is_transient(&err));
}
END_TEST

START_TEST(test_outage)
{
	struct err err = {0};
	const struct store_task t = sample_task("t-1"), u = sample_task("t-2");
	struct store_begin b = {0};
	struct store_file one = file("a.txt", "1", 1);
	begin_sample(&t);
	postgres_down(store_server());
	ck_assert_int_lt(finish(fresh_store(), &t, &one, 1, &err), 0);
	ck_assert_msg(err_is_transient(&err), "%s", err.msg);
	ck_assert(!store_ready(fresh_store()));
	ck_assert_int_lt(store_begin_task(fresh_store(), &u, &b, &err), 0);
	ck_assert(err_is_transient(&err));

	postgres_up(store_server());
	must_finish(fresh_store(), &t, &one, 1);
	ck_assert(store_ready(fresh_store()));
	ck_assert_int_eq(ask_number("SELECT count(*) FROM celeriac.tool_results"), 1);
	begin_sample(&u);
	postgres_down(store_server());
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("finish");
	TCase *c = tcase_create("finish"), *outage = tcase_create("outage");

	tcase_add_unchecked_fixture(c, store_server_start, store_server_stop);
	tcase_add_checked_fixture(c, store_fresh, store_fresh_done);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, test_row);
	tcase_add_test(c, test_hostile_text);
	tcase_add_test(c, test_files_in_rows);
	tcase_add_test(c, test_twice_is_once);
	tcase_add_test(c, test_not_ours_any_more);
	tcase_add_test(c, test_never_begun);
	tcase_add_test(c, test_retry_replaces_files);
	tcase_add_test(c, test_media_dir);
	tcase_add_test(c, test_media_dir_lost);
	tcase_add_test(c, test_session_ends_in_the_middle);
	tcase_add_test(c, test_commit_fails);
	tcase_add_test(c, test_result_too_big);
	suite_add_tcase(suite, c);

	tcase_add_checked_fixture(outage, store_server_start, store_server_stop);
	tcase_add_checked_fixture(outage, store_fresh, store_fresh_done);
	tcase_set_timeout(outage, 60);
	tcase_add_test(outage, test_outage);
	suite_add_tcase(suite, outage);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
