/*
 * The worker's half of a run against agents that lie. The engine's stream is replaced at link time
 * by one that reads what the worker sends and answers as the test says; time is the test's own, so
 * that silence costs none.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "clock.h"
#include "common/sandbox/outcome.h"
#include "common/sandbox/run.h"
#include "common/sandbox/sandbox_internal.h"

struct engine_stream {
	char unused;
};

/* What the agent says after HELLO, RUN and HARVEST; "" = nothing. */
static struct buf on_hello, on_run, on_harvest;
static bool good_welcome, closes; /* at the end of what it says, else it is silent */
static uint32_t epoch, run_id, hellos, version;
static bool asked, begun; /* what has come of the run: HARVEST, RUN */
static unsigned char nonce[FRAME_NONCE];

static struct frame_reader *reader;
static struct buf to_worker;
static size_t given;
static struct engine_stream stream;
static usec_t now = 1000 * USEC_PER_SEC, piece_time = 10;

static usec_t test_clock(void)
{
	return now;
}

static void add(struct buf *b, enum frame_type type, unsigned flags, const void *data, size_t len)
{
	unsigned char head[FRAME_HEADER];

	frame_header(head, type, flags, epoch, type == FRAME_WELCOME ? 0 : run_id, (uint32_t)len);
	buf_append(b, head, sizeof(head));
	buf_append(b, data, len);
}

static void add_welcome(struct buf *b, uint32_t spoken, uint32_t flags, uint32_t obeyed)
{
	unsigned char payload[FRAME_WELCOME_SIZE], *p = payload + FRAME_NONCE;

	memcpy(payload, nonce, FRAME_NONCE);
	p = frame_put_u32(p, spoken);
	frame_put_u32(frame_put_u32(p, flags), obeyed);
	buf_append(b, frame_sync_mark, FRAME_HEADER);
	add(b, FRAME_WELCOME, 0, payload, sizeof(payload));
}

static void hear(const struct frame *f)
{
	if (f->type == FRAME_HELLO) {
		hellos++;
		epoch = f->epoch;
		memcpy(nonce, f->data, FRAME_NONCE);
		if (good_welcome)
			add_welcome(&to_worker, version, FRAME_WELCOME_OBEYS, epoch);
		buf_append(&to_worker, on_hello.data, on_hello.len);
	} else if (f->type == FRAME_RUN) {
		begun = true;
		buf_append(&to_worker, on_run.data, on_run.len);
		if (asked)
			buf_append(&to_worker, on_harvest.data, on_harvest.len);
	} else if (f->type == FRAME_HARVEST) {
		asked = true;
		if (begun)
			buf_append(&to_worker, on_harvest.data, on_harvest.len);
	}
}

int engine_attach(struct engine *e unused_arg, const char *id unused_arg,
		  struct engine_stream **ret, struct err *err unused_arg)
{
	*ret = &stream;
	return 0;
}

int engine_stream_write(struct engine_stream *s unused_arg, const void *data, size_t len,
			usec_t deadline unused_arg, struct err *err unused_arg)
{
	struct frame f;
	bool whole;

	for (size_t used = 0; used < len;) {
		used += frame_read(reader, (const char *)data + used, len - used, &f, &whole);
		if (whole)
			hear(&f);
	}
	return 0;
}

/* In pieces of odd sizes. */
int engine_stream_read(struct engine_stream *s unused_arg, usec_t deadline,
		       enum engine_channel *ret_channel, const void **ret_data, size_t *ret_len,
		       struct err *err)
{
	size_t left = to_worker.len - given;

	if (left == 0 && closes)
		return 0;
	if (left == 0) {
		now = deadline;
		return err_set(err, ERR_TIMEOUT, "silence");
	}
	*ret_channel = ENGINE_STDOUT;
	*ret_data = to_worker.data + given;
	*ret_len = left < 777 ? left : 777;
	given += *ret_len;
	now += piece_time;
	return 1;
}

int engine_stream_fd(const struct engine_stream *s unused_arg)
{
	return -1;
}

void engine_stream_close(struct engine_stream *s unused_arg)
{
}

static struct settings settings = {.sandbox_output_limit = 1000,
				   .sandbox_files_max = 2,
				   .sandbox_file_size = 100,
				   .sandbox_files_size = 150};
static const char *task_id; /* of the run; NULL = it has no key */
static struct sandbox_outcome o;
static enum run_fate fate;
static struct err err;

static void setup(void)
{
	reader = malloc(sizeof(*reader));
	frame_reader_init(reader);
	on_hello = on_run = on_harvest = to_worker = BUF_INIT(64 << 20);
	good_welcome = closes = true;
	asked = begun = false;
	version = FRAME_VERSION;
	epoch = 5;
	run_id = 1;
	clock_hook(test_clock, test_clock);
}

static void teardown(void)
{
	clock_hook(NULL, NULL);
	sandbox_outcome_done(&o);
	buf_done(&on_hello);
	buf_done(&on_run);
	buf_done(&on_harvest);
	buf_done(&to_worker);
	free(reader);
}

static int open_link(struct agent_link **ret)
{
	return agent_link_open(NULL, "x", 5, true, now + USEC_PER_SEC, ret, &err);
}

static void execute(void)
{
	struct sandbox_run run = {.conversation = "c",
				  .task_id = task_id,
				  .language = "python",
				  .code = {"x", 1},
				  .timeout = USEC_PER_SEC};
	struct sandbox_terms terms;
	struct run_plan plan = {.run = &run,
				.language = sandbox_language_find("python"),
				.settings = &settings,
				.terms = &terms};
	struct agent_link *l;

	sandbox_terms_init(&settings, true, &terms);
	ck_assert_msg(open_link(&l) == 0, "%s", err.msg);
	ck_assert_int_eq(sandbox_run_execute(l, &plan, &o, &fate, &err), 0);
	agent_link_close(l);
}

static void add_exit(struct frame_exit e)
{
	unsigned char bytes[FRAME_STRUCT_MAX];

	e.free_bytes = e.free_inodes = e.tmp_free_bytes = 1 << 30;
	add(&on_run, FRAME_EXIT, 0, bytes, frame_exit_encode(&e, bytes));
}

static void add_file(const char *name, uint64_t announced, size_t sent, uint32_t end)
{
	unsigned char bytes[8 + 2000];
	size_t len = strlen(name);

	memcpy(frame_put_u64(bytes, announced), name, len);
	add(&on_harvest, FRAME_FILE, 0, bytes, 8 + len);
	memset(bytes, 'x', sizeof(bytes));
	add(&on_harvest, FRAME_FILE_DATA, 0, bytes, sent);
	frame_put_u32(bytes, end);
	add(&on_harvest, FRAME_FILE_END, 0, bytes, 4);
}

static void add_harvested(void)
{
	const unsigned char bytes[8] = {0};

	add(&on_harvest, FRAME_HARVESTED, 0, bytes, sizeof(bytes));
}

/* Also one that is a version behind, or ahead. */
START_TEST(test_honest)
{
	version = (uint32_t)(FRAME_VERSION + _i);
	add(&on_run, FRAME_STDOUT, 0, "hello", 5);
	add_exit((struct frame_exit){.exit_code = 3});
	add_file("a", 100, 100, 0);
	add_file("b/c", 50, 50, 0);
	add_harvested();
	execute();
	ck_assert(fate == RUN_FINE && o.status == SANDBOX_ERROR && o.exit_code == 3);
	ck_assert_str_eq(o.stdout_text, "hello");
	ck_assert_uint_eq(o.file_count, 2);
	ck_assert_uint_eq(o.files[0].len, 100);
}
END_TEST

/* It is asked for the files of a run that was ended, not of one that is to count as none. */
START_TEST(test_one_behind)
{
	version = FRAME_VERSION_MIN;
	add_exit((struct frame_exit){.end = _i == 0 ? FRAME_END_TIMEOUT : FRAME_END_NOT_STARTED,
				     .start_errno = 1});
	add_file("a", 100, 100, 0);
	add_harvested();
	execute();
	ck_assert_int_eq(fate, RUN_FINE);
	ck_assert_int_eq(o.status, _i == 0 ? SANDBOX_TIMEOUT : SANDBOX_START_FAILED);
	ck_assert_uint_eq(o.file_count, _i == 0);
}
END_TEST

/* Frames before the answer, refusals, other versions. */
START_TEST(test_hello)
{
	struct agent_link *l;

	good_welcome = false;
	buf_append_str(&on_hello, "noise");
	ck_assert_int_eq(open_link(&l), -ERR_CLOSED);
	closes = false;
	ck_assert_int_eq(open_link(&l), -ERR_TIMEOUT);
	ck_assert_uint_eq(hellos, 2);
	ck_assert_uint_eq(epoch, 5);
}
END_TEST

START_TEST(test_endless_noise_is_no_answer)
{
	struct agent_link *l;

	good_welcome = false;
	while (on_hello.len < 3000000)
		buf_append(&on_hello, frame_sync_mark, FRAME_HEADER);
	closes = false;
	now = 0;
	ck_assert_int_eq(agent_link_open(NULL, "x", 5, true, 100, &l, &err), -ERR_TIMEOUT);
}
END_TEST

static void ends_lost(enum run_fate expected)
{
	closes = expected != RUN_SILENT;
	execute();
	ck_assert_int_eq(fate, expected);
	sandbox_outcome_done(&o);
}

START_TEST(test_silence)
{
	usec_t began = now;

	add(&on_run, FRAME_STDOUT, 0, "before", 6);
	closes = false;
	execute();
	ck_assert_int_eq(fate, RUN_SILENT);
	ck_assert_str_eq(o.stdout_text, "before");
	ck_assert_int_ge(now - began, USEC_PER_SEC + RUN_GRACE);
	ck_assert_int_le(now - began, USEC_PER_SEC + RUN_GRACE + USEC_PER_SEC);
}
END_TEST

START_TEST(test_stream_ends)
{
	add(&on_run, FRAME_STDOUT, 0, "before", 6);
	ends_lost(RUN_CUT);
}
END_TEST

/* Whether there is such a run only its agent knows, if it can be asked for it. */
START_TEST(test_stream_ends_before_a_word)
{
	task_id = _i ? "t-1" : NULL;
	ends_lost(_i ? RUN_UNHEARD : RUN_CUT);
}
END_TEST

START_TEST(test_lies_in_a_run)
{
	static const char much[1001];

	switch (_i) {
	case 0: /* more output than allowed */
		add(&on_run, FRAME_STDOUT, 0, much, 600);
		add(&on_run, FRAME_STDOUT, FRAME_TAIL, much, 401);
		break;
	case 1: /* frames of the worker's own */
		add(&on_run, FRAME_RUN, 0, much, 10);
		break;
	case 2: /* out of place */
		add(&on_run, FRAME_HARVESTED, 0, much, 8);
		break;
	case 3: /* too short */
		add(&on_run, FRAME_EXIT, 0, much, 8);
		break;
	case 4: /* no frame */
		buf_append(&on_run, much, 100);
		break;
	case 5: /* another run's */
		run_id = 9;
		add(&on_run, FRAME_STDOUT, 0, much, 8);
		break;
	case 6: /* more input taken than there is */
		add(&on_run, FRAME_STDIN_TAKEN, 0, "\1\0\0\0", 4);
		break;
	default: /* nothing but other epochs */
		epoch = 4;
		for (int i = 0; i < 2000; i++)
			add(&on_run, FRAME_STDOUT, 0, much, 8);
		break;
	}
	ends_lost(RUN_LOST);
}
END_TEST

/* The verdict stands, the container goes, and what was left out is said. */
START_TEST(test_lies_in_a_harvest)
{
	static const char much[2000];

	add_exit((struct frame_exit){.exit_code = 0});
	switch (_i) {
	case 0:
		add_file("large", 101, 101, 0);
		break;
	case 1:
		add_file("a", 100, 100, 0);
		add_file("b", 51, 51, 0);
		break;
	case 2:
		add_file("a", 1, 1, 0);
		add_file("b", 1, 1, 0);
		add_file("c", 1, 1, 0);
		break;
	case 3:
		add_file("a", 1, 1, 0);
		add_file("a", 1, 1, 0);
		break;
	case 4:
		add_file("../a", 1, 1, 0);
		break;
	case 5:
		add_file("a", 10, 11, 0);
		break;
	case 6:
		add_file("a", 10, 9, 0);
		break;
	case 7:
		add(&on_harvest, FRAME_FILE_DATA, 0, "x", 1);
		break;
	case 8:
		for (int i = 0; i < 100; i++)
			add(&on_harvest, FRAME_SKIPPED, 0, much, sizeof(much));
		break;
	case 9:
		add(&on_harvest, FRAME_EXIT, 0, much, 200);
		break;
	case 10:
		closes = false;
		break;
	case 11: /* no end, and no progress */
		add_file("a", 1, 1, 0);
		on_harvest.len -= FRAME_HEADER + 4;
		while (on_harvest.len < (60 << 20))
			add(&on_harvest, FRAME_FILE_DATA, 0, "", 0);
		now = 0;
		piece_time = 500;
		break;
	case 12:
		add(&on_harvest, FRAME_SKIPPED, 0, much, 3);
		break;
	case 13: /* it is over, and the file is not */
		add_file("a", 1, 1, 0);
		on_harvest.len -= FRAME_HEADER + 4;
		break;
	case 14:
		add_file("a", 1, 1, 0);
		run_id++;
		add(&on_harvest, FRAME_SKIPPED, 0, much, 8);
		run_id--;
		break;
	default:
		add_file("huge", UINT64_MAX, 1, 0);
		break;
	}
	if (_i != 10)
		add_harvested();
	execute();
	ck_assert_int_eq(fate, RUN_SPENT);
	ck_assert_int_eq(o.status, SANDBOX_OK);
	ck_assert_uint_le(o.file_count, 2);
	ck_assert_str_eq(o.skipped[o.skipped_count - 1].reason,
			 "the sandbox was lost before its files were read");
}
END_TEST

START_TEST(test_changed_file)
{
	add_exit((struct frame_exit){.exit_code = 0});
	add_file("short", 10, 3, FRAME_SKIP_CHANGED);
	add_file("good", 5, 5, 0);
	add_harvested();
	execute();
	ck_assert(fate == RUN_FINE && o.file_count == 1 && o.skipped_count == 1);
	ck_assert_str_eq(o.files[0].name, "good");
	ck_assert_str_eq(o.skipped[0].reason, "changed while it was read");
}
END_TEST

START_TEST(test_used_up_containers)
{
	add_exit(_i == 0 ? (struct frame_exit){.end = FRAME_END_TIMEOUT, .remaining = 1}
			 : (struct frame_exit){.flags = FRAME_EXIT_TAMPERED});
	add_harvested();
	execute();
	ck_assert_int_eq(fate, RUN_SPENT);
	ck_assert_int_eq(o.status, _i == 0 ? SANDBOX_TIMEOUT : SANDBOX_OK);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("run_hostile");
	TCase *t = tcase_create("agents that lie");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, test_honest, -1, 2);
	tcase_add_loop_test(t, test_one_behind, 0, 2);
	tcase_add_test(t, test_hello);
	tcase_add_test(t, test_endless_noise_is_no_answer);
	tcase_add_test(t, test_silence);
	tcase_add_test(t, test_stream_ends);
	tcase_add_loop_test(t, test_stream_ends_before_a_word, 0, 2);
	tcase_add_loop_test(t, test_lies_in_a_run, 0, 8);
	tcase_add_loop_test(t, test_lies_in_a_harvest, 0, 16);
	tcase_add_test(t, test_changed_file);
	tcase_add_loop_test(t, test_used_up_containers, 0, 2);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
