/*
 * test_rights.c: what each role may do, tried.
 */
#include <check.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/store_fixture.h"

#define DENIED "42501"
#define DONE   "00000"

struct attempt {
	const char *sql;
	const char *state;
};

static void try_all(const char *role, const struct attempt *attempts, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *state =
			postgres_state(store_server(), role, fresh_database(), attempts[i].sql);
		ck_assert_msg(strcmp(state, attempts[i].state) == 0, "%s: %s: %s, not %s", role,
			      attempts[i].sql, state, attempts[i].state);
	}
}

static void as_superuser(const char *sql)
{
	free(postgres_query(store_server(), "postgres", fresh_database(), sql));
}

static const char *const read_only[] = {"sandbox_settings", "http_tools",   "plugin_configs",
					"mcp_servers",	    "policy_rules", "project_quotas"};

START_TEST(test_worker_only_reads_what_it_is_told)
{
	for (size_t i = 0; i < ARRAY_LEN(read_only); i++) {
		char select[128], insert[128], delete[128], truncate[128];
		snprintf(select, sizeof(select), "SELECT * FROM celeriac.%s", read_only[i]);
		snprintf(insert, sizeof(insert), "INSERT INTO celeriac.%s DEFAULT VALUES",
			 read_only[i]);
		snprintf(delete, sizeof(delete), "DELETE FROM celeriac.%s", read_only[i]);
		snprintf(truncate, sizeof(truncate), "TRUNCATE celeriac.%s", read_only[i]);
		const struct attempt attempts[] = {
			{select, DONE}, {insert, DENIED}, {delete, DENIED}, {truncate, DENIED}};
		try_all("celeriac_worker", attempts, ARRAY_LEN(attempts));
	}
	const struct attempt updates[] = {
		{"UPDATE celeriac.policy_rules SET action = 'allow'", DENIED},
		{"UPDATE celeriac.sandbox_settings SET network = true", DENIED},
		{"UPDATE celeriac.http_tools SET url = 'http://evil'", DENIED},
		{"UPDATE celeriac.mcp_servers SET command = 'sh'", DENIED},
		{"UPDATE celeriac.plugin_configs SET config = 'v1:'", DENIED},
		{"UPDATE celeriac.project_quotas SET calls_per_minute = NULL", DENIED},
	};
	try_all("celeriac_worker", updates, ARRAY_LEN(updates));
}
END_TEST

START_TEST(test_worker_only_adds_to_the_audit)
{
	const struct attempt attempts[] = {
		{"INSERT INTO celeriac.activity_events (decision, kind) VALUES ('allow', 'tool')",
		 DONE},
		{"SELECT * FROM celeriac.activity_events", DENIED},
		{"SELECT id FROM celeriac.activity_events", DENIED},
		{"INSERT INTO celeriac.activity_events (decision, kind) VALUES ('allow', 'tool')"
		 " RETURNING id",
		 DENIED},
		{"UPDATE celeriac.activity_events SET reason = ''", DENIED},
		{"DELETE FROM celeriac.activity_events", DENIED},
		{"TRUNCATE celeriac.activity_events", DENIED},
		{"INSERT INTO celeriac.activity_events (id, decision, kind)"
		 " VALUES (1, 'allow', 'tool')",
		 "428C9"},
	};
	try_all("celeriac_worker", attempts, ARRAY_LEN(attempts));
}
END_TEST

START_TEST(test_worker_has_its_own_rows)
{
	const struct attempt attempts[] = {
		{"SELECT * FROM celeriac.tool_results", DONE},
		{"DELETE FROM celeriac.tool_results", DENIED},
		{"SELECT * FROM celeriac.conversation_outputs", DONE},
		{"DELETE FROM celeriac.mcp_tools", DONE},
		{"SELECT * FROM celeriac.schema_version", DONE},
		{"INSERT INTO celeriac.schema_version VALUES (99, 'x')", DENIED},
		{"SELECT * FROM celeriac.periodic_tasks", DENIED},
		{"UPDATE celeriac.periodic_tasks SET enabled = false", DENIED},
		{"CREATE TABLE celeriac.mine (a int)", DENIED},
		{"SELECT celeriac.grant_rights()", DENIED},
		{"SET ROLE celeriac_owner", DENIED},
		{"ALTER TABLE celeriac.policy_rules DISABLE TRIGGER ALL", DENIED},
	};
	try_all("celeriac_worker", attempts, ARRAY_LEN(attempts));
}
END_TEST

START_TEST(test_worker_cannot_read_the_application)
{
	as_superuser("CREATE TABLE public.users (name text); ALTER TABLE public.users"
		     " OWNER TO celeriac_application; INSERT INTO public.users VALUES ('me')");
	const struct attempt attempts[] = {
		{"SELECT * FROM public.users", DENIED},
		{"COPY public.users TO STDOUT", DENIED},
		{"SELECT pg_read_file('/etc/passwd')", DENIED},
		{"COPY (SELECT 1) TO PROGRAM 'true'", DENIED},
	};
	try_all("celeriac_worker", attempts, ARRAY_LEN(attempts));
	try_all("celeriac_beat", attempts, ARRAY_LEN(attempts));
}
END_TEST

START_TEST(test_beat)
{
	as_superuser("INSERT INTO celeriac.periodic_tasks (name, task, schedule)"
		     " VALUES ('e', 'celeriac.echo', '60')");
	const struct attempt attempts[] = {
		{"SELECT * FROM celeriac.periodic_tasks", DONE},
		{"UPDATE celeriac.periodic_tasks SET last_run_at = now(),"
		 " total_run_count = total_run_count + 1",
		 DONE},
		{"UPDATE celeriac.periodic_tasks SET task = 'sandbox.execute_code'", DENIED},
		{"INSERT INTO celeriac.periodic_tasks (name, task, schedule) VALUES ('f', 't', "
		 "'1')",
		 DENIED},
		{"DELETE FROM celeriac.periodic_tasks", DENIED},
		{"UPDATE celeriac.beat_entries SET state = ''", DONE},
		{"DELETE FROM celeriac.beat_entries", DENIED},
		{"SELECT * FROM celeriac.rights", DENIED},
		{"UPDATE celeriac.rights SET role_name = 'celeriac_beat'", DENIED},
		{"SELECT * FROM celeriac.tool_results", DENIED},
		{"SELECT * FROM celeriac.plugin_configs", DENIED},
		{"SELECT * FROM celeriac.mcp_servers", DENIED},
		{"SELECT * FROM celeriac.schema_version", DONE},
	};
	try_all("celeriac_beat", attempts, ARRAY_LEN(attempts));
}
END_TEST

START_TEST(test_application)
{
	const struct attempt attempts[] = {
		{"INSERT INTO celeriac.http_tools (name, url) VALUES ('custom_x', 'http://x/')",
		 DONE},
		{"SELECT nextval('celeriac.http_tools_id_seq')", DONE},
		{"INSERT INTO celeriac.mcp_servers (name, command) VALUES ('x', 'npx y')", DONE},
		{"INSERT INTO celeriac.sandbox_settings (tool) VALUES ('x')", DONE},
		{"INSERT INTO celeriac.policy_rules (kind, pattern, action)"
		 " VALUES ('tool', '*', 'deny')",
		 DONE},
		{"INSERT INTO celeriac.periodic_tasks (name, task, schedule) VALUES ('f', 't', "
		 "'1')",
		 DONE},
		{"INSERT INTO celeriac.project_quotas (project_id, calls_per_minute)"
		 " VALUES ('p', 5)",
		 DONE},
		{"SELECT * FROM celeriac.activity_events", DONE},
		{"DELETE FROM celeriac.activity_events", DENIED},
		{"SELECT * FROM celeriac.tool_results", DONE},
		{"UPDATE celeriac.tool_results SET status = 'ok'", DENIED},
		{"SELECT * FROM celeriac.conversation_outputs", DONE},
		{"DELETE FROM celeriac.conversation_outputs", DENIED},
	};
	try_all("celeriac_application", attempts, ARRAY_LEN(attempts));
}
END_TEST

START_TEST(test_rows_that_make_no_sense)
{
	const struct attempt attempts[] = {
		{"INSERT INTO celeriac.http_tools (name, url) VALUES ('Custom X', 'http://x/')",
		 "23514"},
		{"INSERT INTO celeriac.http_tools (name, url, auth) VALUES ('a', 'http://x/', "
		 "'{}')",
		 "23514"},
		{"INSERT INTO celeriac.http_tools (name, url, method) VALUES ('a', 'http://x/', "
		 "'x')",
		 "23514"},
		{"INSERT INTO celeriac.sandbox_settings (tool) VALUES ('a'), ('a')", "23505"},
		{"INSERT INTO celeriac.mcp_servers (name, runtime) VALUES ('a', 'external')",
		 "23514"},
		{"INSERT INTO celeriac.mcp_servers (name, runtime, transport)"
		 " VALUES ('a', 'external', 'sse')",
		 "23514"},
		{"INSERT INTO celeriac.plugin_configs (plugin, config) VALUES ('a', '{}')",
		 "23514"},
		{"INSERT INTO celeriac.policy_rules (kind, pattern, action) VALUES ('x', '*', "
		 "'deny')",
		 "23514"},
		{"INSERT INTO celeriac.periodic_tasks (name, task, schedule, args)"
		 " VALUES ('a', 't', '1', '{}')",
		 "23514"},
		{"INSERT INTO celeriac.project_quotas DEFAULT VALUES", DONE},
		{"INSERT INTO celeriac.project_quotas DEFAULT VALUES", "23505"},
	};
	try_all("celeriac_application", attempts, ARRAY_LEN(attempts));
}
END_TEST

/* The payloads that `sql` sends to a listener, joined by commas. */
static void expect_notice(const char *sql, const char *expected)
{
	char got[256] = "";
	char *url = postgres_url(store_server(), "celeriac_worker", fresh_database());
	PGconn *c = PQconnectdb(url);
	free(url);
	PQclear(PQexec(c, "LISTEN celeriac"));
	free(postgres_query(store_server(), "postgres", fresh_database(), sql));
	PQclear(PQexec(c, "SELECT 1")); /* whatever was told before this is here with its answer */
	for (PGnotify *n = PQnotifies(c); n; n = PQnotifies(c)) {
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s", *got ? "," : "",
			 n->extra);
		PQfreemem(n);
	}
	PQfinish(c);
	ck_assert_str_eq(got, expected);
}

START_TEST(test_changes_are_told)
{
	expect_notice("INSERT INTO celeriac.sandbox_settings (tool) VALUES ('a'), ('b')",
		      "sandbox_settings");
	expect_notice("INSERT INTO celeriac.periodic_tasks (name, task, schedule)"
		      " VALUES ('e', 'celeriac.echo', '60')",
		      "periodic_tasks");
	expect_notice("UPDATE celeriac.periodic_tasks SET last_run_at = now(), total_run_count = 1",
		      "");
	expect_notice("UPDATE celeriac.periodic_tasks SET enabled = false", "periodic_tasks");
	expect_notice("DELETE FROM celeriac.sandbox_settings; TRUNCATE celeriac.policy_rules",
		      "sandbox_settings,policy_rules");
}
END_TEST

START_TEST(test_roles_again)
{
	/* A right that somebody gave by hand is gone after roles.sql, and a new password holds. */
	const char *const passwords[] = {"owner_password=o", "worker_password=new",
					 "beat_password=b", "application_password=a", NULL};
	as_superuser("GRANT ALL ON celeriac.policy_rules TO celeriac_worker");
	long count = ask_number("SELECT count(*) FROM pg_authid WHERE rolname = 'celeriac_worker'"
				" AND rolpassword LIKE 'SCRAM-SHA-256$%'");
	ck_assert_int_eq(count, 1);
	postgres_psql(store_server(), fresh_database(), "deploy/sql/roles.sql", passwords);
	const struct attempt attempts[] = {{"DELETE FROM celeriac.policy_rules", DENIED}};
	try_all("celeriac_worker", attempts, 1);
	ck_assert_int_eq(
		ask_number("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'celeriac%'"
			   " AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls)"),
		0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rights");
	TCase *c = tcase_create("rights");

	tcase_add_unchecked_fixture(c, store_server_start, store_server_stop);
	tcase_add_checked_fixture(c, store_fresh, store_fresh_done);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, test_worker_only_reads_what_it_is_told);
	tcase_add_test(c, test_worker_only_adds_to_the_audit);
	tcase_add_test(c, test_worker_has_its_own_rows);
	tcase_add_test(c, test_worker_cannot_read_the_application);
	tcase_add_test(c, test_beat);
	tcase_add_test(c, test_application);
	tcase_add_test(c, test_rows_that_make_no_sense);
	tcase_add_test(c, test_changes_are_told);
	tcase_add_test(c, test_roles_again);
	suite_add_tcase(suite, c);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
