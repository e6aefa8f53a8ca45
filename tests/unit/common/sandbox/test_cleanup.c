/* Sweeps: each kind of what is left over goes, after its time and counted once; nothing else does.
 * On the real engine. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "mem.h"
#include "metrics.h"
#include "tests/unit/sandbox_fixture.h"

#define LONG (20 * USEC_PER_SEC)

static const char *const base_env[] = {"SANDBOX_MEMORY=64M",	"SANDBOX_WORK_SIZE=32M",
				       "SANDBOX_MAX=20",	"SANDBOX_IDLE_TIMEOUT=600",
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

static const char *run(const char *conversation, const char *code)
{
	return sandbox_worker_prints(&f.one, conversation, code, &o);
}

static const char note_it[] = "open('/sandbox/note', 'w').write('kept')";
static const char read_it[] = "import os; print(os.path.exists('/sandbox/note'))";

/* Sweeps until one has removed something, and says which sweep it was; each time is kept short. */
static int sweep_until(struct sandbox_worker *w, struct sandbox_report *ret)
{
	for (int n = 1;; n++) {
		sandbox_worker_settle(w);
		ck_assert_msg(sandbox_cleanup(w->sandbox, ret, &err) == 0, "%s", err.msg);
		ck_assert_int_eq(ret->failed, 0);
		if (ret->idle + ret->orphans > 0)
			return n;
		usleep(100000);
	}
}

static struct sandbox_report sweep(struct sandbox_worker *w)
{
	struct sandbox_report report = {0};

	sandbox_worker_settle(w);
	ck_assert_msg(sandbox_cleanup(w->sandbox, &report, &err) == 0, "%s", err.msg);
	return report;
}

/* By this process, as /metrics tells it. */
static int reaped(enum reap kind)
{
	_cleanup_buf_ struct buf page = BUF_INIT(64 << 10);
	_cleanup_free_ char *line =
		xasprintf("\nceleriac_reaped_total{kind=\"%s\"} ", reap_text(kind));
	const char *found;

	metrics_write(&page);
	found = page.len > 0 ? strstr(page.data, line) : NULL;
	return found ? atoi(found + strlen(line)) : 0;
}

static bool exists(const char *id)
{
	struct engine_container c;

	return engine_inspect(f.one.sandbox->engine, id, &c, &err) == 0;
}

/* What a worker leaves that dies between making a container and starting it. */
static void make_half(const char *conversation)
{
	static const char *const argv[] = {"/celeriac/agent", NULL};
	const struct engine_label labels[] = {
		{"role", "conversation"}, {"conversation", conversation}, {"owner", "one@1"}};
	char name[CONTAINER_NAME_SIZE], id[ENGINE_ID_SIZE];
	const struct engine_spec spec = {.image = "celeriac-sandbox:latest",
					 .name = name,
					 .argv = argv,
					 .labels = labels,
					 .label_count = ARRAY_LEN(labels)};

	sandbox_container_name(f.instance, conversation, "", name);
	ck_assert_msg(engine_create(f.one.sandbox->engine, &spec, id, NULL, &err) == 0, "%s",
		      err.msg);
}

START_TEST(test_half_made)
{
	struct sandbox_report report;

	make_half("c");
	run("c", note_it);
	ck_assert(!o.reused && !o.restarted);
	/* The name alone tells, when the index thinks that there is none. */
	run("d", note_it);
	sandbox_worker_settle(&f.one);
	f.one.settings.sandbox_idle_timeout = 0;
	ck_assert_int_eq(sandbox_cleanup(f.one.sandbox, &report, &err), 0);
	ck_assert_int_eq(report.idle, 2);
	f.one.settings.sandbox_idle_timeout = 600 * USEC_PER_SEC;
	make_half("d");
	ck_assert_str_eq(run("d", read_it), "False\n");
	ck_assert(!o.reused && o.restarted);
	make_half("e");
	f.one.settings.sandbox_adopt_grace = 600 * USEC_PER_SEC;
	for (int i = 0; i < 2; i++) {
		report = sweep(&f.one);
		ck_assert(report.kept == 2 && report.orphans == 0);
	}
	f.one.settings.sandbox_adopt_grace = USEC_PER_SEC;
	sweep_until(&f.one, &report);
	ck_assert(report.kept == 1 && report.orphans == 1);
}
END_TEST

/* As if it had not been used for an hour. */
static void make_old(const char *conversation)
{
	_cleanup_free_ char *line =
		xasprintf("HSET celeriac:%s:conversation:%s used %lld", f.instance, conversation,
			  (long long)((clock_wall() - 3600 * USEC_PER_SEC) / USEC_PER_MSEC));

	sandbox_fixture_tell(&f, line);
}

START_TEST(test_idle_sweep)
{
	struct sandbox_report report;

	run("c", note_it);
	run("d", note_it);
	sandbox_worker_settle(&f.one);
	ck_assert_int_eq(sandbox_cleanup(f.one.sandbox, &report, &err), 0);
	ck_assert(report.kept == 2 && report.idle == 0 && report.orphans == 0 &&
		  report.failed == 0);
	make_old("c");
	make_old("d");
	run("d", read_it);
	sandbox_worker_settle(&f.one);
	ck_assert_int_eq(sandbox_cleanup(f.one.sandbox, &report, &err), 0);
	ck_assert(report.kept == 1 && report.idle == 1 && report.orphans == 0 &&
		  report.failed == 0);
	ck_assert_str_eq(run("c", read_it), "False\n");
	ck_assert(o.restarted && !o.reused);
	ck_assert_str_eq(run("d", read_it), "True\n");
}
END_TEST

START_TEST(test_orphans)
{
	const char *argv[] = {"/celeriac/agent", NULL};
	struct engine_spec stranger = {.image = "celeriac-sandbox:latest", .argv = argv};
	struct engine_config config = {.host = getenv("DOCKER_HOST"), .instance = "test-stranger"};
	char id[ENGINE_ID_SIZE], half[ENGINE_ID_SIZE];
	struct container_wish wish = {
		.role = SANDBOX_ROLE_RUN, .conversation = "c", .project = "", .task = "t"};
	struct engine_container seen;
	struct sandbox_report report;
	struct sandbox_worker two;
	struct engine *other;

	ck_assert_int_eq(engine_open(&config, &other, &err), 0);
	ck_assert_msg(engine_create(other, &stranger, id, NULL, &err) == 0, "%s", err.msg);
	sandbox_worker_start(&f, "two", base_env, &two);
	sandbox_worker_prints(&two, "c", note_it, &o);
	/* made and not begun to be used when it died */
	ck_assert_int_eq(sandbox_container_make(two.sandbox, &wish, half, &err), 0);
	ck_assert_int_eq(sandbox_cleanup(f.one.sandbox, &report, &err), 0);
	ck_assert(report.kept == 2 && report.orphans == 0);
	sandbox_worker_stop(&f, &two, true);
	ck_assert_int_eq(sandbox_cleanup(f.one.sandbox, &report, &err), 0);
	ck_assert(report.kept == 2 && report.orphans == 0);
	sweep_until(&f.one, &report);
	ck_assert(report.kept == 0 && report.orphans == 2);
	ck_assert_int_eq(engine_inspect(other, id, &seen, &err), 0);
	ck_assert_int_eq(engine_remove(other, id, &err), 0);
	engine_close(other);
	run("c", read_it);
	ck_assert(o.restarted);
}
END_TEST

/* Whoever is done with a container and cannot remove it does so when the engine answers. Nobody
 * else believes that it is not in use, whatever Redis says. */
START_TEST(test_unwanted)
{
	const struct engine_config nowhere = {.host = "unix:///nonexistent/docker.sock",
					      .instance = f.instance};
	const struct container_wish wish = {
		.role = SANDBOX_ROLE_RUN, .conversation = "c", .project = "", .task = "t"};
	struct engine *real = f.one.sandbox->engine;
	_cleanup_free_ char *forged = NULL;
	struct sandbox_report report;
	struct sandbox_worker two;
	char id[ENGINE_ID_SIZE], other[ENGINE_ID_SIZE];

	sandbox_worker_start(&f, "two", base_env, &two);
	ck_assert_int_eq(sandbox_container_make(f.one.sandbox, &wish, id, &err), 0);
	ck_assert_int_eq(sandbox_container_make(f.one.sandbox, &wish, other, &err), 0);
	forged = xasprintf("HSET celeriac:%s:suspects %s unwanted\\ 1 %s late\\ 1", f.instance, id,
			   other);
	sandbox_fixture_tell(&f, forged);
	ck_assert_int_eq(engine_open(&nowhere, &f.one.sandbox->engine, &err), 0);
	sandbox_container_drop(f.one.sandbox, id);
	engine_close(f.one.sandbox->engine);
	f.one.sandbox->engine = real;
	report = sweep(&two);
	ck_assert(report.orphans == 0 && report.kept == 2 && report.failed == 0);
	report = sweep(&f.one);
	ck_assert(report.orphans == 1 && report.failed == 0);
	ck_assert(!exists(id) && exists(other));
	ck_assert_int_eq(reaped(REAP_UNWANTED), 1);
	sandbox_worker_stop(&f, &two, true);
}
END_TEST

/* A note may say that something is wrong with it since long ago: it is not older than the engine
 * says. */
START_TEST(test_no_note_makes_it_older)
{
	_cleanup_free_ char *forged = NULL;
	const struct engine_container *half;
	struct engine_container *list = NULL;
	struct sandbox_report report;
	size_t n = 0;

	make_half("c");
	ck_assert_int_eq(engine_list(f.one.sandbox->engine, &list, &n, &err), 0);
	ck_assert_uint_eq(n, 1);
	half = &list[0];
	forged = xasprintf("HSET celeriac:%s:suspects %s unstarted\\ 1", f.instance, half->id);
	sandbox_fixture_tell(&f, forged);
	f.one.settings.sandbox_adopt_grace = 600 * USEC_PER_SEC;
	report = sweep(&f.one);
	ck_assert(report.kept == 1 && report.orphans == 0);
	ck_assert(exists(half->id));
	f.one.settings.sandbox_adopt_grace = 0;
	report = sweep(&f.one);
	ck_assert(report.kept == 0 && report.orphans == 1);
	free(list);
}
END_TEST

/* Makes a container with these labels; `start`ed or not. */
static void make_thing(const char *role, const char *owner, const char *deadline, bool start,
		       char ret_id[ENGINE_ID_SIZE])
{
	static const char *const argv[] = {"/usr/bin/sleep", "600", NULL};
	const struct engine_label labels[] = {
		{"role", role}, {"owner", owner}, {"deadline", deadline}};
	const struct engine_spec spec = {.image = "celeriac-sandbox:latest",
					 .argv = argv,
					 .labels = labels,
					 .label_count = ARRAY_LEN(labels)};

	ck_assert_msg(engine_create(f.one.sandbox->engine, &spec, ret_id, NULL, &err) == 0, "%s",
		      err.msg);
	if (start)
		ck_assert_msg(engine_start(f.one.sandbox->engine, ret_id, &err) == 0, "%s",
			      err.msg);
}

/* Beside each leftover stands one like it that is none. */
START_TEST(test_every_kind)
{
	static const struct {
		const char *role;
		bool dead, start, kill;
		const char *deadline;
		enum reap kind; /* REAP_NOT: it stays */
	} things[] = {
		{"run", true, true, false, "2999-01-01T00:00:00+00:00", REAP_ORPHAN},
		{"run", false, true, false, "2999-01-01T00:00:00+00:00", REAP_NOT},
		{"run", false, true, false, "2020-01-01T00:00:00+00:00", REAP_LATE},
		{"run", false, false, false, "2999-01-01T00:00:00+00:00", REAP_UNSTARTED},
		{"mcp", true, true, false, "", REAP_ORPHAN},
		{"mcp", false, true, false, "", REAP_NOT},
		{"mcp", false, true, true, "", REAP_STOPPED},
		{"helper", true, false, false, "", REAP_UNSTARTED},
		{"probe", true, true, false, "", REAP_UNSTARTED},
		{"of-tomorrow", true, true, false, "", REAP_NOT},
	};
	int expected[REAP_KINDS] = {0};
	char ids[ARRAY_LEN(things)][ENGINE_ID_SIZE];
	struct sandbox_report report;
	int64_t gone = 0, all = 0;

	f.one.settings.sandbox_max_timeout = USEC_PER_SEC;
	for (size_t i = 0; i < ARRAY_LEN(things); i++) {
		make_thing(things[i].role,
			   things[i].dead ? "dead@1" : presence_owner(f.one.presence),
			   things[i].deadline, things[i].start, ids[i]);
		if (things[i].kill)
			ck_assert_int_eq(engine_kill(f.one.sandbox->engine, ids[i], &err), 0);
		expected[things[i].kind]++;
		all += things[i].kind != REAP_NOT;
	}
	report = sweep(&f.one);
	ck_assert(report.kept == ARRAY_LEN(things) && report.orphans == 0);
	while (gone < all) {
		sweep_until(&f.one, &report);
		gone += report.orphans;
	}
	ck_assert_int_eq(gone, all);
	for (size_t i = 0; i < ARRAY_LEN(things); i++)
		ck_assert_msg(exists(ids[i]) == (things[i].kind == REAP_NOT), "%s %zu",
			      things[i].role, i);
	for (int i = REAP_NOT + 1; i < REAP_KINDS; i++)
		ck_assert_int_eq(reaped((enum reap)i), expected[i]);
	/* and nothing is noted of what is gone */
	sandbox_worker_settle(&f.one);
	_cleanup_free_ char *question = xasprintf("HLEN celeriac:%s:suspects", f.instance);
	_cleanup_free_ char *answer = redis_server_tell(f.server, question);
	ck_assert_str_eq(answer, ":0");
}
END_TEST

/* Of a run of its own that somebody else waits for by now, its maker's death is no end. */
START_TEST(test_run_that_was_taken_over)
{
	static const char code[] = "print(1)";
	struct sandbox_run r = {.task_id = "t",
				.conversation = "c",
				.language = "python",
				.code = {code, sizeof(code) - 1},
				.timeout = LONG,
				.one_shot = true};
	struct sandbox_report report;
	struct sandbox_worker two;
	char alone[ENGINE_ID_SIZE];
	const struct container_wish wish = {
		.role = SANDBOX_ROLE_RUN, .conversation = "c", .project = "", .task = "other"};

	sandbox_worker_start(&f, "two", base_env, &two);
	ck_assert_msg(sandbox_execute(two.sandbox, &r, &o, &err) == 0, "%s", err.msg);
	ck_assert_int_eq(sandbox_container_make(two.sandbox, &wish, alone, &err), 0);
	sandbox_worker_stop(&f, &two, true);
	sandbox_outcome_done(&o);
	r.begun = true;
	ck_assert_msg(sandbox_execute(f.one.sandbox, &r, &o, &err) == 0, "%s", err.msg);
	sweep_until(&f.one, &report);
	ck_assert(report.orphans == 1 && report.kept == 1);
	ck_assert(!exists(alone) && exists(o.container));
	sandbox_acknowledge(f.one.sandbox, &r, &o);
	ck_assert(!exists(o.container));
}
END_TEST

struct sweeper {
	struct sandbox_worker worker;
	struct sandbox_report report;
};

static void *sweep_too(void *arg)
{
	struct sweeper *s = arg;
	struct err mine;

	ck_assert_msg(sandbox_cleanup(s->worker.sandbox, &s->report, &mine) == 0, "%s", mine.msg);
	return NULL;
}

/* However many sweep at once, each container is counted by one, and none of them has trouble. */
START_TEST(test_many_sweepers)
{
	static const char *const names[] = {"a", "b", "c", "d"};
	struct sandbox_report sum = {0};
	struct sweeper sweepers[4];
	pthread_t threads[ARRAY_LEN(sweepers)];
	char id[ENGINE_ID_SIZE];

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		run(names[i], "pass");
	for (int i = 0; i < 4; i++)
		make_thing("mcp", "dead@1", "", true, id);
	sweep(&f.one);
	usleep(1100000);
	for (size_t i = 0; i < ARRAY_LEN(sweepers); i++) {
		_cleanup_free_ char *name = xasprintf("sweeper-%zu", i);

		sweepers[i] = (struct sweeper){0};
		sandbox_worker_start(&f, name, base_env, &sweepers[i].worker);
		sweepers[i].worker.settings.sandbox_idle_timeout = 0;
	}
	sandbox_worker_settle(&f.one);
	for (size_t i = 0; i < ARRAY_LEN(sweepers); i++)
		ck_assert_int_eq(
			thread_start(&threads[i], "sweeper", sweep_too, &sweepers[i], &err), 0);
	for (size_t i = 0; i < ARRAY_LEN(sweepers); i++) {
		pthread_join(threads[i], NULL);
		sum.idle += sweepers[i].report.idle;
		sum.orphans += sweepers[i].report.orphans;
		sum.failed += sweepers[i].report.failed;
		sandbox_worker_stop(&f, &sweepers[i].worker, true);
	}
	ck_assert_msg(sum.idle == 4 && sum.orphans == 4 && sum.failed == 0, "%ld %ld %ld",
		      (long)sum.idle, (long)sum.orphans, (long)sum.failed);
	ck_assert_uint_eq(sandbox_fixture_count(), 0);
}
END_TEST

/* Redis' clock is set forward an hour: what was used a moment ago is not idle, and becomes so in
 * its time. Set back, it does not keep anything for an hour. */
START_TEST(test_the_clock_is_set)
{
	_cleanup_free_ char *line =
		xasprintf("HSET celeriac:%s:conversation:c used 99999999999999", f.instance);
	struct sandbox_report report;

	run("c", note_it);
	report = sweep(&f.one);
	ck_assert_int_eq(report.kept, 1);
	make_old("c");
	f.one.sandbox->clocks.redis -= 3600 * USEC_PER_SEC;
	report = sweep(&f.one);
	ck_assert_int_eq(report.kept, 1);
	report = sweep(&f.one);
	ck_assert_int_eq(report.kept, 1);
	sandbox_fixture_tell(&f, line);
	report = sweep(&f.one);
	ck_assert_int_eq(report.kept, 1);
	f.one.settings.sandbox_idle_timeout = USEC_PER_SEC;
	sweep_until(&f.one, &report);
	ck_assert_int_eq(report.idle, 1);
}
END_TEST

/* An emptied Redis: owners look dead and conversations unknown, until their time is over. */
START_TEST(test_redis_emptied)
{
	struct sandbox_report report;

	run("c", note_it);
	sweep(&f.one);
	sandbox_fixture_tell(&f, "FLUSHALL");
	f.one.settings.sandbox_idle_timeout = USEC_PER_SEC;
	report = sweep(&f.one);
	ck_assert_int_eq(report.kept, 1);
	f.one.settings.sandbox_idle_timeout = 600 * USEC_PER_SEC;
	ck_assert_str_eq(run("c", read_it), "True\n");
	ck_assert_int_eq(sweep(&f.one).kept, 1);
	f.one.settings.sandbox_idle_timeout = USEC_PER_SEC;
	ck_assert_int_gt(sweep_until(&f.one, &report), 0);
	ck_assert_int_eq(report.idle, 1);
	/* and where nobody uses it any more */
	run("d", note_it);
	sandbox_fixture_tell(&f, "FLUSHALL");
	ck_assert_int_gt(sweep_until(&f.one, &report), 1);
	ck_assert_int_eq(report.idle, 1);
	ck_assert_int_eq(reaped(REAP_FORGOTTEN), 1);
}
END_TEST

static void expect_container(const char *conversation, const char *container)
{
	struct index_record r = {0};
	usec_t deadline = clock_deadline(LONG);

	do {
		ck_assert_int_eq(
			sandbox_index_read(&f.one.sandbox->index, &conversation, 1, &r, &err), 0);
		usleep(10000);
	} while (strcmp(r.container, container) != 0 && clock_mono() < deadline);
	ck_assert_str_eq(r.container, container);
}

/* What somebody else does to our containers is known without a sweep; of one that is in use, only
 * whoever uses it decides. */
START_TEST(test_events)
{
	const struct engine_config config = {.host = getenv("DOCKER_HOST"), .instance = f.instance};
	struct engine *somebody;
	struct index_record record;
	struct index_lease lease;
	char id[ENGINE_ID_SIZE];

	ck_assert_int_eq(engine_open(&config, &somebody, &err), 0);
	run("before", note_it);
	ck_assert_int_eq(engine_remove(somebody, o.container, &err), 0);
	sandbox_watch(f.one.sandbox);
	sandbox_watch(f.one.sandbox);
	expect_container("before", "");
	run("c", note_it);
	memcpy(id, o.container, sizeof(id));
	expect_container("c", id);
	ck_assert_int_eq(engine_remove(somebody, id, &err), 0);
	expect_container("c", "");
	run("c", read_it);
	ck_assert(o.restarted);
	/* one that has ended goes altogether */
	ck_assert_int_eq(engine_kill(somebody, o.container, &err), 0);
	expect_container("c", "");
	ck_assert(!exists(o.container));
	ck_assert_int_eq(reaped(REAP_STOPPED), 1);
	run("c", read_it);
	sandbox_worker_settle(&f.one);
	ck_assert_int_eq(sandbox_index_peek(&f.one.sandbox->index, "c", &lease, &record, &err), 0);
	ck_assert_int_eq(engine_kill(somebody, o.container, &err), 0);
	run("d", note_it);
	ck_assert_int_eq(engine_kill(somebody, o.container, &err), 0);
	expect_container("d", "");
	expect_container("c", record.container);
	sandbox_index_release(&f.one.sandbox->index, &lease);
	engine_close(somebody);
}
END_TEST

/* An entry whose container is gone is put right by a sweep, unless a live worker answers for it. */
START_TEST(test_entries_without_container)
{
	struct sandbox_worker two;
	char id[ENGINE_ID_SIZE];

	sandbox_worker_start(&f, "two", base_env, &two);
	run("mine", note_it);
	ck_assert_int_eq(engine_remove(f.one.sandbox->engine, o.container, &err), 0);
	sandbox_worker_prints(&two, "theirs", note_it, &o);
	memcpy(id, o.container, sizeof(id));
	ck_assert_int_eq(engine_remove(f.one.sandbox->engine, id, &err), 0);
	presence_renew(two.presence, two.link); /* however long that took */
	sandbox_worker_settle(&two);
	ck_assert_int_eq(sweep(&f.one).kept, 0);
	expect_container("mine", "");
	expect_container("theirs", id);
	sandbox_worker_stop(&f, &two, true);
	sweep(&f.one);
	expect_container("theirs", "");
	run("theirs", read_it);
	ck_assert(o.restarted);
}
END_TEST

/* The entry of a version that knew one engine only: of several, another may have the container. */
START_TEST(test_entry_of_no_engine)
{
	_cleanup_free_ char *line = xasprintf("HDEL celeriac:%s:conversation:c engine", f.instance);
	char id[ENGINE_ID_SIZE];

	run("c", note_it);
	memcpy(id, o.container, sizeof(id));
	ck_assert_int_eq(engine_remove(f.one.sandbox->engine, id, &err), 0);
	sandbox_fixture_tell(&f, line);
	f.one.sandbox->several = true;
	sweep(&f.one);
	expect_container("c", id);
	f.one.sandbox->several = false;
	sweep(&f.one);
	expect_container("c", "");
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("sweeps");

	tcase_set_timeout(t, 180);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_half_made);
	tcase_add_test(t, test_idle_sweep);
	tcase_add_test(t, test_orphans);
	tcase_add_test(t, test_unwanted);
	tcase_add_test(t, test_no_note_makes_it_older);
	tcase_add_test(t, test_every_kind);
	tcase_add_test(t, test_run_that_was_taken_over);
	tcase_add_test(t, test_many_sweepers);
	tcase_add_test(t, test_the_clock_is_set);
	tcase_add_test(t, test_redis_emptied);
	tcase_add_test(t, test_events);
	tcase_add_test(t, test_entries_without_container);
	tcase_add_test(t, test_entry_of_no_engine);
	return sandbox_fixture_run("cleanup", t);
}
