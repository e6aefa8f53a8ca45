/* The builder: limits, failure that sticks, and memory. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>

#include "buf.h"
#include "mem.h"
#include "tests/unit/suite.h"

START_TEST(test_empty)
{
	struct buf b = BUF_INIT(10);
	struct err err;
	char *data;
	size_t len = 99;
	ck_assert_str_eq(b.data, "");
	buf_append(&b, NULL, 0);
	buf_done(&b);
	ck_assert_int_eq(buf_take(&b, &data, &len, &err), 0);
	ck_assert_uint_eq(len, 0);
	ck_assert_str_eq(data, "");
	free(data);
	buf_done(NULL);
}
END_TEST

START_TEST(test_appends)
{
	_cleanup_buf_ struct buf b = BUF_INIT(1000);
	buf_append(&b, "a\0b", 3);
	buf_append_str(&b, "cd");
	buf_append_char(&b, 'e');
	buf_append_slice(&b, (struct slice){"fgh", 2});
	buf_appendf(&b, "%03d", 7);
	ck_assert_uint_eq(b.len, 11);
	ck_assert_mem_eq(b.data, "a\0bcdefg007", 12);
}
END_TEST

START_TEST(test_long_format)
{
	_cleanup_buf_ struct buf b = BUF_INIT(5000);
	char text[1000];
	memset(text, 'z', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	buf_appendf(&b, "<%s>", text);
	ck_assert_uint_eq(b.len, sizeof(text) + 1);
	ck_assert_int_eq(b.data[b.len - 1], '>');
	ck_assert_int_eq(b.data[b.len], '\0');
}
END_TEST

START_TEST(test_limit_is_exact)
{
	_cleanup_buf_ struct buf b = BUF_INIT(3);
	struct err err;
	buf_append_str(&b, "abc");
	ck_assert_int_eq(buf_status(&b, &err), 0);
	ck_assert_str_eq(b.data, "abc");
	buf_append_char(&b, 'd');
	ck_assert_int_eq(buf_status(&b, &err), -ERR_TOOBIG);
	ck_assert_str_eq(err.msg, "more than 3 bytes");
	ck_assert_str_eq(b.data, "");
	ck_assert_uint_eq(b.len, 0);
}
END_TEST

START_TEST(test_failure_sticks_and_is_said_once)
{
	_cleanup_buf_ struct buf b = BUF_INIT(3);
	struct err err;
	char *data;
	size_t len;
	buf_append_str(&b, "abcd");
	buf_append_str(&b, "a");
	ck_assert_uint_eq(b.len, 0);
	ck_assert_ptr_null(buf_reserve(&b, 1));
	ck_assert_int_eq(buf_take(&b, &data, &len, &err), -ERR_TOOBIG);
	buf_append_str(&b, "ok");
	ck_assert_int_eq(buf_take(&b, &data, &len, &err), 0);
	ck_assert_str_eq(data, "ok");
	ck_assert_str_eq(b.data, "");
	free(data);
}
END_TEST

START_TEST(test_sizes_that_overflow)
{
	_cleanup_buf_ struct buf b = BUF_INIT(SIZE_MAX);
	struct err err;
	buf_append_str(&b, "abc");
	ck_assert_ptr_null(buf_reserve(&b, SIZE_MAX / 2));
	ck_assert_int_eq(buf_status(&b, &err), -ERR_NOMEM);
	buf_reset(&b);
	buf_append_str(&b, "abc");
	ck_assert_ptr_null(buf_reserve(&b, SIZE_MAX - 1));
	ck_assert_int_eq(buf_status(&b, &err), -ERR_TOOBIG);
}
END_TEST

START_TEST(test_fail_by_hand)
{
	_cleanup_buf_ struct buf b = BUF_INIT(10);
	struct err err;
	buf_append_str(&b, "abc");
	buf_fail(&b, ERR_NOMEM);
	buf_fail(&b, ERR_TOOBIG);
	ck_assert_int_eq(buf_status(&b, &err), -ERR_NOMEM);
	ck_assert_uint_eq(b.len, 0);
	buf_reset(&b);
	ck_assert_int_eq(buf_status(&b, &err), 0);
}
END_TEST

START_TEST(test_reset_keeps_memory)
{
	_cleanup_buf_ struct buf b = BUF_INIT(1000);
	buf_append_str(&b, "something");
	const char *before = b.data;
	buf_reset(&b);
	ck_assert_str_eq(b.data, "");
	buf_append_str(&b, "else");
	ck_assert_ptr_eq(b.data, before);
	ck_assert_str_eq(b.data, "else");
}
END_TEST

START_TEST(test_reserve_and_consume)
{
	_cleanup_buf_ struct buf b = BUF_INIT(100);
	char *p = buf_reserve(&b, 50);
	memcpy(p, "hello", 5);
	buf_added(&b, 5);
	ck_assert_str_eq(b.data, "hello");
	buf_consume(&b, 2);
	ck_assert_str_eq(b.data, "llo");
	buf_consume(&b, 3);
	ck_assert_str_eq(b.data, "");
	buf_consume(&b, 0);
}
END_TEST

/* Many small appends give the same as one, and the last byte fits exactly. */
START_TEST(test_growth)
{
	for (size_t limit = 1; limit < 300; limit++) {
		_cleanup_buf_ struct buf b = BUF_INIT(limit);
		struct err err;
		for (size_t i = 0; i < limit; i++)
			buf_append_char(&b, (char)('a' + i % 26));
		ck_assert_int_eq(buf_status(&b, &err), 0);
		ck_assert_uint_eq(strlen(b.data), limit);
		ck_assert_uint_le(b.size, limit + 1 > 64 ? limit + 1 : 64);
	}
}
END_TEST

START_TEST(test_added_without_room)
{
	struct buf b = BUF_INIT(10);
	buf_added(&b, 1);
}
END_TEST

START_TEST(test_consume_too_much)
{
	struct buf b = BUF_INIT(10);
	buf_append_str(&b, "a");
	buf_consume(&b, 2);
}
END_TEST

START_TEST(test_try_alloc)
{
	struct err err;
	_cleanup_free_ void *p = NULL;
	ck_assert_int_eq(try_alloc(101, 100, "body", &p, &err), -ERR_TOOBIG);
	ck_assert_str_eq(err.msg, "body: 101 bytes, at most 100");
	ck_assert_ptr_null(p);
	ck_assert_int_eq(try_alloc(100, 100, "body", &p, &err), 0);
	for (size_t i = 0; i < 100; i++)
		ck_assert_int_eq(((char *)p)[i], 0);
	void *none;
	ck_assert_int_eq(try_alloc(0, 0, "body", &none, &err), 0);
	ck_assert_ptr_nonnull(none);
	free(none);
}
END_TEST

START_TEST(test_take_and_strings)
{
	_cleanup_free_ char *s = xasprintf("%d-%s", 1, "x");
	ck_assert_str_eq(s, "1-x");
	char *mine = TAKE(s);
	ck_assert_ptr_null(s);
	free(mine);
	int fd = 7;
	ck_assert_int_eq(TAKE_FD(fd), 7);
	ck_assert_int_eq(fd, -1);
	_cleanup_free_ char *cut = xstrndup("abcdef", 3);
	ck_assert_str_eq(cut, "abc");
	wipe(cut, 3);
	ck_assert_int_eq(cut[0] | cut[1] | cut[2], 0);
	_cleanup_free_ char *copy = xstrdup("copy");
	ck_assert_str_eq(copy, "copy");
}
END_TEST

START_TEST(test_descriptors_are_closed)
{
	int number;
	{
		_cleanup_fd_ int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		_cleanup_fd_ int none unused_arg = -1;
		number = fd;
		errno = ENOENT;
	}
	ck_assert_int_eq(errno, ENOENT); /* closing does not disturb it */
	ck_assert_int_lt(fcntl(number, F_GETFD), 0);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("buf");
	tcase_add_test(t, test_empty);
	tcase_add_test(t, test_appends);
	tcase_add_test(t, test_long_format);
	tcase_add_test(t, test_limit_is_exact);
	tcase_add_test(t, test_failure_sticks_and_is_said_once);
#ifndef __SANITIZE_ADDRESS__ /* which refuses to be asked for that much */
	tcase_add_test(t, test_sizes_that_overflow);
#else
	(void)test_sizes_that_overflow;
#endif
	tcase_add_test(t, test_fail_by_hand);
	tcase_add_test(t, test_reset_keeps_memory);
	tcase_add_test(t, test_reserve_and_consume);
	tcase_add_test(t, test_growth);
	tcase_add_test_raise_signal(t, test_added_without_room, SIGABRT);
	tcase_add_test_raise_signal(t, test_consume_too_much, SIGABRT);
	tcase_add_test(t, test_try_alloc);
	tcase_add_test(t, test_take_and_strings);
	tcase_add_test(t, test_descriptors_are_closed);
	return suite_run("buf", t);
}
