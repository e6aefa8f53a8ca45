/* Attachments to an agent: epochs, runs that outlive them, verdicts that are kept. */
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

/* Reads up to the output of a run that holds `text`. */
static void await_output(const char *text)
{
	struct frame f;

	do
		ck_assert(agent_box_read(box, 60000, &f) && f.type != FRAME_EXIT);
	while (f.type != FRAME_STDOUT || !memmem(f.data, f.len, text, strlen(text)));
}

START_TEST(test_epochs)
{
	struct frame f;

	agent_box_start(box, 1, "echo hello; sleep 1000", 60000, 1000, 0);
	await_output("hello");
	/* a lower one is told so, and changes nothing */
	ck_assert_uint_eq(agent_box_hello(box, 1), 0);
	ck_assert_uint_eq(box->epoch, 1);
	ck_assert_int_ge(agent_box_alive(box), 1);
	/* nobody could ever ask for a run without a key */
	ck_assert_uint_eq(agent_box_hello(box, 9), FRAME_WELCOME_OBEYS | FRAME_WELCOME_ENDED);
	ck_assert_int_eq(agent_box_alive(box), 0);
	/* the old worker is not heard any more */
	box->epoch = 1;
	agent_box_start(box, 2, "echo old", 60000, 1000, 0);
	box->epoch = 9;
	agent_box_run(box, 3, "echo new", 5000, &r);
	ck_assert_str_eq(r.out.data, "new\n");
	/* the one that is replaced is told */
	agent_box_send_raw(box, frame_sync_mark, FRAME_HEADER);
	box->epoch = 10;
	agent_box_send(box, FRAME_HELLO, 0, 0, "0123456789abcdef\2\0\0", FRAME_NONCE + 4);
	ck_assert(agent_box_read(box, 60000, &f));
	ck_assert(f.type == FRAME_SUPERSEDED && f.epoch == 9);
}
END_TEST

/* A run with a key does not end with its worker: the next one is told everything from the
 * beginning, and what comes. */
START_TEST(test_reattach)
{
	struct frame_state s;
	char piece[1000];

	memset(piece, 'x', sizeof(piece));
	agent_box_start_keyed(box, 1, "task",
			      "echo one; echo two >&2; head -c 1500 | wc -c; cat gate; "
			      "while [ ! -e gate ]; do sleep 0.01; done; echo three",
			      60000, 1 << 16, FRAME_RUN_STDIN);
	agent_box_send(box, FRAME_STDIN, 0, 1, piece, sizeof(piece));
	await_output("one");
	ck_assert_uint_eq(agent_box_hello(box, 7), FRAME_WELCOME_OBEYS | FRAME_WELCOME_BUSY);
	ck_assert_int_ge(agent_box_alive(box), 1);
	ck_assert_int_eq(agent_box_ask(box, 4, "task", &s), FRAME_STATE_GOING);
	ck_assert(s.note == 3 && s.left_ms > 1000 && s.left_ms <= 60000);
	ck_assert(s.stdin_got == 1000 && s.stdin_taken <= 1000);
	agent_box_send(box, FRAME_STDIN, FRAME_LAST, 4, piece, 500);
	await_output("1500");
	/* and once more, by one who comes when it is over */
	agent_box_hello(box, 8);
	ck_assert_int_eq(agent_box_ask(box, 1, "another", &s), FRAME_STATE_BUSY);
	ck_assert_int_eq(agent_box_ask(box, 2, "task", &s), FRAME_STATE_GOING);
	agent_box_send(box, FRAME_CANCEL, 0, 1, "", 0);
	agent_box_send(box, FRAME_CANCEL, 0, 2, "", 0);
	agent_box_finish(box, 2, &r);
	ck_assert_uint_eq(r.exit.end, FRAME_END_CANCELLED);
	ck_assert_str_eq(r.out.data, "one\n1500\n");
	ck_assert(strncmp(r.err.data, "two\n", 4) == 0);
}
END_TEST

/* What it said and how it ended is kept until it is acknowledged, and not longer. */
START_TEST(test_kept_verdict)
{
	struct frame_state s;
	struct frame f;

	agent_box_start_keyed(box, 1, "task",
			      "echo begun; while [ ! -e gate ]; do sleep 0.01; done; "
			      "seq 1000 >&2; exit 7",
			      60000, 1000, 0);
	await_output("begun");
	agent_box_hello(box, 2);
	ck_assert_int_eq(agent_box_ask(box, 5, "another", &s), FRAME_STATE_BUSY);
	agent_box_touch(box, "gate");
	/* it is said when it has ended, and nothing else */
	ck_assert(agent_box_read(box, 60000, &f) && f.type == FRAME_STATE && f.run == 5);
	ck_assert(frame_state_decode(&f, &s) && s.state == FRAME_STATE_NONE);
	for (uint32_t i = 0; i < 3; i++) {
		if (i == 1)
			agent_box_hello(box, 3);
		ck_assert_int_eq(agent_box_ask(box, 6 + i, "task", &s), FRAME_STATE_ENDED);
		agent_result_done(&r);
		agent_box_finish(box, 6 + i, &r);
		ck_assert(r.exit.end == FRAME_END_EXITED && r.exit.exit_code == 7);
		ck_assert_str_eq(r.out.data, "begun\n");
		ck_assert(r.err.len == 1000 && r.err_tail == 500);
		ck_assert_uint_eq(r.exit.stderr_dropped, 3893 - 1000);
	}
	run("echo other runs do not matter");
	ck_assert_int_eq(agent_box_ask(box, 20, "task", &s), FRAME_STATE_ENDED);
	agent_result_done(&r);
	agent_box_finish(box, 20, &r);
	agent_box_send(box, FRAME_ACK, 0, 0, "task", 4);
	ck_assert_int_eq(agent_box_ask(box, 21, "task", &s), FRAME_STATE_NONE);
}
END_TEST

/* The oldest go when they are too many or too large. */
START_TEST(test_kept_bounds)
{
	struct frame_state s;
	char key[20];

	for (uint32_t i = 0; i < 20; i++) {
		snprintf(key, sizeof(key), "task-%u", i);
		agent_box_start_keyed(box, i + 1, key, "echo $$", 60000, 1000, 0);
		agent_result_done(&r);
		agent_box_finish(box, i + 1, &r);
	}
	for (uint32_t i = 0; i < 20; i++) {
		snprintf(key, sizeof(key), "task-%u", i);
		ck_assert_int_eq(agent_box_ask(box, 30 + i, key, &s),
				 i < 12 ? FRAME_STATE_NONE : FRAME_STATE_ENDED);
		if (s.state == FRAME_STATE_ENDED) {
			agent_result_done(&r);
			agent_box_finish(box, 30 + i, &r);
		}
	}
	for (uint32_t i = 0; i < 3; i++) {
		snprintf(key, sizeof(key), "large-%u", i);
		agent_box_start_keyed(box, 60 + i, key, "head -c 9M /dev/zero", 60000, 10 << 20, 0);
		agent_result_done(&r);
		agent_box_finish(box, 60 + i, &r);
		ck_assert_uint_eq(r.exit.stdout_dropped, 0);
	}
	ck_assert_int_eq(agent_box_ask(box, 70, "large-1", &s), FRAME_STATE_NONE);
	ck_assert_int_eq(agent_box_ask(box, 71, "large-2", &s), FRAME_STATE_ENDED);
	agent_result_done(&r);
	agent_box_finish(box, 71, &r);
	ck_assert_uint_eq(r.out.len, 9 << 20);
}
END_TEST

/* The files of a run are its own, however late somebody asks for them. */
START_TEST(test_kept_files)
{
	const struct frame_harvest limits = {.files = 10,
					     .depth = 5,
					     .entries = 100,
					     .time_ms = 5000,
					     .file_size = 1000,
					     .total_size = 1000};
	_cleanup_buf_ struct buf found = BUF_INIT(10000);
	struct frame_state s;

	agent_box_start_keyed(box, 1, "first", "echo 1 >output/a; echo 1 >output/b", 60000, 1000,
			      0);
	agent_box_finish(box, 1, &r);
	agent_box_start_keyed(box, 2, "second", "echo 222 >output/b; echo 2 >output/c", 60000, 1000,
			      0);
	agent_result_done(&r);
	agent_box_finish(box, 2, &r);
	agent_box_harvest_run(box, 2, &limits, &found);
	ck_assert_str_eq(found.data, "+b:4 +c:2 ");
	/* the answer was lost, and another comes */
	agent_box_hello(box, 2);
	ck_assert_int_eq(agent_box_ask(box, 5, "second", &s), FRAME_STATE_ENDED);
	agent_result_done(&r);
	agent_box_finish(box, 5, &r);
	agent_box_harvest_run(box, 5, &limits, &found);
	ck_assert_str_eq(found.data, "+b:4 +c:2 ");
	ck_assert_int_eq(agent_box_ask(box, 6, "first", &s), FRAME_STATE_ENDED);
	agent_result_done(&r);
	agent_box_finish(box, 6, &r);
	agent_box_harvest_run(box, 6, &limits, &found);
	ck_assert_str_eq(found.data, "+a:2 -b:11 ");
}
END_TEST

/* The beginning of a run, with a harvest for its end. */
static void order_with_harvest(uint32_t id, const struct frame_harvest *limits)
{
	agent_box_put(box, id, "input", "");
	agent_box_ask_harvest(box, id, limits);
}

/* A harvest that was asked for with the run comes behind its end, unless the run leaves nothing of
 * its own; whoever asks for the run anew asks for its files as well. */
START_TEST(test_harvest_ahead)
{
	const struct frame_harvest limits = {.files = 10,
					     .depth = 8,
					     .entries = 1000,
					     .time_ms = 60000,
					     .file_size = 1000,
					     .total_size = 10000};
	_cleanup_buf_ struct buf found = BUF_INIT(10000);
	struct frame_state s;
	struct frame f;

	order_with_harvest(1, &limits);
	agent_box_start_keyed(box, 1, "first", "echo 1 >output/a; echo hello", 60000, 1000, 0);
	agent_box_finish(box, 1, &r);
	agent_box_take_harvest(box, &found);
	ck_assert_str_eq(found.data, "+a:2 ");
	/* cancelled: its file is the next one's */
	order_with_harvest(2, &limits);
	agent_box_start_keyed(box, 2, "second", "echo 2 >output/b; echo; sleep 1000", 60000, 1000,
			      0);
	do
		ck_assert(agent_box_read(box, 60000, &f));
	while (f.type != FRAME_STDOUT);
	agent_box_send(box, FRAME_CANCEL, 0, 2, "", 0);
	agent_result_done(&r);
	agent_box_finish(box, 2, &r);
	ck_assert_uint_eq(r.exit.end, FRAME_END_CANCELLED);
	/* one that does not start: the same */
	order_with_harvest(3, &limits);
	agent_box_put(box, 3, "../no", "x");
	agent_box_start(box, 3, "true", 60000, 1000, 0);
	agent_result_done(&r);
	agent_box_finish(box, 3, &r);
	ck_assert_uint_eq(r.exit.end, FRAME_END_NOT_STARTED);
	/* the order was the other worker's */
	order_with_harvest(4, &limits);
	agent_box_start_keyed(box, 4, "fourth",
			      "while [ ! -e gate ]; do sleep 0.01; done; echo 4 >output/d", 60000,
			      1000, 0);
	agent_box_hello(box, 2);
	ck_assert_int_eq(agent_box_ask(box, 7, "fourth", &s), FRAME_STATE_GOING);
	agent_box_touch(box, "gate");
	agent_result_done(&r);
	agent_box_finish(box, 7, &r);
	agent_box_harvest_run(box, 7, &limits, &found);
	ck_assert_str_eq(found.data, "+b:2 +d:2 ");
	agent_result_done(&r);
}
END_TEST

/* A worker that is one version behind is obeyed as it was then; an older one is not. */
START_TEST(test_older_workers)
{
	struct frame f;

	ck_assert_uint_eq(agent_box_hello_as(box, 2, FRAME_VERSION_MIN), FRAME_WELCOME_OBEYS);
	agent_box_start(box, 1, "echo hello; sleep 1000", 60000, 1000, 0);
	ck_assert(agent_box_read(box, 60000, &f) && f.type == FRAME_STARTED);
	ck_assert(agent_box_read(box, 60000, &f) && f.type == FRAME_STDOUT);
	ck_assert_uint_eq(agent_box_hello(box, 3), FRAME_WELCOME_OBEYS | FRAME_WELCOME_ENDED);
	ck_assert_uint_eq(agent_box_hello_as(box, 4, FRAME_VERSION_MIN - 1), 0);
	ck_assert_uint_eq(box->epoch, 3);
	run("echo well");
}
END_TEST

int main(void)
{
	if (!agent_box_possible()) {
		puts("namespaces cannot be made here: nothing tested");
		return 0;
	}
	Suite *s = suite_create("agent_attach");
	TCase *t = tcase_create("runs");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_epochs);
	tcase_add_test(t, test_reattach);
	tcase_add_test(t, test_kept_verdict);
	tcase_add_test(t, test_kept_bounds);
	tcase_add_test(t, test_kept_files);
	tcase_add_test(t, test_harvest_ahead);
	tcase_add_test(t, test_older_workers);
	suite_add_tcase(s, t);
	SRunner *runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
