/*
 * test_presence.c: leases and epochs against a real Redis.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "common/presence/process.h"
#include "presence.h"
#include "tests/unit/redis_fixture.h"

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
	while (!redis_link_up(g_link)) {
		usleep(1000);
	}
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

	ck_assert_msg(presence_join(g_redis, "", "i", node, clock_deadline(20 * USEC_PER_SEC), &p,
				    &err) == 0,
		      "%s", err.msg);
	return p;
}

static bool alive(const struct presence *p, const char *owner)
{
	struct err err = {0};
	bool ret = false;

	ck_assert_msg(presence_alive(p, g_link, owner, &ret, &err) == 0, "%s", err.msg);
	return ret;
}

START_TEST(test_second_of_a_name_gets_another)
{
	struct presence *a = join("n"), *b = join("n");

	ck_assert_str_eq(presence_node(a), "n");
	ck_assert_str_eq(presence_node(b), "n-2");
	ck_assert(alive(a, presence_owner(b)));
	ck_assert(!alive(a, "n@1"));
	ck_assert(!alive(a, "nobody@5"));
	presence_leave(b, g_redis);
	ck_assert(!alive(a, presence_owner(b)));
	presence_free(a);
	presence_free(b);
}
END_TEST

START_TEST(test_dead_process_is_replaced_at_once)
{
	char first[PRESENCE_OWNER_SIZE];
	int fds[2];
	struct presence *p;
	pid_t child;

	ck_assert_int_eq(pipe(fds), 0);
	child = fork();
	if (child == 0) {
		struct presence *mine = NULL;
		struct redis *r = NULL;
		struct err err;
		ssize_t n;

		if (redis_open(&g_address, "child", 20 * USEC_PER_SEC, &r, &err) < 0 ||
		    presence_join(r, "", "i", "n", clock_deadline(20 * USEC_PER_SEC), &mine, &err) <
			    0)
			_exit(1);
		n = write(fds[1], presence_owner(mine), strlen(presence_owner(mine)) + 1);
		_exit(n > 0 ? 0 : 1);
	}
	close(fds[1]);
	ck_assert_int_gt(read(fds[0], first, sizeof(first)), 0);
	waitpid(child, NULL, 0);
	p = join("n");
	ck_assert_str_eq(presence_node(p), "n");
	ck_assert(!alive(p, first));
	ck_assert(alive(p, presence_owner(p)));
	presence_free(p);
	close(fds[0]);
}
END_TEST

START_TEST(test_epoch_rises_even_when_the_counter_is_lost)
{
	struct presence *a = join("n"), *b;
	int64_t first = presence_epoch(a);
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct err err;

	presence_leave(a, g_redis);
	presence_free(a);
	b = join("n");
	ck_assert_int_gt(presence_epoch(b), first);
	presence_leave(b, g_redis);
	ck_assert_int_eq(redis_do(g_redis, &reply, &err, "FLUSHALL"), 0);
	first = clock_wall() / USEC_PER_SEC;
	presence_free(b);
	b = join("n");
	ck_assert_int_ge(presence_epoch(b), first);
	presence_free(b);
}
END_TEST

START_TEST(test_renewal_takes_a_lost_lease_again)
{
	struct presence *a = join("a"), *b = join("b");
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct err err;

	ck_assert_int_eq(redis_do(g_redis, &reply, &err, "FLUSHALL"), 0);
	ck_assert(!alive(b, presence_owner(a)));
	presence_renew(a, g_link);
	ck_assert(alive(b, presence_owner(a))); /* the link keeps the order */
	presence_free(a);
	presence_free(b);
}
END_TEST

/* Who leaves while another thread renews. */
START_TEST(test_retired)
{
	struct presence *a = join("a"), *b = join("b");

	presence_renew(a, g_link);
	presence_retire(a);
	ck_assert(alive(b, presence_owner(a)));
	presence_leave(a, g_redis);
	presence_renew(a, g_link);
	ck_assert(!alive(b, presence_owner(a)));
	presence_free(a);
	presence_free(b);
}
END_TEST

START_TEST(test_owner_parse)
{
	char node[128];
	int64_t epoch;

	ck_assert(presence_owner_parse("a@b@12", node, &epoch));
	ck_assert_str_eq(node, "a@b");
	ck_assert_int_eq(epoch, 12);
	ck_assert(!presence_owner_parse("a", node, &epoch));
	ck_assert(!presence_owner_parse("@1", node, &epoch));
	ck_assert(!presence_owner_parse("a@", node, &epoch));
	ck_assert(!presence_owner_parse("a@-1", node, &epoch));
	ck_assert(!presence_owner_parse("a@1x", node, &epoch));
}
END_TEST

START_TEST(test_process_life)
{
	char me[PROCESS_IDENTITY_SIZE];

	process_identity(me);
	ck_assert_int_eq(process_life(me), PROCESS_ALIVE);
	ck_assert_int_eq(process_life("another-boot 1 1 1"), PROCESS_UNKNOWN);
	ck_assert_int_eq(process_life("garbage"), PROCESS_UNKNOWN);
	*strrchr(me, ' ') = '\0';
	{
		_cleanup_free_ char *other =
			xasprintf("%s 1", me); /* the pid, started at another time */

		ck_assert_int_eq(process_life(other), PROCESS_GONE);
	}
}
END_TEST

static size_t dead_of(const struct presence *p, bool own_only, const char *first)
{
	struct presence_owners dead = {0};
	struct err err = {0};
	size_t count;

	ck_assert_int_eq(presence_find_dead(p, g_link, own_only, &dead, &err), 0);
	count = dead.count;
	if (first != NULL)
		ck_assert_str_eq(dead.items[0], first);
	presence_owners_done(&dead);
	return count;
}

START_TEST(test_who_is_dead)
{
	struct presence *a = join("a"), *b = join("b"), *again;
	char earlier[PRESENCE_OWNER_SIZE];
	struct err err = {0};

	strcpy(earlier, presence_owner(a));
	ck_assert_uint_eq(dead_of(b, false, NULL), 0);
	presence_leave(a, g_redis);
	presence_free(a);
	ck_assert_uint_eq(dead_of(b, false, earlier), 1);
	ck_assert_uint_eq(dead_of(b, true, NULL), 0); /* of another node */
	again = join("a");
	ck_assert_uint_eq(dead_of(again, true, earlier), 1);
	ck_assert_int_eq(presence_forget(again, g_link, earlier, &err), 0);
	ck_assert_uint_eq(dead_of(again, false, NULL), 0);
	/* forgotten by mistake, it comes back with the next renewal */
	ck_assert_int_eq(presence_forget(again, g_link, presence_owner(again), &err), 0);
	presence_renew(again, g_link);
	strcpy(earlier, presence_owner(again));
	while (!alive(b, earlier)) {
		usleep(1000);
	}
	presence_leave(again, g_redis);
	ck_assert_uint_eq(dead_of(b, false, earlier), 1);
	presence_free(again);
	presence_leave(b, g_redis);
	presence_free(b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("presence");
	TCase *c = tcase_create("redis");
	SRunner *r;
	int failed;

	tcase_set_timeout(c, 40);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, test_second_of_a_name_gets_another);
	tcase_add_test(c, test_dead_process_is_replaced_at_once);
	tcase_add_test(c, test_epoch_rises_even_when_the_counter_is_lost);
	tcase_add_test(c, test_renewal_takes_a_lost_lease_again);
	tcase_add_test(c, test_retired);
	tcase_add_test(c, test_owner_parse);
	tcase_add_test(c, test_process_life);
	tcase_add_test(c, test_who_is_dead);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
