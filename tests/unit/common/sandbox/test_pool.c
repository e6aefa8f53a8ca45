/* Containers that are ready before they are wanted: taken once, by one conversation, replaced in
 * the background, bounded, and never left over. On the real engine. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "mem.h"
#include "tests/unit/sandbox_fixture.h"

#define LONG (20 * USEC_PER_SEC)

static const char *const base_env[] = {"SANDBOX_MEMORY=64M",	"SANDBOX_WORK_SIZE=32M",
				       "SANDBOX_MAX=4",		"SANDBOX_POOL=2",
				       "SANDBOX_ADOPT_GRACE=1", NULL};
static struct sandbox_fixture f;
static struct sandbox_outcome o;
static struct err err;

static void setup(void)
{
	sandbox_fixture_start(&f, base_env);
}

static void teardown(void)
{
	sandbox_outcome_done(&o);
	sandbox_fixture_stop(&f);
}

static size_t ready(struct sandbox_worker *w)
{
	size_t n;

	mutex_lock(&w->sandbox->pool.lock);
	n = w->sandbox->pool.count;
	mutex_unlock(&w->sandbox->pool.lock);
	return n;
}

static void await_ready(struct sandbox_worker *w, size_t n)
{
	while (ready(w) != n)
		usleep(10000);
}

static struct engine_container the_spare(struct sandbox_worker *w)
{
	struct engine_container c;

	mutex_lock(&w->sandbox->pool.lock);
	ck_assert_ptr_nonnull(w->sandbox->pool.first);
	ck_assert_int_eq(engine_inspect(w->sandbox->engine, w->sandbox->pool.first->id, &c, &err),
			 0);
	mutex_unlock(&w->sandbox->pool.lock);
	return c;
}

static int try_in(struct sandbox_worker *w, const char *conversation, const char *project,
		  const char *code)
{
	const struct sandbox_run r = {.task_id = conversation,
				      .conversation = conversation,
				      .project = project,
				      .language = "python",
				      .code = {code, strlen(code)},
				      .timeout = LONG};

	sandbox_outcome_done(&o);
	return sandbox_execute(w->sandbox, &r, &o, &err);
}

static const char *run(const char *conversation, const char *code)
{
	ck_assert_msg(try_in(&f.one, conversation, "p", code) == 0, "%s", err.msg);
	ck_assert_msg(o.status == SANDBOX_OK, "%s", o.stderr_text);
	return o.stdout_text;
}

static struct engine_container inspect(const char *id)
{
	struct engine_container c;

	ck_assert_msg(engine_inspect(f.one.sandbox->engine, id, &c, &err) == 0, "%s", err.msg);
	return c;
}

static const char note_it[] = "open('/sandbox/note', 'w').write('kept')";
static const char read_it[] = "import os; print(os.path.exists('/sandbox/note'))";

static void forget_everything(void)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;

	ck_assert_int_eq(redis_link_do(f.one.link, clock_deadline(LONG), &reply, &err, "PING"), 0);
	free(redis_server_tell(f.server, "FLUSHALL"));
}

START_TEST(test_taken_once)
{
	struct engine_container spare, c;
	char second[ENGINE_ID_SIZE];

	sandbox_keep_ready(f.one.sandbox);
	sandbox_keep_ready(f.one.sandbox);
	await_ready(&f.one, 2);
	spare = the_spare(&f.one);
	ck_assert(sandbox_container_is_spare(&spare) && spare.running);
	run("c", note_it);
	ck_assert(!o.reused && !o.restarted);
	ck_assert_str_eq(o.container, spare.id);
	c = inspect(o.container);
	ck_assert(!sandbox_container_is_spare(&c) && sandbox_container_is_of(f.instance, &c, "c"));
	ck_assert_str_eq(run("c", read_it), "True\n");
	ck_assert(o.reused);
	ck_assert_str_eq(run("d", read_it), "False\n");
	memcpy(second, o.container, sizeof(second));
	ck_assert_str_ne(second, spare.id);
	await_ready(&f.one, 2);
	ck_assert_uint_eq(sandbox_fixture_count(), 4);
	/* the conversation's end is the container's */
	ck_assert_int_eq(engine_remove(f.one.sandbox->engine, second, &err), 0);
	ck_assert_str_eq(run("d", read_it), "False\n");
	ck_assert(o.restarted);
	ck_assert_str_ne(o.container, second);
}
END_TEST

/* Its name says whose it is when Redis does not: also to the project. */
START_TEST(test_redis_forgets)
{
	char id[ENGINE_ID_SIZE];
	int64_t removed = 0;

	sandbox_keep_ready(f.one.sandbox);
	await_ready(&f.one, 2);
	run("c", note_it);
	memcpy(id, o.container, sizeof(id));
	for (int i = 0; i < 3; i++) {
		forget_everything();
		if (i > 0)
			sandbox_live_free(sandbox_live_take(f.one.sandbox, "c"));
		if (i == 2)
			ck_assert_msg(sandbox_reset_output(f.one.sandbox, "c", &removed, &err) == 0,
				      "%s", err.msg);
		ck_assert_int_eq(try_in(&f.one, "c", "another", read_it), -ERR_DENIED);
		ck_assert_int_eq(try_in(&f.one, "c", NULL, read_it), -ERR_DENIED);
		ck_assert_str_eq(run("c", read_it), "True\n");
		ck_assert(o.reused && strcmp(o.container, id) == 0);
	}
	forget_everything();
	sandbox_live_free(sandbox_live_take(f.one.sandbox, "c"));
	bool gone = false;
	ck_assert_int_eq(sandbox_close(f.one.sandbox, "c", &gone, &err), 0);
	ck_assert(gone);
	ck_assert_int_eq(
		engine_inspect(f.one.sandbox->engine, id, &(struct engine_container){0}, &err),
		-ERR_NOTFOUND);
}
END_TEST

/* SANDBOX_MAX counts them, and a conversation comes before them. */
START_TEST(test_cap)
{
	static const char *const names[] = {"a", "b", "c", "d", "e"};

	sandbox_keep_ready(f.one.sandbox);
	await_ready(&f.one, 2);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		run(names[i], note_it);
		ck_assert_uint_le(sandbox_fixture_count(), 4);
	}
	ck_assert_str_eq(run("e", read_it), "True\n");
	ck_assert_str_eq(run("a", read_it), "False\n");
	ck_assert(o.restarted);
	ck_assert_uint_le(sandbox_fixture_count(), 4);
}
END_TEST

struct caller {
	struct sandbox_worker *w;
	int number;
};

static void *call_often(void *arg)
{
	struct caller *c = arg;

	for (int i = 0; i < 4; i++) {
		_cleanup_free_ char *name = xasprintf("c-%d-%d", c->number, i);
		const char *code = "print(1)";
		const struct sandbox_run r = {.task_id = name,
					      .conversation = name,
					      .language = "python",
					      .code = {code, strlen(code)},
					      .timeout = LONG};
		struct sandbox_outcome mine = {0};
		struct err mine_err;

		ck_assert_msg(sandbox_execute(c->w->sandbox, &r, &mine, &mine_err) == 0, "%s",
			      mine_err.msg);
		ck_assert_int_eq(mine.status, SANDBOX_OK);
		sandbox_outcome_done(&mine);
	}
	return NULL;
}

/* However many workers and threads make containers at the same time. */
START_TEST(test_cap_holds_for_all)
{
	struct caller callers[4];
	struct sandbox_worker two;
	pthread_t threads[4];
	size_t most = 0, n;

	sandbox_worker_start(&f, "two", base_env, &two);
	sandbox_keep_ready(f.one.sandbox);
	sandbox_keep_ready(two.sandbox);
	for (int i = 0; i < 4; i++) {
		callers[i] = (struct caller){.w = i % 2 ? &two : &f.one, .number = i};
		ck_assert_int_eq(thread_start(&threads[i], "caller", call_often, &callers[i], &err),
				 0);
	}
	for (int i = 0; i < 40; i++) {
		n = sandbox_fixture_count();
		most = n > most ? n : most;
		usleep(20000);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	ck_assert_msg(most <= 4, "%zu containers", most);
	sandbox_worker_stop(&f, &two, true);
}
END_TEST

/* What waits is gone with its worker; what was taken is kept, adopted, and idle like any other. */
START_TEST(test_dead_workers)
{
	struct sandbox_report report;
	struct sandbox_worker two;
	struct engine_container spare;
	int64_t adopted = 0;

	sandbox_worker_start(&f, "two", base_env, &two);
	sandbox_keep_ready(two.sandbox);
	await_ready(&two, 2);
	ck_assert_int_eq(try_in(&two, "c", "p", note_it), 0);
	await_ready(&two, 2);
	spare = the_spare(&two);
	ck_assert_int_eq(sandbox_cleanup(f.one.sandbox, &report, &err), 0);
	ck_assert(report.kept == 3 && report.orphans == 0);
	/* it dies: nobody removes anything for it */
	two.settings.sandbox_pool = 0;
	mutex_lock(&two.sandbox->pool.lock);
	struct spare *lost = two.sandbox->pool.first;
	two.sandbox->pool.first = NULL;
	two.sandbox->pool.count = 0;
	mutex_unlock(&two.sandbox->pool.lock);
	sandbox_worker_stop(&f, &two, true);
	ck_assert_int_eq(sandbox_adopt(f.one.sandbox, &adopted, &err), 0);
	ck_assert_int_eq(adopted, 1);
	/* Redis does not know its lease any more, which may be for another reason: it has a moment
	 */
	ck_assert_int_eq(sandbox_cleanup(f.one.sandbox, &report, &err), 0);
	ck_assert_int_eq(report.orphans, 0);
	while (report.orphans == 0) {
		usleep(100000);
		ck_assert_int_eq(sandbox_cleanup(f.one.sandbox, &report, &err), 0);
	}
	ck_assert_msg(report.kept == 1 && report.orphans >= 2, "%ld %ld", (long)report.kept,
		      (long)report.orphans);
	ck_assert_int_eq(engine_inspect(f.one.sandbox->engine, spare.id, &spare, &err),
			 -ERR_NOTFOUND);
	ck_assert_str_eq(run("c", read_it), "True\n");
	f.one.settings.sandbox_idle_timeout = 0;
	ck_assert_int_eq(sandbox_cleanup(f.one.sandbox, &report, &err), 0);
	ck_assert(report.idle == 1 && report.kept == 0);
	ck_assert_uint_eq(sandbox_fixture_count(), 0);
	while (lost) {
		struct spare *next = lost->next;

		agent_link_close(lost->link);
		free(lost);
		lost = next;
	}
}
END_TEST

/* A spare that somebody has killed, or that says something, is no good. */
START_TEST(test_only_good_ones)
{
	struct engine_container spare;

	sandbox_keep_ready(f.one.sandbox);
	await_ready(&f.one, 2);
	spare = the_spare(&f.one);
	ck_assert_int_eq(engine_kill(f.one.sandbox->engine, spare.id, &err), 0);
	run("c", "print(1)");
	ck_assert_str_ne(o.container, spare.id);
	ck_assert(!o.restarted);
}
END_TEST

START_TEST(test_end_of_the_worker)
{
	sandbox_keep_ready(f.one.sandbox);
	await_ready(&f.one, 2);
	run("c", note_it);
	sandbox_worker_stop(&f, &f.one, true);
	ck_assert_uint_eq(sandbox_fixture_count(), 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pool");
	TCase *t = tcase_create("pool");

	tcase_set_timeout(t, 180);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_taken_once);
	tcase_add_test(t, test_redis_forgets);
	tcase_add_test(t, test_cap);
	tcase_add_test(t, test_cap_holds_for_all);
	tcase_add_test(t, test_dead_workers);
	tcase_add_test(t, test_only_good_ones);
	tcase_add_test(t, test_end_of_the_worker);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	sandbox_fixture_begin();
	srunner_run_all(r, CK_NORMAL);
	sandbox_fixture_clear();
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
