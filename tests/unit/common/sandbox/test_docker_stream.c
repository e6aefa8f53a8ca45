/* Docker's frames: split anywhere, empty, huge, and not frames at all. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "common/sandbox/docker_stream.h"

static void frame(struct buf *b, unsigned char type, const void *data, uint32_t len)
{
	const unsigned char head[8] = {type,
				       0,
				       0,
				       0,
				       (unsigned char)(len >> 24),
				       (unsigned char)(len >> 16),
				       (unsigned char)(len >> 8),
				       (unsigned char)len};

	buf_append(b, head, sizeof(head));
	buf_append(b, data, len);
}

/* Everything that comes out of `in`, fed in pieces of `step`: stdout to out, stderr to two. */
static int demux(const struct buf *in, size_t step, struct buf *out, struct buf *two,
		 struct err *err)
{
	struct docker_stream d;

	docker_stream_init(&d);
	for (size_t at = 0; at < in->len; at += step) {
		const char *data = in->data + at;
		size_t len = in->len - at < step ? in->len - at : step;
		enum engine_channel channel;
		struct slice piece;
		int rc;
		while ((rc = docker_stream_next(&d, &data, &len, &channel, &piece, err)) > 0) {
			ck_assert_uint_gt(piece.len, 0);
			ck_assert_uint_le(piece.len, step);
			if (channel == ENGINE_STDOUT)
				buf_append_slice(out, piece);
			else if (channel == ENGINE_STDERR)
				buf_append_slice(two, piece);
		}
		if (rc < 0)
			return rc;
		ck_assert_uint_eq(len, 0);
	}
	return docker_stream_end(&d, err);
}

START_TEST(test_every_split)
{
	_cleanup_buf_ struct buf in = BUF_INIT(1 << 20), out = BUF_INIT(1 << 20),
				 two = BUF_INIT(1 << 20);
	char long_text[1000];
	struct err err;

	memset(long_text, 'x', sizeof(long_text));
	frame(&in, 1, "hello ", 6);
	frame(&in, 2, "oh", 2);
	frame(&in, 1, "", 0);
	frame(&in, 2, "", 0);
	frame(&in, 0, "ignored", 7);
	frame(&in, 1, long_text, sizeof(long_text));
	frame(&in, 1, "\1\0\0\0\0\0\0\3abc", 11); /* a frame inside a frame is data */
	frame(&in, 2, "!", 1);
	for (size_t step = 1; step <= in.len; step++) {
		buf_reset(&out);
		buf_reset(&two);
		ck_assert_int_eq(demux(&in, step, &out, &two, &err), 0);
		ck_assert_uint_eq(out.len, 6 + sizeof(long_text) + 11);
		ck_assert(memcmp(out.data, "hello xxx", 9) == 0);
		ck_assert(memcmp(out.data + out.len - 11, "\1\0\0\0\0\0\0\3abc", 11) == 0);
		ck_assert_str_eq(two.data, "oh!");
	}
}
END_TEST

START_TEST(test_largest_frame)
{
	static char chunk[1 << 20];
	const char head[8] = {1, 0, 0, 0, (char)0xff, (char)0xff, (char)0xff, (char)0xff};
	struct docker_stream d;
	enum engine_channel channel;
	struct slice piece;
	struct err err;
	uint64_t seen = 0;

	docker_stream_init(&d);
	const char *data = head;
	size_t len = sizeof(head);
	ck_assert_int_eq(docker_stream_next(&d, &data, &len, &channel, &piece, &err), 0);
	ck_assert_int_eq(docker_stream_end(&d, &err), -ERR_CLOSED);
	while (seen < UINT32_MAX) {
		data = chunk;
		len = sizeof(chunk);
		ck_assert_int_eq(docker_stream_next(&d, &data, &len, &channel, &piece, &err), 1);
		ck_assert_int_eq(channel, ENGINE_STDOUT);
		seen += piece.len;
	}
	ck_assert_uint_eq(seen, UINT32_MAX);
	ck_assert_uint_eq(len, 1); /* the first byte after it is a head's again */
	ck_assert_int_eq(docker_stream_end(&d, &err), 0);
}
END_TEST

START_TEST(test_system_error)
{
	struct err err;

	for (size_t step = 1; step < 60; step++) {
		_cleanup_buf_ struct buf in = BUF_INIT(1 << 20), out = BUF_INIT(1 << 20),
					 two = BUF_INIT(1 << 20);
		frame(&in, 1, "some", 4);
		frame(&in, 3, "error from daemon: gone", 23);
		frame(&in, 1, "more", 4);
		ck_assert_int_eq(demux(&in, step, &out, &two, &err), -ERR_FAILED);
		ck_assert_str_eq(out.data, "some");
		ck_assert_ptr_nonnull(strstr(err.msg, "error from daemon: gone"));
	}
}
END_TEST

START_TEST(test_system_error_bounds)
{
	_cleanup_buf_ struct buf in = BUF_INIT(1 << 20), out = BUF_INIT(1 << 20),
				 two = BUF_INIT(1 << 20);
	static char text[100000];
	struct err err;

	memset(text, 'e', sizeof(text));
	frame(&in, 3, text, sizeof(text));
	ck_assert_int_eq(demux(&in, 7, &out, &two, &err), -ERR_FAILED);
	buf_reset(&in);
	frame(&in, 3, "", 0);
	ck_assert_int_eq(demux(&in, 3, &out, &two, &err), -ERR_FAILED);
}
END_TEST

START_TEST(test_not_frames)
{
	static const char *const bad[] = {"hello world, a terminal's bytes",
					  "\4\0\0\0\0\0\0\1a",
					  "\1\1\0\0\0\0\0\1a",
					  "\1\0\1\0\0\0\0\1a",
					  "\1\0\0\1\0\0\0\1a",
					  "\377\0\0\0\0\0\0\0"};
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		_cleanup_buf_ struct buf in = BUF_INIT(100), out = BUF_INIT(100),
					 two = BUF_INIT(100);
		buf_append(&in, bad[i], i == 0 ? strlen(bad[i]) : 8);
		ck_assert_int_eq(demux(&in, 1, &out, &two, &err), -ERR_PROTOCOL);
		ck_assert_int_eq(demux(&in, 100, &out, &two, &err), -ERR_PROTOCOL);
	}
}
END_TEST

START_TEST(test_ends_inside)
{
	_cleanup_buf_ struct buf in = BUF_INIT(100), out = BUF_INIT(100), two = BUF_INIT(100);
	struct err err;

	frame(&in, 1, "abc", 3);
	for (size_t cut = 1; cut < in.len; cut++) {
		struct buf part = in;
		part.len = cut;
		ck_assert_int_eq(demux(&part, 2, &out, &two, &err), -ERR_CLOSED);
		ck_assert(err_is_transient(&err));
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("docker_stream");
	TCase *t = tcase_create("frames");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_every_split);
	tcase_add_test(t, test_largest_frame);
	tcase_add_test(t, test_system_error);
	tcase_add_test(t, test_system_error_bounds);
	tcase_add_test(t, test_not_frames);
	tcase_add_test(t, test_ends_inside);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
