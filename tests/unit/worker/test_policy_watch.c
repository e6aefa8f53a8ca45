/* The policy of a worker without a database: its file, or that there is none. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policy.h"
#include "tests/unit/suite.h"
#include "worker/policy_watch.h"

static char g_path[] = "/tmp/celeriac-policy-XXXXXX";

static int open_file(const char *text, struct policy_watch *p, struct err *err)
{
	const struct settings s = {.policy_file = g_path};
	FILE *f = fopen(g_path, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
	return policy_watch_open(p, &s, NULL, err);
}

static bool allows(struct policy_watch *p, const char *tool)
{
	struct policy *policy = policy_watch_get(p);
	struct policy_answer answer;

	ck_assert_ptr_nonnull(policy);
	policy_ask(policy, POLICY_TOOL, NULL, tool, policy_kind_default(POLICY_TOOL), &answer);
	policy_unref(policy);
	return answer.allow;
}

START_TEST(test_file)
{
	const struct settings nowhere = {.policy_file = "/no/such/policy"}, none = {0};
	struct policy_watch p;
	struct err err;

	close(mkstemp(g_path));
	ck_assert_int_eq(open_file("deny tool x\n", &p, &err), 0);
	ck_assert_int_eq(policy_watch_start(&p, NULL, NULL, &err),
			 0); /* there is nothing to watch */
	ck_assert(policy_watch_ready(&p));
	ck_assert(!allows(&p, "x") && allows(&p, "y"));
	policy_watch_close(&p);
	ck_assert_int_eq(open_file("allow tool y\ndeny\n", &p, &err), -ERR_INVALID);
	ck_assert_msg(strstr(err.msg, ":2"), "%s", err.msg);
	policy_watch_close(&p);
	unlink(g_path);
	ck_assert_int_lt(policy_watch_open(&p, &nowhere, NULL, &err), 0);
	ck_assert_msg(strstr(err.msg, "CELERIAC_POLICY"), "%s", err.msg);
	policy_watch_close(&p);
	ck_assert_int_eq(policy_watch_open(&p, &none, NULL, &err), 0);
	ck_assert(allows(&p, "x"));
	policy_watch_close(&p);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("policy watch");

	tcase_add_test(t, test_file);
	return suite_run("policy_watch", t);
}
