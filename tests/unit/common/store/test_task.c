/*
 * test_task.c: who has a task: begun, running elsewhere, finished before, taken over, and raced
 * for.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "json.h"
#include "tests/unit/store_fixture.h"

static struct store_begin begin(const struct store_task *t)
{
	struct err err = {0};
	struct store_begin b = {0};
	ck_assert_msg(store_begin_task(fresh_store(), t, &b, &err) == 0, "%s", err.msg);
	return b;
}

static int take(const struct store_task *t, const char *worker, int64_t epoch, int *ret_attempt)
{
	struct err err = {0};
	return store_take_over(fresh_store(), t, worker, epoch, ret_attempt, &err);
}

static void finish(const struct store_task *t, const char *status, const char *result, bool failed)
{
	struct err err = {0};
	_cleanup_json_ json_t *value = NULL;
	ck_assert_int_eq(json_load_python(result, strlen(result), &value, &err), 0);
	const struct store_finish f = {.status = status, .container = "", .failed = failed};
	ck_assert_msg(store_finish_task(fresh_store(), t, &f, value, &err) == 0, "%s", err.msg);
}

START_TEST(test_begin)
{
	struct err err = {0};
	_cleanup_json_ json_t *params = NULL;
	const char *text = "{\"code\": \"a\\u0000b\\ud800\", \"n\": NaN, \"big\": "
			   "123456789012345678901234567890}";
	struct store_task t = sample_task("t-1");
	ck_assert_int_eq(json_load_python(text, strlen(text), &params, &err), 0);
	t.params = params;

	struct store_begin b = begin(&t);
	ck_assert_int_eq(b.verdict, STORE_BEGUN);
	ck_assert_int_eq(b.attempt, 1);
	expect_text(
		"SELECT state || kind || tool || conversation_id || project_id || worker || epoch"
		" FROM celeriac.tool_results",
		"runningsandboxsandbox.execute_codec-1p-1node-a1");
	expect_text("SELECT params ->> 'code' FROM celeriac.tool_results", "a\xef\xbf\xbd"
									   "b\xef\xbf\xbd");
	expect_text("SELECT params ->> 'n' FROM celeriac.tool_results", "NaN");
	expect_text("SELECT (params -> 'big')::text FROM celeriac.tool_results",
		    "123456789012345678901234567890");
	ck_assert_int_eq(ask_number("SELECT count(*) FROM celeriac.tool_results"
				    " WHERE finished_at IS NULL AND started_at <= now()"),
			 1);
	ck_assert(store_ready(fresh_store()));
}
END_TEST

START_TEST(test_begin_bare)
{
	const struct store_task t = {
		.task_id = "bare", .kind = "http", .tool = "tools.call_http", .worker = "w"};
	ck_assert_int_eq(begin(&t).verdict, STORE_BEGUN);
	ck_assert_int_eq(
		ask_number("SELECT count(*) FROM celeriac.tool_results WHERE project_id IS NULL"
			   " AND conversation_id IS NULL AND params = '{}'"),
		1);
}
END_TEST

START_TEST(test_running_elsewhere)
{
	struct err err = {0};
	struct store_task a = sample_task("t-1"), b = a;
	begin_sample(&a);
	ck_assert_int_eq(store_note_run(fresh_store(), &a, 1, "c0ffee", &err), 0);

	b.worker = "node-b";
	b.delivery = "delivery-2";
	struct store_begin found = begin(&b);
	ck_assert_int_eq(found.verdict, STORE_RUNNING);
	ck_assert_str_eq(found.worker, "node-a");
	ck_assert_int_eq(found.epoch, 1);
	ck_assert_str_eq(found.container, "c0ffee");
	ck_assert_int_eq(store_note_run(fresh_store(), &b, 1, "bad", &err), -ERR_CONFLICT);
	expect_text("SELECT container_id FROM celeriac.tool_results", "c0ffee");
}
END_TEST

START_TEST(test_same_worker)
{
	struct store_task t = sample_task("t-1");
	begin_sample(&t);
	/* The answer to the first begin was lost: the same delivery has it still. */
	ck_assert_int_eq(begin(&t).verdict, STORE_BEGUN);
	/* Another delivery of it, an earlier life, or no tag: not ours. */
	t.delivery = "delivery-2";
	ck_assert_int_eq(begin(&t).verdict, STORE_RUNNING);
	t.delivery = NULL;
	ck_assert_int_eq(begin(&t).verdict, STORE_RUNNING);
	t.delivery = "delivery-1";
	t.epoch = 2;
	struct store_begin found = begin(&t);
	ck_assert_int_eq(found.verdict, STORE_RUNNING);
	ck_assert_int_eq(found.epoch, 1);
}
END_TEST

START_TEST(test_finished_gives_the_same_result)
{
	/* Not what jsonb makes of it: order, NUL, NaN, the form of a number. */
	const char *result = "{\"zz\": 1, \"a\": [1e+22, NaN, \"x\\u0000\\ud800\", -0.0, null],"
			     " \"big\": 123456789012345678901234567890, \"files\": []}";
	struct store_task t = sample_task("t-1");
	begin_sample(&t);
	finish(&t, "ok", result, false);

	t.worker = "node-b";
	t.delivery = "delivery-2";
	struct store_begin found = begin(&t);
	ck_assert_int_eq(found.verdict, STORE_FINISHED);
	ck_assert(!found.failed);
	struct err err = {0};
	_cleanup_json_ json_t *value = NULL;
	_cleanup_buf_ struct buf want = BUF_INIT(4096), got = BUF_INIT(4096);
	ck_assert_int_eq(json_load_python(result, strlen(result), &value, &err), 0);
	json_dump_python(value, &want);
	json_dump_python(found.result, &got);
	ck_assert_str_eq(got.data, want.data);
	json_decref(found.result);
	expect_text("SELECT worker FROM celeriac.tool_results", "node-a");

	/* Retention may drop the exact text; what jsonb holds answers then. */
	free(postgres_query(store_server(), "postgres", fresh_database(),
			    "UPDATE celeriac.tool_results SET result_text = NULL"));
	found = begin(&t);
	ck_assert_int_eq(json_integer_value(json_member(found.result, "zz")), 1);
	json_decref(found.result);
}
END_TEST

START_TEST(test_failed_gives_the_same_exception)
{
	struct store_task t = sample_task("t-1");
	begin_sample(&t);
	finish(&t, "error", "{\"exc_type\": \"SandboxError\", \"exc_message\": [\"no\"]}", true);
	struct store_begin found = begin(&t);
	ck_assert_int_eq(found.verdict, STORE_FINISHED);
	ck_assert(found.failed);
	ck_assert_str_eq(json_member_str(found.result, "exc_type"), "SandboxError");
	json_decref(found.result);
	expect_text("SELECT state FROM celeriac.tool_results", "failed");
}
END_TEST

START_TEST(test_retry_begins_anew)
{
	struct err err = {0};
	struct store_task first = sample_task("t-1"), second = first;
	int attempt;
	begin_sample(&first);
	finish(&first, "error", "{\"old\": true}", true);

	second.retries = 1;
	second.worker = "node-b";
	struct store_begin b = begin(&second);
	ck_assert_int_eq(b.verdict, STORE_BEGUN);
	ck_assert_int_eq(b.attempt, 1);
	ck_assert_int_eq(
		ask_number("SELECT count(*) FROM celeriac.tool_results WHERE result IS NULL"
			   " AND status IS NULL AND finished_at IS NULL AND retries = 1"),
		1);
	/* The message of the first try comes again: the second answers for it. */
	b = begin(&first);
	ck_assert_int_eq(b.verdict, STORE_RUNNING);
	ck_assert_str_eq(b.worker, "node-b");
	ck_assert_int_eq(take(&first, "node-b", 1, &attempt), -ERR_CONFLICT);
	ck_assert_int_eq(store_note_run(fresh_store(), &first, 1, "x", &err), -ERR_CONFLICT);
	finish(&second, "ok", "{\"new\": true}", false);
	b = begin(&first);
	ck_assert_int_eq(b.verdict, STORE_FINISHED);
	ck_assert(json_is_true(json_member(b.result, "new")));
	json_decref(b.result);
}
END_TEST

/* An id that is sent again with other arguments: neither its result nor its row is for them. */
START_TEST(test_another_call_of_the_same_id)
{
	struct store_task mine = sample_task("t-1");
	begin_sample(&mine);
	for (int i = 0; i < 6; i++) {
		struct store_task theirs = mine;
		struct store_begin b = {0};
		struct err err = {0};
		theirs.retries = i / 3; /* a later retry would begin the row anew */
		if (i % 3 == 0)
			theirs.project = "p-2";
		else if (i % 3 == 1)
			theirs.conversation = NULL;
		else
			theirs.tool = "sandbox.close";
		ck_assert_int_eq(store_begin_task(fresh_store(), &theirs, &b, &err), -ERR_CONFLICT);
		ck_assert(!err_is_transient(&err));
		if (i == 2)
			finish(&mine, "ok", "{\"stdout\": \"secret\"}", false);
	}
	struct store_begin again = begin(&mine);
	ck_assert_int_eq(again.verdict, STORE_FINISHED);
	json_decref(again.result);
}
END_TEST

START_TEST(test_take_over_once)
{
	struct err err = {0};
	struct store_task dead = sample_task("t-1"), b = dead, c = dead;
	int attempt = 0;
	begin_sample(&dead);
	ck_assert_int_eq(store_note_run(fresh_store(), &dead, 1, "c0ffee", &err), 0);
	b.worker = "node-b";
	b.delivery = "delivery-b";
	c.worker = "node-c";
	c.delivery = "delivery-c";

	ck_assert_int_eq(take(&b, "node-a", 7, &attempt), -ERR_CONFLICT);
	ck_assert_int_eq(take(&b, "node-a", 1, &attempt), 0);
	ck_assert_int_eq(attempt, 1);
	ck_assert_int_eq(take(&c, "node-a", 1, &attempt), -ERR_CONFLICT);
	/* Again by the one that has it: it did not hear the answer. */
	ck_assert_int_eq(take(&b, "node-a", 1, &attempt), 0);
	ck_assert_int_eq(attempt, 1);
	/* The run is nowhere, and begins again; said twice, it is still the second. */
	ck_assert_int_eq(store_note_run(fresh_store(), &b, 2, "cafe", &err), 0);
	ck_assert_int_eq(store_note_run(fresh_store(), &b, 2, "cafe", &err), 0);
	ck_assert_int_eq(store_note_run(fresh_store(), &b, 1, "cafe", &err), 0);
	/* Another delivery in the same process is not it. */
	b.delivery = "delivery-b2";
	ck_assert_int_eq(take(&b, "node-a", 1, &attempt), -ERR_CONFLICT);
	/* The dead one comes back and may write nothing. */
	ck_assert_int_eq(store_note_run(fresh_store(), &dead, 1, "late", &err), -ERR_CONFLICT);
	expect_text("SELECT worker || attempt || container_id FROM celeriac.tool_results",
		    "node-b2cafe");
}
END_TEST

START_TEST(test_take_over_from_oneself)
{
	/* A begin of ours was never answered, and the message comes with another tag. */
	struct store_task t = sample_task("t-1");
	int attempt = 0;
	begin_sample(&t);
	t.delivery = "delivery-2";
	ck_assert_int_eq(begin(&t).verdict, STORE_RUNNING);
	ck_assert_int_eq(take(&t, "node-a", 1, &attempt), 0);
	ck_assert_int_eq(attempt, 1);
	finish(&t, "ok", "{}", false);
}
END_TEST

START_TEST(test_take_over_of_nothing)
{
	struct store_task t = sample_task("t-1");
	int attempt = 0;
	ck_assert_int_eq(take(&t, "node-b", 1, &attempt), -ERR_CONFLICT);
	begin_sample(&t);
	finish(&t, "ok", "{}", false);
	ck_assert_int_eq(take(&t, "node-a", 1, &attempt), -ERR_CONFLICT);
	ck_assert_int_eq(attempt, 0);
}
END_TEST

START_TEST(test_what_is_refused)
{
	struct err err = {0};
	struct store_begin b;
	struct store_task t = sample_task("t\xff");
	ck_assert_int_eq(store_begin_task(fresh_store(), &t, &b, &err), -ERR_INVALID);
	ck_assert_ptr_nonnull(strstr(err.msg, "task_id"));
	t = sample_task("t");
	t.conversation = "\xed\xa0\x80";
	ck_assert_int_eq(store_begin_task(fresh_store(), &t, &b, &err), -ERR_INVALID);
	ck_assert_ptr_nonnull(strstr(err.msg, "conversation_id"));
	char name[300];
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	t = sample_task(name);
	ck_assert_int_eq(store_begin_task(fresh_store(), &t, &b, &err), -ERR_TOOBIG);
	ck_assert(!err_is_transient(&err));
	ck_assert_int_eq(ask_number("SELECT count(*) FROM celeriac.tool_results"), 0);
}
END_TEST

/* ---- races between processes ---- */

enum { TASKS = 60, RACERS = 3 };

static void race(int racer, char won[TASKS], bool take_over)
{
	struct err err = {0};
	struct store *s = another_store(NULL);
	char worker[16], id[16];
	snprintf(worker, sizeof(worker), "racer-%d", racer);
	for (int i = 0; i < TASKS; i++) {
		snprintf(id, sizeof(id), "race-%d", i);
		struct store_task t = sample_task(id);
		struct store_begin b = {0};
		int attempt = 0;
		t.worker = worker;
		t.delivery = worker;
		int rc = take_over ? store_take_over(s, &t, "node-a", 1, &attempt, &err)
				   : store_begin_task(s, &t, &b, &err);
		if (rc < 0 && rc != -ERR_CONFLICT)
			_exit(1);
		won[i] = take_over ? rc == 0 : b.verdict == STORE_BEGUN;
	}
	store_close(s);
	_exit(0);
}

static void run_race(bool take_over)
{
	char(*won)[TASKS] = mmap(NULL, RACERS * TASKS, PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(won, MAP_FAILED);
	pid_t pids[RACERS];
	for (int r = 0; r < RACERS; r++) {
		pids[r] = fork();
		if (pids[r] == 0)
			race(r, won[r], take_over);
	}
	for (int r = 0; r < RACERS; r++) {
		int status;
		ck_assert_int_eq(waitpid(pids[r], &status, 0), pids[r]);
		ck_assert_int_eq(status, 0);
	}
	for (int i = 0; i < TASKS; i++) {
		int winners = 0;
		for (int r = 0; r < RACERS; r++)
			winners += won[r][i];
		ck_assert_int_eq(winners, 1);
	}
	munmap(won, RACERS * TASKS);
}

START_TEST(test_race_to_begin)
{
	run_race(false);
	ck_assert_int_eq(ask_number("SELECT count(*) FROM celeriac.tool_results WHERE attempt = 1"),
			 TASKS);
}
END_TEST

START_TEST(test_race_to_take_over)
{
	for (int i = 0; i < TASKS; i++) {
		char id[16];
		snprintf(id, sizeof(id), "race-%d", i);
		struct store_task t = sample_task(id);
		begin_sample(&t);
	}
	run_race(true);
	ck_assert_int_eq(
		ask_number(
			"SELECT count(*) FROM celeriac.tool_results WHERE worker LIKE 'racer-%'"),
		TASKS);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("task");
	TCase *c = tcase_create("task");

	tcase_add_unchecked_fixture(c, store_server_start, store_server_stop);
	tcase_add_checked_fixture(c, store_fresh, store_fresh_done);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, test_begin);
	tcase_add_test(c, test_begin_bare);
	tcase_add_test(c, test_running_elsewhere);
	tcase_add_test(c, test_same_worker);
	tcase_add_test(c, test_finished_gives_the_same_result);
	tcase_add_test(c, test_failed_gives_the_same_exception);
	tcase_add_test(c, test_retry_begins_anew);
	tcase_add_test(c, test_another_call_of_the_same_id);
	tcase_add_test(c, test_take_over_once);
	tcase_add_test(c, test_take_over_from_oneself);
	tcase_add_test(c, test_take_over_of_nothing);
	tcase_add_test(c, test_what_is_refused);
	tcase_add_test(c, test_race_to_begin);
	tcase_add_test(c, test_race_to_take_over);
	suite_add_tcase(suite, c);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
