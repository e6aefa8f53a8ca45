/* Beat's ledger: one leads, and a state moves on only from what it was known to be. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "json.h"
#include "tests/unit/store_fixture.h"

static struct store *g_beat; /* with beat's rights */
static struct err g_err;

static void setup(void)
{
	store_fresh();
	char *url = postgres_url(store_server(), "celeriac_beat", fresh_database());
	const struct settings settings = {.database_url = url, .database_connections = 1};

	ck_assert_int_eq(store_open(&settings, &g_beat, &g_err), 0);
	free(url);
}

static void teardown(void)
{
	store_close(g_beat);
	store_fresh_done();
}

static usec_t soon(void)
{
	return clock_deadline(20 * USEC_PER_SEC);
}

static const struct store_lease g_ours = {"test", "a 1 x", 3600 * USEC_PER_SEC},
				g_theirs = {"test", "b 2 y", 3600 * USEC_PER_SEC};

static void expect_lease(const struct store_lease *l, const char *holder)
{
	char text[64];

	ck_assert_msg(store_take_lease(g_beat, l, soon(), text, sizeof(text), &g_err) == 0, "%s",
		      g_err.msg);
	ck_assert_str_eq(text, holder);
}

START_TEST(test_lease)
{
	const struct store_lease elsewhere = {"other", "c 3 z", USEC_PER_SEC};
	usec_t left = -1;
	char text[64];

	ck_assert_int_eq(
		store_read_lease(g_beat, "test", soon(), text, sizeof(text), &left, &g_err), 0);
	ck_assert_str_eq(text, "");
	ck_assert_int_eq(left, 0);
	expect_lease(&g_ours, g_ours.holder);
	expect_lease(&g_theirs, g_ours.holder);
	expect_lease(&g_ours, g_ours.holder);
	expect_lease(&elsewhere, elsewhere.holder);
	ck_assert_int_eq(
		store_read_lease(g_beat, "test", soon(), text, sizeof(text), &left, &g_err), 0);
	ck_assert_str_eq(text, g_ours.holder);
	ck_assert_int_gt(left, 3000 * USEC_PER_SEC);
	ck_assert_int_le(left, g_ours.ttl);
	/* let go of by who has it, and by nobody else */
	ck_assert_int_eq(store_leave_lease(g_beat, &g_theirs, soon(), &g_err), 0);
	expect_lease(&g_theirs, g_ours.holder);
	ck_assert_int_eq(store_leave_lease(g_beat, &g_ours, soon(), &g_err), 0);
	expect_lease(&g_theirs, g_theirs.holder);
	/* run out */
	ck_assert_int_eq(ask_number("WITH u AS (UPDATE celeriac.beat_lease SET until = now() - "
				    "interval '1 s' WHERE instance = 'test' RETURNING 1) SELECT "
				    "count(*) FROM u"),
			 1);
	expect_lease(&g_ours, g_ours.holder);
	expect_lease(&g_theirs, g_ours.holder);
}
END_TEST

/* What it answers, as JSON; whether the lease is ours. */
static bool expect(enum store_ledger_step step, const struct store_lease *l, const char *entries,
		   const char *answers)
{
	_cleanup_json_ json_t *list = json_loads(entries, 0, NULL), *got = NULL;
	_cleanup_buf_ struct buf text = BUF_INIT(4096);
	bool leads;

	ck_assert_msg(store_ledger(g_beat, step, l, list, soon(), &leads, &got, &g_err) == 0, "%s",
		      g_err.msg);
	json_dump_strict(got, &text);
	ck_assert_str_eq(text.data, answers);
	return leads;
}

START_TEST(test_states)
{
	const struct store_lease elsewhere = {"other", "c 3 z", USEC_PER_SEC};

	expect_lease(&g_ours, g_ours.holder);
	expect(STORE_LEDGER_LOAD, &g_ours, "[[\"b\", \"b0\"], [\"a\", \"a0\"]]",
	       "[\"b0\", \"a0\"]");
	expect(STORE_LEDGER_LOAD, &g_theirs, "[[\"a\", \"x\"], [\"c\", \"c0\"], [\"b\", \"y\"]]",
	       "[\"a0\", \"c0\", \"b0\"]");
	expect(STORE_LEDGER_LOAD, &elsewhere, "[[\"a\", \"other\"]]", "[\"other\"]");
	expect(STORE_LEDGER_LOAD, &g_ours, "[]", "[]");
	/* which are as they were known, and one that somebody removed */
	ck_assert(expect(STORE_LEDGER_LOOK, &g_ours,
			 "[[\"a\", \"a0\"], [\"b\", \"old\"], [\"gone\", \"g0\"]]",
			 "[null, \"b0\", null]"));
	ck_assert(!expect(STORE_LEDGER_LOOK, &g_theirs, "[[\"a\", \"a0\"]]", "[null]"));
	expect(STORE_LEDGER_MARK, &g_ours,
	       "[[\"a\", \"a0\", \"a1\"], [\"b\", \"old\", \"b1\"], [\"gone\", \"g0\", \"g1\"]]",
	       "[null, \"b0\", null]");
	expect(STORE_LEDGER_LOAD, &g_ours, "[[\"a\", \"-\"], [\"b\", \"-\"], [\"gone\", \"-\"]]",
	       "[\"a1\", \"b0\", \"g1\"]");
	expect(STORE_LEDGER_LOAD, &elsewhere, "[[\"a\", \"-\"]]", "[\"other\"]");
}
END_TEST

/* Each step renews the lease of who has it. */
START_TEST(test_work_renews)
{
	static const enum store_ledger_step steps[] = {STORE_LEDGER_LOAD, STORE_LEDGER_LOOK,
						       STORE_LEDGER_MARK};
	const struct store_lease brief = {"test", "a 1 x", 60 * USEC_PER_SEC};
	usec_t left;
	char text[64];

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		expect_lease(&brief, brief.holder);
		expect(steps[i], &g_theirs, "[]", "[]");
		for (int ours = 0; ours < 2; ours++) {
			ck_assert_int_eq(store_read_lease(g_beat, "test", soon(), text,
							  sizeof(text), &left, &g_err),
					 0);
			ck_assert_int_eq(left > 60 * USEC_PER_SEC, ours);
			expect(steps[i], &g_ours, "[]", "[]");
		}
	}
}
END_TEST

/* A server that does not answer is given up at the deadline. */
START_TEST(test_in_time)
{
	usec_t before = clock_mono();
	struct err err = {0};
	char text[64];

	expect_lease(&g_ours, g_ours.holder);
	free(postgres_query(store_server(), "postgres", fresh_database(),
			    "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
			    "$$BEGIN PERFORM pg_sleep(30); RETURN NEW; END$$; CREATE TRIGGER slow "
			    "BEFORE UPDATE ON celeriac.beat_lease FOR EACH ROW "
			    "EXECUTE FUNCTION slow()"));
	ck_assert_int_lt(store_take_lease(g_beat, &g_ours, clock_deadline(USEC_PER_SEC / 2), text,
					  sizeof(text), &err),
			 0);
	ck_assert_msg(err_is_transient(&err), "%s", err.msg);
	ck_assert_int_lt(clock_mono() - before, 10 * USEC_PER_SEC);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ledger");
	TCase *t = tcase_create("ledger");

	tcase_set_timeout(t, 120);
	tcase_add_unchecked_fixture(t, store_server_start, store_server_stop);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_lease);
	tcase_add_test(t, test_states);
	tcase_add_test(t, test_work_renews);
	tcase_add_test(t, test_in_time);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
