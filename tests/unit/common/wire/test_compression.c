/* Bodies unpacked: what each writer made, damaged and cut short at every place, and bombs. */
#include <stdio.h>
#include <string.h>

#include "bounds.h"
#include "common/wire/compression.h"
#include "mem.h"
#include "tests/unit/suite.h"

static const char *const g_mimes[] = {"application/x-gzip", "application/x-bz2",
				      "application/x-lzma", "application/zstd",
				      "application/x-brotli"};
static struct err g_err;

static const struct compression *nth(int i)
{
	const struct compression *c = compression_find(g_mimes[i]);

	ck_assert_ptr_nonnull(c);
	ck_assert_str_eq(c->mime, g_mimes[i]);
	return c;
}

static void pack(const struct compression *c, const void *data, size_t len, struct buf *out)
{
	buf_reset(out);
	ck_assert_int_eq(c->write((struct slice){data, len}, out, &g_err), 0);
}

START_TEST(test_names)
{
	static const struct {
		const char *alias;
		int mime;
	} aliases[] = {{"gzip", 0}, {"zlib", 0}, {"bzip2", 1},	   {"bzip", 1},	 {"lzma", 2},
		       {"xz", 2},   {"zstd", 3}, {"zstandard", 3}, {"brotli", 4}};

	for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
		ck_assert_str_eq(compression_find(aliases[i].alias)->mime,
				 g_mimes[aliases[i].mime]);
	ck_assert_ptr_null(compression_find(""));
	ck_assert_ptr_null(compression_find("snappy"));
}
END_TEST

START_TEST(test_round_trip)
{
	static const size_t sizes[] = {0, 1, 100, 16384, 16385, 1000000};
	_cleanup_buf_ struct buf packed = BUF_INIT(1 << 22), out = BUF_INIT(1 << 22);
	_cleanup_free_ char *data = xmalloc(1000000);
	unsigned state = 1;

	for (size_t i = 0; i < 1000000; i++) {
		state = state * 1103515245 + 12345;
		data[i] = i % 3 ? (char)(state >> 16) : 'x';
	}
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		pack(nth(_i), data, sizes[i], &packed);
		buf_reset(&out);
		ck_assert_msg(
			nth(_i)->read((struct slice){packed.data, packed.len}, &out, &g_err) == 0,
			"%s", g_err.msg);
		ck_assert_uint_eq(out.len, sizes[i]);
		ck_assert_int_eq(memcmp(out.data, data, sizes[i]), 0);
	}
}
END_TEST

START_TEST(test_cut_short)
{
	_cleanup_buf_ struct buf packed = BUF_INIT(1 << 20), out = BUF_INIT(1 << 20);
	const char *text = "the same words, the same words, the same words and a few others";

	pack(nth(_i), text, strlen(text), &packed);
	for (size_t len = 0; len < packed.len; len++) {
		_cleanup_free_ char *cut = xmalloc(len + 1);

		memcpy(cut, packed.data, len);
		buf_reset(&out);
		ck_assert_int_eq(nth(_i)->read((struct slice){cut, len}, &out, &g_err),
				 -ERR_INVALID);
	}
}
END_TEST

/* Every byte replaced: an error or other bytes, never more than that. */
START_TEST(test_damaged)
{
	_cleanup_buf_ struct buf packed = BUF_INIT(1 << 20), out = BUF_INIT(1 << 16);
	char text[2000];

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)(i * i % 251);
	pack(nth(_i), text, sizeof(text), &packed);
	for (size_t i = 0; i < packed.len; i++) {
		char was = packed.data[i];

		for (int bit = 0; bit < 8; bit++) {
			int rc;

			packed.data[i] = (char)(was ^ 1 << bit);
			buf_reset(&out);
			rc = nth(_i)->read((struct slice){packed.data, packed.len}, &out, &g_err);
			ck_assert(rc == 0 || rc == -ERR_INVALID || rc == -ERR_TOOBIG ||
				  rc == -ERR_NOMEM);
		}
		packed.data[i] = was;
	}
}
END_TEST

/* Far more than the ceiling: stops there, having kept nothing. */
START_TEST(test_bomb)
{
	size_t size = 32u << 20;
	_cleanup_buf_ struct buf packed = BUF_INIT(64u << 20), out = BUF_INIT(1 << 20);
	_cleanup_free_ char *zeros = xcalloc(1, size);

	pack(nth(_i), zeros, size, &packed);
	ck_assert_uint_lt(packed.len, size / 100);
	ck_assert_int_eq(nth(_i)->read((struct slice){packed.data, packed.len}, &out, &g_err),
			 -ERR_TOOBIG);
	ck_assert_uint_eq(out.len, 0);
}
END_TEST

START_TEST(test_gzip_too)
{
	/* Python's gzip.compress(b"hello", mtime=0) */
	static const unsigned char gzipped[] = {0x1f, 0x8b, 8,	  0,	0,    0,    0,	  0, 2,
						0xff, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0, 0x86,
						0xa6, 0x10, 0x36, 5,	0,    0,    0};
	_cleanup_buf_ struct buf out = BUF_INIT(100);

	ck_assert_msg(compression_read_zlib((struct slice){(const char *)gzipped, sizeof(gzipped)},
					    &out, &g_err) == 0,
		      "%s", g_err.msg);
	ck_assert_str_eq(out.data, "hello");
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("compression");
	int kinds = (int)ARRAY_LEN(g_mimes);

	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_names);
	tcase_add_loop_test(t, test_round_trip, 0, kinds);
	tcase_add_loop_test(t, test_cut_short, 0, kinds);
	tcase_add_loop_test(t, test_damaged, 0, kinds);
	tcase_add_loop_test(t, test_bomb, 0, kinds);
	tcase_add_test(t, test_gzip_too);
	return suite_run("compression", t);
}
