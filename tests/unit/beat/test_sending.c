/* What is sent of a run: made ahead it is the same, and only what is still true is sent. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "beat/sending.h"
#include "clock.h"
#include "json.h"
#include "mem.h"

#define SLOT	  ((usec_t)1700000000 * USEC_PER_SEC)
#define COUNTDOWN (60 * USEC_PER_SEC)

static _Atomic usec_t g_wall, g_mono; /* other threads read them too */
static usec_t wall(void)
{
	return g_wall;
}
static usec_t mono(void)
{
	return g_mono;
}

/* Nobody listens there: nothing is sent here. */
static struct settings g_settings = {.broker_url = "redis://127.0.0.1:1/0",
				     .broker_transport_options = "",
				     .task_default_queue = "celery",
				     .node = "web1",
				     .instance = "test"};
static struct publisher g_publisher;

static void setup(void)
{
	struct err err = {0};

	ck_assert_msg(publisher_open(&g_publisher, &g_settings, &err) == 0, "%s", err.msg);
	g_wall = SLOT - USEC_PER_SEC;
	g_mono = 100 * USEC_PER_SEC;
	clock_hook(wall, mono);
}

static void teardown(void)
{
	clock_hook(NULL, NULL);
	publisher_close(&g_publisher, 0);
}

static struct entry new_entry(void)
{
	return (struct entry){.name = "often",
			      .task = "app.often",
			      .queue = "celery",
			      .countdown = COUNTDOWN,
			      .schedule = {.period = 5 * USEC_PER_SEC},
			      .slot = SLOT,
			      .due = g_mono + USEC_PER_SEC};
}

static void pass(usec_t span)
{
	g_wall += span;
	g_mono += span;
}

/* All of them, in the time there is. */
static void prepare(struct entry *list, size_t count)
{
	struct scheduler s;

	scheduler_init(&s, list, count);
	ck_assert(publisher_prepare(&g_publisher, &s, USEC_NEVER));
	scheduler_done(&s);
}

static struct parcel *take(struct entry *e)
{
	struct parcel *parcel = NULL;
	struct err err = {0};

	ck_assert_msg(sending_take(&g_publisher, e, &parcel, &err) == 0, "%s", err.msg);
	ck_assert_ptr_null(e->ready);
	return parcel;
}

static usec_t eta_of(const struct parcel *parcel)
{
	_cleanup_json_ json_t *message = NULL;
	struct err err;
	usec_t eta;

	ck_assert_int_eq(
		json_load_python(parcel->message.data, parcel->message.len, &message, &err), 0);
	ck_assert_int_eq(
		clock_parse_iso(json_member_str(json_object_get(message, "headers"), "eta"), &eta,
				&err),
		0);
	return eta;
}

START_TEST(test_ahead)
{
	struct entry e = new_entry();
	struct parcel *ready, *got;

	prepare(&e, 1);
	ready = e.ready;
	ck_assert_ptr_nonnull(ready);
	prepare(&e, 1);
	ck_assert_ptr_eq(e.ready, ready);
	ck_assert_str_eq(e.id, "");
	pass(USEC_PER_SEC + 1000);
	got = take(&e);
	ck_assert_ptr_eq(got, ready);
	ck_assert_int_eq(got->ran_at, SLOT);
	ck_assert_int_eq(eta_of(got), SLOT + COUNTDOWN);
	parcel_free(got);
	/* and one that was not made ahead says the same */
	got = take(&e);
	ck_assert_int_eq(eta_of(got), SLOT + COUNTDOWN);
	parcel_free(got);
}
END_TEST

/* Its times count from when it is sent, its id is that of the slot. */
START_TEST(test_late)
{
	struct entry e = new_entry();
	char id[UUID_SIZE];
	struct parcel *got;

	prepare(&e, 1);
	memcpy(id, e.ready->id, sizeof(id));
	pass(2 * USEC_PER_SEC);
	got = take(&e);
	ck_assert_int_eq(eta_of(got), SLOT + USEC_PER_SEC + COUNTDOWN);
	ck_assert_str_eq(got->id, id);
	parcel_free(got);
}
END_TEST

/* A clock was set: the run that was made is not the one that is next. */
START_TEST(test_another_slot)
{
	struct entry e = new_entry();
	char id[UUID_SIZE];
	struct parcel *got;

	prepare(&e, 1);
	memcpy(id, e.ready->id, sizeof(id));
	e.slot += USEC_PER_SEC;
	pass(2 * USEC_PER_SEC);
	got = take(&e);
	ck_assert_int_eq(got->slot, SLOT + USEC_PER_SEC);
	ck_assert_str_ne(got->id, id);
	parcel_free(got);
	e.slot = SLOT;
	g_wall = SLOT - USEC_PER_SEC;
	e.due = g_mono + USEC_PER_SEC;
	prepare(&e, 1);
	e.slot += USEC_PER_SEC;
	prepare(&e, 1);
	ck_assert_int_eq(e.ready->slot, SLOT + USEC_PER_SEC);
	entry_done(&e);
}
END_TEST

/* Under way already, not to be made, much later: none of these is made ahead. */
START_TEST(test_not_ahead)
{
	struct entry list[4] = {new_entry(), new_entry(), new_entry(), new_entry()};

	strcpy(list[0].id, "tried");
	list[1].task = "not \xff UTF-8";
	list[2].due = list[2].slot = USEC_NEVER;
	prepare(list, 4);
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(list[i].ready != NULL, i == 3);
		entry_done(&list[i]);
	}
}
END_TEST

/* Signals and the lease wait meanwhile. */
START_TEST(test_in_the_time_there_is)
{
	struct entry list[3] = {new_entry(), new_entry(), new_entry()};
	struct scheduler s;
	int made = 0;

	scheduler_init(&s, list, 3);
	ck_assert(!publisher_prepare(&g_publisher, &s, g_mono));
	for (int i = 0; i < 3; i++)
		made += list[i].ready != NULL;
	ck_assert_int_eq(made, 1);
	ck_assert(publisher_prepare(&g_publisher, &s, USEC_NEVER));
	for (int i = 0; i < 3; i++)
		ck_assert_ptr_nonnull(list[i].ready);
	scheduler_done(&s);
	for (int i = 0; i < 3; i++)
		entry_done(&list[i]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sending");
	TCase *t = tcase_create("sending");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_ahead);
	tcase_add_test(t, test_late);
	tcase_add_test(t, test_another_slot);
	tcase_add_test(t, test_not_ahead);
	tcase_add_test(t, test_in_the_time_there_is);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
