/* The index in a real Redis: who attached last has the word, whoever writes later. */
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "common/sandbox/index.h"
#include "mem.h"
#include "tests/unit/redis_fixture.h"
#include "tests/unit/suite.h"

static struct redis_server *server;
static struct redis_address address;
static struct redis_link *wire;
static struct index ix;
static struct err err;

static void setup(void)
{
	_cleanup_free_ char *url = NULL;

	server = redis_server_start(NULL);
	url = redis_server_url(server, 0);
	ck_assert_int_eq(redis_address_parse(url, &address, &err), 0);
	ck_assert_int_eq(redis_link_new(&address, "test", &wire, &err), 0);
	sandbox_index_init(&ix, wire, "prefix:", "test", NULL);
}

static void teardown(void)
{
	redis_link_free(wire, 0);
	sandbox_index_done(&ix);
	redis_address_done(&address);
	redis_server_free(server);
}

static void save(const char *container, const char *owner, uint32_t epoch)
{
	struct index_record r = {.known = true, .epoch = epoch};

	strcpy(r.container, container);
	strcpy(r.owner, owner);
	sandbox_index_save(&ix, "c", &r);
}

/* What is there; commands of one link are carried out in their order. */
static void expect(const char *container, const char *owner, uint32_t epoch)
{
	const char *name = "c";
	struct index_record r;

	ck_assert_msg(sandbox_index_read(&ix, &name, 1, &r, &err) == 0, "%s", err.msg);
	ck_assert(r.known);
	ck_assert_str_eq(r.container, container);
	ck_assert_str_eq(r.owner, owner);
	ck_assert_uint_eq(r.epoch, epoch);
}

static size_t idle(void)
{
	struct index_idle list[4];
	size_t n = 0;

	ck_assert_int_eq(sandbox_index_longest_idle(&ix, 4, list, &n, &err), 0);
	for (size_t i = 0; i < n; i++)
		free(list[i].conversation);
	return n;
}

START_TEST(test_the_last_to_attach_has_the_word)
{
	save("one", "a", 3);
	expect("one", "a", 3);
	ck_assert_uint_eq(idle(), 1);
	save("one", "b", 4);
	expect("one", "b", 4);
	/* who slept wakes up, and writes what it knew; or even that there is none */
	save("one", "a", 3);
	expect("one", "b", 4);
	save("", "a", 3);
	expect("one", "b", 4);
	ck_assert_uint_eq(idle(), 1);
	/* the same attachment again, as after each call */
	save("", "b", 4);
	expect("", "b", 4);
	ck_assert_uint_eq(idle(), 0);
	save("two", "b", 5);
	expect("two", "b", 5);
	ck_assert_uint_eq(idle(), 1);
}
END_TEST

/* As numbers, not as texts. */
START_TEST(test_large_epochs)
{
	save("one", "a", 9);
	save("one", "b", 10);
	expect("one", "b", 10);
	save("one", "a", 9);
	expect("one", "b", 10);
	save("one", "c", UINT32_MAX);
	expect("one", "c", UINT32_MAX);
}
END_TEST

/* Redis was emptied: whoever still has the container says so. */
START_TEST(test_forgotten)
{
	save("one", "a", 7);
	expect("one", "a", 7);
	sandbox_index_forget(&ix, "c");
	save("one", "a", 7);
	expect("one", "a", 7);
}
END_TEST

static void note(const char *container, const char *text)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;

	ck_assert_int_eq(redis_link_do(wire, clock_deadline(20 * USEC_PER_SEC), &reply, &err,
				       "HSET %ssuspects %s %s", ix.base, container, text),
			 0);
}

/* What is no note of ours is none, however large its number. */
START_TEST(test_notes)
{
	struct index_suspect *list = NULL;
	usec_t now = 0;
	size_t n = 0;

	note("a", "idle 9223372036854775807");
	note("b", "idle 9223372036854776");
	note("c", "idle -1");
	note("d", "idle 12x");
	note("e", "idle ");
	note("f", "idle");
	note("g", "idle 99999999999999999999999");
	note("h", "orphan 9223372036854775");
	ck_assert_int_eq(sandbox_index_suspects(&ix, &list, &n, &now, &err), 0);
	ck_assert_uint_eq(n, 1);
	ck_assert_str_eq(list[0].container, "h");
	ck_assert_str_eq(list[0].what, "orphan");
	ck_assert_int_eq(list[0].since, 9223372036854775 * USEC_PER_MSEC);
	free(list);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("index");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_the_last_to_attach_has_the_word);
	tcase_add_test(t, test_large_epochs);
	tcase_add_test(t, test_forgotten);
	tcase_add_test(t, test_notes);
	return suite_run("index", t);
}
