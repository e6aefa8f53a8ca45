/* base64, hex, UUIDs, digests and UTF-8. */
#include <string.h>

#include "codec.h"
#include "tests/unit/suite.h"

static const struct {
	const char *plain, *text;
} g_base64[] = {
	{"", ""},
	{"f", "Zg=="},
	{"fo", "Zm8="},
	{"foo", "Zm9v"},
	{"foob", "Zm9vYg=="},
	{"fooba", "Zm9vYmE="},
	{"foobar", "Zm9vYmFy"},
	{"\xfb\xff\xbf", "+/+/"},
};

START_TEST(test_base64_known)
{
	_cleanup_buf_ struct buf b = BUF_INIT(100);
	struct err err;
	base64_encode(g_base64[_i].plain, strlen(g_base64[_i].plain), &b);
	ck_assert_str_eq(b.data, g_base64[_i].text);
	buf_reset(&b);
	ck_assert_int_eq(base64_decode(g_base64[_i].text, strlen(g_base64[_i].text), &b, &err), 0);
	ck_assert_str_eq(b.data, g_base64[_i].plain);
}
END_TEST

static const char *const g_bad_base64[] = {"A",
					   "AB",
					   "ABC",
					   "A===",
					   "AB=",
					   "AB=C",
					   "====",
					   "ABCD=",
					   "AB==C",
					   "AB==AB==",
					   "AB-D",
					   "AB_D",
					   "ABC=D",
					   "AB===",
					   "=",
					   "ABCDE",
					   "AB\x80"
					   "D"};

START_TEST(test_base64_bad)
{
	_cleanup_buf_ struct buf b = BUF_INIT(100);
	struct err err;
	const char *text = g_bad_base64[_i];
	ck_assert_msg(base64_decode(text, strlen(text), &b, &err) == -ERR_INVALID, "%s", text);
	ck_assert_uint_eq(b.len, 0);
}
END_TEST

START_TEST(test_base64_space_and_limit)
{
	_cleanup_buf_ struct buf b = BUF_INIT(4); /* exactly what comes out */
	struct err err;
	const char *text = " Zm\n9v\r\nYg\t== ";
	ck_assert_int_eq(base64_decode(text, strlen(text), &b, &err), 0);
	ck_assert_str_eq(b.data, "foob");
	buf_reset(&b);
	ck_assert_int_eq(base64_decode("Zm9vYmE=", 8, &b, &err), -ERR_TOOBIG);
	ck_assert_int_eq(base64_decode("AA\0A", 4, &b, &err), -ERR_TOOBIG); /* still failed */
	buf_reset(&b);
	ck_assert_int_eq(base64_decode("AA\0A", 4, &b, &err), -ERR_INVALID);
}
END_TEST

/* Each byte at each place of a group, alone in it and between others. */
START_TEST(test_base64_every_byte)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	for (int c = 0; c < 256; c++) {
		for (int at = 0; at < 12; at++) {
			_cleanup_buf_ struct buf out = BUF_INIT(9);
			const char *digit = c ? strchr(digits, c) : NULL;
			bool space = c == ' ' || (c >= '\t' && c <= '\r'),
			     pad = c == '=' && at == 11;
			char text[] = "AAAAAAAAAAAA";
			struct err err;
			text[at] = (char)c;
			int rc = base64_decode(text, 12, &out, &err);
			/* without one digit the last group has three, which need padding */
			ck_assert_int_eq(rc, digit || pad ? 0 : -ERR_INVALID);
			ck_assert_int_eq(base64_check(text, 12, &err), rc);
			if (digit) {
				unsigned v = (unsigned)(digit - digits) << (18 - at % 4 * 6);
				unsigned char *group = (unsigned char *)out.data + at / 4 * 3;
				ck_assert_uint_eq(out.len, 9);
				ck_assert_uint_eq(
					(unsigned)group[0] << 16 | group[1] << 8 | group[2], v);
			}
			ck_assert(!space || strstr(err.msg, "byte 12") != NULL);
		}
	}
}
END_TEST

START_TEST(test_base64_round_trip)
{
	unsigned char in[200];
	random_bytes(in, sizeof(in));
	for (size_t len = 0; len <= sizeof(in); len++) {
		_cleanup_buf_ struct buf text = BUF_INIT(300), out = BUF_INIT(200);
		struct err err;
		base64_encode(in, len, &text);
		ck_assert_uint_eq(text.len, (len + 2) / 3 * 4);
		ck_assert_int_eq(base64_decode(text.data, text.len, &out, &err), 0);
		ck_assert_uint_eq(out.len, len);
		ck_assert_mem_eq(out.data, in, len);
	}
}
END_TEST

START_TEST(test_control_characters)
{
	static const char text[] = "a\x1f\x7f\0\xc3\xa9 ~";

	ck_assert(!utf8_has_control(text, 0));
	ck_assert(!utf8_has_control(text, 1));
	for (size_t i = 1; i <= 3; i++)
		ck_assert(utf8_has_control(text + i, 1));
	ck_assert(utf8_has_control(text, sizeof(text) - 1));
	ck_assert(!utf8_has_control(text + 4, 4));
}
END_TEST

START_TEST(test_uuid4)
{
	char a[UUID_SIZE], b[UUID_SIZE];
	for (int i = 0; i < 100; i++) {
		uuid4(a);
		uuid4(b);
		ck_assert_str_ne(a, b);
		ck_assert_uint_eq(strlen(a), 36);
		ck_assert_uint_eq(strspn(a, "0123456789abcdef-"), 36);
		ck_assert(a[8] == '-' && a[13] == '-' && a[18] == '-' && a[23] == '-');
		ck_assert_int_eq(a[14], '4');
		ck_assert_ptr_nonnull(strchr("89ab", a[19]));
	}
}
END_TEST

START_TEST(test_sha1)
{
	const struct slice pieces[] = {{"a", 1}, {"", 0}, {"bc", 2}};
	char hex[SHA1_HEX_SIZE], half[21];

	sha1_hex(pieces, ARRAY_LEN(pieces), hex, sizeof(hex));
	ck_assert_str_eq(hex, "a9993e364706816aba3e25717850c26c9cd0d89d");
	sha1_hex(pieces, ARRAY_LEN(pieces), half, sizeof(half));
	ck_assert_str_eq(half, "a9993e364706816aba3e");
	sha1_hex(NULL, 0, hex, sizeof(hex));
	ck_assert_str_eq(hex, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
}
END_TEST

START_TEST(test_digests)
{
	char hex[SHA256_HEX_SIZE];
	sha256_hex("abc", 3, hex);
	ck_assert_str_eq(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	sha256_hex("", 0, hex);
	ck_assert_str_eq(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	char small[7];
	hex_encode("\x00\xff\x1a", 3, small);
	ck_assert_str_eq(small, "00ff1a");
}
END_TEST

static const struct {
	const char *s;
	size_t len, valid;
} g_utf8[] = {
	{"", 0, 0},
	{"a", 1, 1},
	{"\0", 1, 1},
	{"é", 2, 2},
	{"\xc3", 1, 0},
	{"€", 3, 3},
	{"\xe2\x82", 2, 0},
	{"😀", 4, 4},
	{"\xf0\x9f\x98", 3, 0},
	{"\x80", 1, 0},
	{"\xc0\x80", 2, 0}, /* overlong NUL */
	{"\xc1\xbf", 2, 0},
	{"\xe0\x9f\xbf", 3, 0}, /* overlong */
	{"\xe0\xa0\x80", 3, 3},
	{"\xed\x9f\xbf", 3, 3}, /* U+D7FF */
	{"\xed\xa0\x80", 3, 0}, /* surrogate */
	{"\xed\xbf\xbf", 3, 0},
	{"\xee\x80\x80", 3, 3},
	{"\xf0\x8f\xbf\xbf", 4, 0}, /* overlong */
	{"\xf0\x90\x80\x80", 4, 4},
	{"\xf4\x8f\xbf\xbf", 4, 4}, /* U+10FFFF */
	{"\xf4\x90\x80\x80", 4, 0},
	{"\xf5\x80\x80\x80", 4, 0},
	{"\xc3(", 2, 0},
	{"\xe2(\x82", 3, 0},
	{"\xe2\x82(", 3, 0},
	{"\xf0\x9f\x98(", 4, 0},
	{"\xff", 1, 0},
};

START_TEST(test_utf8_valid)
{
	ck_assert_uint_eq(utf8_valid(g_utf8[_i].s, g_utf8[_i].len), g_utf8[_i].valid);
}
END_TEST

START_TEST(test_utf8_clean)
{
	_cleanup_buf_ struct buf b = BUF_INIT(100);
	utf8_clean("a\xff\xc3é\0b\xe2\x82", 9, false, &b);
	ck_assert_uint_eq(b.len, 1 + 3 + 3 + 2 + 1 + 1 + 3 + 3);
	ck_assert_mem_eq(b.data, "a\xef\xbf\xbd\xef\xbf\xbdé\0b\xef\xbf\xbd\xef\xbf\xbd", b.len);
	buf_reset(&b);
	utf8_clean("a\0b", 3, true, &b);
	ck_assert_str_eq(b.data, "a\xef\xbf\xbd"
				 "b");
	buf_reset(&b);
	utf8_clean("", 0, true, &b);
	ck_assert_uint_eq(b.len, 0);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("codec");
	tcase_add_loop_test(t, test_base64_known, 0, ARRAY_LEN(g_base64));
	tcase_add_loop_test(t, test_base64_bad, 0, ARRAY_LEN(g_bad_base64));
	tcase_add_test(t, test_base64_space_and_limit);
	tcase_add_test(t, test_base64_every_byte);
	tcase_add_test(t, test_base64_round_trip);
	tcase_add_test(t, test_control_characters);
	tcase_add_test(t, test_uuid4);
	tcase_add_test(t, test_sha1);
	tcase_add_test(t, test_digests);
	tcase_add_loop_test(t, test_utf8_valid, 0, ARRAY_LEN(g_utf8));
	tcase_add_test(t, test_utf8_clean);
	return suite_run("codec", t);
}
