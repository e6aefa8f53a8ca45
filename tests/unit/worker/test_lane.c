/*
 * test_lane.c: calls of one conversation run one at a time, in order, and nobody is forgotten when
 * the worker stops.
 */
#include <check.h>
#include <stdlib.h>

#include "mem.h"
#include "worker/worker.h"

static struct request *make(const char *lane)
{
	struct request *r = xcalloc(1, sizeof(*r));

	r->id = "id";
	r->lane = lane ? xstrdup(lane) : NULL;
	return r;
}

static void drop(struct request *r)
{
	free(r->lane);
	free(r);
}

START_TEST(test_one_at_a_time_in_order)
{
	struct request *a = make("x"), *b = make("x"), *c = make("x"), *other = make("y"),
		       *none = make(NULL);
	struct lanes l;

	lanes_init(&l);
	ck_assert(lanes_enter(&l, a));
	ck_assert(!lanes_enter(&l, b));
	ck_assert(!lanes_enter(&l, c));
	ck_assert(lanes_enter(&l, other));
	ck_assert(lanes_enter(&l, none));
	ck_assert(!none->lane_held);
	ck_assert_int_eq(b->state, REQUEST_WAITING);
	ck_assert_ptr_eq(lanes_leave(&l, a), b);
	ck_assert_ptr_eq(lanes_leave(&l, b), c);
	ck_assert_ptr_null(lanes_leave(&l, c));
	ck_assert_ptr_null(lanes_leave(&l, other));
	ck_assert(lanes_enter(&l, a)); /* the lane is free again */
	ck_assert_ptr_null(lanes_leave(&l, a));
	lanes_done(&l);
	drop(a);
	drop(b);
	drop(c);
	drop(other);
	drop(none);
}
END_TEST

START_TEST(test_drained_lane_lets_nobody_on)
{
	struct request *a = make("x"), *b = make("x"), *c = make("x"), *list;
	struct lanes l;

	lanes_init(&l);
	ck_assert(lanes_enter(&l, a));
	ck_assert(!lanes_enter(&l, b));
	ck_assert(!lanes_enter(&l, c));
	list = lanes_drain(&l);
	ck_assert_ptr_eq(list, b);
	ck_assert_ptr_eq(list->next, c);
	ck_assert_ptr_null(list->next->next);
	ck_assert_ptr_null(lanes_leave(&l, a));
	lanes_done(&l);
	drop(a);
	drop(b);
	drop(c);
}
END_TEST

START_TEST(test_waiting_after_the_drain_is_not_lost)
{
	struct request *a = make("x"), *b = make("x"), *list;
	struct lanes l;

	lanes_init(&l);
	ck_assert(lanes_enter(&l, a));
	ck_assert_ptr_null(lanes_drain(&l));
	ck_assert(!lanes_enter(&l, b));
	ck_assert_ptr_null(lanes_leave(&l, a)); /* closed: b stays for the next drain */
	list = lanes_drain(&l);
	ck_assert_ptr_eq(list, b);
	lanes_done(&l);
	drop(a);
	drop(b);
}
END_TEST

/* Who is to be given to others: all that wait behind conversations, in their order; what is at work
 * keeps its lane, and other lanes keep what waits. */
START_TEST(test_conversations_are_taken)
{
	struct request *a = make("conversation"), *b = make("conversation"),
		       *c = make("conversation"), *d = make("another"), *e = make("another"),
		       *f = make("no\nid"), *g = make("no\nid"), *list;
	char *busy[4] = {NULL};
	struct lanes l;

	lanes_init(&l);
	ck_assert(lanes_enter(&l, a) && lanes_enter(&l, d) && lanes_enter(&l, f));
	ck_assert(!lanes_enter(&l, b) && !lanes_enter(&l, c) && !lanes_enter(&l, e) &&
		  !lanes_enter(&l, g));
	ck_assert_uint_eq(lanes_conversations(&l), 2);
	ck_assert_uint_eq(lanes_busy(&l, busy, 2), 2); /* as many as are asked for */
	ck_assert_ptr_nonnull(busy[1]);
	ck_assert_ptr_null(busy[2]);
	list = lanes_take_conversations(&l);
	ck_assert_ptr_eq(list, b);
	ck_assert_ptr_eq(list->next, c);
	ck_assert_ptr_eq(list->next->next, e);
	ck_assert_ptr_null(list->next->next->next);
	ck_assert_ptr_null(lanes_take_conversations(&l));
	ck_assert_ptr_null(lanes_leave(&l, a));
	ck_assert_ptr_null(lanes_leave(&l, d));
	ck_assert_uint_eq(lanes_conversations(&l), 0);
	ck_assert_ptr_eq(lanes_leave(&l, f), g);
	ck_assert_ptr_null(lanes_leave(&l, g));
	lanes_done(&l);
	free(busy[0]);
	free(busy[1]);
	for (size_t i = 0; i < 7; i++)
		drop((struct request *[]){a, b, c, d, e, f, g}[i]);
}
END_TEST

/* Those behind one call go where it goes. */
START_TEST(test_those_behind_one_call)
{
	struct request *a = make("x"), *b = make("x"), *c = make("x"), *other = make("y"),
		       *none = make(NULL), *list;
	struct lanes l;

	lanes_init(&l);
	ck_assert(lanes_enter(&l, a) && lanes_enter(&l, other) && lanes_enter(&l, none));
	ck_assert(!lanes_enter(&l, b) && !lanes_enter(&l, c));
	ck_assert_ptr_null(lanes_take_waiting(&l, other));
	ck_assert_ptr_null(lanes_take_waiting(&l, none));
	list = lanes_take_waiting(&l, a);
	ck_assert_ptr_eq(list, b);
	ck_assert_ptr_eq(list->next, c);
	ck_assert_ptr_null(lanes_leave(&l, a));
	ck_assert_ptr_null(lanes_leave(&l, other));
	lanes_done(&l);
	for (size_t i = 0; i < 5; i++)
		drop((struct request *[]){a, b, c, other, none}[i]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lane");
	TCase *c = tcase_create("lane");
	SRunner *r;
	int failed;

	tcase_add_test(c, test_one_at_a_time_in_order);
	tcase_add_test(c, test_drained_lane_lets_nobody_on);
	tcase_add_test(c, test_waiting_after_the_drain_is_not_lost);
	tcase_add_test(c, test_conversations_are_taken);
	tcase_add_test(c, test_those_behind_one_call);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
