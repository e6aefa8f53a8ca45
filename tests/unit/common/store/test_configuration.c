/* What the application has configured, changes of it, and rows of the audit. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "json.h"
#include "policy.h"
#include "tests/unit/store_fixture.h"
#include "tests/unit/suite.h"

static void as_superuser(const char *sql)
{
	free(postgres_query(store_server(), "postgres", fresh_database(), sql));
}

static bool allows(const struct policy *p, enum policy_kind kind, const char *project,
		   const char *subject)
{
	struct policy_answer answer;

	policy_ask(p, kind, project, subject, policy_kind_default(kind), &answer);
	return answer.allow;
}

START_TEST(test_policy)
{
	_cleanup_policy_ struct policy *p = policy_new();
	const struct sandbox_setting *s;
	struct err err;

	as_superuser("INSERT INTO celeriac.policy_rules (project_id, kind, pattern, action, "
		     "position) VALUES "
		     "(NULL, 'tool', 'b', 'deny', 2), (NULL, 'tool', 'b', 'allow', 1), "
		     "('p', 'tool', 'c', 'deny', 1), (NULL, 'url', 'bad url', 'allow', 1), "
		     "(NULL, 'image', E'\\u0001', 'allow', 1), ('p', 'mcp_server', E'\\u0002', "
		     "'deny', 1)");
	as_superuser("INSERT INTO celeriac.sandbox_settings (tool, project_id, network, mounts, "
		     "limits) VALUES "
		     "('t', NULL, true, '/a:ro', '{\"memory\": 7}'), ('t', 'p', false, '', '{}')");
	ck_assert_msg(store_load_policy(fresh_store(), p, &err) == 0, "%s", err.msg);
	ck_assert(allows(p, POLICY_TOOL, NULL, "b"));
	ck_assert(!allows(p, POLICY_TOOL, "p", "c"));
	ck_assert(allows(p, POLICY_TOOL, "q", "c"));
	ck_assert(!policy_has_url_rules(p, "p"));
	ck_assert(!allows(p, POLICY_IMAGE, NULL, "x"));
	ck_assert(!allows(p, POLICY_MCP_SERVER, "p", "any"));
	ck_assert(allows(p, POLICY_MCP_SERVER, "q", "any"));
	s = policy_setting(p, "t", "other");
	ck_assert(s && s->network);
	ck_assert_int_eq(json_integer_value(json_object_get(s->limits, "memory")), 7);
	ck_assert(!policy_setting(p, "t", "p")->network);
}
END_TEST

START_TEST(test_changes_are_told)
{
	char table[STORE_TABLE_SIZE];
	struct store_watch *w;
	struct err err;

	ck_assert_int_eq(store_watch_new(fresh_store(), &w, &err), 0);
	ck_assert_int_eq(store_watch_wait(w, -1, 0, table, &err), -ERR_CLOSED);
	ck_assert_msg(store_watch_open(w, &err) == 0, "%s", err.msg);
	ck_assert_int_eq(store_watch_wait(w, -1, clock_deadline(1000), table, &err), 0);
	as_superuser("INSERT INTO celeriac.policy_rules (kind, pattern, action) VALUES ('tool', "
		     "'x', 'deny')");
	ck_assert_int_eq(store_watch_wait(w, -1, clock_deadline(30 * USEC_PER_SEC), table, &err),
			 1);
	ck_assert_str_eq(table, "policy_rules");
	as_superuser(
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
		"'celeriac-worker-watch'");
	ck_assert_int_lt(store_watch_wait(w, -1, clock_deadline(30 * USEC_PER_SEC), table, &err),
			 0);
	ck_assert(err_is_transient(&err));
	ck_assert_msg(store_watch_open(w, &err) == 0, "%s", err.msg);
	store_watch_free(w);
}
END_TEST

START_TEST(test_activity)
{
	_cleanup_json_ json_t *events =
		json_pack("[{s:f, s:s, s:s, s:s, s:s, s:i, s:{s:i}}, {s:f, s:s, s:s}]", "at",
			  1700000000.5, "decision", "deny", "kind", "egress", "target",
			  "a'b\"c:443", "task_id", "t-1", "duration_ms", 12, "detail", "bytes_up",
			  3, "at", 1700000001.0, "decision", "allow", "kind", "sandbox");
	_cleanup_json_ json_t *bad =
		json_pack("[{s:f, s:s, s:s}]", "at", 1.0, "decision", "perhaps", "kind", "x");
	struct err err;

	ck_assert_msg(store_add_activity(fresh_store(), events, &err) == 0, "%s", err.msg);
	expect_text("SELECT string_agg(concat_ws('|', extract(epoch FROM at)::numeric(12,1), "
		    "decision, kind, "
		    "target, task_id, duration_ms, detail), ';' ORDER BY at) FROM "
		    "celeriac.activity_events",
		    "1700000000.5|deny|egress|a'b\"c:443|t-1|12|{\"bytes_up\": 3};"
		    "1700000001.0|allow|sandbox|{}");
	ck_assert_int_lt(store_add_activity(fresh_store(), bad, &err), 0);
	ck_assert(!err_is_transient(&err));
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("configuration");

	tcase_set_timeout(t, 120);
	tcase_add_unchecked_fixture(t, store_server_start, store_server_stop);
	tcase_add_checked_fixture(t, store_fresh, store_fresh_done);
	tcase_add_test(t, test_policy);
	tcase_add_test(t, test_changes_are_told);
	tcase_add_test(t, test_activity);
	return suite_run("configuration", t);
}
