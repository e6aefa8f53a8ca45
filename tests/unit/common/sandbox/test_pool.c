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

/* What one has made is no place for another, whoever made it: new conversations go by that. */
START_TEST(test_places_are_counted_for_all)
{
	struct sandbox_worker two;
	int64_t before;

	sandbox_worker_start(&f, "two", base_env, &two);
	sandbox_count(two.sandbox);
	before = sandbox_free_places(two.sandbox, false);
	ck_assert_int_eq(try_in(&f.one, "c", "p", note_it), 0);
	sandbox_count(two.sandbox);
	ck_assert_int_lt(sandbox_free_places(two.sandbox, false), before);
	ck_assert_int_eq(sandbox_free_places(two.sandbox, true),
			 sandbox_free_places(two.sandbox, false) + 1);
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

static int try_own(const char *task, bool plugin, bool begun, const char *code)
{
	const struct sandbox_run r = {.task_id = task,
				      .conversation = "c",
				      .language = "python",
				      .code = {code, strlen(code)},
				      .timeout = LONG,
				      .one_shot = true,
				      .plugin = plugin,
				      .begun = begun};

	sandbox_outcome_done(&o);
	int rc = sandbox_execute(f.one.sandbox, &r, &o, &err);
	if (rc == 0)
		sandbox_acknowledge(f.one.sandbox, &r, &o);
	return rc;
}

static bool is_gone(const char *id)
{
	struct engine_container c;

	return engine_inspect(f.one.sandbox->engine, id, &c, &err) == -ERR_NOTFOUND;
}

static size_t ready_for_plugins(void)
{
	size_t n = 0;

	mutex_lock(&f.one.sandbox->pool.lock);
	for (struct spare *p = f.one.sandbox->pool.first; p; p = p->next)
		n += p->plugin;
	mutex_unlock(&f.one.sandbox->pool.lock);
	return n;
}

/* A run of its own takes one as well, and it goes with the run. */
START_TEST(test_runs_of_their_own)
{
	struct engine_container spare;
	char first[ENGINE_ID_SIZE];

	sandbox_keep_ready(f.one.sandbox);
	await_ready(&f.one, 2);
	spare = the_spare(&f.one);
	ck_assert_int_eq(try_own("t1", false, false, note_it), 0);
	ck_assert_str_eq(o.container, spare.id);
	ck_assert_int_eq(o.status, SANDBOX_OK);
	ck_assert(!o.reused && is_gone(spare.id));
	ck_assert_int_eq(try_own("t2", false, false, read_it), 0);
	ck_assert_str_eq(o.stdout_text, "False\n");
	/* for plugins there are others, once one was asked for */
	ck_assert_uint_eq(ready_for_plugins(), 0);
	static const char plugin[] =
		"import os; print(os.listdir('/plugin')); open('/plugin/x', 'w')";
	ck_assert_int_eq(try_own("p1", true, false, plugin), 0);
	ck_assert_str_eq(o.stdout_text, "[]\n");
	await_ready(&f.one, 4);
	ck_assert_uint_eq(ready_for_plugins(), 2);
	memcpy(first, o.container, sizeof(first));
	ck_assert(is_gone(first));
	ck_assert_int_eq(try_own("p2", true, false, plugin), 0);
	ck_assert_msg(o.status == SANDBOX_OK && strcmp(o.stdout_text, "[]\n") == 0, "%s",
		      o.stderr_text);
	ck_assert_str_ne(o.container, first);
	ck_assert_str_eq(run("c", "import os; print(os.path.exists('/plugin'))"), "False\n");
}
END_TEST

/* The name alone says which task one was taken for, and until when at most. */
START_TEST(test_a_run_that_was_begun)
{
	char name[CONTAINER_NAME_SIZE], id[ENGINE_ID_SIZE];
	struct sandbox_report report;
	struct agent_link *link;
	struct engine_container c;

	sandbox_keep_ready(f.one.sandbox);
	await_ready(&f.one, 2);
	sandbox_container_run_name(f.instance, "t", clock_wall() + LONG, name);
	ck_assert_int_eq(sandbox_pool_take(f.one.sandbox, name, false, id, &link, &err), 1);
	agent_link_close(link);
	c = inspect(id);
	ck_assert(sandbox_container_is_pooled(&c) && !sandbox_container_is_spare(&c));
	sandbox_container_read_name(&c);
	ck_assert_str_eq(c.role, SANDBOX_ROLE_RUN);
	ck_assert(c.deadline > clock_wall() && c.deadline <= clock_wall() + LONG);
	ck_assert(sandbox_container_is_run_of(f.instance, &c, "t"));
	ck_assert(!sandbox_container_is_run_of(f.instance, &c, "u"));
	ck_assert(!sandbox_container_is_run_of("other", &c, "t"));
	f.one.settings.sandbox_idle_timeout = 0;
	ck_assert_int_eq(sandbox_cleanup(f.one.sandbox, &report, &err), 0);
	ck_assert_msg(report.idle == 0 && report.orphans == 0, "it is nobody's idle conversation");
	ck_assert_int_eq(try_own("t", false, true, "print(1)"), 0);
	ck_assert_str_eq(o.container, id);
	ck_assert(is_gone(id));
	/* one that nobody waits for any more */
	await_ready(&f.one, 2);
	sandbox_container_run_name(f.instance, "late", clock_wall() - LONG, name);
	ck_assert_int_eq(sandbox_pool_take(f.one.sandbox, name, false, id, &link, &err), 1);
	agent_link_close(link);
	f.one.settings.sandbox_max_timeout = 0;
	ck_assert_int_eq(sandbox_cleanup(f.one.sandbox, &report, &err), 0);
	ck_assert_int_eq(report.orphans, 1);
	ck_assert(is_gone(id));
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("pool");

	tcase_set_timeout(t, 180);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_taken_once);
	tcase_add_test(t, test_runs_of_their_own);
	tcase_add_test(t, test_a_run_that_was_begun);
	tcase_add_test(t, test_redis_forgets);
	tcase_add_test(t, test_cap);
	tcase_add_test(t, test_cap_holds_for_all);
	tcase_add_test(t, test_places_are_counted_for_all);
	tcase_add_test(t, test_dead_workers);
	tcase_add_test(t, test_only_good_ones);
	tcase_add_test(t, test_end_of_the_worker);
	return sandbox_fixture_run("pool", t);
}
