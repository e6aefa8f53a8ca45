/*
 * test_schedule.c: what is held for later comes out in order, can be hurried, listed and renewed,
 * and is small.
 */
#include <check.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "mem.h"
#include "worker/limits.h"
#include "worker/schedule.h"

static struct schedule g_schedule;
static struct task g_task = {.name = "a"}, g_other = {.name = "b"};

static void setup(void)
{
	g_schedule = (struct schedule){0};
	schedule_init(&g_schedule);
}

static void teardown(void)
{
	schedule_done(&g_schedule);
}

static void add(uint64_t number, enum hold hold, usec_t due)
{
	struct delivery_ref ref = {"celery", number, 0};
	_cleanup_free_ char *id =
		xasprintf("00000000-0000-0000-0000-%012llu", (unsigned long long)number);

	schedule_add(&g_schedule, held_new(&ref, &g_task, id, 1000), hold, due);
}

/* Takes as schedule_take and frees; the numbers are the answer. */
static size_t take(enum hold hold, usec_t now, size_t max, size_t bytes, bool latest_first,
		   uint64_t *out)
{
	size_t count = 99, n = 0;
	struct held *list = schedule_take(&g_schedule, hold, now, max, bytes, latest_first, &count);

	while (list != NULL) {
		struct held *next = list->next;

		out[n++] = list->ref.number;
		free(list);
		list = next;
	}
	ck_assert_uint_eq(n, count);
	return n;
}

static uint64_t shuffled(uint64_t i, uint64_t count)
{
	return i * 7919 % count; /* a prime: every number once */
}

START_TEST(test_in_the_order_of_their_time)
{
	uint64_t out[1000];

	for (uint64_t i = 0; i < 1000; i++) {
		add(shuffled(i, 1000), HOLD_ETA, 10 + shuffled(i, 1000) / 2);
	}
	ck_assert_uint_eq(schedule_count(&g_schedule), 1000);
	ck_assert_uint_eq(schedule_next_due(&g_schedule, HOLD_ETA), 10);
	ck_assert_uint_eq(take(HOLD_ETA, 9, 1000, SIZE_MAX, false, out), 0);
	ck_assert_uint_eq(take(HOLD_ETA, 59, 30, SIZE_MAX, false, out), 30);
	ck_assert_uint_eq(take(HOLD_ETA, 59, 1000, SIZE_MAX, false, out + 30), 70);
	for (uint64_t i = 0; i < 100; i++) {
		ck_assert_uint_eq(out[i], i); /* of one time, the first to come first */
	}
	ck_assert_uint_eq(take(HOLD_ETA, 69, 1000, SIZE_MAX, true, out), 20);
	for (uint64_t i = 0; i < 20; i++) {
		ck_assert_uint_eq(out[i], 119 - i);
	}
	ck_assert_uint_eq(schedule_next_due(&g_schedule, HOLD_ETA), 70);
	ck_assert_uint_eq(take(HOLD_ETA, 1000, 1000, 2500, false, out), 2); /* 1000 bytes each */
	ck_assert_uint_eq(take(HOLD_ETA, 1000, 1000, 10, false, out), 1);
	ck_assert_uint_eq(take(HOLD_ETA, 1000, 1000, SIZE_MAX, false, out), 877);
	ck_assert_uint_eq(schedule_next_due(&g_schedule, HOLD_ETA), USEC_NEVER);
	ck_assert_uint_eq(atomic_load(&g_schedule.bytes), 0);
}
END_TEST

START_TEST(test_reasons_are_apart)
{
	uint64_t out[8];

	add(1, HOLD_ETA, 5);
	add(2, HOLD_TURN, 3);
	ck_assert_uint_eq(schedule_next_due(&g_schedule, HOLD_TURN), 3);
	ck_assert_uint_eq(schedule_next_due(&g_schedule, HOLD_HURRY), USEC_NEVER);
	ck_assert_uint_eq(take(HOLD_ETA, 100, 8, SIZE_MAX, false, out), 1);
	ck_assert_uint_eq(out[0], 1);
	ck_assert_uint_eq(schedule_count(&g_schedule), 1);
}
END_TEST

START_TEST(test_hurried_by_id)
{
	_cleanup_json_ json_t *ids = json_object(), *found = json_object();
	struct held_look looks[8];
	uint64_t out[8];

	for (uint64_t i = 0; i < 5; i++) {
		add(i, i == 4 ? HOLD_TURN : HOLD_ETA, 100 - i);
	}
	json_object_set_new(ids, "00000000-0000-0000-0000-000000000001", json_true());
	json_object_set_new(ids, "00000000-0000-0000-0000-000000000004", json_true());
	json_object_set_new(ids, "unknown", json_true());
	ck_assert_uint_eq(schedule_look(&g_schedule, ids, 1u << HOLD_ETA, looks, 8), 1);
	ck_assert_uint_eq(looks[0].ref.number, 1);
	schedule_hurry(&g_schedule, ids, found);
	ck_assert_uint_eq(json_object_size(found), 2);
	ck_assert_uint_eq(schedule_look(&g_schedule, NULL, 1u << HOLD_ETA, looks, 8), 3);
	ck_assert_uint_eq(schedule_look(&g_schedule, NULL, 1u << HOLD_ETA, looks, 2), 2);
	ck_assert_uint_eq(schedule_look(&g_schedule, NULL, 7, looks, 8), 5);
	ck_assert_uint_eq(take(HOLD_HURRY, 0, 8, SIZE_MAX, false, out), 2);
	ck_assert_uint_eq(out[0], 1);
	ck_assert_uint_eq(out[1], 4);
	ck_assert_uint_eq(take(HOLD_ETA, 1000, 8, SIZE_MAX, false, out), 3);
	ck_assert_uint_eq(out[0], 3);
	ck_assert_uint_eq(out[2], 0);
}
END_TEST

/* What is there at the rewind and not taken meanwhile is seen, whatever else is taken and added. */
START_TEST(test_walk_among_changes)
{
	struct delivery_ref refs[3];
	uint64_t out[8];
	bool seen[40] = {false};
	size_t n, rounds = 0;

	for (uint64_t i = 0; i < 20; i++) {
		add(i, HOLD_ETA, i);
	}
	schedule_rewind(&g_schedule);
	while ((n = schedule_walk(&g_schedule, refs, 3)) > 0) {
		for (size_t i = 0; i < n; i++) {
			ck_assert(!seen[refs[i].number]);
			seen[refs[i].number] = true;
		}
		rounds++;
		if (rounds == 1) /* 3 to 5 were to come next */
			ck_assert_uint_eq(take(HOLD_ETA, 5, 8, SIZE_MAX, false, out), 6);
		if (rounds < 5)
			add(20 + rounds, HOLD_ETA, 0);
	}
	for (size_t i = 0; i < 20; i++) {
		ck_assert(seen[i] == (i < 3 || i > 5));
	}
	schedule_rewind(&g_schedule);
	ck_assert_uint_eq(schedule_walk(&g_schedule, refs, 3), 3);
	ck_assert_uint_eq(refs[0].number, 6);
}
END_TEST

START_TEST(test_newest_first)
{
	size_t count;
	struct held *list;

	for (uint64_t i = 0; i < 5; i++) {
		add(i, HOLD_ETA, shuffled(i, 5));
	}
	for (int left = 5; left > 0; left -= 2) {
		list = schedule_take_newest(&g_schedule, 2, &count);
		ck_assert_uint_eq(count, left > 1 ? 2 : 1);
		for (int i = 1; list != NULL; i++) {
			struct held *next = list->next;

			ck_assert_uint_eq(list->ref.number, left - i);
			free(list);
			list = next;
		}
	}
	ck_assert_ptr_null(schedule_take_newest(&g_schedule, 2, &count));
	ck_assert_uint_eq(count, 0);
}
END_TEST

START_TEST(test_turns_are_given_anew_in_order)
{
	struct delivery_ref ref = {"celery", 100, 0};
	uint64_t out[8];
	struct limits l = {0};

	limits_init(&l);
	limits_set_rate(&l, "a", 1, "1");
	for (uint64_t i = 0; i < 4; i++) {
		add(i, HOLD_TURN, 1000 * USEC_PER_SEC - i);
	}
	schedule_add(&g_schedule, held_new(&ref, &g_other, "other", 10), HOLD_TURN, 7);
	schedule_reset_turns(&g_schedule, &l, &g_task, 100 * USEC_PER_SEC);
	ck_assert_uint_eq(take(HOLD_TURN, 7, 8, SIZE_MAX, false, out), 1);
	ck_assert_uint_eq(out[0], 100);
	ck_assert_uint_eq(schedule_next_due(&g_schedule, HOLD_TURN), 100 * USEC_PER_SEC);
	ck_assert_uint_eq(take(HOLD_TURN, 102 * USEC_PER_SEC, 8, SIZE_MAX, false, out), 3);
	ck_assert_uint_eq(out[0], 0);
	ck_assert_uint_eq(out[2], 2);
	limits_set_rate(&l, "a", 0, "");
	schedule_reset_turns(&g_schedule, &l, &g_task, 101 * USEC_PER_SEC);
	ck_assert_uint_eq(take(HOLD_TURN, 0, 8, SIZE_MAX, false, out), 1);
	limits_done(&l);
}
END_TEST

/* The bar is 0.45 KiB for each; what is counted is what malloc took. */
START_TEST(test_a_record_is_small)
{
	size_t before = mallinfo2().uordblks, after, used;

	for (uint64_t i = 0; i < 100000; i++) {
		add(i, HOLD_ETA, shuffled(i, 100000));
	}
	used = atomic_load(&g_schedule.bytes);
	ck_assert_uint_le(used / 100000, 160);
	ck_assert_uint_ge(used / 100000, 60);
	after = mallinfo2().uordblks + mallinfo2().hblkhd;
	if (before > 0) /* a sanitizer's malloc does not say */
		ck_assert_uint_le((after - before) / 100000, 160);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("schedule");
	TCase *c = tcase_create("schedule");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, test_in_the_order_of_their_time);
	tcase_add_test(c, test_reasons_are_apart);
	tcase_add_test(c, test_hurried_by_id);
	tcase_add_test(c, test_walk_among_changes);
	tcase_add_test(c, test_newest_first);
	tcase_add_test(c, test_turns_are_given_anew_in_order);
	tcase_add_test(c, test_a_record_is_small);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
