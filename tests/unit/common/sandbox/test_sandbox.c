/* Runs in real containers: what goes in, what comes out, and every way to end. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "tests/unit/sandbox_fixture.h"

#define LONG (60 * USEC_PER_SEC)

static struct sandbox_fixture f;
static struct sandbox_outcome o;
static struct err err;

static void setup(void)
{
	static const char *const env[] = {"SANDBOX_MEMORY=64M", "SANDBOX_WORK_SIZE=32M", NULL};

	sandbox_fixture_start(&f, env);
}

static void teardown(void)
{
	sandbox_outcome_done(&o);
	sandbox_fixture_stop(&f);
}

static void run(const char *code, usec_t timeout)
{
	sandbox_outcome_done(&o);
	sandbox_worker_run(&f.one, "c", code, timeout, &o);
}

static void ends(const char *code, enum sandbox_status status, int exit_code)
{
	run(code, LONG);
	ck_assert_msg(o.status == status && o.exit_code == exit_code, "%s: %s %d %s %s", code,
		      sandbox_status_text(o.status), o.exit_code, o.stdout_text, o.stderr_text);
}

START_TEST(test_streams_and_codes)
{
	ends("import sys; print('out'); print('err', file=sys.stderr); print('é€😀')", SANDBOX_OK,
	     0);
	ck_assert_str_eq(o.stdout_text, "out\né€😀\n");
	ck_assert_str_eq(o.stderr_text, "err\n");
	ck_assert(!o.reused && !o.restarted);
	ck_assert_int_gt(o.duration, 0);
	ck_assert_int_gt(o.cpu_time, 0);
	ck_assert_int_gt(o.peak_memory, 1 << 20);
	ends("raise SystemExit(3)", SANDBOX_ERROR, 3);
	ck_assert(o.reused && !o.restarted);
	ends("1/0", SANDBOX_ERROR, 1);
	ck_assert(strstr(o.stderr_text, "line 1") && strstr(o.stderr_text, "ZeroDivisionError"));
	ends("import os; os.abort()", SANDBOX_KILLED, 134);
	ends("import sys; sys.stdout.buffer.write(b'a\\0b\\xffc')", SANDBOX_OK, 0);
	ck_assert_str_eq(o.stdout_text, "a\xef\xbf\xbd"
					"b\xef\xbf\xbd"
					"c");
}
END_TEST

/* What a run cost, and what it took to end it. */
START_TEST(test_report)
{
	ends("print(1)", SANDBOX_OK, 0);
	ck_assert(o.ended == SANDBOX_ENDED_ALONE && o.killed == 0);
	ends("import os, time\n"
	     "for i in range(3):\n"
	     "  if os.fork() == 0: os.setsid(); x = b'x' * (12 << 20); time.sleep(100)\n"
	     "time.sleep(1); e = time.process_time() + 0.2\n"
	     "while time.process_time() < e: pass",
	     SANDBOX_OK, 0);
	ck_assert(o.ended == SANDBOX_ENDED_KILLED && o.killed == 3);
	/* each of them has 12 MiB, and what an interpreter needs */
	ck_assert_int_gt(o.peak_memory, 36 << 20);
	ck_assert_int_le(o.peak_memory, 100 << 20);
	ck_assert_int_ge(o.cpu_time, 200 * USEC_PER_MSEC);
	ck_assert_int_lt(o.cpu_time, LONG);
}
END_TEST

START_TEST(test_limits)
{
	usec_t limit = 500 * USEC_PER_MSEC;

	ends("pass", SANDBOX_OK, 0);
	do { /* with as much time as it takes to say something */
		usec_t began = clock_mono();

		run("print('begun', flush=True)\nwhile True: pass", limit);
		ck_assert_int_eq(o.status, SANDBOX_TIMEOUT);
		ck_assert_int_eq(o.exit_code, 124);
		ck_assert_int_lt(clock_mono() - began, limit + 10 * USEC_PER_SEC);
		limit *= 2;
	} while (o.stdout_len == 0 && limit < LONG / 2);
	ck_assert_str_eq(o.stdout_text, "begun\n");
	ends("x = bytearray(1 << 30)", SANDBOX_OOM, 137);
	ends("print('alive')", SANDBOX_OK, 0);
	ends("f = open('/sandbox/f', 'wb')\nwhile True: f.write(b'x' * 65536)", SANDBOX_DISK_FULL,
	     1);
	ends("import os; os.remove('/sandbox/f'); open('/usr/x', 'w')", SANDBOX_ERROR, 1);
	ends("import os\nfor i in range(10000): open(f'/sandbox/f{i}', 'w')", SANDBOX_DISK_FULL, 1);
	ends("import os\nfor n in os.listdir('/sandbox'):\n  if n[0] == 'f': os.remove('/sandbox/' "
	     "+ n)",
	     SANDBOX_OK, 0);
	run("import os\nwhile True: os.fork()", 5 * USEC_PER_SEC);
	ck_assert_int_ne(o.status, SANDBOX_OK);
	ends("print('alive')", SANDBOX_OK, 0);
}
END_TEST

START_TEST(test_output_is_bounded)
{
	run("import sys\nfor i in range(400000): print(f'line {i:06d}')", LONG);
	ck_assert_int_eq(o.status, SANDBOX_OK);
	ck_assert_uint_eq(o.stdout_dropped, 400000 * 12 - (1 << 20));
	ck_assert(strncmp(o.stdout_text, "line 000000\n", 12) == 0);
	ck_assert(strstr(o.stdout_text, "bytes dropped ...]\n"));
	ck_assert_str_eq(o.stdout_text + o.stdout_len - 12, "line 399999\n");
}
END_TEST

START_TEST(test_files)
{
	const struct sandbox_file files[] = {{"in.txt", "input", 5}, {"helper.py", "x = 42", 6}};
	const char *const env[] = {"KEY=value=1", "HOME=/tmp", NULL};
	const char *code = "import os, helper, sys\n"
			   "print(helper.x, open('in.txt').read(), sys.stdin.read(), "
			   "os.environ['KEY'], os.environ['HOME'])\n"
			   "os.makedirs('output/sub')\n"
			   "open('output/sub/a.bin', 'wb').write(bytes(range(256)) * 1000)\n"
			   "os.symlink('/etc/passwd', 'output/link')\n"
			   "open('output/new\\nline', 'w')\n";
	struct sandbox_run r = {.conversation = "c",
				.language = "python",
				.code = {code, strlen(code)},
				.stdin_data = {"typed", 5},
				.files = files,
				.file_count = 2,
				.env = env,
				.timeout = LONG};

	ck_assert_msg(sandbox_execute(f.one.sandbox, &r, &o, &err) == 0, "%s", err.msg);
	ck_assert_msg(o.status == SANDBOX_OK, "%s", o.stderr_text);
	ck_assert_str_eq(o.stdout_text, "42 input typed value=1 /tmp\n");
	ck_assert_uint_eq(o.file_count, 1);
	ck_assert_str_eq(o.files[0].name, "sub/a.bin");
	ck_assert_uint_eq(o.files[0].len, 256000);
	ck_assert_int_eq((unsigned char)o.files[0].data[255999], 255);
	ck_assert_uint_eq(o.skipped_count, 2);
	ck_assert_str_eq(o.skipped[0].name, "link");
	ck_assert_str_eq(o.skipped[0].reason, "a symbolic link");
	ck_assert_str_eq(o.skipped[1].name, "new?line");
	run("print(open('in.txt').read())", LONG);
	ck_assert_uint_eq(o.file_count, 0);
	ck_assert_str_eq(o.stdout_text, "input\n");
}
END_TEST

START_TEST(test_large_input)
{
	size_t len = 5 << 20;
	char *data = malloc(len);
	struct sandbox_file file = {"big", data, len};
	const char *code =
		"import sys; print(len(open('big','rb').read()), len(sys.stdin.buffer.read()))";
	struct sandbox_run r = {.conversation = "c",
				.language = "python",
				.code = {code, strlen(code)},
				.stdin_data = {data, len},
				.files = &file,
				.file_count = 1,
				.timeout = LONG};

	memset(data, 'x', len);
	ck_assert_msg(sandbox_execute(f.one.sandbox, &r, &o, &err) == 0, "%s", err.msg);
	ck_assert_str_eq(o.stdout_text, "5242880 5242880\n");
	free(data);
}
END_TEST

START_TEST(test_what_it_is_in)
{
	ends("import os, socket\n"
	     "print(os.getuid(), os.getpid() > 1, os.path.exists('/var/run/docker.sock'))\n"
	     "print([i[1] for i in socket.if_nameindex()])\n"
	     "print([l.split()[1] for l in open('/proc/self/status') if l[:3] in ('Cap', 'NoN', "
	     "'Sec')])\n"
	     "print(open('/proc/1/cmdline').read())\n"
	     "try: open('/proc/1/environ')\n"
	     "except PermissionError: print('closed')\n",
	     SANDBOX_OK, 0);
	ck_assert_msg(strncmp(o.stdout_text, "10001 True False\n['lo']\n", 24) == 0, "%s",
		      o.stdout_text);
	ck_assert(strstr(o.stdout_text,
			 "'0000000000000000', '0000000000000000', '0000000000000000', "
			 "'0000000000000000', '0000000000000000', '1', '2'"));
	ck_assert(strstr(o.stdout_text, "closed\n"));
}
END_TEST

/* The run ends the agent through the one door that the kernel leaves: its processor time. */
START_TEST(test_killing_the_agent)
{
	ends("import os, resource\nresource.prlimit(1, resource.RLIMIT_CPU, (0, 0))\n"
	     "while True: os.write(1, b'x' * 65536)",
	     SANDBOX_KILLED, 137);
	ends("print('a fresh one')", SANDBOX_OK, 0);
	ck_assert(o.restarted && !o.reused);
	/* Less than that is noticed at the end. */
	ends("import resource\nresource.prlimit(1, resource.RLIMIT_NOFILE, (300, 300))", SANDBOX_OK,
	     0);
	ends("print('a fresh one again')", SANDBOX_OK, 0);
	ck_assert(o.restarted);
}
END_TEST

#define CANCELLED_TASK "f3c0f6f2-55f2-4d9f-8d4e-6f1b0f1f5a10"

/* As soon as the run has said something. */
static void *cancel_begun(void *cancel)
{
	bool begun = false;

	while (!begun) {
		_cleanup_free_ char *said =
			redis_server_tell(f.server, "EXISTS celeriac:stream:" CANCELLED_TASK);
		begun = strcmp(said, ":1") == 0;
		usleep(10000);
	}
	atomic_store((atomic_bool *)cancel, true);
	return NULL;
}

START_TEST(test_cancel)
{
	atomic_bool cancel = false;
	const char *code = "import time; print('begun', flush=True); time.sleep(100)";
	struct sandbox_run r = {.task_id = CANCELLED_TASK,
				.conversation = "c",
				.language = "python",
				.code = {code, strlen(code)},
				.timeout = LONG,
				.cancel = &cancel};
	pthread_t thread;
	usec_t began;

	run("pass", LONG);
	sandbox_outcome_done(&o);
	ck_assert_int_eq(thread_start(&thread, "cancel", cancel_begun, &cancel, &err), 0);
	began = clock_mono();
	ck_assert_msg(sandbox_execute(f.one.sandbox, &r, &o, &err) == 0, "%s", err.msg);
	ck_assert_int_lt(clock_mono() - began, LONG / 2);
	pthread_join(thread, NULL);
	ck_assert_int_eq(o.status, SANDBOX_CANCELLED);
	ck_assert_str_eq(o.stdout_text, "begun\n");
	sandbox_outcome_done(&o);
	ck_assert_int_eq(sandbox_execute(f.one.sandbox, &r, &o, &err), -ERR_CANCELLED);
	run("print('goes on')", LONG);
	ck_assert(o.reused);
}
END_TEST

START_TEST(test_bad_arguments)
{
	const struct {
		const char *what;
		struct sandbox_run run;
	} bad[] = {
		{"conversation_id", {.conversation = ""}},
		{"conversation_id", {.conversation = "a\nb"}},
		{"conversation_id", {.conversation = "\xff"}},
		{"project_id", {.conversation = "c", .project = "\x01"}},
		{"language", {.conversation = "c", .language = "cobol"}},
		{"timeout", {.conversation = "c", .language = "python", .timeout = 0}},
		{"timeout",
		 {.conversation = "c", .language = "python", .timeout = 4000 * USEC_PER_SEC}},
		{"env",
		 {.conversation = "c",
		  .language = "python",
		  .timeout = LONG,
		  .env = (const char *const[]){"novalue", NULL}}},
	};
	static const char *const names[] = {"a/b",    "..",	   ".",	   "",	    "new\nline",
					    "output", ".celeriac", "\xff", "ba\x7f"};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		ck_assert_int_eq(sandbox_execute(f.one.sandbox, &bad[i].run, &o, &err),
				 -ERR_INVALID);
		ck_assert_msg(strncmp(err.msg, bad[i].what, strlen(bad[i].what)) == 0, "%s",
			      err.msg);
	}
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct sandbox_file file = {names[i], "", 0};
		struct sandbox_run r = {.conversation = "c",
					.language = "python",
					.timeout = LONG,
					.files = &file,
					.file_count = 1};

		ck_assert_int_eq(sandbox_execute(f.one.sandbox, &r, &o, &err), -ERR_INVALID);
		ck_assert(strstr(err.msg, "files[0].name"));
	}
	ck_assert_uint_eq(sandbox_fixture_count(), 0);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("runs");

	tcase_set_timeout(t, 180);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_streams_and_codes);
	tcase_add_test(t, test_report);
	tcase_add_test(t, test_limits);
	tcase_add_test(t, test_output_is_bounded);
	tcase_add_test(t, test_files);
	tcase_add_test(t, test_large_input);
	tcase_add_test(t, test_what_it_is_in);
	tcase_add_test(t, test_killing_the_agent);
	tcase_add_test(t, test_cancel);
	tcase_add_test(t, test_bad_arguments);
	return sandbox_fixture_run("sandbox", t);
}
