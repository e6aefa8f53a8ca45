/*
 * test_redis_link_memory.c: a link whose requests for memory are refused, one at a time: each
 * command is answered with what is its own, or fails, and what comes after it is answered.
 */
#include <check.h>
#include <stdlib.h>
#include <time.h>

#include "bounds.h"
#include "clock.h"
#include "common/client/redis_link.h"
#include "tests/unit/memory_fixture.h"
#include "tests/unit/redis_fixture.h"
#include "tests/unit/suite.h"

static struct redis_server *g_server;

static void start(void)
{
	g_server = redis_server_start(NULL);
}

static void stop(void)
{
	redis_server_free(g_server);
}

/* Under REDIS_REPLY_TIMEOUT: an answer that is owed to nobody is none that comes late. */
static usec_t soon(void)
{
	return clock_deadline(4 * USEC_PER_SEC);
}

/* 0, or it failed because memory was refused: of that, or of a connection that was given up for it.
 */
static int call(struct redis_link *l, unsigned flags, const char *fmt, const char *arg,
		const char *answer)
{
	_cleanup_buf_ struct buf b = BUF_INIT(BOUND_REDIS_COMMAND);
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct err err;
	int rc;

	redis_command(&b, fmt, arg);
	rc = redis_link_exchange(l, &b, 1, flags, soon(), &reply, &err);
	if (rc == 0)
		ck_assert_str_eq(redis_reply_str(reply).data, answer);
	else
		ck_assert_msg(memory_has_failed() && (rc == -ERR_NOMEM || rc == -ERR_UNAVAILABLE),
			      "%s: %s", fmt, err.msg);
	return rc;
}

static void talk(struct redis_link *l, const struct redis_script *first,
		 const struct redis_script *second)
{
	(void)call(l, REDIS_LINK_KEEP, "EVALSHA %s 0", first->sha, "first");
	(void)call(l, REDIS_LINK_KEEP, "SCRIPT FLUSH%s", "", "OK");
	(void)call(l, 0, "ECHO %s", "between", "between");
	(void)call(l, REDIS_LINK_KEEP, "EVALSHA %s 0", second->sha, "second");
	(void)call(l, REDIS_LINK_KEEP, "EVALSHA %s 0", first->sha, "first");
	(void)call(l, REDIS_LINK_KEEP, "ECHO %s", "after", "after");
}

START_TEST(test_each_request)
{
	struct redis_script first, second;
	char *url = redis_server_url(g_server, 0);
	struct redis_address a;
	struct err err;
	bool failed = true;
	size_t which = 0;

	redis_script_init(&first, "return 'first'");
	redis_script_init(&second, "return 'second'");
	ck_assert_int_eq(redis_address_parse(url, &a, &err), 0);
	free(url);
	while (failed) {
		struct redis_link *l;

		memory_fail(++which);
		ck_assert_int_eq(redis_link_new(&a, "scarce", &l, &err), 0);
		redis_link_add_script(l, &first);
		redis_link_add_script(l, &second);
		talk(l, &first, &second);
		failed = memory_failed();
		talk(l, &first, &second);
		redis_link_free(l, soon());
	}
	ck_assert_uint_gt(which, 10);
	redis_address_done(&a);
}
END_TEST

/* A server that is asked whether it is there, with no memory to ask it. */
START_TEST(test_ping)
{
	struct redis_tuning often = {.health_check_interval = 50 * USEC_PER_MSEC};
	char *url = redis_server_url(g_server, 0);
	struct redis_address a;
	struct redis_link *l;
	struct err err;

	ck_assert_int_eq(redis_address_parse_tuned(url, &often, &a, &err), 0);
	free(url);
	ck_assert_int_eq(redis_link_new(&a, "scarce", &l, &err), 0);
	ck_assert_int_eq(call(l, 0, "ECHO %s", "before", "before"), 0);
	memory_fail(1);
	while (!memory_has_failed())
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	ck_assert(memory_failed());
	ck_assert_int_eq(call(l, REDIS_LINK_KEEP, "ECHO %s", "after", "after"), 0);
	redis_link_free(l, soon());
	redis_address_done(&a);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("real server");

	tcase_add_unchecked_fixture(c, start, stop);
	tcase_set_timeout(c, 120);
	tcase_add_test(c, test_each_request);
	tcase_add_test(c, test_ping);
	return suite_run("redis link without memory", c);
}
