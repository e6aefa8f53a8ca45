/* What ends of runs are called, and output as text. */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/sandbox/outcome.h"
#include "common/sandbox/verdict.h"

static const struct {
	struct frame_exit exit;
	const char *error_text;
	enum sandbox_status status;
	int code;
} ends[] = {
	{{.end = FRAME_END_EXITED}, "", SANDBOX_OK, 0},
	{{.end = FRAME_END_EXITED, .exit_code = 3}, "", SANDBOX_ERROR, 3},
	{{.end = FRAME_END_EXITED, .exit_code = 0x103}, "", SANDBOX_ERROR, 3},
	{{.end = FRAME_END_EXITED, .exit_code = 127}, "", SANDBOX_ERROR, 127},
	{{.end = FRAME_END_EXITED, .term_signal = SIGSEGV}, "", SANDBOX_KILLED, 139},
	{{.end = FRAME_END_EXITED, .term_signal = SIGKILL}, "", SANDBOX_KILLED, 137},
	{{.end = FRAME_END_EXITED, .term_signal = SIGKILL, .oom_kills = 1}, "", SANDBOX_OOM, 137},
	{{.end = FRAME_END_EXITED, .exit_code = 1, .oom_kills = 2}, "", SANDBOX_OOM, 137},
	{{.end = FRAME_END_EXITED, .oom_kills = 1}, "", SANDBOX_OK, 0},
	{{.end = FRAME_END_EXITED, .exit_code = 1},
	 "OSError: No space left on device",
	 SANDBOX_DISK_FULL,
	 1},
	{{.end = FRAME_END_EXITED}, "No space left on device", SANDBOX_OK, 0},
	{{.end = FRAME_END_EXITED, .term_signal = SIGKILL},
	 "No space left on device",
	 SANDBOX_KILLED,
	 137},
	{{.end = FRAME_END_TIMEOUT, .term_signal = SIGKILL, .oom_kills = 1},
	 "",
	 SANDBOX_TIMEOUT,
	 124},
	{{.end = FRAME_END_CANCELLED}, "", SANDBOX_CANCELLED, 137},
	{{.end = FRAME_END_SUPERSEDED}, "", SANDBOX_LOST, 137},
	{{.end = 99}, "", SANDBOX_LOST, 137},
	{{.end = FRAME_END_NOT_STARTED, .start_errno = ENOENT}, "", SANDBOX_START_FAILED, 127},
	{{.end = FRAME_END_NOT_STARTED, .start_errno = EACCES}, "", SANDBOX_START_FAILED, 126},
	{{.end = FRAME_END_NOT_STARTED, .start_errno = 0}, "", SANDBOX_START_FAILED, 126},
	{{.end = FRAME_END_NOT_STARTED, .start_errno = ENOSPC}, "", SANDBOX_DISK_FULL, 126},
};

static void judge(struct frame_exit e, const char *text, enum sandbox_status *status, int *code)
{
	sandbox_verdict_of(&e, (struct slice){text, strlen(text)}, status, code);
}

START_TEST(test_ends)
{
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		struct frame_exit e = ends[i].exit;
		enum sandbox_status status;
		int code;

		e.free_bytes = e.free_inodes = e.tmp_free_bytes = 1 << 30;
		judge(e, ends[i].error_text, &status, &code);
		ck_assert_msg(status == ends[i].status && code == ends[i].code, "%zu: %s %d", i,
			      sandbox_status_text(status), code);
	}
}
END_TEST

START_TEST(test_full_disk)
{
	const struct frame_exit room = {
		.exit_code = 1, .free_bytes = 1 << 20, .free_inodes = 9, .tmp_free_bytes = 1 << 20};
	struct frame_exit e[4] = {room, room, room, room};
	enum sandbox_status status;
	int code;

	e[0].free_bytes = 4096;
	e[1].free_inodes = 0;
	e[2].tmp_free_bytes = 0;
	e[3].free_bytes = 0;
	e[3].exit_code = 0;
	for (int i = 0; i < 4; i++) {
		judge(e[i], "", &status, &code);
		ck_assert_int_eq(status, i < 3 ? SANDBOX_DISK_FULL : SANDBOX_OK);
	}
	judge(room, "", &status, &code);
	ck_assert_int_eq(status, SANDBOX_ERROR);
	e[0].exit_code = 0;
	e[0].term_signal = SIGBUS;
	judge(e[0], "", &status, &code);
	ck_assert_int_eq(status, SANDBOX_DISK_FULL);
}
END_TEST

START_TEST(test_without_agent)
{
	enum sandbox_status status;
	int code;

	sandbox_verdict_without_agent(true, true, true, false, &status, &code);
	ck_assert(status == SANDBOX_TIMEOUT && code == 124);
	sandbox_verdict_without_agent(false, false, true, false, &status, &code);
	ck_assert(status == SANDBOX_LOST && code == 137);
	sandbox_verdict_without_agent(false, true, true, false, &status, &code);
	ck_assert(status == SANDBOX_LOST);
	sandbox_verdict_without_agent(false, true, false, true, &status, &code);
	ck_assert(status == SANDBOX_OOM);
	sandbox_verdict_without_agent(false, true, false, false, &status, &code);
	ck_assert(status == SANDBOX_KILLED);
}
END_TEST

START_TEST(test_texts)
{
	ck_assert_str_eq(sandbox_status_text(SANDBOX_DISK_FULL), "disk_full");
	ck_assert_str_eq(sandbox_status_text((enum sandbox_status)99), "lost");
	for (uint32_t i = 0; i < FRAME_SKIP_COUNT + 3; i++)
		ck_assert_ptr_nonnull(sandbox_verdict_skip_text(i));
}
END_TEST

static char *text_of(const char *head, const char *tail, uint64_t dropped)
{
	struct outcome_stream s;
	struct err err;
	char *text;
	size_t len;

	sandbox_outcome_stream_init(&s, 100);
	ck_assert_int_eq(sandbox_outcome_stream_add(&s, head, strlen(head), false, &err), 0);
	ck_assert_int_eq(sandbox_outcome_stream_add(&s, tail, strlen(tail), true, &err), 0);
	ck_assert_int_eq(sandbox_outcome_stream_text(&s, dropped, &text, &len, &err), 0);
	ck_assert_uint_eq(len, strlen(text));
	sandbox_outcome_stream_done(&s);
	return text;
}

/* Characters cut in two by the gap go with it; elsewhere what is invalid is shown. */
START_TEST(test_joined_text)
{
	const struct {
		const char *head, *tail;
		uint64_t dropped;
		const char *text;
	} rows[] = {
		{"abc", "", 0, "abc"},
		{"ab\xff", "", 0, "ab\xef\xbf\xbd"},
		{"ab\xe2\x82", "", 0, "ab\xef\xbf\xbd\xef\xbf\xbd"},
		{"ab", "cd", 5, "ab\n[... 5 bytes dropped ...]\ncd"},
		{"ab\xe2\x82", "\xacz", 5, "ab\n[... 8 bytes dropped ...]\nz"},
		{"\xe2\x82\xac", "\xe2\x82\xac", 5,
		 "\xe2\x82\xac\n[... 5 bytes dropped ...]\n\xe2\x82\xac"},
		{"\xf0\x9f", "\x9f\x98\x80\x80x", 1, "\n[... 6 bytes dropped ...]\n\xef\xbf\xbdx"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *text = text_of(rows[i].head, rows[i].tail, rows[i].dropped);

		ck_assert_msg(strcmp(text, rows[i].text) == 0, "%zu: %s", i, text);
		free(text);
	}
}
END_TEST

START_TEST(test_bounds)
{
	struct sandbox_outcome o = {0};
	struct outcome_stream s;
	struct err err;
	char name[400];

	sandbox_outcome_stream_init(&s, 10);
	ck_assert_int_eq(sandbox_outcome_stream_add(&s, "12345678", 8, false, &err), 0);
	ck_assert_int_eq(sandbox_outcome_stream_add(&s, "12", 2, true, &err), 0);
	ck_assert_int_eq(sandbox_outcome_stream_add(&s, "1", 1, false, &err), -ERR_PROTOCOL);
	sandbox_outcome_stream_done(&s);
	memset(name, 'n', sizeof(name));
	sandbox_outcome_add_skipped(&o, "esc\033[2J\n\xff", 9, "bad name");
	sandbox_outcome_add_skipped(&o, name, sizeof(name), "bad name");
	ck_assert_str_eq(o.skipped[0].name, "esc?[2J?\xef\xbf\xbd");
	ck_assert_uint_eq(strlen(o.skipped[1].name), 258);
	ck_assert_int_eq(sandbox_outcome_add_file(&o, "f", 1, 11, 10, &err), -ERR_TOOBIG);
	ck_assert_int_eq(sandbox_outcome_add_file(&o, "f", 1, 10, 10, &err), 0);
	ck_assert_uint_eq(o.file_count, 1);
	sandbox_outcome_done(&o);
	ck_assert_uint_eq(o.file_count + o.skipped_count, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("verdict");
	TCase *t = tcase_create("ends");

	tcase_add_test(t, test_ends);
	tcase_add_test(t, test_full_disk);
	tcase_add_test(t, test_without_agent);
	tcase_add_test(t, test_texts);
	tcase_add_test(t, test_joined_text);
	tcase_add_test(t, test_bounds);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
