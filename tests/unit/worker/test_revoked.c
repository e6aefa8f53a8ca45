/*
 * test_revoked.c: what is remembered, for how long, and how much of it.
 */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "json.h"
#include "tests/unit/suite.h"
#include "worker/revoked.h"

static struct revoked g_revoked;
static usec_t g_now = 100 * USEC_PER_SEC;

static usec_t now(void)
{
	return g_now;
}

static void setup(void)
{
	clock_hook(now, now);
	revoked_init(&g_revoked, 3, 10 * USEC_PER_SEC);
}

static void teardown(void)
{
	revoked_done(&g_revoked);
}

START_TEST(test_bounded)
{
	_cleanup_json_ json_t *list = NULL;

	ck_assert(!revoked_has(&g_revoked, "a"));
	revoked_add(&g_revoked, "a");
	revoked_add(&g_revoked, "b");
	revoked_add(&g_revoked, "c");
	revoked_add(&g_revoked, "a"); /* is the newest now */
	revoked_add(&g_revoked, "d");
	ck_assert(!revoked_has(&g_revoked, "b"));
	ck_assert(revoked_has(&g_revoked, "a"));
	list = revoked_list(&g_revoked);
	ck_assert_uint_eq(json_array_size(list), 3);
	ck_assert_str_eq(json_string_value(json_array_get(list, 0)), "c");
}
END_TEST

START_TEST(test_expires)
{
	revoked_add(&g_revoked, "a");
	g_now += 9 * USEC_PER_SEC;
	revoked_add(&g_revoked, "b");
	ck_assert(revoked_has(&g_revoked, "a"));
	g_now += 2 * USEC_PER_SEC;
	ck_assert(!revoked_has(&g_revoked, "a"));
	ck_assert(revoked_has(&g_revoked, "b"));
	revoked_add(&g_revoked, "c");
	ck_assert_uint_eq(atomic_load(&g_revoked.count), 2);
}
END_TEST

START_TEST(test_what_is_no_id)
{
	char text[BOUND_TASK_ID_BYTES + 2];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	revoked_add(&g_revoked, "");
	revoked_add(&g_revoked, text);
	ck_assert_uint_eq(atomic_load(&g_revoked.count), 0);
}
END_TEST

static bool stamped(const char *json)
{
	_cleanup_json_ json_t *headers = NULL;
	struct err err;

	ck_assert_int_eq(json_load_strict(json, strlen(json), &headers, &err), 0);
	return revoked_has_stamp(&g_revoked, headers);
}

START_TEST(test_stamps)
{
	revoked_add_stamp(&g_revoked, "user", "7");
	ck_assert(stamped("{\"stamped_headers\": [\"user\"], \"stamps\": {\"user\": \"7\"}}"));
	ck_assert(stamped("{\"stamped_headers\": [\"x\", \"user\"], \"stamps\": {\"user\": [\"1\", "
			  "\"7\"]}}"));
	ck_assert(!stamped("{\"stamped_headers\": [\"user\"], \"stamps\": {\"user\": \"8\"}}"));
	ck_assert(!stamped("{\"stamped_headers\": [], \"stamps\": {\"user\": \"7\"}}"));
	ck_assert(!stamped("{\"stamped_headers\": [\"user\"], \"stamps\": [\"7\"]}"));
	ck_assert(!stamped("{\"stamped_headers\": [7, null], \"stamps\": {\"user\": {\"7\": 1}}}"));
	ck_assert(!stamped("{\"stamped_headers\": \"user\", \"stamps\": \"7\"}"));
	ck_assert(!stamped("{}"));
}
END_TEST

START_TEST(test_stamps_are_bounded)
{
	char value[16];

	for (int i = 0; i < 5000; i++) {
		snprintf(value, sizeof(value), "%d", i);
		revoked_add_stamp(&g_revoked, "h", value);
	}
	ck_assert_uint_le(atomic_load(&g_revoked.count), 1000);
	ck_assert(stamped("{\"stamped_headers\": [\"h\"], \"stamps\": {\"h\": \"4999\"}}"));
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("revoked");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, test_bounded);
	tcase_add_test(c, test_expires);
	tcase_add_test(c, test_what_is_no_id);
	tcase_add_test(c, test_stamps);
	tcase_add_test(c, test_stamps_are_bounded);
	return suite_run("revoked", c);
}
