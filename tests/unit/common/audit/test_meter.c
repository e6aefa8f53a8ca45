/* A flood is few rows and a count that adds up; a burst is told once a minute. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/audit/meter.h"
#include "json.h"
#include "mem.h"
#include "tests/unit/suite.h"

#define MINUTE METER_SPAN

static struct meter m;
static usec_t now;

static void start(int64_t rows, int64_t denials, int64_t containers)
{
	const struct audit_limits limits = {rows, denials, containers};

	now = 1000 * MINUTE;
	meter_init(&m, &limits);
}

static struct audit_event event(const char *decision, const char *kind, const char *project)
{
	return (struct audit_event){
		.decision = decision, .kind = kind, .tool = "t", .project = project, .actor = "w"};
}

/* How many of `n` are written one by one. */
static int written(int n, const char *decision, const char *kind, const char *project)
{
	const struct audit_event e = event(decision, kind, project);
	int rows = 0;

	for (int i = 0; i < n; i++)
		rows += !meter_holds(&m, &e, now);
	return rows;
}

static int64_t rest(bool all, const char *kind)
{
	struct meter_rest *r = meter_take(&m, now, all);
	int64_t count = r ? r->count : 0;

	if (r) {
		ck_assert_str_eq(r->decision, "deny");
		ck_assert_str_eq(r->kind, kind);
		ck_assert_str_eq(r->tool, "t");
	}
	meter_rest_free(r);
	return count;
}

START_TEST(test_rows)
{
	start(5, 0, 0);
	ck_assert_int_eq(written(100, "allow", "sandbox", "p"), 100);
	ck_assert_int_eq(written(12, "deny", "sandbox", "p"), 5);
	ck_assert_int_eq(written(3, "deny", "sandbox", "q"), 3);
	ck_assert_int_eq(written(3, "deny", "mount", "p"), 3);
	ck_assert_int_eq(m.held, 7);
	now += MINUTE - 1;
	ck_assert_int_eq(rest(false, ""), 0);
	ck_assert_int_eq(written(1, "deny", "sandbox", "p"), 0);
	now += 1;
	/* the next minute begins with an event before anybody has asked for the rest */
	ck_assert_int_eq(written(6, "deny", "sandbox", "p"), 5);
	ck_assert_int_eq(rest(false, "sandbox"), 8);
	ck_assert_int_eq(rest(false, ""), 0);
	ck_assert_int_eq(rest(true, "sandbox"), 1);
	ck_assert_int_eq(m.held, 0);
	ck_assert_ptr_null(meter_take(&m, now, true));
	meter_done(&m);

	start(0, 0, 0);
	ck_assert_int_eq(written(1000, "deny", "sandbox", "p"), 1000);
	meter_done(&m);
}
END_TEST

/* Projects come from messages: however many there are, memory is bounded and nothing is lost. */
START_TEST(test_many_names)
{
	int64_t rows = 0, counted = 0;
	struct meter_rest *r;
	char project[32];

	start(1, 1, 0);
	for (int i = 0; i < 4 * METER_KEYS; i++) {
		snprintf(project, sizeof(project), "p%d", i);
		rows += written(2, "deny", "sandbox", project);
	}
	now += MINUTE;
	while ((r = meter_take(&m, now, false)) != NULL) {
		counted += r->count;
		meter_rest_free(r);
	}
	ck_assert_int_eq(rows + counted, 8 * METER_KEYS);
	/* as tools, as projects, and all the others together */
	ck_assert_int_eq(rows, 2 * METER_KEYS + 1);
	meter_done(&m);
}
END_TEST

/* Who makes up names of tools hides nobody else. */
START_TEST(test_one_projects_flood)
{
	struct audit_event e = event("deny", "tool", "flood"), burst;
	char tool[32], text[METER_TEXT];
	struct meter_rest *r;
	int rows = 0;

	start(5, 10, 0);
	e.tool = tool;
	for (int i = 0; i < 20 * METER_KEYS; i++) {
		snprintf(tool, sizeof(tool), "t%d", i);
		rows += !meter_holds(&m, &e, now);
		ck_assert_int_eq(meter_bursts(&m, &e, now, text, &burst), i == 9);
	}
	ck_assert_int_eq(rows, METER_KEYS + 5);
	/* the flood has the first space; another project has rows, a count and a burst of its own
	 */
	ck_assert_int_eq(written(7, "deny", "tool", "quiet"), 5);
	e = event("deny", "tool", "quiet");
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(meter_bursts(&m, &e, now, text, &burst), i == 9);
	now += MINUTE;
	for (int found = 0; (r = meter_take(&m, now, false)) != NULL || found < 2; found++) {
		ck_assert_ptr_nonnull(r);
		ck_assert_ptr_null(r->tool);
		ck_assert_int_eq(r->count,
				 strcmp(r->project, "quiet") == 0 ? 2 : 19 * METER_KEYS - 5);
		meter_rest_free(r);
	}
	meter_done(&m);
}
END_TEST

static int bursts(int n, const struct audit_event *e, const char *target)
{
	struct audit_event burst;
	char text[METER_TEXT];
	int count = 0;

	for (int i = 0; i < n; i++)
		if (meter_bursts(&m, e, now, text, &burst)) {
			count++;
			ck_assert_str_eq(burst.kind, "burst");
			ck_assert_str_eq(burst.target, target);
			ck_assert_str_eq(burst.decision, e->decision);
			ck_assert_str_eq(burst.reason, "4 within a minute");
			ck_assert_ptr_eq(burst.project, e->project);
			ck_assert(!meter_holds(&m, &burst, now));
		}
	return count;
}

START_TEST(test_bursts)
{
	_cleanup_json_ json_t *create = json_pack("{s:s}", "action", "create");
	_cleanup_json_ json_t *gone = json_pack("{s:s}", "action", "remove");
	struct audit_event denied = event("deny", "url", "p"),
			   made = event("allow", "container", "p");

	start(1, 4, 4);
	ck_assert_int_eq(bursts(3, &denied, "denials"), 0);
	denied.kind = "sandbox"; /* of whatever kind */
	ck_assert_int_eq(bursts(20, &denied, "denials"), 1);
	denied.project = "q";
	ck_assert_int_eq(bursts(3, &denied, "denials"), 0);
	now += MINUTE;
	ck_assert_int_eq(bursts(3, &denied, "denials"), 0);
	ck_assert_int_eq(bursts(3, &denied, "denials"), 1);
	made.detail = gone;
	ck_assert_int_eq(bursts(20, &made, ""), 0);
	made.detail = create;
	ck_assert_int_eq(bursts(20, &made, "containers"), 1);
	made.decision = "error";
	made.kind = "sandbox";
	ck_assert_int_eq(bursts(20, &made, ""), 0);
	meter_done(&m);
	start(1, 0, 0);
	ck_assert_int_eq(bursts(100, &denied, ""), 0);
	meter_done(&m);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("meter");

	tcase_add_test(t, test_rows);
	tcase_add_test(t, test_many_names);
	tcase_add_test(t, test_one_projects_flood);
	tcase_add_test(t, test_bursts);
	return suite_run("meter", t);
}
