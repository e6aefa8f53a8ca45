/*
 * test_migrate.c: the schema from nothing, again, by several processes at once, and histories that
 * must not be.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "common/store/session.h"
#include "tests/unit/postgres_fixture.h"

static struct postgres *g_server;
static char g_database[POSTGRES_NAME_SIZE];
static char *g_url;

static void start(void)
{
	g_server = postgres_start();
}

static void stop(void)
{
	postgres_free(g_server);
}

static void fresh(void)
{
	postgres_database(g_server, g_database);
	g_url = postgres_url(g_server, "postgres", g_database);
}

static void fresh_done(void)
{
	free(g_url);
}

static int migrate(const struct migration_text *list, size_t count, struct err *err)
{
	struct pg_pool *pool;
	struct pg *c;
	int applied = 0;

	ck_assert_int_eq(pg_pool_new(g_url, 1, "test", &pool, err), 0);
	ck_assert_int_eq(pg_get(pool, clock_deadline(20 * USEC_PER_SEC), &c, err), 0);
	int rc = migrate_run(c, list, count, &applied, err);
	pg_put(c);
	pg_pool_free(pool);
	return rc < 0 ? rc : applied;
}

static int check(int *ret_version, struct err *err)
{
	const struct settings settings = {.database_url = g_url};
	struct store *s;

	ck_assert_int_eq(store_open(&settings, &s, err), 0);
	int rc = store_check(s, ret_version, err);
	store_close(s);
	return rc;
}

static long number(const char *sql)
{
	return postgres_number(g_server, "postgres", g_database, sql);
}

START_TEST(test_from_nothing_and_again)
{
	struct err err = {0};
	int applied = -1, version = -1;

	ck_assert_uint_ge(g_migration_count, 6);
	ck_assert_int_eq(store_migrate(g_url, &applied, &err), 0);
	ck_assert_int_eq(applied, (int)g_migration_count);
	ck_assert_int_eq(number("SELECT max(number) FROM celeriac.schema_version"),
			 (long)g_migration_count);
	/* No role of ours exists on this server, and that is no error. */
	ck_assert_int_eq(number("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'celeriac%'"), 0);

	ck_assert_int_eq(store_migrate(g_url, &applied, &err), 0);
	ck_assert_int_eq(applied, 0);
	ck_assert_int_eq(check(&version, &err), 0);
	ck_assert_int_eq(version, (int)g_migration_count);
}
END_TEST

START_TEST(test_every_table_is_explained)
{
	struct err err = {0};
	int applied;

	ck_assert_int_eq(store_migrate(g_url, &applied, &err), 0);
	ck_assert_int_eq(number("SELECT count(*) FROM pg_tables WHERE schemaname = 'celeriac'"),
			 15);
	ck_assert_int_eq(number("SELECT count(*) FROM pg_class WHERE relkind = 'r'"
				" AND relnamespace = 'celeriac'::regnamespace"
				" AND obj_description(oid, 'pg_class') IS NULL"),
			 0);
}
END_TEST

START_TEST(test_at_once)
{
	enum { PROCESSES = 4 };
	pid_t pids[PROCESSES];
	int total = 0;

	for (int i = 0; i < PROCESSES; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			struct err err = {0};
			int applied = 0;
			_exit(store_migrate(g_url, &applied, &err) == 0 ? applied : 100);
		}
	}
	for (int i = 0; i < PROCESSES; i++) {
		int status;
		ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
		ck_assert(WIFEXITED(status));
		ck_assert_int_lt(WEXITSTATUS(status), 100);
		total += WEXITSTATUS(status);
	}
	ck_assert_int_eq(total, (int)g_migration_count);
	ck_assert_int_eq(number("SELECT count(*) FROM celeriac.schema_version"),
			 (long)g_migration_count);
}
END_TEST

START_TEST(test_failed_migration_leaves_nothing)
{
	const struct migration_text list[] = {
		g_migrations[0],
		{2, "0002_wrong", "CREATE TABLE celeriac.half (a int);\nSELECT 1 / 0;"},
	};
	struct err err = {0};

	ck_assert_int_lt(migrate(list, 2, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.msg, "0002_wrong"));
	ck_assert(!err_is_transient(&err));
	ck_assert_int_eq(number("SELECT count(*) FROM celeriac.schema_version"), 1);
	ck_assert_int_eq(number("SELECT count(*) FROM pg_tables WHERE tablename = 'half'"), 0);
}
END_TEST

START_TEST(test_gaps_are_refused)
{
	struct migration_text list[] = {g_migrations[0], {3, "0003_early", "SELECT 1"}};
	struct err err = {0};

	ck_assert_int_eq(migrate(list, 2, &err), -ERR_INVALID);
	ck_assert_ptr_nonnull(strstr(err.msg, "0003_early"));
	ck_assert_int_eq(number("SELECT count(*) FROM pg_namespace WHERE nspname = 'celeriac'"), 0);

	ck_assert_int_eq(migrate(g_migrations, 1, &err), 1);
	free(postgres_query(g_server, "postgres", g_database,
			    "INSERT INTO celeriac.schema_version VALUES (3, '0003_early')"));
	ck_assert_int_eq(migrate(g_migrations, g_migration_count, &err), -ERR_CONFLICT);
	ck_assert_ptr_nonnull(strstr(err.msg, "gaps"));
}
END_TEST

START_TEST(test_check)
{
	struct err err = {0};
	int version = 0;

	ck_assert_int_eq(check(&version, &err), -ERR_UNSUPPORTED);
	ck_assert_ptr_nonnull(strstr(err.msg, "--migrate"));
	ck_assert_int_eq(migrate(g_migrations, 2, &err), 2);
	ck_assert_int_eq(check(&version, &err), -ERR_UNSUPPORTED);
	ck_assert_ptr_nonnull(strstr(err.msg, "schema is 2"));
	ck_assert_int_eq(migrate(g_migrations, g_migration_count, &err),
			 (int)g_migration_count - 2);
	/* A newer database serves an older program. */
	free(postgres_query(g_server, "postgres", g_database,
			    "INSERT INTO celeriac.schema_version"
			    " SELECT max(number) + 1, 'newer' FROM celeriac.schema_version"));
	ck_assert_int_eq(check(&version, &err), 0);
	ck_assert_int_eq(version, (int)g_migration_count + 1);
	ck_assert_int_eq(migrate(g_migrations, g_migration_count, &err), 0);
}
END_TEST

START_TEST(test_encoding_is_refused)
{
	struct err err = {0};
	int applied;

	free(postgres_query(g_server, "postgres", "postgres",
			    "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0"
			    " LC_COLLATE 'C' LC_CTYPE 'C'"));
	char *url = postgres_url(g_server, "postgres", "latin");
	ck_assert_int_eq(store_migrate(url, &applied, &err), -ERR_UNSUPPORTED);
	ck_assert_ptr_nonnull(strstr(err.msg, "LATIN1"));
	free(url);
}
END_TEST

START_TEST(test_nobody_answers)
{
	struct err err = {0};
	int applied;

	ck_assert_int_eq(
		store_migrate("postgresql://a@/b?host=/tmp/celeriac-nothing-here", &applied, &err),
		-ERR_UNAVAILABLE);
	ck_assert(err_is_transient(&err));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("migrate");
	TCase *c = tcase_create("migrate");

	tcase_add_unchecked_fixture(c, start, stop);
	tcase_add_checked_fixture(c, fresh, fresh_done);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, test_from_nothing_and_again);
	tcase_add_test(c, test_every_table_is_explained);
	tcase_add_test(c, test_at_once);
	tcase_add_test(c, test_failed_migration_leaves_nothing);
	tcase_add_test(c, test_gaps_are_refused);
	tcase_add_test(c, test_check);
	tcase_add_test(c, test_encoding_is_refused);
	tcase_add_test(c, test_nobody_answers);
	suite_add_tcase(suite, c);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
