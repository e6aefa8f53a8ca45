/* Frames between worker and agent: split anywhere, joined in the middle, forged, and not frames at
 * all. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "common/sandbox/frame.h"

static const unsigned char nonce[FRAME_NONCE] = "0123456789abcde";

static void add(struct buf *b, enum frame_type type, uint32_t run, const void *data, size_t len)
{
	unsigned char head[FRAME_HEADER];

	frame_header(head, type, 0, 7, run, (uint32_t)len);
	buf_append(b, head, sizeof(head));
	buf_append(b, data, len);
}

static void add_welcome(struct buf *b, uint32_t epoch, const unsigned char n[FRAME_NONCE])
{
	unsigned char payload[FRAME_WELCOME_SIZE] = {0}, head[FRAME_HEADER];

	memcpy(payload, n, FRAME_NONCE);
	frame_header(head, FRAME_WELCOME, 0, epoch, 0, sizeof(payload));
	buf_append(b, frame_sync_mark, FRAME_HEADER);
	buf_append(b, head, sizeof(head));
	buf_append(b, payload, sizeof(payload));
}

/* Types and lengths of all frames in `in`, as text, fed in pieces of `step`. */
static void read_all(struct frame_reader *r, const struct buf *in, size_t step, struct buf *out)
{
	struct frame f;
	bool whole;

	buf_reset(out);
	for (size_t at = 0; at < in->len; at += step) {
		size_t len = in->len - at < step ? in->len - at : step;

		for (size_t used = 0; used < len;) {
			size_t n = frame_read(r, in->data + at + used, len - used, &f, &whole);

			ck_assert(n > 0);
			used += n;
			ck_assert_uint_le(used, len);
			if (whole)
				buf_appendf(out, "%u:%u:%u ", f.type, f.run, f.len);
		}
	}
}

START_TEST(test_every_split)
{
	static char large[FRAME_PAYLOAD];
	_cleanup_buf_ struct buf in = BUF_INIT(1 << 20), out = BUF_INIT(1 << 20);
	struct frame_reader *r = malloc(sizeof(*r));

	add(&in, FRAME_STDOUT, 1, "hello", 5);
	buf_append(&in, frame_sync_mark, FRAME_HEADER);
	add(&in, FRAME_CANCEL, 2, "", 0);
	add(&in, FRAME_STDERR, 3, large, sizeof(large));
	add(&in, FRAME_EXIT, 4, "", 0);
	for (size_t step = 1; step < 70; step++) {
		frame_reader_init(r);
		read_all(r, &in, step, &out);
		ck_assert_str_eq(out.data, "33:1:5 8:2:0 34:3:65536 36:4:0 ");
		ck_assert_uint_eq(r->skipped, 0);
	}
	free(r);
}
END_TEST

START_TEST(test_content_arrives)
{
	_cleanup_buf_ struct buf in = BUF_INIT(1 << 20);
	struct frame_reader *r = malloc(sizeof(*r));
	struct frame f;
	bool whole;

	add(&in, FRAME_STDOUT, 0x01020304, "a\0b", 3);
	frame_reader_init(r);
	ck_assert_uint_eq(frame_read(r, in.data, in.len, &f, &whole), in.len);
	ck_assert(whole);
	ck_assert_uint_eq(f.epoch, 7);
	ck_assert_uint_eq(f.run, 0x01020304);
	ck_assert(memcmp(f.data, "a\0b", 3) == 0);
	free(r);
}
END_TEST

/* Headers that cannot be: type 0, unknown type, reserved bits, too long. Then a mark brings it
 * back. */
START_TEST(test_nonsense_and_mark)
{
	const unsigned char bad[][FRAME_HEADER] = {
		{0},
		{FRAME_TYPE_END},
		{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		 0xff, 0xff},
		{FRAME_STDOUT, 0, 1},
		{FRAME_STDOUT, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0},
		{0xc5, 'C', 'E', 'L', 'E', 'R', 'I', 'A', 'C', 0xff, '\r', '\n', 0x1a, 0, 0xfe, 2},
	};
	struct frame_reader *r = malloc(sizeof(*r));

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		for (size_t step = 1; step < 40; step++) {
			_cleanup_buf_ struct buf in = BUF_INIT(1 << 20), out = BUF_INIT(1 << 20);

			add(&in, FRAME_STDOUT, 1, "x", 1);
			buf_append(&in, bad[i], FRAME_HEADER);
			add(&in, FRAME_STDOUT, 2, "not seen", 8);
			/* A mark that begins twice. */
			buf_append(&in, frame_sync_mark, 9);
			buf_append(&in, frame_sync_mark, FRAME_HEADER);
			add(&in, FRAME_HELLO, 0, nonce, FRAME_NONCE);
			frame_reader_init(r);
			read_all(r, &in, step, &out);
			ck_assert_str_eq(out.data, "33:1:1 1:0:16 ");
			ck_assert_uint_eq(r->skipped, FRAME_HEADER + FRAME_HEADER + 8 + 9);
		}
	}
	free(r);
}
END_TEST

/* A mark right inside the bytes taken for a header. */
START_TEST(test_mark_at_every_offset)
{
	struct frame_reader *r = malloc(sizeof(*r));

	for (size_t n = 1; n < 40; n++) {
		_cleanup_buf_ struct buf in = BUF_INIT(1 << 20), out = BUF_INIT(1 << 20);
		const char zeros[40] = {0};

		buf_append(&in, zeros, n);
		buf_append(&in, frame_sync_mark, FRAME_HEADER);
		add(&in, FRAME_HELLO, 0, nonce, FRAME_NONCE);
		frame_reader_init(r);
		read_all(r, &in, 1000, &out);
		ck_assert_str_eq(out.data, "1:0:16 ");
		ck_assert_uint_eq(r->skipped, n);
	}
	free(r);
}
END_TEST

/* The preamble completes whatever was half sent. */
START_TEST(test_preamble)
{
	static char large[FRAME_PAYLOAD], zeros[FRAME_PREAMBLE];
	struct frame_reader *r = malloc(sizeof(*r));
	const size_t cuts[] = {
		1, 15, 16, 17, 100, FRAME_PAYLOAD, FRAME_PAYLOAD + 15, FRAME_PAYLOAD + 16};

	for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
		_cleanup_buf_ struct buf half = BUF_INIT(1 << 20), in = BUF_INIT(1 << 20),
					 out = BUF_INIT(1 << 20);

		add(&half, FRAME_PUT_DATA, 1, large, sizeof(large));
		buf_append(&in, half.data, cuts[i]);
		buf_append(&in, zeros, sizeof(zeros));
		buf_append(&in, frame_sync_mark, FRAME_HEADER);
		add(&in, FRAME_HELLO, 0, nonce, FRAME_NONCE);
		frame_reader_init(r);
		read_all(r, &in, 4096, &out);
		/* A header cut within its length reads as a shorter frame; HELLO is found in any
		 * case. */
		ck_assert(strstr(out.data, "1:0:16 ") != NULL);
	}
	free(r);
}
END_TEST

/* What a run printed earlier cannot pass for the answer to a HELLO. */
START_TEST(test_joining)
{
	const unsigned char other[FRAME_NONCE] = "another nonce..";
	struct frame_reader *r = malloc(sizeof(*r));

	for (size_t step = 1; step < 120; step++) {
		_cleanup_buf_ struct buf in = BUF_INIT(1 << 20), out = BUF_INIT(1 << 20);

		buf_append_str(&in, "rest of a frame");
		add(&in, FRAME_STDOUT, 1, "old", 3);
		add_welcome(&in, 9, other);
		add_welcome(&in, 8, nonce);
		/* A swallowing header just before the real thing. */
		buf_append(&in, frame_sync_mark, FRAME_HEADER);
		add(&in, FRAME_STDOUT, 1, "", 0);
		in.data[in.len - 3] = 1;
		add_welcome(&in, 9, nonce);
		add(&in, FRAME_EXIT, 2, "x", 1);
		frame_reader_init_joining(r, 9, nonce);
		read_all(r, &in, step, &out);
		ck_assert_str_eq(out.data, "32:0:28 36:2:1 ");
	}
	free(r);
}
END_TEST

START_TEST(test_random_bytes)
{
	struct frame_reader *r = malloc(sizeof(*r));
	unsigned seed = 1;
	struct frame f;
	bool whole;

	frame_reader_init(r);
	for (int i = 0; i < 20000; i++) {
		unsigned char bytes[97];
		size_t used = 0;

		for (size_t k = 0; k < sizeof(bytes); k++) {
			seed = seed * 1103515245u + 12345u;
			bytes[k] = (unsigned char)(seed >> 16);
			/* Headers that could be, too. */
			if (seed & 0x4000000)
				bytes[k] &= 0x21;
		}
		if (i % 50 == 0)
			frame_reader_init(r);
		while (used < sizeof(bytes)) {
			used += frame_read(r, bytes + used, sizeof(bytes) - used, &f, &whole);
			ck_assert_uint_le(used, sizeof(bytes));
			if (whole)
				ck_assert_uint_le(f.len, FRAME_PAYLOAD);
		}
	}
	free(r);
}
END_TEST

START_TEST(test_payloads)
{
	unsigned char bytes[FRAME_STRUCT_MAX + 5];
	struct frame_exit e = {.end = 1,
			       .exit_code = 2,
			       .tmp_free_bytes = UINT64_MAX,
			       .wall_us = 1ull << 40},
			  e2;
	struct frame_run run = {.timeout_ms = 5, .file_size = 1ull << 33, .flags = 1}, run2;
	struct frame_harvest h = {.files = 1, .total_size = 1ull << 35}, h2;
	struct frame_state state = {.state = FRAME_STATE_GOING,
				    .note = 2,
				    .left_ms = 3,
				    .stdin_got = 10,
				    .stdin_taken = 10},
			   state2;
	struct slice text;
	struct frame f = {.data = bytes};

	f.len = (uint32_t)frame_exit_encode(&e, bytes);
	ck_assert_uint_le(f.len, FRAME_STRUCT_MAX);
	memcpy(bytes + f.len, "hello", 5);
	f.len += 5;
	ck_assert(frame_exit_decode(&f, &e2, &text));
	ck_assert(memcmp(&e, &e2, sizeof(e)) == 0);
	ck_assert(text.len == 5 && memcmp(text.data, "hello", 5) == 0);
	f.len = (uint32_t)frame_run_encode(&run, bytes);
	ck_assert(frame_run_decode(&f, &run2) && run2.timeout_ms == 5 && run2.flags == 1 &&
		  run2.file_size == run.file_size && run2.key.len == 0 && run2.note == 0);
	f.len--;
	ck_assert(!frame_run_decode(&f, &run2));
	run.note = 7;
	run.key = (struct slice){"the task", 8};
	f.len = (uint32_t)frame_run_encode(&run, bytes);
	ck_assert(frame_run_decode(&f, &run2) && run2.note == 7 && run2.key.len == 8 &&
		  memcmp(run2.key.data, "the task", 8) == 0 && run2.file_size == run.file_size);
	bytes[f.len - 1] = '\0';
	ck_assert(!frame_run_decode(&f, &run2));
	f.len -= 8;
	ck_assert(!frame_run_decode(&f, &run2));
	f.len--;
	ck_assert(!frame_run_decode(&f, &run2));
	f.len = (uint32_t)frame_state_encode(&state, bytes);
	ck_assert(frame_state_decode(&f, &state2) && memcmp(&state, &state2, sizeof(state)) == 0);
	state.stdin_taken = 11;
	f.len = (uint32_t)frame_state_encode(&state, bytes);
	ck_assert(!frame_state_decode(&f, &state2));
	f.len = (uint32_t)frame_harvest_encode(&h, bytes);
	ck_assert(frame_harvest_decode(&f, &h2) && memcmp(&h, &h2, sizeof(h)) == 0);
	for (f.len = 0; f.len < 20; f.len++)
		ck_assert(!frame_exit_decode(&f, &e2, &text));
}
END_TEST

static bool good(const char *name)
{
	return frame_name_is_good(name, strlen(name), 3);
}

START_TEST(test_names)
{
	char long_name[300], deep[FRAME_NAME_BYTES + 2];
	const char *bad[] = {"",
			     "/",
			     "/a",
			     "a/",
			     "a//b",
			     ".",
			     "..",
			     "a/..",
			     "../a",
			     "a/./b",
			     "a/b/c/d",
			     "new\nline",
			     "bell\a",
			     "\x7f",
			     "\xff",
			     "\xc0\xaf",
			     "\xed\xa0\x80",
			     "\xc3",
			     "\xc2\x85",
			     "\xf4\x90\x80\x80",
			     "\xe0\x80\xaf"};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(!good(bad[i]), "%zu", i);
	ck_assert(good("a"));
	ck_assert(good("a/b/c"));
	ck_assert(good("...") && good(".hidden") && good("..a"));
	ck_assert(good("na\xc3\xafve \xe2\x82\xac \xf0\x9f\x98\x80.txt"));
	ck_assert(!frame_name_is_good("a\0b", 3, 3));
	memset(long_name, 'x', sizeof(long_name));
	ck_assert(frame_name_is_good(long_name, 255, 1));
	ck_assert(!frame_name_is_good(long_name, 256, 1));
	ck_assert(!frame_name_is_good("a", 1, 0));
	for (size_t i = 1; i < sizeof(deep); i += 2)
		deep[i - 1] = 'a', deep[i] = '/';
	ck_assert(frame_name_is_good(deep, FRAME_NAME_BYTES - 1, FRAME_NAME_BYTES));
	ck_assert(!frame_name_is_good(deep, FRAME_NAME_BYTES + 1, FRAME_NAME_BYTES));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("frame");
	TCase *t = tcase_create("frames");

	tcase_set_timeout(t, 120);
	tcase_add_test(t, test_every_split);
	tcase_add_test(t, test_content_arrives);
	tcase_add_test(t, test_nonsense_and_mark);
	tcase_add_test(t, test_mark_at_every_offset);
	tcase_add_test(t, test_preamble);
	tcase_add_test(t, test_joining);
	tcase_add_test(t, test_random_bytes);
	tcase_add_test(t, test_payloads);
	tcase_add_test(t, test_names);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
