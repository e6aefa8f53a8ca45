/* The agent's Python: the fork server, spares and the interpreter that keeps variables, against
 * what runs can do to them. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "common/sandbox/python_env.h"
#include "tests/unit/agent_fixture.h"

#define FILE_NAME ".celeriac/main.py"
#define WAIT	  (60 * USEC_PER_SEC)

static struct agent_box *box;
static struct agent_result r;
static uint32_t last_run;

static void setup(void)
{
	box = agent_box_new();
	ck_assert_ptr_nonnull(box);
	last_run = 0;
}

static void teardown(void)
{
	agent_result_done(&r);
	agent_box_free(box);
}

static void start(const char *code, unsigned timeout_ms, unsigned flags)
{
	static const char args[] = "python3\0-u\0/sandbox/" FILE_NAME;
	static const char *const env[] = {SANDBOX_PATH,	   SANDBOX_LANG, SANDBOX_PYTHON_ENV,
					  "HOME=/sandbox", "GIVEN=yes",	 "PYTHONPATH=/sandbox"};
	struct frame_run spec = {.timeout_ms = timeout_ms,
				 .output_limit = 64 << 10,
				 .flags = FRAME_RUN_PYTHON | flags};
	unsigned char bytes[FRAME_STRUCT_MAX];
	uint32_t run = ++last_run;

	agent_box_put(box, run, FILE_NAME, code);
	agent_box_send(box, FRAME_ARGS, 0, run, args, sizeof(args));
	for (size_t i = 0; i < ARRAY_LEN(env); i++)
		agent_box_send(box, FRAME_ENV, 0, run, env[i], strlen(env[i]) + 1);
	agent_box_send(box, FRAME_RUN, 0, run, bytes, frame_run_encode(&spec, bytes));
}

static void run_as(const char *code, unsigned timeout_ms, unsigned flags)
{
	agent_result_done(&r);
	start(code, timeout_ms, flags);
	agent_box_finish(box, last_run, &r);
	ck_assert_uint_eq(r.exit.remaining, 0);
}

static void run(const char *code)
{
	run_as(code, 60000, 0);
}

/* Has this run been forked? */
static bool is_forked(void)
{
	/* Only a server has loaded sockets for everybody. */
	run("import sys; print('socket' in sys.modules)");
	return strcmp(r.out.data, "True\n") == 0;
}

static void await_server(void)
{
	usec_t deadline = clock_deadline(WAIT);

	while (!is_forked()) {
		ck_assert_msg(clock_left_ms(deadline) > 0, "no run was forked");
		usleep(10000);
	}
}

/* What a program can see of how it was started. */
static const char program[] =
	"import os, sys, signal, threading\n"
	"print(sys.argv, sys.orig_argv, sys.flags, os.getcwd(), sys.path[:2])\n"
	"print(os.getpid() == os.getpgrp() == os.getsid(0), os.getppid())\n"
	"print(sorted(os.environ.items()))\n"
	"print(sorted(os.listdir('/proc/self/fd'))[:3], len(os.listdir('/proc/self/fd')))\n"
	"print(open('/proc/self/oom_score_adj').read(), os.nice(0))\n"
	"print(sorted(set(globals()) - {'__warningregistry__'}))\n"
	"print(__name__, __file__, __spec__, type(__loader__), sys.modules['__main__'].__dict__ is "
	"globals())\n"
	"print([signal.getsignal(s) for s in (2, 13, 15, 17)], signal.pthread_sigmask(0, []))\n"
	"print(threading.main_thread() is threading.current_thread(), "
	"threading.get_native_id() == os.getpid())\n"
	"for s in (sys.stdin, sys.stdout, sys.stderr): print(s.name, s.mode, s.encoding, s.errors,"
	" s.line_buffering, s.write_through, s.isatty(), type(s.buffer), file=sys.stderr)\n"
	"print(repr(sys.stdin.read()))\n"
	"import atexit; atexit.register(print, 'at exit')\n"
	"class Last:\n"
	"    def __del__(self): print('deleted')\n"
	"last = Last()\n"
	"file = open('/sandbox/left-open', 'w'); file.write('text')\n"
	"threading.Thread(target=lambda: (__import__('time').sleep(0.05), "
	"print('thread'))).start()\n"
	"def f(): raise KeyError('lost')\n"
	"try: f()\n"
	"except KeyError: raise ValueError('the end')\n";

START_TEST(test_as_an_interpreter_of_its_own)
{
	_cleanup_free_ char *out = NULL, *err = NULL;

	run(program);
	out = strdup(r.out.data);
	err = strdup(r.err.data);
	ck_assert_msg(strstr(err, "File \"/sandbox/.celeriac/main.py\", line 19, in f") != NULL,
		      "%s", err);
	ck_assert(strstr(err, "celeriac\"") == NULL);
	ck_assert_uint_eq(r.exit.exit_code, 1);
	await_server();
	run(program);
	ck_assert_str_eq(r.out.data, out);
	ck_assert_str_eq(r.err.data, err);
	ck_assert_uint_eq(r.exit.exit_code, 1);
	run("print(open('/sandbox/left-open').read())");
	ck_assert_str_eq(r.out.data, "text\n");
}
END_TEST

static const struct {
	const char *code;
	uint32_t exit_code, signal;
	const char *err;
} ends[] = {
	{"pass", 0, 0, ""},
	{"import sys; sys.exit(7)", 7, 0, ""},
	{"raise SystemExit", 0, 0, ""},
	{"raise SystemExit('because')", 1, 0, "because\n"},
	{"import sys; sys.exit(True)", 1, 0, ""},
	{"import sys; sys.exit(-1)", 255, 0, ""},
	{"import sys; sys.exit(2**80)", 255, 0, ""},
	{"import os; os._exit(9)", 9, 0, ""},
	{"import os; os.kill(os.getpid(), 11)", 0, 11, ""},
	{"import os; os.abort()", 0, 6, ""},
	{"import os, time; os.kill(os.getpid(), 2); time.sleep(9)", 0, 2, NULL},
	{"x ===", 1, 0,
	 "  File \"/sandbox/.celeriac/main.py\", line 1\n    x ===\n        ^\n"
	 "SyntaxError: invalid syntax\n"},
	{"import sys; sys.excepthook = lambda *a: sys.exit(4)\n1/0", 4, 0, ""},
	{"import atexit, sys; atexit.register(sys.exit, 3)", 0, 0, NULL},
	{"import sys; sys.stdout.close(); sys.stdout = None", 0, 0, ""},
	{"import ctypes; ctypes.CDLL(None).printf(b'said by libc')", 0, 0, ""},
	{"if __name__ == '__main__':\n import subprocess, sys\n"
	 " sys.exit(subprocess.run([sys.executable, '-c', 'import sys; sys.exit(5)']).returncode)",
	 5, 0, ""},
};

START_TEST(test_ends)
{
	for (int forked = 0; forked < 2; forked++) {
		for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
			run(ends[i].code);
			ck_assert_msg(r.exit.exit_code == ends[i].exit_code &&
					      r.exit.term_signal == ends[i].signal,
				      "%s: %u, signal %u: %s", ends[i].code, r.exit.exit_code,
				      r.exit.term_signal, r.err.data);
			if (ends[i].err)
				ck_assert_str_eq(r.err.data, ends[i].err);
			if (strstr(ends[i].code, "said by"))
				ck_assert_str_eq(r.out.data, "said by libc");
		}
		await_server();
	}
}
END_TEST

/* 0 = none */
static long server_pid(void)
{
	run("import os\nfor p in os.listdir('/proc'):\n"
	    " if p.isdigit() and os.getsid(int(p)) == int(p) and "
	    "open(f'/proc/{p}/comm').read() == 'fork-server\\n': print(p)");
	return strtol(r.out.data, NULL, 10);
}

START_TEST(test_limits_and_survivors)
{
	await_server();
	const long server = server_pid();

	ck_assert_int_gt(server, 1);
	unsigned ms = 500;
	do { /* with as much time as it takes to say something */
		run_as("import signal\nfor s in range(1, 32):\n"
		       " try: signal.signal(s, signal.SIG_IGN)\n except Exception: pass\n"
		       "print('begun')\nwhile True: pass",
		       ms, 0);
		ck_assert_uint_eq(r.exit.end, FRAME_END_TIMEOUT);
		ms *= 2;
	} while (r.out.len == 0 && ms < 40000);
	ck_assert_str_eq(r.out.data, "begun\n");
	ck_assert_uint_eq(r.exit.left, 1);
	ck_assert_int_eq(server_pid(), server);
	run("import os, time\npid = os.fork()\nif pid == 0:\n os.setsid()\n"
	    " if os.fork() == 0: time.sleep(1000)\n os._exit(0)\n"
	    "os.waitpid(pid, 0)\nprint('done')");
	ck_assert_str_eq(r.out.data, "done\n");
	ck_assert_uint_eq(r.exit.left, 1);
	ck_assert_uint_eq(r.exit.flags, 0);
	ck_assert_int_eq(server_pid(), server);
	/* faster than one by one */
	run_as("import resource, os\nresource.setrlimit(resource.RLIMIT_NPROC, (200, 200))\n"
	       "while True:\n try: os.fork()\n except OSError: pass",
	       500, 0);
	ck_assert_uint_eq(r.exit.end, FRAME_END_TIMEOUT);
	await_server();
}
END_TEST

/* Everything that a run can do to server and spare: the next run is right, and is one of a server
 * again. */
START_TEST(test_attacks_on_the_server)
{
	static const char others[] =
		"import os, signal, resource, ctypes, errno\n"
		"own = {1, os.getpid()}\n"
		"others = [int(p) for p in os.listdir('/proc') if p.isdigit() and int(p) not in "
		"own]\n"
		"assert others, 'no server'\n"
		"def each(f):\n for p in others:\n"
		"  try: f(p)\n"
		"  except ProcessLookupError: pass # one between server and spare\n";
	static const char *const attacks[] = {
		"each(lambda p: os.kill(p, signal.SIGKILL))",
		"each(lambda p: os.kill(p, signal.SIGSTOP))",
		"each(lambda p: os.kill(p, signal.SIGINT))",
		"each(lambda p: os.kill(p, signal.SIGTERM))",
		"each(lambda p: os.kill(p, signal.SIGQUIT))",
		"each(lambda p: (os.kill(p, signal.SIGSTOP), os.kill(p, signal.SIGTERM)))",
		"os.kill(-1, signal.SIGKILL)",
		"each(lambda p: resource.prlimit(p, resource.RLIMIT_NOFILE, (3, 3)))",
		"each(lambda p: resource.prlimit(p, resource.RLIMIT_CPU, (1, 1)))",
		"each(lambda p: resource.prlimit(p, resource.RLIMIT_AS, (1 << 20, 1 << 20)))",
		"each(lambda p: os.setpriority(os.PRIO_PROCESS, p, 19))",
		"each(lambda p: os.sched_setscheduler(p, os.SCHED_IDLE, os.sched_param(0)))",
	};
	_cleanup_buf_ struct buf code = BUF_INIT(10000);

	for (size_t i = 0; i < ARRAY_LEN(attacks); i++) {
		await_server();
		buf_reset(&code);
		buf_appendf(&code, "%s%s", others, attacks[i]);
		run(code.data);
		ck_assert_msg(r.err.len == 0, "%s: %s", attacks[i], r.err.data);
		run("import os, resource\n"
		    "print(1, resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 3, "
		    "resource.getrlimit(resource.RLIMIT_CPU)[0], os.nice(0), "
		    "os.sched_getscheduler(0))");
		ck_assert_msg(strcmp(r.out.data, "1 True -1 10 0\n") == 0,
			      "%s: end %u, %u, signal %u, %s%s", attacks[i], r.exit.end,
			      r.exit.exit_code, r.exit.term_signal, r.out.data, r.err.data);
	}
}
END_TEST

START_TEST(test_server_is_closed_to_runs)
{
	await_server();
	run("import os, ctypes\n"
	    "libc = ctypes.CDLL(None, use_errno=True)\n"
	    "own = {1, os.getpid()}\n"
	    "others = [int(p) for p in os.listdir('/proc') if p.isdigit() and int(p) not in own]\n"
	    "for p in others:\n"
	    "    for name in ('mem', 'environ', 'fd/4', 'maps'):\n"
	    "        try: assert not open(f'/proc/{p}/{name}').read(9), name\n"
	    "        except OSError: pass\n"
	    "    try: os.listdir(f'/proc/{p}/fd'); print(p, 'fd')\n"
	    "    except OSError: pass\n"
	    "    assert libc.ptrace(16, p, 0, 0) == -1\n"
	    "    fd = libc.syscall(434, p, 0)\n"
	    "    assert libc.syscall(438, fd, 4, 0) == -1\n"
	    "print('seen' if others else 'nobody')");
	ck_assert_str_eq(r.err.data, "");
	/* one that has ended has nothing to show */
	ck_assert_str_eq(r.out.data, "seen\n");
	/* nothing of one run is in the next one */
	run("import builtins, sys, os; builtins.left = 1; sys.left = 1; os.environ['LEFT'] = '1'; "
	    "os.chdir('/tmp'); os.umask(0o77)");
	run("import builtins, sys, os; print(hasattr(builtins, 'left'), hasattr(sys, 'left'), "
	    "'LEFT' in os.environ, os.getcwd(), os.umask(0))");
	ck_assert_str_eq(r.out.data, "False False False /sandbox 18\n");
	run("import random, os; print(random.random())");
	_cleanup_free_ char *first = strdup(r.out.data);
	run("import random, os; print(random.random())");
	ck_assert_str_ne(r.out.data, first);
}
END_TEST

/* Modules of the conversation that would have been loaded instead of the server's. */
START_TEST(test_shadowed_modules)
{
	await_server();
	agent_box_put(box, 900, "socket.py", "mine = True");
	last_run = 899;
	run("import socket; print(socket.mine)");
	ck_assert_str_eq(r.out.data, "True\n");
	run("import os; os.remove('/sandbox/socket.py'); os.mkdir('/sandbox/ctypes'); "
	    "open('/sandbox/ctypes/__init__.py', 'w').write('mine = 2')");
	run("import ctypes; print(ctypes.mine)");
	ck_assert_str_eq(r.out.data, "2\n");
	run("import shutil; shutil.rmtree('/sandbox/ctypes'); open('/sandbox/socket.csv', 'w')");
	await_server();
	run("import os; d = '/sandbox/.local/lib/python%d.%d/site-packages' % "
	    "__import__('sys').version_info[:2]; os.makedirs(d); open(d + '/mine.py', 'w')");
	usec_t deadline = clock_deadline(WAIT);
	do /* until there is a spare in time */
		run("import mine, sys; print('socket' in sys.modules, mine.__file__[:16])");
	while (strncmp(r.out.data, "False ", 6) == 0 && clock_left_ms(deadline) > 0);
	ck_assert_str_eq(r.out.data, "True /sandbox/.local/\n");
}
END_TEST

static void run_stateful(const char *code)
{
	run_as(code, 60000, FRAME_RUN_STATEFUL);
}

/* Stops a spare that rehearses: one of the server's that is new, and runs while nobody has given
 * it anything to run. And what is to be done to it besides. */
#define CATCH(besides)                                                                             \
	"for p in set(os.listdir('/proc')) - seen:\n"                                              \
	" try: line, stat = open(f'/proc/{p}/cmdline').read(), open(f'/proc/{p}/stat').read()\n"   \
	" except OSError: continue\n"                                                              \
	" if 'fork server' in line and stat.rpartition(') ')[2].split()[:2] == ['R', '1']:\n"      \
	"  os.kill(int(p), signal.SIGSTOP); caught = p; print('caught')\n" besides

/* Until that has done it; nothing of it is taken for what a run has left behind. */
static void catch_spare(const char *code)
{
	usec_t deadline = clock_deadline(WAIT);

	run_stateful("import os, resource, signal");
	for (unsigned tried = 0;; tried++) {
		ck_assert_msg(clock_left_ms(deadline) > 0, "none was caught on its way");
		run_stateful("seen = set(os.listdir('/proc'))");
		run("pass");
		usleep(tried % 16 * 1000);
		run_stateful(code);
		ck_assert_uint_eq(r.exit.left, 0);
		if (strcmp(r.out.data, "caught\n") == 0)
			return;
	}
}

/* Some are caught when they have just said that they are one: hence several. */
START_TEST(test_a_spare_on_its_way)
{
	await_server();
	for (int i = 0; i < 4; i++) {
		catch_spare(CATCH(""));
		run_stateful("print(open(f'/proc/{caught}/stat').read().rpartition(') ')[2][0])");
		ck_assert_str_ne(r.out.data, "");
		ck_assert_str_ne(r.out.data, "T\n");
	}
	for (int i = 0; i < 4; i++) {
		catch_spare(CATCH("  resource.prlimit(int(p), resource.RLIMIT_CPU, (1, 1))"));
		run("import resource; print(resource.getrlimit(resource.RLIMIT_CPU)[0])");
		ck_assert_str_eq(r.out.data, "-1\n");
	}
	await_server();
}
END_TEST

START_TEST(test_variables_last)
{
	run_stateful("import os, sys\nx = 1\ndef f(): return y\nprint('begun', sys.argv)");
	ck_assert_str_eq(r.out.data, "begun ['/sandbox/.celeriac/main.py']\n");
	ck_assert_str_eq(r.err.data, "");
	ck_assert_uint_eq(r.exit.exit_code, 0);
	ck_assert_uint_eq(r.exit.flags, 0);
	run_stateful("y = x + 1\nprint(f(), __name__)");
	ck_assert_str_eq(r.out.data, "2 __main__\n");
	/* others know nothing of it, and leave it alone */
	run("print('x' in globals())");
	ck_assert_str_eq(r.out.data, "False\n");
	ck_assert_uint_eq(r.exit.flags, 0);
	run_stateful("\ndef g():\n    return 1 / 0\nsys.exit(6)");
	ck_assert_uint_eq(r.exit.exit_code, 6);
	run_stateful("x = 5\ng()");
	ck_assert_uint_eq(r.exit.exit_code, 1);
	ck_assert_msg(strstr(r.err.data, "File \"<call 4>\", line 2, in <module>") != NULL, "%s",
		      r.err.data);
	ck_assert(strstr(r.err.data, "File \"<call 3>\", line 3, in g") != NULL);
	ck_assert(strstr(r.err.data, "return 1 / 0") != NULL);
	ck_assert(strstr(r.err.data, "celeriac\"") == NULL);
	run_stateful("print(x)\nx ===");
	ck_assert(strstr(r.err.data, "SyntaxError") != NULL);
	ck_assert_uint_eq(r.exit.flags, 0);
	/* what it leaves behind is ended, and it stands still between calls */
	run_stateful("import subprocess, threading, time\nsubprocess.Popen(['sleep', '1000'])\n"
		     "n = 0\ndef count():\n global n\n while True: n += 1\n"
		     "threading.Thread(target=count, daemon=True).start(); print(x)");
	ck_assert_str_eq(r.out.data, "5\n");
	ck_assert_uint_eq(r.exit.left, 1);
	run("import os\nfor p in os.listdir('/proc'):\n if p.isdigit() and 'interpreter' in "
	    "open(f'/proc/{p}/cmdline').read(): print(open(f'/proc/{p}/stat').read().split(') "
	    "')[1][0])");
	ck_assert_str_eq(r.out.data, "T\n");
	ck_assert_uint_eq(r.exit.flags, 0);
	run_stateful("print(x)");
	ck_assert_uint_eq(r.exit.flags, 0);
	ck_assert_str_eq(r.out.data, "5\n");
}
END_TEST

START_TEST(test_variables_are_lost)
{
	for (int forked = 0; forked < 2; forked++) {
		unsigned ms = 500;
		do { /* with as much time as it takes to say it */
			run_stateful("x = 1");
			run_as("print(x, flush=True)\nwhile True: pass", ms, FRAME_RUN_STATEFUL);
			ck_assert_uint_eq(r.exit.end, FRAME_END_TIMEOUT);
			ck_assert_uint_eq(r.exit.flags, FRAME_EXIT_STATE_LOST);
			ms *= 2;
		} while (r.out.len == 0 && ms < 40000);
		ck_assert_str_eq(r.out.data, "1\n");
		run_stateful("print('x' in globals())");
		ck_assert_str_eq(r.out.data, "False\n");
		ck_assert_uint_eq(r.exit.flags, 0);
		run_stateful("import os; os._exit(3)");
		ck_assert_uint_eq(r.exit.exit_code, 3);
		ck_assert_uint_eq(r.exit.flags, FRAME_EXIT_STATE_LOST);
		run_stateful("x = 1");
		run("import os; os.kill(-1, 9)");
		ck_assert_uint_eq(r.exit.flags, FRAME_EXIT_STATE_LOST);
		run_stateful("import os\nfor fd in range(3, 300):\n try: os.close(fd)\n"
			     " except OSError: pass");
		ck_assert_uint_eq(r.exit.flags, FRAME_EXIT_STATE_LOST);
		run_stateful("print('fine')");
		ck_assert_str_eq(r.out.data, "fine\n");
		await_server();
	}
}
END_TEST

/*
 * What wakes it between two calls is not known to it alone: a timer, a child that ends. A timer
 * that expires before it stands still wakes nobody, and since Linux 6.13 no second time, for its
 * signal is one that is ignored: hence several, one of them late enough on any machine.
 */
START_TEST(test_variables_that_wake)
{
	static const char *const ways[] = {
		"import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
		"for n in range(8):\n"
		" timer, event = ctypes.c_void_p(), (ctypes.c_int * 16)(0, 0, 18, 0)\n"
		" assert libc.timer_create(1, event, ctypes.byref(timer)) == 0\n"
		" after = 300 * 2 ** n\n"
		" when = (ctypes.c_long * 4)(0, 0, after // 1000, after % 1000 * 1000000)\n"
		" assert libc.timer_settime(timer, 0, when, None) == 0",
		"import ctypes, os, time\n"
		"if ctypes.CDLL(None).syscall(56, 18, 0, 0, 0, 0) == 0: time.sleep(1000); "
		"os._exit(0)",
	};

	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		usec_t deadline = clock_deadline(WAIT);

		run_stateful("import threading\ndef count():\n while True: pass\n"
			     "threading.Thread(target=count, daemon=True).start()");
		run_stateful(ways[i]);
		ck_assert_msg(r.exit.exit_code == 0, "%zu: %s", i, r.err.data);
		do {
			ck_assert_msg(clock_left_ms(deadline) > 0, "%zu: it is still there: %s", i,
				      r.out.data);
			run("import os\nfor p in os.listdir('/proc'):\n"
			    " if p.isdigit() and 'interpreter' in "
			    "open(f'/proc/{p}/cmdline').read(): "
			    "print(open(f'/proc/{p}/stat').read())");
		} while (r.out.len > 0);
		run_stateful("print('count' in globals())");
		ck_assert_str_eq(r.out.data, "False\n");
	}
}
END_TEST

START_TEST(test_stdin)
{
	for (int i = 0; i < 3; i++) {
		agent_result_done(&r);
		start("import sys; print(len(sys.stdin.read()))", 60000,
		      FRAME_RUN_STDIN | (i == 2 ? FRAME_RUN_STATEFUL : 0));
		agent_box_send(box, FRAME_STDIN, FRAME_LAST, last_run, "12345", 5);
		agent_box_finish(box, last_run, &r);
		ck_assert_str_eq(r.out.data, "5\n");
		await_server();
	}
}
END_TEST

int main(void)
{
	if (!agent_box_possible()) {
		puts("namespaces cannot be made here: nothing tested");
		return 0;
	}
	Suite *s = suite_create("python");
	TCase *t = tcase_create("runs");

	tcase_set_timeout(t, 200);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_as_an_interpreter_of_its_own);
	tcase_add_test(t, test_ends);
	tcase_add_test(t, test_limits_and_survivors);
	tcase_add_test(t, test_attacks_on_the_server);
	tcase_add_test(t, test_server_is_closed_to_runs);
	tcase_add_test(t, test_shadowed_modules);
	tcase_add_test(t, test_a_spare_on_its_way);
	tcase_add_test(t, test_variables_last);
	tcase_add_test(t, test_variables_are_lost);
	tcase_add_test(t, test_variables_that_wake);
	tcase_add_test(t, test_stdin);
	suite_add_tcase(s, t);
	SRunner *runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
