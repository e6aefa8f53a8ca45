/* Errors: codes, flags, one line whatever comes in, and cuts between characters. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "codec.h"
#include "err.h"
#include "tests/unit/suite.h"

static bool is_clean(const char *s)
{
	size_t len = strlen(s);
	for (size_t i = 0, n; i < len; i += n) {
		n = utf8_valid(s + i, len - i);
		if (n == 0 || (unsigned char)s[i] < ' ' || s[i] == 0x7f)
			return false;
	}
	return true;
}

START_TEST(test_set)
{
	struct err err = {.sys_errno = 7, .flags = ~0u};
	ck_assert_int_eq(err_set(&err, ERR_PROTOCOL, "frame of %u bytes", 9u), -ERR_PROTOCOL);
	ck_assert_int_eq(err.code, ERR_PROTOCOL);
	ck_assert_int_eq(err.sys_errno, 0);
	ck_assert_uint_eq(err.flags, 0);
	ck_assert_str_eq(err.msg, "frame of 9 bytes");
}
END_TEST

START_TEST(test_transient_by_itself)
{
	for (int code = 1; code < ERR_CODE_COUNT; code++) {
		struct err err;
		err_set(&err, (enum err_code)code, "x");
		bool expected =
			code == ERR_TIMEOUT || code == ERR_UNAVAILABLE || code == ERR_CLOSED;
		ck_assert_msg(err_is_transient(&err) == expected, "%s", err_code_text(code));
	}
	struct err err;
	err_set(&err, ERR_CONFLICT, "deadlock");
	ck_assert_int_eq(err_transient(&err), -ERR_CONFLICT);
	ck_assert(err_is_transient(&err));
}
END_TEST

START_TEST(test_code_text)
{
	ck_assert_str_eq(err_code_text(ERR_NOTFOUND), "not found");
	ck_assert_str_eq(err_code_text(-ERR_NOTFOUND), "not found");
	ck_assert_str_eq(err_code_text(0), "no error");
	ck_assert_str_eq(err_code_text(ERR_CODE_COUNT), "unknown error");
	ck_assert_str_eq(err_code_text(-9999), "unknown error");
	for (int code = 0; code < ERR_CODE_COUNT; code++)
		ck_assert_ptr_nonnull(err_code_text(code));
}
END_TEST

START_TEST(test_errno)
{
	struct err err;
	ck_assert_int_eq(err_set_errno(&err, ERR_UNAVAILABLE, ECONNREFUSED, "connect %s", "h"),
			 -ERR_UNAVAILABLE);
	ck_assert_int_eq(err.sys_errno, ECONNREFUSED);
	ck_assert(err_is_transient(&err));
	ck_assert_str_eq(err.msg, "connect h: Connection refused");
	err_set_errno(&err, ERR_FAILED, 99999, "x");
	ck_assert_str_eq(err.msg, "x: errno 99999");
}
END_TEST

START_TEST(test_errno_text_survives_a_long_message)
{
	char text[2000];
	struct err err;
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	err_set_errno(&err, ERR_FAILED, ENOENT, "%s", text);
	ck_assert_ptr_nonnull(strstr(err.msg, "...: No such file or directory"));
	ck_assert_uint_eq(strlen(err.msg), sizeof(err.msg) - 1);
}
END_TEST

START_TEST(test_wrap)
{
	struct err err;
	err_set_errno(&err, ERR_TIMEOUT, ETIMEDOUT, "read");
	ck_assert_int_eq(err_wrap(&err, "engine %s", "e1"), -ERR_TIMEOUT);
	ck_assert_str_eq(err.msg, "engine e1: read: Connection timed out");
	ck_assert_int_eq(err.sys_errno, ETIMEDOUT);
	ck_assert(err_is_transient(&err));
	err_wrap(&err, "%s", err.msg); /* may read what it writes */
	ck_assert_ptr_nonnull(strstr(err.msg, "engine e1: read: Connection timed out: engine e1"));
}
END_TEST

START_TEST(test_wrap_keeps_the_cause)
{
	char text[1500];
	struct err err;
	memset(text, 'c', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	err_set(&err, ERR_FAILED, "the cause");
	err_wrap(&err, "%s", text);
	ck_assert_ptr_nonnull(strstr(err.msg, "...: the cause"));
}
END_TEST

START_TEST(test_controls_are_escaped)
{
	struct err err;
	err_set(&err, ERR_INVALID, "%s",
		"a\nb\x1b[31m\x7f\xc2\x9b\xff"
		"é");
	ck_assert_str_eq(err.msg, "a\\x0ab\\x1b[31m\\x7f\\xc2\\x9b\\xffé");
	err_wrap(&err, "w\r");
	ck_assert_str_eq(err.msg, "w\\x0d: a\\x0ab\\x1b[31m\\x7f\\xc2\\x9b\\xffé");
}
END_TEST

/* Every length around the end of the message, with characters of one to four bytes. */
START_TEST(test_cut_between_characters)
{
	static const char *const chars[] = {"x", "é", "€", "😀", "\n", "\xff"};
	char text[1200] = "";
	size_t n = 0;
	for (int i = 0; n + 5 < sizeof(text); i++) {
		const char *c = chars[_i];
		memcpy(text + n, c, strlen(c) + 1);
		n += strlen(c);
	}
	for (int pad = 0; pad < 8; pad++) {
		struct err err;
		err_set(&err, ERR_FAILED, "%.*s%s", pad, "pppppppp", text);
		ck_assert(is_clean(err.msg));
		ck_assert_uint_ge(strlen(err.msg), sizeof(err.msg) - 8);
		ck_assert_str_eq(err.msg + strlen(err.msg) - 3, "...");
	}
}
END_TEST

START_TEST(test_full_length_is_not_cut)
{
	char text[256];
	struct err err;
	memset(text, 'y', 255);
	text[255] = '\0';
	err_set(&err, ERR_FAILED, "%s", text);
	ck_assert_str_eq(err.msg, text);
}
END_TEST

START_TEST(test_bug_aborts)
{
	BUG("on purpose: %d", 1);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("err");
	tcase_add_test(t, test_set);
	tcase_add_test(t, test_transient_by_itself);
	tcase_add_test(t, test_code_text);
	tcase_add_test(t, test_errno);
	tcase_add_test(t, test_errno_text_survives_a_long_message);
	tcase_add_test(t, test_wrap);
	tcase_add_test(t, test_wrap_keeps_the_cause);
	tcase_add_test(t, test_controls_are_escaped);
	tcase_add_loop_test(t, test_cut_between_characters, 0, 6);
	tcase_add_test(t, test_full_length_is_not_cut);
	tcase_add_test_raise_signal(t, test_bug_aborts, SIGABRT);
	return suite_run("err", t);
}
