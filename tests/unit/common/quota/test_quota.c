/*
 * test_quota.c: quotas against a real Redis: what is used up, by whom, and when it opens again.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "quota.h"
#include "tests/unit/redis_fixture.h"
#include "tests/unit/suite.h"

#define PATIENCE (20 * USEC_PER_SEC)

static struct redis_server *g_server;
static struct redis_address g_address;
static struct redis *g_redis;
static struct redis_link *g_link;

static void setup(void)
{
	_cleanup_free_ char *url = NULL;
	struct err err = {0};

	g_server = redis_server_start(NULL);
	url = redis_server_url(g_server, 0);
	ck_assert_int_eq(redis_address_parse(url, &g_address, &err), 0);
	ck_assert_int_eq(redis_open(&g_address, "test", 20 * USEC_PER_SEC, &g_redis, &err), 0);
	ck_assert_int_eq(redis_link_new(&g_address, "test", &g_link, &err), 0);
	while (!redis_link_up(g_link))
		usleep(1000);
}

static void teardown(void)
{
	redis_link_free(g_link, 0);
	redis_close(g_redis);
	redis_address_done(&g_address);
	redis_server_free(g_server);
}

static struct presence *join(const char *node)
{
	struct presence *p = NULL;
	struct err err = {0};

	ck_assert_msg(presence_join(g_redis, "", "i", node, clock_deadline(PATIENCE), &p, &err) ==
			      0,
		      "%s", err.msg);
	return p;
}

/* "" or why not. */
static const char *enter(struct quota *q, const char *project, struct project_quota limits,
			 const char *id)
{
	static struct err err;
	int rc = quota_enter(q, project, &limits, id, clock_deadline(PATIENCE), &err);

	ck_assert_msg(rc == 0 || rc == -ERR_DENIED, "%s", err.msg);
	return rc == 0 ? "" : err.msg;
}

START_TEST(calls_per_minute)
{
	struct presence *p = join("a"), *other = join("b");
	struct quota *q = quota_new(g_link, "", p), *r = quota_new(g_link, "", other);
	const struct project_quota two = {2, -1, -1};

	ck_assert_str_eq(enter(q, "p", two, "1"), "");
	ck_assert_str_eq(enter(r, "p", two, "2"), "");
	ck_assert_str_eq(enter(r, "p", two, "1"), ""); /* the same call, delivered again */
	ck_assert_ptr_nonnull(
		strstr(enter(q, "p", two, "3"), "project p: 2 calls per minute are used up, open"));
	ck_assert_str_eq(enter(q, "another", two, "3"), "");
	/* half a minute later nothing has changed, after the whole of it there is room again */
	free(redis_server_tell(g_server, "ZINCRBY celeriac:i:quota:p:calls -30000 1"));
	ck_assert_str_ne(enter(q, "p", two, "3"), "");
	free(redis_server_tell(g_server, "ZINCRBY celeriac:i:quota:p:calls -30001 1"));
	ck_assert_str_eq(enter(q, "p", two, "3"), "");
	ck_assert_str_ne(enter(q, "none", (struct project_quota){0, -1, -1}, "4"), "");
	quota_free(q);
	quota_free(r);
	presence_free(p);
	presence_free(other);
}
END_TEST

START_TEST(concurrent_runs)
{
	struct presence *p = join("a"), *other = join("b");
	struct quota *q = quota_new(g_link, "", p), *r = quota_new(g_link, "", other);
	const struct project_quota two = {-1, 2, -1};

	ck_assert_str_eq(enter(q, "p", two, "1"), "");
	ck_assert_str_eq(enter(r, "p", two, "2"), "");
	ck_assert_str_eq(enter(q, "p", two, "3"),
			 "project p: 2 calls run at once, open when one of them ends");
	quota_leave(q, "p", "1", 0);
	ck_assert_str_eq(enter(q, "p", two, "3"), "");
	/* what a worker ran that has died holds nothing */
	presence_leave(other, g_redis);
	ck_assert_str_eq(enter(q, "p", two, "4"), "");
	ck_assert_str_ne(enter(q, "p", two, "5"), "");
	quota_free(q);
	quota_free(r);
	presence_free(p);
	presence_free(other);
}
END_TEST

START_TEST(sandbox_seconds)
{
	struct presence *p = join("a");
	struct quota *q = quota_new(g_link, "", p);
	const struct project_quota ten = {-1, -1, 10};

	ck_assert_str_eq(enter(q, "p", ten, "1"), "");
	quota_leave(q, "p", "1", 9999 * USEC_PER_MSEC);
	quota_leave(q, "p", "1", 9999 * USEC_PER_MSEC); /* it has ended once */
	ck_assert_str_eq(enter(q, "p", ten, "2"), "");
	quota_leave(q, "p", "2", 1 * USEC_PER_MSEC);
	const char *why = enter(q, "p", ten, "3");
	ck_assert_ptr_nonnull(
		strstr(why, "project p: 10 sandbox seconds a day are used up, open at "));
	ck_assert_ptr_nonnull(strstr(why, "T00:00:0"));
	ck_assert_str_eq(enter(q, "another", ten, "3"), "");
	quota_free(q);
	presence_free(p);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("redis");

	tcase_set_timeout(c, 40);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, calls_per_minute);
	tcase_add_test(c, concurrent_runs);
	tcase_add_test(c, sandbox_seconds);
	return suite_run("quota", c);
}
