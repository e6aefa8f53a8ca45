/* Conversations and their containers: reuse, loss, two workers, adoption. On the real
 * engine. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "common/sandbox/engine_internal.h"
#include "mem.h"
#include "tests/unit/sandbox_fixture.h"

#define LONG (20 * USEC_PER_SEC)

static const char *const base_env[] = {"SANDBOX_MEMORY=64M",	"SANDBOX_WORK_SIZE=32M",
				       "SANDBOX_MAX=3",		"SANDBOX_IDLE_TIMEOUT=600",
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

static void remove_container(void)
{
	ck_assert_msg(engine_remove(f.one.sandbox->engine, o.container, &err) == 0, "%s", err.msg);
}

START_TEST(test_reuse_and_loss)
{
	char first[ENGINE_ID_SIZE];

	run("c", note_it);
	ck_assert(!o.reused && !o.restarted);
	memcpy(first, o.container, sizeof(first));
	ck_assert_str_eq(run("c", read_it), "True\n");
	ck_assert(o.reused && !o.restarted);
	ck_assert_str_eq(o.container, first);
	ck_assert_str_eq(run("another", read_it), "False\n");
	ck_assert_str_eq(run("c", read_it), "True\n");
	remove_container();
	ck_assert_str_eq(run("c", read_it), "False\n");
	ck_assert(!o.reused && o.restarted);
	ck_assert_str_ne(o.container, first);
	run("c", read_it);
	ck_assert(o.reused && !o.restarted);
	/* killed, but still there */
	ck_assert_int_eq(engine_kill(f.one.sandbox->engine, o.container, &err), 0);
	run("c", read_it);
	ck_assert(!o.reused && o.restarted);
}
END_TEST

START_TEST(test_redis_emptied)
{
	run("c", note_it);
	sandbox_fixture_tell(&f, "FLUSHALL");
	ck_assert_str_eq(run("c", read_it), "True\n");
	ck_assert(o.reused && !o.restarted);
	/* and by a process that has no link yet: the labels tell */
	sandbox_fixture_tell(&f, "FLUSHALL");
	sandbox_live_free(sandbox_live_take(f.one.sandbox, "c"));
	ck_assert_str_eq(run("c", read_it), "True\n");
	ck_assert(o.reused && !o.restarted);
}
END_TEST

START_TEST(test_projects)
{
	const char *code = "print(1)";
	struct sandbox_run r = {.conversation = "c",
				.project = "blue",
				.language = "python",
				.code = {code, strlen(code)},
				.timeout = LONG};

	ck_assert_int_eq(sandbox_execute(f.one.sandbox, &r, &o, &err), 0);
	sandbox_outcome_done(&o);
	for (int i = 0; i < 3; i++) {
		r.project = "red";
		ck_assert_int_eq(sandbox_execute(f.one.sandbox, &r, &o, &err), -ERR_DENIED);
		r.project = NULL;
		ck_assert_int_eq(sandbox_execute(f.one.sandbox, &r, &o, &err), -ERR_DENIED);
		r.project = "blue";
		ck_assert_msg(sandbox_execute(f.one.sandbox, &r, &o, &err) == 0, "%s", err.msg);
		ck_assert(o.reused);
		sandbox_outcome_done(&o);
		/* also when only the container knows, with and without the link */
		sandbox_fixture_tell(&f, "FLUSHALL");
		if (i == 1)
			sandbox_live_free(sandbox_live_take(f.one.sandbox, "c"));
	}
}
END_TEST

START_TEST(test_two_workers)
{
	struct sandbox_worker two;

	sandbox_worker_start(&f, "two", base_env, &two);
	run("c", note_it);
	ck_assert_str_eq(sandbox_worker_prints(&two, "c", read_it, &o), "True\n");
	ck_assert(o.reused);
	ck_assert_str_eq(run("c", read_it), "True\n");
	ck_assert(o.reused);
	ck_assert_str_eq(sandbox_worker_prints(&two, "c", read_it, &o), "True\n");
	ck_assert_uint_eq(sandbox_fixture_count(), 1);
	sandbox_worker_stop(&f, &two, true);
}
END_TEST

/* The engine copies a container's output to everybody attached, and waits for the slowest: the one
 * who does not work on the conversation must not be in the way of the one who does. */
START_TEST(test_the_other_worker_is_not_in_the_way)
{
	static const char files[] = "import os\nfor i in range(8):\n  open(f'/sandbox/output/{i}', "
				    "'wb').write(b'x' * (1 << 20))\n";
	struct sandbox_worker two;

	sandbox_worker_start(&f, "two", base_env, &two);
	for (int i = 0; i < 3; i++) {
		run("c", files);
		ck_assert_uint_eq(o.file_count, 8);
		sandbox_worker_prints(&two, "c", files, &o);
		ck_assert_uint_eq(o.file_count, 8);
		ck_assert(o.reused);
	}
	sandbox_worker_stop(&f, &two, true);
}
END_TEST

/* Until a run has said something. */
static void await_begun(const char *task_id)
{
	_cleanup_free_ char *question = xasprintf("EXISTS celeriac:stream:%s", task_id);
	bool begun = false;

	while (!begun) {
		_cleanup_free_ char *answer = redis_server_tell(f.server, question);

		begun = strcmp(answer, ":1") == 0;
		usleep(10000);
	}
}

/* A run of the first worker, in a thread of its own. */
struct long_run {
	const char *task_id, *code;
	enum sandbox_status status; /* how it is to end */
	atomic_bool cancel;
};

static void *run_long(void *arg)
{
	struct long_run *l = arg;
	struct sandbox_run run = {.task_id = l->task_id,
				  .conversation = "c",
				  .language = "python",
				  .code = {l->code, strlen(l->code)},
				  .timeout = LONG,
				  .cancel = &l->cancel};
	struct sandbox_outcome mine = {0};
	struct err why;

	ck_assert_msg(sandbox_execute(f.one.sandbox, &run, &mine, &why) == 0, "%s", why.msg);
	ck_assert_int_eq(mine.status, l->status);
	sandbox_outcome_done(&mine);
	return NULL;
}

START_TEST(test_one_after_the_other)
{
	struct long_run used = {"used", "import time; print('begun', flush=True); time.sleep(100)",
				SANDBOX_CANCELLED, false},
			slow = {"slow",
				"import time; print('begun', flush=True); time.sleep(1); "
				"open('/sandbox/note','w')",
				SANDBOX_OK, false};
	struct sandbox_report report;
	struct sandbox_worker two;
	pthread_t thread;

	sandbox_worker_start(&f, "two", base_env, &two);
	run("c", "print(1)");
	ck_assert_int_eq(thread_start(&thread, "used", run_long, &used, &err), 0);
	await_begun(used.task_id);
	/* A sweep leaves alone what is in use, however late it seems. */
	two.settings.sandbox_idle_timeout = 0;
	ck_assert_int_eq(sandbox_cleanup(two.sandbox, &report, &err), 0);
	ck_assert(report.idle == 0 && report.kept == 1);
	atomic_store(&used.cancel, true);
	pthread_join(thread, NULL);
	ck_assert_int_eq(thread_start(&thread, "slow", run_long, &slow, &err), 0);
	await_begun(slow.task_id);
	ck_assert_str_eq(sandbox_worker_prints(&two, "c", read_it, &o), "True\n");
	pthread_join(thread, NULL);
	sandbox_worker_stop(&f, &two, true);
}
END_TEST

static void *cancel_soon(void *cancel)
{
	usleep(300000);
	atomic_store((atomic_bool *)cancel, true);
	return NULL;
}

START_TEST(test_cancelled_while_waiting)
{
	const char *code = "print(1)";
	atomic_bool cancel = false;
	struct sandbox_run r = {.conversation = "c",
				.language = "python",
				.code = {code, strlen(code)},
				.timeout = LONG,
				.cancel = &cancel};
	struct index_record record;
	struct index_lease lease;
	pthread_t thread;
	usec_t began;

	ck_assert_int_eq(
		sandbox_index_acquire(&f.one.sandbox->index, "c", 0, NULL, &lease, &record, &err),
		0);
	ck_assert_int_eq(thread_start(&thread, "cancel", cancel_soon, &cancel, &err), 0);
	began = clock_mono();
	ck_assert_int_eq(sandbox_execute(f.one.sandbox, &r, &o, &err), -ERR_CANCELLED);
	ck_assert_int_lt(clock_mono() - began, LONG / 2);
	pthread_join(thread, NULL);
	sandbox_index_release(&f.one.sandbox->index, &lease);
	run("c", code);
}
END_TEST

START_TEST(test_restart_of_a_worker)
{
	int64_t adopted;

	run("c", note_it);
	run("d", note_it);
	sandbox_worker_stop(&f, &f.one, true);
	sandbox_worker_start(&f, "one", base_env, &f.one);
	ck_assert_int_eq(sandbox_adopt(f.one.sandbox, &adopted, &err), 0);
	ck_assert_int_eq(adopted, 2);
	ck_assert_int_eq(sandbox_adopt(f.one.sandbox, &adopted, &err), 0);
	ck_assert_int_eq(adopted, 0);
	ck_assert_str_eq(run("c", read_it), "True\n");
	ck_assert(o.reused && !o.restarted);
}
END_TEST

/* A worker is killed in the middle of a call; the next one takes lease and container over, the run
 * has ended. */
START_TEST(test_dead_worker_in_the_middle)
{
	_cleanup_free_ char *line = NULL;
	struct sandbox_worker two;

	sandbox_worker_start(&f, "two", base_env, &two);
	sandbox_worker_prints(&two, "c", note_it, &o);
	sandbox_worker_settle(&two);
	/* Only its lease is left of it. */
	line = xasprintf("SET celeriac:%s:lease:c \"%s token\" PX 60000", f.instance,
			 presence_owner(two.presence));
	sandbox_fixture_tell(&f, line);
	sandbox_worker_stop(&f, &two, true);
	ck_assert_str_eq(run("c", read_it), "True\n");
	ck_assert(o.reused);
}
END_TEST

/* A program of its own, since it is killed: what it runs in conversation c goes on to its end once
 * the test opens the gate. */
static char **victim_args;
static const char slow_code[] = "import time, os\nprint('begun', flush=True)\n"
				"while not os.path.exists('/sandbox/go'): time.sleep(0.02)\n"
				"open('/sandbox/output/f', 'w').write('x')\nprint('done')";
static const struct sandbox_run slow_run = {.task_id = "slow-task",
					    .conversation = "c",
					    .language = "python",
					    .code = {slow_code, sizeof(slow_code) - 1},
					    .timeout = 3 * LONG};

START_TEST(test_victim)
{
	struct sandbox_worker two;

	sandbox_fixture_join(&f, victim_args[2], victim_args[3]);
	sandbox_worker_start(&f, "two", base_env, &two);
	ck_assert_int_eq(sandbox_execute(two.sandbox, &slow_run, &o, &err), 0);
}
END_TEST

static int be_victim(char **argv)
{
	Suite *s = suite_create("victim");
	TCase *t = tcase_create("victim");
	SRunner *r = srunner_create(s);

	victim_args = argv;
	tcase_add_test(t, test_victim);
	suite_add_tcase(s, t);
	srunner_set_fork_status(r, CK_NOFORK);
	srunner_run_all(r, CK_SILENT);
	return 1;
}

static pid_t start_victim(void)
{
	_cleanup_free_ char *url = redis_server_url(f.server, 0);
	pid_t pid = fork();

	if (pid == 0) {
		execl("/proc/self/exe", "test_sandbox_life", "victim", f.instance, url, NULL);
		_exit(127);
	}
	await_begun(slow_run.task_id);
	return pid;
}

static void open_gate(const char *container)
{
	static const char touch[] = "{\"Cmd\": [\"touch\", \"/sandbox/go\"]}";
	struct engine *e = f.one.sandbox->engine;
	_cleanup_free_ char *make = xasprintf("/containers/%s/exec", container), *start = NULL;
	_cleanup_json_ json_t *made = NULL;
	struct err why;

	ck_assert_msg(engine_call(e, "POST", make, touch, ENGINE_LIMIT_START, &made, &why) == 0,
		      "%s", why.msg);
	start = xasprintf("/exec/%s/start", json_member_str(made, "Id"));
	ck_assert_msg(engine_call(e, "POST", start, "{\"Detach\": true}", ENGINE_LIMIT_START, NULL,
				  &why) == 0,
		      "%s", why.msg);
}

static void *open_gate_soon(void *container)
{
	usleep(1000000);
	open_gate(container);
	return NULL;
}

static int told, noted, noted_again;

static void run_began(void *arg, const char *container, unused_arg bool again)
{
	ck_assert_ptr_null(arg);
	ck_assert_uint_eq(strlen(container), 64);
	told++;
}

static int note_run(void *arg, const char *container, bool again, struct err *e)
{
	ck_assert_ptr_null(arg);
	ck_assert_uint_eq(strlen(container), 64);
	noted++;
	noted_again += again;
	if (again)
		return err_set(e, ERR_DENIED, "not again");
	open_gate(container);
	return 0;
}

static int take_over(struct sandbox_worker *w)
{
	struct sandbox_run r = slow_run;

	r.begun = true;
	r.began = run_began;
	r.note = note_run;
	sandbox_outcome_done(&o);
	told = noted = noted_again = 0;
	return sandbox_execute(w->sandbox, &r, &o, &err);
}

/* SIGKILL in the middle of a run: it goes on. Others of the conversation wait for its end; who
 * takes the task over gets what it said, its verdict and its files, until it is acknowledged. */
START_TEST(test_killed_in_the_middle)
{
	char container[ENGINE_ID_SIZE];
	struct sandbox_worker two;
	pthread_t thread;
	pid_t pid;

	run("c", note_it);
	memcpy(container, o.container, sizeof(container));
	sandbox_worker_settle(&f.one);
	pid = start_victim();
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	sandbox_worker_start(&f, "two", base_env, &two);
	ck_assert_int_eq(thread_start(&thread, "gate", open_gate_soon, container, &err), 0);
	sandbox_worker_prints(&two, "c", "import os; print(os.path.exists('/sandbox/output/f'))",
			      &o);
	pthread_join(thread, NULL);
	ck_assert_str_eq(o.stdout_text, "True\n");
	ck_assert_uint_eq(o.file_count, 0);
	for (int i = 0; i < 2; i++) {
		ck_assert_msg(take_over(i ? &two : &f.one) == 0, "%s", err.msg);
		ck_assert_int_eq(o.status, SANDBOX_OK);
		ck_assert_str_eq(o.stdout_text, "begun\ndone\n");
		ck_assert(o.file_count == 1 && strcmp(o.files[0].name, "f") == 0);
		/* what is over is told of, and not worth a note */
		ck_assert(o.reused && told == 1 && noted == 0 && noted_again == 0);
	}
	sandbox_acknowledge(two.sandbox, &slow_run, &o);
	ck_assert_int_eq(take_over(&two), -ERR_DENIED);
	ck_assert(told == 1 && noted_again == 1);
	ck_assert_uint_eq(sandbox_fixture_count(), 1);
	sandbox_worker_stop(&f, &two, true);
}
END_TEST

/* The same while it runs, which it does until that is noted: what comes is followed as if it had
 * been begun here. */
START_TEST(test_taken_over_while_it_runs)
{
	struct sandbox_worker three;
	struct presence *again;
	pid_t pid;

	sandbox_worker_start(&f, "three", base_env, &three);
	pid = start_victim();
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	/* its successor, by which it is known to be dead */
	ck_assert_int_eq(
		presence_join(f.redis, "", f.instance, "two", clock_deadline(LONG), &again, &err),
		0);
	ck_assert_msg(take_over(&three) == 0, "%s", err.msg);
	ck_assert_str_eq(o.stdout_text, "begun\ndone\n");
	ck_assert_uint_eq(o.file_count, 1);
	/* as the first one would have said: nothing was there */
	ck_assert(!o.reused && !o.restarted && told == 1 && noted == 1 && noted_again == 0);
	presence_leave(again, f.redis);
	presence_free(again);
	sandbox_worker_stop(&f, &three, true);
}
END_TEST

START_TEST(test_reset_and_close)
{
	int64_t removed = -1;
	bool gone = true;

	ck_assert_int_eq(sandbox_reset_output(f.one.sandbox, "c", &removed, &err), 0);
	ck_assert_int_eq(removed, 0);
	ck_assert_int_eq(sandbox_close(f.one.sandbox, "c", &gone, &err), 0);
	ck_assert(!gone);
	run("c", "import os; os.makedirs('output/a/b'); open('output/a/f', 'w'); "
		 "open('/sandbox/note', 'w')");
	ck_assert_int_eq(sandbox_reset_output(f.one.sandbox, "c", &removed, &err), 0);
	ck_assert_int_eq(removed, 3);
	ck_assert_str_eq(run("c", "import os; print(os.listdir('output'), os.path.exists('note'))"),
			 "[] True\n");
	ck_assert_int_eq(sandbox_close(f.one.sandbox, "c", &gone, &err), 0);
	ck_assert(gone);
	ck_assert_uint_eq(sandbox_fixture_count(), 0);
	ck_assert_str_eq(run("c", read_it), "False\n");
	ck_assert(!o.restarted);
}
END_TEST

START_TEST(test_one_shot)
{
	const char *code = "open('/sandbox/output/f', 'w').write('x')";
	struct sandbox_run r = {.task_id = "t",
				.conversation = "c",
				.language = "python",
				.code = {code, strlen(code)},
				.timeout = LONG,
				.one_shot = true};

	ck_assert_msg(sandbox_execute(f.one.sandbox, &r, &o, &err) == 0, "%s", err.msg);
	ck_assert_int_eq(o.status, SANDBOX_OK);
	ck_assert_uint_eq(o.file_count, 1);
	/* its container is there for as long as somebody could have to ask for it */
	ck_assert_uint_eq(sandbox_fixture_count(), 1);
	sandbox_outcome_done(&o);
	r.begun = true;
	ck_assert_msg(sandbox_execute(f.one.sandbox, &r, &o, &err) == 0, "%s", err.msg);
	ck_assert_uint_eq(o.file_count, 1);
	ck_assert_uint_eq(sandbox_fixture_count(), 1);
	sandbox_acknowledge(f.one.sandbox, &r, &o);
	ck_assert_uint_eq(sandbox_fixture_count(), 0);
}
END_TEST

/* SANDBOX_MAX is 3: the longest idle one goes, and says so at its next call. */
START_TEST(test_capacity)
{
	run("a", note_it);
	run("b", note_it);
	run("c", note_it);
	run("a", read_it);
	sandbox_worker_settle(&f.one);
	run("d", note_it);
	ck_assert_uint_eq(sandbox_fixture_count(), 3);
	ck_assert_str_eq(run("a", read_it), "True\n");
	ck_assert_str_eq(run("b", read_it), "False\n");
	ck_assert(o.restarted);
}
END_TEST

/* Whoever is attached to a conversation does not ask where it is. When it has got another container
 * meanwhile, on another engine, that is seen, and not taken for a lost one. */
START_TEST(test_gone_to_another_engine)
{
	const char *code = "print(1)";
	struct sandbox_run r = {.conversation = "c",
				.language = "python",
				.code = {code, strlen(code)},
				.timeout = LONG};
	_cleanup_free_ char *move = NULL, *answer = NULL;

	run("c", note_it);
	sandbox_worker_settle(&f.one);
	move = xasprintf("HSET celeriac:%s:conversation:c container %064d engine other", f.instance,
			 7);
	answer = redis_server_tell(f.server, move);
	ck_assert_str_eq(answer, ":0");
	ck_assert_int_eq(sandbox_execute(f.one.sandbox, &r, &o, &err), -ERR_UNAVAILABLE);
	ck_assert_msg(strstr(err.msg, "another engine"), "%s", err.msg);
	ck_assert_uint_eq(sandbox_fixture_count(), 1);
}
END_TEST

START_TEST(test_redis_away)
{
	const char *code = "print(1)";
	struct sandbox_run r = {.conversation = "c",
				.language = "python",
				.code = {code, strlen(code)},
				.timeout = LONG};

	run("c", note_it);
	redis_server_down(f.server);
	ck_assert_int_ne(sandbox_execute(f.one.sandbox, &r, &o, &err), 0);
	ck_assert_msg(err_is_transient(&err), "%s", err.msg);
	redis_server_up(f.server);
	ck_assert_str_eq(run("c", read_it), "True\n");
}
END_TEST

START_TEST(test_prepare)
{
	static const char *const bad[][2] = {
		{"SANDBOX_RUNTIME=nonesuch", "runtime"},
		{"SANDBOX_IMAGE=celeriac-nonesuch:never", "image"},
		{"SANDBOX_NETWORK=bridge", "SANDBOX_NETWORK"},
	};
	_cleanup_buf_ struct buf notes = BUF_INIT(64 << 10);

	ck_assert_int_eq(sandbox_prepare(f.one.sandbox, &notes, &err), 0);
	ck_assert(strstr(notes.data, "network: none but the proxy (egress)\n"));
	ck_assert(strstr(notes.data, "memory limit: enforced\n"));
	ck_assert(strstr(notes.data, "inside: routes 0\n"));
	ck_assert(strstr(notes.data, "containers: at most 3\n"));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char *env[] = {(char *)(uintptr_t)bad[i][0], NULL};
		struct settings settings;
		struct sandbox *s;

		ck_assert_int_eq(settings_load(env, &settings, &err), 0);
		ck_assert_int_eq(sandbox_open(&settings, NULL, "", NULL, &s, &err), 0);
		ck_assert_int_lt(sandbox_prepare(s, &notes, &err), 0);
		ck_assert_msg(strstr(err.msg, bad[i][1]), "%s", err.msg);
		ck_assert(!sandbox_ready(s));
		sandbox_close_all(s);
		settings_done(&settings);
	}
	ck_assert_uint_eq(sandbox_fixture_count(), 0);
}
END_TEST

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "victim") == 0)
		return be_victim(argv);
	TCase *t = tcase_create("conversations");

	tcase_set_timeout(t, 180);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_reuse_and_loss);
	tcase_add_test(t, test_redis_emptied);
	tcase_add_test(t, test_projects);
	tcase_add_test(t, test_two_workers);
	tcase_add_test(t, test_the_other_worker_is_not_in_the_way);
	tcase_add_test(t, test_one_after_the_other);
	tcase_add_test(t, test_cancelled_while_waiting);
	tcase_add_test(t, test_restart_of_a_worker);
	tcase_add_test(t, test_dead_worker_in_the_middle);
	tcase_add_test(t, test_killed_in_the_middle);
	tcase_add_test(t, test_taken_over_while_it_runs);
	tcase_add_test(t, test_reset_and_close);
	tcase_add_test(t, test_one_shot);
	tcase_add_test(t, test_capacity);
	tcase_add_test(t, test_gone_to_another_engine);
	tcase_add_test(t, test_redis_away);
	tcase_add_test(t, test_prepare);
	return sandbox_fixture_run("sandbox_life", t);
}
