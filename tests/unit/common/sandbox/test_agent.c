/* The real agent against runs that misbehave: survivors, floods, closed streams, forgeries,
 * nonsense on its stream. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "tests/unit/agent_fixture.h"

static struct agent_box *box;
static struct agent_result r;

static void setup(void)
{
	box = agent_box_new();
	ck_assert_ptr_nonnull(box);
}

static void teardown(void)
{
	agent_result_done(&r);
	agent_box_free(box);
}

/* A run that must end by itself, leaving nothing. */
static void run(const char *script)
{
	static uint32_t id = 100;

	agent_result_done(&r);
	agent_box_run(box, ++id, script, 20000, &r);
	ck_assert_uint_eq(r.exit.end, FRAME_END_EXITED);
	ck_assert_uint_eq(r.exit.remaining, 0);
	ck_assert_int_eq(agent_box_alive(box), 0);
}

START_TEST(test_plain)
{
	run("echo out; echo err >&2; pwd; echo $GIVEN; exit 3");
	ck_assert_str_eq(r.out.data, "out\n/sandbox\nyes\n");
	ck_assert_str_eq(r.err.data, "err\n");
	ck_assert_uint_eq(r.exit.exit_code, 3);
	ck_assert_uint_eq(r.exit.term_signal, 0);
	ck_assert_uint_eq(r.exit.left, 0);
	ck_assert_uint_eq(r.exit.flags, 0);
	ck_assert_uint_gt(r.exit.peak_memory, 0);
	ck_assert_uint_gt(r.exit.free_bytes, 8 << 20);
	run("kill -9 $$");
	ck_assert_uint_eq(r.exit.term_signal, SIGKILL);
	run("cat");
	ck_assert_uint_eq(r.exit.exit_code, 0);
}
END_TEST

/* Its own session, no control descriptors, the first to be killed for memory, no agent environment,
 * no core file. (A make that starts this with posix_spawn leaves glibc's two inner signals, 32 and
 * 33, ignored, and no program can undo that through glibc: they are not looked at.) */
START_TEST(test_what_a_run_inherits)
{
	run("ls /proc/self/fd | tr '\\n' ' '; cat /proc/self/oom_score_adj; cut -d' ' -f6 "
	    "/proc/$$/stat | grep -cx $$;"
	    "ulimit -c; env | grep -c SECRET; sed -n '/^SigIgn:/s/180000000$/000000000/;"
	    "s/^SigIgn:\\t//p;s/^SigBlk:\\t//p' "
	    "/proc/self/status");
	ck_assert_str_eq(r.out.data, "0 1 2 3 1000\n1\n0\n0\n0000000000000000\n0000000000000000\n");
}
END_TEST

START_TEST(test_agent_is_closed_to_the_run)
{
	run("cat /proc/1/environ /proc/1/mem /proc/1/maps; ls /proc/1/fd; echo x > /proc/1/fd/200; "
	    "echo x > /proc/1/fd/1");
	ck_assert_str_eq(r.out.data, "");
	ck_assert(strstr(r.err.data, "environ: Permission denied") != NULL);
	ck_assert(strstr(r.err.data, "/proc/1/fd/200: Permission denied") != NULL);
	ck_assert(strstr(r.err.data, "/proc/1/fd/1: Permission denied") != NULL);
	/* PTRACE_ATTACH to PID 1 */
	run("perl -e 'print syscall(101, 16, 1, 0, 0), \" $!\\n\"'");
	ck_assert_str_eq(r.out.data, "-1 Operation not permitted\n");
	run("for s in 1 2 3 9 10 13 14 15 17 18 19 20 34 64; do kill -$s 1; done; echo sent");
	ck_assert_str_eq(r.out.data, "sent\n");
	run("echo still here");
	ck_assert_str_eq(r.out.data, "still here\n");
}
END_TEST

START_TEST(test_tampering_is_said)
{
	/* prlimit64(1, RLIMIT_NOFILE, {8, 8}) */
	run("perl -e 'my $l = pack(\"QQ\", 8, 8); syscall(302, 1, 7, $l, 0)'; renice -n 5 -p 1 "
	    ">/dev/null");
	ck_assert_uint_eq(r.exit.flags, FRAME_EXIT_TAMPERED);
}
END_TEST

/* Not a single descriptor may be opened or waited for, and it still does all it has to. */
START_TEST(test_tampering_does_not_blind)
{
	run("perl -e 'my $l = pack(\"QQ\", 0, 0); syscall(302, 1, 7, $l, 0)'; echo out; sleep 0.2; "
	    "setsid sleep 1000 & echo end");
	/* blind, it knows no one to spare */
	ck_assert_uint_eq(r.exit.flags, FRAME_EXIT_TAMPERED | FRAME_EXIT_SWEPT);
	ck_assert_str_eq(r.out.data, "out\nend\n");
	ck_assert_uint_eq(r.exit.left, 1);
}
END_TEST

#ifdef __x86_64__
/* Calls that a run has not, with what it is told: nr, first argument, errno. On top of any filter
 * that an engine sets, so here as well. */
START_TEST(test_calls_taken_away)
{
	static const struct {
		int nr;
		unsigned arg;
		int error;
	} calls[] = {
		{248, 0, 1},	     {249, 0, 1},	   {250, 0, 1},	 {321, 0, 1},
		{298, 0, 1},	     {323, 0, 1},	   {425, 0, 38}, {426, 0, 38},
		{427, 0, 38},	     {272, 0x10000000, 1}, {308, 0, 1},	 {165, 0, 1},
		{161, 0, 1},	     {101, 0, 1},	   {310, 0, 1},	 {311, 0, 1},
		{438, 0, 1},	     {304, 0, 1},	   {435, 0, 38}, {41, 38, 97},
		{41, 40, 97},	     {41, 17, 97},	   {41, 1, 94},	 {56, 0x10000000, 1},
		{56, 0x20000000, 1}, {0x40000027, 0, 38},
	};
	_cleanup_buf_ struct buf script = BUF_INIT(8192);
	size_t n = 0;

	buf_append_str(&script, "perl -e 'for (");
	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		buf_appendf(&script, "[%d,%u,%d],", calls[i].nr, calls[i].arg, calls[i].error);
	buf_append_str(&script,
		       ") { my ($nr, $a, $e) = @$_; $! = 0; my $r = syscall($nr, $a, 0, 0, "
		       "0, 0); print $r == -1 && $! == $e ? \"+\" : \" $nr,$a=$r \" . ($! + "
		       "0); exit if $nr == 56 && $r == 0 }'");
	run(script.data);
	while (r.out.data[n] == '+')
		n++;
	ck_assert_msg(n == ARRAY_LEN(calls) && r.out.len == n, "%s", r.out.data);
	/* what everybody needs is there */
	run("perl -MSocket -e 'socket(my $s, AF_INET, SOCK_STREAM, 0) or die $!; socket(my $u, "
	    "AF_UNIX, "
	    "SOCK_STREAM, 0) or die $!; print fork ? \"p\" : \"c\"'");
	ck_assert_uint_eq(r.out.len, 2);
}
END_TEST
#endif

START_TEST(test_survivors)
{
	int tries = 0;

	run("(setsid sh -c 'sleep 1000 & sleep 1000 & wait' >/dev/null 2>&1 </dev/null &) ; echo "
	    "done");
	ck_assert_str_eq(r.out.data, "done\n");
	ck_assert_uint_ge(r.exit.left, 1);
	/* with the pipes kept open, and deaf */
	run("perl -e 'use POSIX; if (fork) { wait; exit } setsid; exit if fork; $SIG{TERM} = "
	    "$SIG{INT} = "
	    "$SIG{HUP} = \"IGNORE\";"
	    "sleep 1 while 1'; echo done");
	ck_assert_str_eq(r.out.data, "done\n");
	ck_assert_uint_eq(r.exit.left, 1);
	/* short-lived children may finish what they say: one that is not given the processor in
	 * time does not */
	do
		run("(sleep 0.03; echo late) &");
	while ((r.out.len == 0 || r.exit.left > 0) && ++tries < 10);
	ck_assert_str_eq(r.out.data, "late\n");
	ck_assert_uint_eq(r.exit.left, 0);
}
END_TEST

static void run_longer_than(unsigned timeout_ms, const char *script)
{
	static uint32_t id = 1000;
	usec_t began = clock_mono();

	agent_result_done(&r);
	agent_box_run(box, ++id, script, timeout_ms, &r);
	ck_assert_uint_eq(r.exit.end, FRAME_END_TIMEOUT);
	ck_assert_uint_eq(r.exit.remaining, 0);
	ck_assert_uint_ge(r.exit.left, 1);
	ck_assert_uint_ge(r.exit.wall_us, timeout_ms * 1000u);
	ck_assert_int_eq(agent_box_alive(box), 0);
	ck_assert_int_lt(clock_mono() - began, timeout_ms * USEC_PER_MSEC + 5 * USEC_PER_SEC);
}

static void run_too_long(const char *script)
{
	run_longer_than(300, script);
}

START_TEST(test_time_limit)
{
	/* with as much time as it takes to say something */
	for (unsigned ms = 300; r.out.len == 0 && ms < 20000; ms *= 2)
		run_longer_than(ms, "echo before; sleep 1000");
	ck_assert_str_eq(r.out.data, "before\n");
	run_too_long("while :; do :; done");
	run_too_long("trap '' TERM INT HUP QUIT; while :; do sleep 1; done");
	run_too_long("kill -STOP 0; kill -STOP $$; sleep 1000");
	run_too_long("exec >/dev/null 2>&1 </dev/null; exec >&- 2>&- <&-; sleep 1000");
	run_too_long("yes | head -c 100 >/dev/null; yes >/dev/null");
	run_too_long("perl -e 'fork while $n++ < 8; sleep 1000'");
	run_too_long("exec sleep 1000");
	ck_assert_uint_eq(r.exit.left, 1);
	ck_assert_uint_eq(r.exit.flags & FRAME_EXIT_SWEPT, 0);
}
END_TEST

/* More processes all the time; the machine is protected by the limit alone. */
START_TEST(test_fork_bomb)
{
	run_too_long("perl -e 'BEGIN { my $l = pack(\"QQ\", 200, 200); syscall(302, 0, 6, $l, 0) } "
		     "while (1) { fork }'");
	run("echo fine");
	ck_assert_str_eq(r.out.data, "fine\n");
}
END_TEST

START_TEST(test_cancel)
{
	agent_box_start(box, 7, "sleep 1000", 60000, 1000, 0);
	agent_box_send(box, FRAME_CANCEL, 0, 6, "", 0);
	usleep(50000);
	agent_box_send(box, FRAME_CANCEL, 0, 7, "", 0);
	agent_box_finish(box, 7, &r);
	ck_assert_uint_eq(r.exit.end, FRAME_END_CANCELLED);
	ck_assert_int_eq(agent_box_alive(box), 0);
}
END_TEST

START_TEST(test_not_started)
{
	static const char argv[][24] = {"/nowhere/at/all", "nothing-of-this-name", "/usr",
					"/etc-is-not-there/x"};
	const uint32_t expected[] = {2, 2, 13, 2};

	for (uint32_t i = 0; i < ARRAY_LEN(argv); i++) {
		struct frame_run spec = {.timeout_ms = 1000, .output_limit = 1000};
		unsigned char bytes[FRAME_STRUCT_MAX];

		agent_box_send(box, FRAME_ARGS, 0, i + 1, argv[i], strlen(argv[i]) + 1);
		agent_box_send(box, FRAME_RUN, 0, i + 1, bytes, frame_run_encode(&spec, bytes));
		agent_box_finish(box, i + 1, &r);
		ck_assert_uint_eq(r.exit.end, FRAME_END_NOT_STARTED);
		ck_assert_uint_eq(r.exit.start_errno, expected[i]);
		ck_assert(strstr(r.text, argv[i]) != NULL);
	}
	ck_assert_int_eq(agent_box_alive(box), 0);
}
END_TEST

/* Head live, tail at the end, the middle counted. */
START_TEST(test_output_cap)
{
	agent_box_start(box, 1, "seq 100000", 20000, 1000, 0);
	agent_box_finish(box, 1, &r);
	ck_assert_uint_eq(r.out.len, 1000);
	ck_assert_uint_eq(r.out_tail, 500);
	ck_assert_uint_eq(r.exit.stdout_total, 588895);
	ck_assert_uint_eq(r.exit.stdout_dropped, 588895 - 1000);
	ck_assert(strncmp(r.out.data, "1\n2\n3\n", 6) == 0);
	ck_assert_str_eq(r.out.data + 1000 - 14, "\n99999\n100000\n");
	agent_result_done(&r);
	agent_box_start(box, 2, "printf 12345; printf 67890", 20000, 10, 0);
	agent_box_finish(box, 2, &r);
	ck_assert_str_eq(r.out.data, "1234567890");
	ck_assert_uint_eq(r.exit.stdout_dropped, 0);
	ck_assert_uint_eq(r.out_tail, 0);
}
END_TEST

START_TEST(test_flood)
{
	const uint64_t each = 1ull << 30;

	agent_box_start(box, 1, "head -c 1G /dev/zero >&2 & head -c 1G /dev/zero & wait; echo end",
			60000, 1 << 20, 0);
	agent_box_finish(box, 1, &r);
	ck_assert_uint_eq(r.exit.end, FRAME_END_EXITED);
	ck_assert_uint_eq(r.out.len, 1 << 20);
	ck_assert_uint_eq(r.err.len, 1 << 20);
	ck_assert_uint_eq(r.exit.stdout_total, each + 4);
	ck_assert_uint_eq(r.exit.stderr_dropped, each - (1 << 20));
	ck_assert(memcmp(r.out.data + r.out.len - 4, "end\n", 4) == 0);
}
END_TEST

/* Output that looks like frames stays output. */
START_TEST(test_forged_frames)
{
	_cleanup_buf_ struct buf script = BUF_INIT(1000);
	unsigned char forged[2 * FRAME_HEADER];

	memcpy(forged, frame_sync_mark, FRAME_HEADER);
	frame_header(forged + FRAME_HEADER, FRAME_EXIT, 0, 1, 101, 0);
	buf_append_str(&script, "printf '");
	for (size_t i = 0; i < sizeof(forged); i++)
		buf_appendf(&script, "\\%03o", forged[i]);
	buf_append_str(&script, "'; exit 5");
	run(script.data);
	ck_assert_uint_eq(r.out.len, sizeof(forged));
	ck_assert_uint_eq(r.exit.exit_code, 5);
}
END_TEST

START_TEST(test_stdin)
{
	static char piece[60000];
	struct frame f;

	memset(piece, 'x', sizeof(piece));
	agent_box_start(box, 1, "wc -c", 20000, 1000, FRAME_RUN_STDIN);
	for (int i = 0; i < 4; i++)
		agent_box_send(box, FRAME_STDIN, i == 3 ? FRAME_LAST : 0, 1, piece, sizeof(piece));
	agent_box_finish(box, 1, &r);
	ck_assert_str_eq(r.out.data, "240000\n");
	ck_assert_uint_eq(r.taken, 240000);
	/* nobody reads it */
	agent_result_done(&r);
	agent_box_start(box, 2, "exec <&-; sleep 0.1; echo ok", 20000, 1000, FRAME_RUN_STDIN);
	for (int i = 0; i < 4; i++)
		agent_box_send(box, FRAME_STDIN, i == 3 ? FRAME_LAST : 0, 2, piece, sizeof(piece));
	agent_box_finish(box, 2, &r);
	ck_assert_str_eq(r.out.data, "ok\n");
	/* beyond the window */
	agent_result_done(&r);
	agent_box_start(box, 3, "while [ ! -e gate ]; do sleep 0.01; done", 20000, 1000,
			FRAME_RUN_STDIN);
	for (int i = 0; i < 6; i++)
		agent_box_send(box, FRAME_STDIN, 0, 3, piece, sizeof(piece));
	do
		ck_assert(agent_box_read(box, 5000, &f));
	while (f.type == FRAME_STDIN_TAKEN || f.type == FRAME_STARTED);
	ck_assert_uint_eq(f.type, FRAME_COMPLAINT);
	agent_box_touch(box, "gate");
	agent_box_finish(box, 3, &r);
	ck_assert_uint_eq(r.exit.exit_code, 0);
}
END_TEST

START_TEST(test_files_in)
{
	const char *bad[] = {"/etc/x", "../x", "a/../x", "a//b", "new\nline", "", "a/b/c/d/e"};

	agent_box_put(box, 1, "data.csv", "1,2,3");
	agent_box_put(box, 1, ".celeriac/main.py", "code");
	agent_box_put(box, 1, "empty", "");
	agent_box_run(box, 1, "cat data.csv .celeriac/main.py empty; ls -la .celeriac | wc -l",
		      5000, &r);
	ck_assert_str_eq(r.out.data, "1,2,3code4\n");
	for (uint32_t i = 0; i < ARRAY_LEN(bad); i++) {
		agent_result_done(&r);
		agent_box_put(box, 10 + i, bad[i], "x");
		agent_box_run(box, 10 + i, "echo never", 5000, &r);
		ck_assert_uint_eq(r.exit.end, FRAME_END_NOT_STARTED);
		ck_assert_uint_eq(r.out.len, 0);
		ck_assert(strstr(r.text, "input file") != NULL);
	}
	/* what a run left in their place does not lead anywhere else */
	run("rm -rf .celeriac output data.csv; ln -s /tmp .celeriac; ln -s /tmp output; ln -s "
	    "/tmp/stolen data.csv;"
	    "mkdir -m 000 locked; chmod 000 /sandbox");
	agent_box_put(box, 50, "data.csv", "new");
	agent_box_put(box, 50, ".celeriac/main.py", "new");
	agent_box_put(box, 50, "locked/file", "new");
	agent_result_done(&r);
	agent_box_run(
		box, 50,
		"ls /tmp; cat data.csv .celeriac/main.py locked/file; stat -c %F output .celeriac",
		5000, &r);
	ck_assert_str_eq(r.out.data, "newnewnewdirectory\ndirectory\n");
}
END_TEST

START_TEST(test_disk_full)
{
	run("head -c 100M /dev/zero >big; echo $?");
	ck_assert_str_eq(r.out.data, "1\n");
	ck_assert_uint_eq(r.exit.free_bytes, 0);
	agent_box_put(box, 3, "data", "does not fit");
	agent_result_done(&r);
	agent_box_run(box, 3, "echo never", 5000, &r);
	ck_assert_uint_eq(r.exit.end, FRAME_END_NOT_STARTED);
	ck_assert_uint_eq(r.exit.start_errno, 28);
	run("rm big; for i in $(seq 5000); do : >f$i || exit 7; done");
	ck_assert_uint_eq(r.exit.free_inodes, 0);
}
END_TEST

START_TEST(test_nonsense)
{
	static char zeros[FRAME_PREAMBLE];
	unsigned char noise[5000], head[FRAME_HEADER];
	struct frame f;

	/* unknown and misplaced frames are complained about */
	agent_box_send(box, FRAME_EXIT, 0, 1, "", 0);
	ck_assert(agent_box_read(box, 5000, &f) && f.type == FRAME_COMPLAINT);
	agent_box_send(box, FRAME_RUN, 0, 4, "short", 5);
	ck_assert(agent_box_read(box, 5000, &f) && f.type == FRAME_COMPLAINT);
	agent_box_send(box, FRAME_PUT_DATA, 0, 4, "x", 1);
	agent_box_send(box, FRAME_ARGS, 0, 4, "not terminated", 4);
	agent_box_run(box, 4, "echo never", 1000, &r);
	ck_assert_uint_eq(r.exit.end, FRAME_END_NOT_STARTED);
	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (unsigned char)(i * 131 + i / 256);
	agent_box_send_raw(box, noise, sizeof(noise));
	agent_box_send_raw(box, zeros, sizeof(zeros));
	ck_assert(agent_box_hello(box, 2) & FRAME_WELCOME_OBEYS);
	/* cut in the middle of a frame */
	frame_header(head, FRAME_PUT_DATA, 0, 2, 5, FRAME_PAYLOAD);
	agent_box_send_raw(box, head, sizeof(head));
	agent_box_send_raw(box, "half", 4);
	agent_box_send_raw(box, zeros, sizeof(zeros));
	ck_assert(agent_box_hello(box, 3) & FRAME_WELCOME_OBEYS);
	run("echo well");
	ck_assert_str_eq(r.out.data, "well\n");
}
END_TEST

START_TEST(test_end_of_stream)
{
	int status;

	agent_box_start(box, 1, "sleep 1000", 60000, 1000, 0);
	usleep(50000);
	close(box->to);
	box->to = -1;
	ck_assert_int_eq(waitpid(box->pid, &status, 0), box->pid);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	box->pid = 0;
}
END_TEST

static void send_step(uint32_t run, const char *script, const char *more)
{
	const char *argv[] = {"/bin/sh", "-c", script, more};

	for (size_t i = 0; i < ARRAY_LEN(argv); i++)
		agent_box_send(box, FRAME_ARGS, i == 3 ? FRAME_LAST : 0, run, argv[i],
			       strlen(argv[i]) + 1);
}

/* Both steps, with "input" for whoever reads it; EXIT's flags say which one was last. */
static void run_steps(const char *one, const char *two, unsigned timeout_ms, enum frame_end end,
		      uint32_t last)
{
	struct frame_run spec = {
		.timeout_ms = timeout_ms, .output_limit = 1000, .flags = FRAME_RUN_STDIN};
	unsigned char bytes[FRAME_STRUCT_MAX];
	static uint32_t id = 5000;

	agent_result_done(&r);
	send_step(++id, one, "a");
	send_step(id, two, "b");
	agent_box_send(box, FRAME_RUN, 0, id, bytes, frame_run_encode(&spec, bytes));
	agent_box_send(box, FRAME_STDIN, FRAME_LAST, id, "input", 5);
	agent_box_finish(box, id, &r);
	ck_assert_uint_eq(r.exit.end, end);
	ck_assert_uint_eq(r.exit.flags >> FRAME_EXIT_STEP, last);
	ck_assert_uint_eq(r.exit.remaining, 0);
	ck_assert_int_eq(agent_box_alive(box), 0);
}

START_TEST(test_steps)
{
	run_steps("cat; echo one $0", "cat; echo two $0; exit 4", 20000, FRAME_END_EXITED, 1);
	ck_assert_str_eq(r.out.data, "inputtwo b\n");
	ck_assert_str_eq(r.err.data, "one a\n");
	ck_assert_uint_eq(r.exit.exit_code, 4);
	run_steps("echo wrong >&2; exit 3", "echo never", 20000, FRAME_END_EXITED, 0);
	ck_assert_str_eq(r.err.data, "wrong\n");
	ck_assert_uint_eq(r.out.len, 0);
	ck_assert_uint_eq(r.exit.exit_code, 3);
	run_steps("kill -9 $$", "echo never", 20000, FRAME_END_EXITED, 0);
	ck_assert_uint_eq(r.exit.term_signal, SIGKILL);
	run_steps("sleep 1000", "echo never", 300, FRAME_END_TIMEOUT, 0);
	run_steps(":", "echo two; sleep 1000", 2000, FRAME_END_TIMEOUT, 1);
	ck_assert_str_eq(r.out.data, "two\n");
	/* what a step leaves behind goes with the run */
	run_steps("sleep 1000 >/dev/null 2>&1 &", "echo two", 20000, FRAME_END_EXITED, 1);
	ck_assert_str_eq(r.out.data, "two\n");
	ck_assert_uint_eq(r.exit.left, 1);
}
END_TEST

START_TEST(test_more_steps_than_there_can_be)
{
	struct frame_run spec = {.timeout_ms = 1000, .output_limit = 1000};
	unsigned char bytes[FRAME_STRUCT_MAX];

	for (int i = 0; i < 9; i++)
		send_step(1, "echo never", "x");
	agent_box_send(box, FRAME_RUN, 0, 1, bytes, frame_run_encode(&spec, bytes));
	agent_box_finish(box, 1, &r);
	ck_assert_uint_eq(r.exit.end, FRAME_END_NOT_STARTED);
	/* a step without arguments is none */
	agent_box_send(box, FRAME_ARGS, FRAME_LAST, 2, "", 0);
	agent_box_send(box, FRAME_RUN, 0, 2, bytes, frame_run_encode(&spec, bytes));
	agent_result_done(&r);
	agent_box_finish(box, 2, &r);
	ck_assert_uint_eq(r.exit.end, FRAME_END_NOT_STARTED);
	run("echo fine");
	ck_assert_str_eq(r.out.data, "fine\n");
}
END_TEST

int main(void)
{
	if (!agent_box_possible()) {
		puts("namespaces cannot be made here: nothing tested");
		return 0;
	}
	Suite *s = suite_create("agent");
	TCase *t = tcase_create("runs");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_plain);
	tcase_add_test(t, test_what_a_run_inherits);
	tcase_add_test(t, test_agent_is_closed_to_the_run);
#ifdef __x86_64__
	tcase_add_test(t, test_calls_taken_away);
#endif
	tcase_add_test(t, test_tampering_is_said);
	tcase_add_test(t, test_tampering_does_not_blind);
	tcase_add_test(t, test_survivors);
	tcase_add_test(t, test_time_limit);
	tcase_add_test(t, test_fork_bomb);
	tcase_add_test(t, test_cancel);
	tcase_add_test(t, test_not_started);
	tcase_add_test(t, test_output_cap);
	tcase_add_test(t, test_flood);
	tcase_add_test(t, test_forged_frames);
	tcase_add_test(t, test_stdin);
	tcase_add_test(t, test_files_in);
	tcase_add_test(t, test_disk_full);
	tcase_add_test(t, test_steps);
	tcase_add_test(t, test_more_steps_than_there_can_be);
	tcase_add_test(t, test_nonsense);
	tcase_add_test(t, test_end_of_stream);
	suite_add_tcase(s, t);
	SRunner *runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
