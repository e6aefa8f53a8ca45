/* Which containers go, and after how long: every rule, and what comes next to it. */
#include <string.h>

#include "common/sandbox/reap.h"
#include "tests/unit/suite.h"

#define SEC USEC_PER_SEC

static const struct reap_limits limits = {.idle = 600 * SEC, .grace = 120 * SEC, .run = 300 * SEC};

/* At the time 10000 s. */
static const struct {
	const char *what, *role, *status;
	int used; /* s; 0 = no entry, -1 = an entry of another container, -2 = one without */
	int deadline;
	bool spare, ours, kept, dead, gone;
	enum reap expected;
	int limit; /* s */
} cases[] = {
	{"at work", "conversation", "running", .used = 9990},
	{"just not idle", "conversation", "running", .used = 9401},
	{"idle", "conversation", "running", .used = 9400, .expected = REAP_IDLE},
	{"idle, and its owner is dead", "conversation", "running", .used = 9400, .dead = true,
	 .expected = REAP_IDLE},
	{"of a time to come", "conversation", "running", .used = 20000},
	{"a dead owner's", "conversation", "running", .used = 9990, .dead = true,
	 .expected = REAP_ORPHAN, .limit = 120},
	{"unknown to Redis", "conversation", "running", .expected = REAP_FORGOTTEN, .limit = 600},
	{"replaced", "conversation", "running", .used = -1, .expected = REAP_FORGOTTEN,
	 .limit = 600},
	{"never written down", "conversation", "running", .used = -2, .dead = true,
	 .expected = REAP_ORPHAN, .limit = 120},
	{"paused", "conversation", "paused", .used = 9990},
	{"ended", "conversation", "exited", .used = 9990, .expected = REAP_STOPPED},
	{"dead", "conversation", "dead", .used = 9990, .expected = REAP_STOPPED},
	{"being removed", "conversation", "removing", .used = 9990, .expected = REAP_STOPPED,
	 .limit = 120},
	{"half made", "conversation", "created", .expected = REAP_UNSTARTED, .limit = 120},
	{"half made by a dead one", "run", "created", .dead = true, .expected = REAP_UNSTARTED,
	 .limit = 120},
	{"a run", "run", "running", .deadline = 10001},
	{"a late run", "run", "running", .deadline = 10000, .expected = REAP_LATE, .limit = 300},
	{"a run without a date", "run", "running", .expected = REAP_LATE, .limit = 300},
	{"a run that ended", "run", "exited", .deadline = 10001},
	{"a dead one's run", "run", "running", .deadline = 10001, .dead = true,
	 .expected = REAP_ORPHAN, .limit = 120},
	{"a server", "mcp", "running", .used = 0},
	{"a server that ended", "mcp", "exited", .expected = REAP_STOPPED, .limit = 120},
	{"a dead one's server", "mcp", "running", .dead = true, .expected = REAP_ORPHAN,
	 .limit = 120},
	{"our spare", "pool", "running", .spare = true, .ours = true, .kept = true},
	{"our spare, taken this moment or lost", "pool", "running", .spare = true, .ours = true,
	 .expected = REAP_UNWANTED, .limit = 15},
	{"another's spare", "pool", "running", .spare = true},
	{"another's spare that ended", "pool", "exited", .spare = true, .expected = REAP_UNWANTED,
	 .limit = 15},
	{"a dead one's spare", "pool", "running", .spare = true, .dead = true,
	 .expected = REAP_ORPHAN, .limit = 15},
	{"a spare of our last life", "pool", "running", .spare = true, .dead = true, .gone = true,
	 .expected = REAP_ORPHAN},
	{"taken, by whom nobody knows", "pool", "running", .expected = REAP_FORGOTTEN,
	 .limit = 600},
	{"the same, ended", "pool", "exited", .expected = REAP_STOPPED, .limit = 120},
	{"a probe", "probe", "running", .expected = REAP_UNSTARTED, .limit = 120},
	{"a helper", "helper", "created", .dead = true, .expected = REAP_UNSTARTED, .limit = 120},
	{"of a later version", "archive", "running", .dead = true},
};

START_TEST(test_rules)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct engine_container c = {.id = "one", .deadline = cases[i].deadline * SEC};
		struct index_record record = {.known = cases[i].used != 0,
					      .used = cases[i].used * SEC};
		const struct reap_case r = {.c = &c,
					    .record = &record,
					    .spare = cases[i].spare,
					    .ours = cases[i].ours,
					    .kept = cases[i].kept,
					    .owner_alive = !cases[i].dead,
					    .owner_gone = cases[i].gone,
					    .now = 10000 * SEC};
		usec_t limit = -1;

		strcpy(c.role, cases[i].role);
		strcpy(c.status, cases[i].status);
		c.running = strcmp(c.status, "running") == 0 || strcmp(c.status, "paused") == 0;
		strcpy(record.container, cases[i].used > 0     ? "one"
					 : cases[i].used == -1 ? "two"
							       : "");
		enum reap kind = reap_judge(&r, &limits, &limit);
		ck_assert_msg(kind == cases[i].expected, "%s: %s", cases[i].what, reap_text(kind));
		if (kind != REAP_NOT)
			ck_assert_msg(limit == cases[i].limit * SEC, "%s: %lld s", cases[i].what,
				      (long long)(limit / SEC));
	}
}
END_TEST

START_TEST(test_words)
{
	for (int i = REAP_NOT + 1; i < REAP_KINDS; i++) {
		const char *text = reap_text((enum reap)i);

		ck_assert_uint_lt(strlen(text), sizeof(((struct index_suspect *)0)->what));
		ck_assert_int_eq(reap_kind((struct slice){text, strlen(text)}), i);
	}
	ck_assert_str_eq(reap_text(REAP_NOT), "");
	ck_assert_int_eq(reap_kind((struct slice){"", 0}), REAP_NOT);
	ck_assert_int_eq(reap_kind((struct slice){"idle ", 5}), REAP_NOT);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("reap");

	tcase_add_test(t, test_rules);
	tcase_add_test(t, test_words);
	return suite_run("reap", t);
}
