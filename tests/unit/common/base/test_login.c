/* Credentials that are refused again and again are told once a minute, with how often. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "buf.h"
#include "clock.h"
#include "login.h"
#include "tests/unit/suite.h"

static struct buf said;
static usec_t now = 1000 * USEC_PER_SEC;

static usec_t test_clock(void)
{
	return now;
}

static void listen(void *arg, const char *service, const char *where, const char *reason,
		   uint64_t times)
{
	ck_assert_ptr_eq(arg, &said);
	buf_appendf(&said, "%s %s: %s (%llu);", service, where, reason, (unsigned long long)times);
}

static void heard(const char *text)
{
	ck_assert_str_eq(said.len ? said.data : "", text);
	buf_reset(&said);
}

START_TEST(test_told)
{
	char where[32];

	clock_hook(test_clock, test_clock);
	said = BUF_INIT(1 << 20);
	login_refused("Redis", "a:1", "no"); /* nobody listens yet */
	login_on_refused(listen, &said);
	heard("");
	login_refused("Redis", "a:1", "no");
	heard("Redis a:1: no (2);");
	for (int i = 0; i < 1000; i++)
		login_refused("Redis", "a:1", "no");
	login_refused("Redis", "b:1", "no");
	login_refused("engine", "a:1", "never");
	heard("Redis b:1: no (1);engine a:1: never (1);");
	now += 60 * USEC_PER_SEC;
	login_refused("Redis", "a:1", "still no");
	heard("Redis a:1: still no (1001);");
	/* however many places there are */
	for (int i = 0; i < 10 * LOGIN_PLACES; i++) {
		snprintf(where, sizeof(where), "c:%d", i);
		login_refused("MCP server", where, "x");
	}
	ck_assert(said.len > 0);
	buf_reset(&said);
	login_on_refused(NULL, NULL);
	login_refused("Redis", "a:1", "no");
	heard("");
	buf_done(&said);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("login");

	tcase_add_test(t, test_told);
	return suite_run("login", t);
}
