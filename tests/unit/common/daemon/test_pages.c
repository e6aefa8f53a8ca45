/* Which addresses pages are served at. */
#include <check.h>
#include <string.h>

#include "pages.h"
#include "tests/unit/suite.h"

static const char *const g_good[] = {"", ":9000", "127.0.0.1:9000", "[::1]:9000", "[::]:9000"};

START_TEST(test_good)
{
	struct err err = {0};

	ck_assert_msg(pages_check("AT", g_good[_i], &err) == 0, "%s", err.msg);
}
END_TEST

/* Least of all may one that is mistyped be every address of the machine. */
static const char *const g_bad[] = {"9000",    "localhost:9000", "[::1:9000", "[x:9000", "[:9000",
				    "[]:9000", "::1]:9000",	 ":70000",    ":-1",	 ":"};

START_TEST(test_bad)
{
	struct err err = {0};

	ck_assert_int_eq(pages_check("AT", g_bad[_i], &err), -ERR_INVALID);
	ck_assert_msg(strstr(err.msg, "AT: '") && strstr(err.msg, g_bad[_i]), "%s", err.msg);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("addresses");

	tcase_add_loop_test(t, test_good, 0, ARRAY_LEN(g_good));
	tcase_add_loop_test(t, test_bad, 0, ARRAY_LEN(g_bad));
	return suite_run("pages", t);
}
