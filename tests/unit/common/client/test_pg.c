/*
 * test_pg.c: the PostgreSQL client: URLs and error classes without, the rest against a real server.
 */
#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "common/client/pg_conn.h"
#include "mem.h"
#include "tests/unit/postgres_fixture.h"

/* ---- without a server ---- */

START_TEST(test_urls_refused)
{
	static const char *const cases[] = {
		"mysql://u:hunter2@h/d",
		"u:hunter2@h/d",
		"host=h password=hunter2",
		"postgresqlx://u:hunter2@h/d",
		"postgresql://u:hunter2@h:port/",
		"postgresql://u:hunter2@[h/d",
		"postgresql://u:hunter2@h/%zz",
		"postgresql://u:hunter2@h/d?nonsense=1",
		"",
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct pg_pool *p;
		struct err err;

		if (pg_pool_new(cases[i], 1, "t", &p, &err) == 0) {
			/* libpq leaves the port for later. */
			struct pg *c;

			ck_assert_int_lt(pg_get(p, clock_deadline(USEC_PER_SEC), &c, &err), 0);
			pg_pool_free(p);
		}
		ck_assert_msg(!strstr(err.msg, "hunter2"), "%s", err.msg);
		ck_assert_int_gt(strlen(err.msg), 10);
	}
}
END_TEST

START_TEST(test_classes)
{
	static const struct {
		const char *state;
		int code;
		bool transient;
	} cases[] = {
		{"08006", ERR_UNAVAILABLE, true}, {"40001", ERR_CONFLICT, true},
		{"40P01", ERR_CONFLICT, true},	  {"57P01", ERR_UNAVAILABLE, true},
		{"57P03", ERR_UNAVAILABLE, true}, {"57014", ERR_TIMEOUT, true},
		{"53100", ERR_UNAVAILABLE, true}, {"53300", ERR_UNAVAILABLE, true},
		{"58030", ERR_UNAVAILABLE, true}, {"25006", ERR_UNAVAILABLE, true},
		{"55P03", ERR_CONFLICT, true},	  {"23505", ERR_CONFLICT, false},
		{"42501", ERR_DENIED, false},	  {"42P01", ERR_NOTFOUND, false},
		{"42601", ERR_FAILED, false},	  {"22P02", ERR_INVALID, false},
		{"28P01", ERR_DENIED, false},	  {"XX000", ERR_FAILED, false},
		{"", ERR_FAILED, false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool transient = !cases[i].transient;

		ck_assert_int_eq(pg_error_classify(cases[i].state, &transient), cases[i].code);
		ck_assert_int_eq(transient, cases[i].transient);
	}
}
END_TEST

/* ---- with one ---- */

static struct postgres *g_server;

static void start(void)
{
	g_server = postgres_start();
}

static void stop(void)
{
	postgres_free(g_server);
}

static usec_t seconds(int n)
{
	return clock_deadline(n * USEC_PER_SEC);
}

static struct pg_pool *new_pool(size_t connections)
{
	char *url = postgres_url(g_server, "postgres", "postgres");
	struct pg_pool *p = NULL;
	struct err err;

	ck_assert_msg(pg_pool_new(url, connections, "celeriac test", &p, &err) == 0, "%s", err.msg);
	free(url);
	return p;
}

static struct pg *get(struct pg_pool *p)
{
	struct pg *c = NULL;
	struct err err;

	ck_assert_msg(pg_get(p, seconds(10), &c, &err) == 0, "%s", err.msg);
	return c;
}

/* The first field of a statement without parameters; given. */
static char *ask(struct pg *c, const char *sql)
{
	_cleanup_pg_result_ struct pg_result *r = NULL;
	struct err err;

	ck_assert_msg(pg_exec(c, sql, NULL, 0, &r, &err) == 0, "%s: %s", sql, err.msg);
	return pg_rows(r) > 0 && pg_text(r, 0, 0) ? strdup(pg_text(r, 0, 0)) : NULL;
}

static void expect(struct pg *c, const char *sql, const char *want)
{
	char *got = ask(c, sql);

	ck_assert_msg(got && strcmp(got, want) == 0, "%s: %s, not %s", sql, got ? got : "NULL",
		      want);
	free(got);
}

static void refuse(struct pg *c, const char *sql, int code, bool transient)
{
	struct err err;

	ck_assert_int_eq(pg_exec(c, sql, NULL, 0, NULL, &err), -code);
	ck_assert_int_eq(err_is_transient(&err), transient);
}

START_TEST(test_session)
{
	struct pg_pool *p = new_pool(1);
	struct pg *c = get(p);

	expect(c, "SHOW statement_timeout", "1min");
	expect(c, "SHOW client_encoding", "UTF8");
	expect(c, "SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()",
	       "celeriac test");
	pg_put(c);
	pg_put(NULL);
	pg_pool_free(p);
	pg_pool_free(NULL);
}
END_TEST

START_TEST(test_parameters)
{
	struct pg_pool *p = new_pool(1);
	struct pg *c = get(p);
	struct pg_result *r;
	struct err err;
	char bytes[256];
	const struct pg_param params[] = {
		PG_TEXT("it's; DROP TABLE x --"),
		PG_TEXT("42"),
		PG_BYTES(bytes, sizeof(bytes)),
		PG_NULL,
		PG_TEXT(""),
		PG_TEXT("{\"a\": [1, null]}"),
	};

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)i;
	ck_assert_int_eq(pg_exec(c,
				 "SELECT $1::text, $2::int + 1, encode($3::bytea, 'hex'), "
				 "$4::text, $5::text,"
				 " $6::jsonb -> 'a', length($3::bytea)",
				 params, ARRAY_LEN(params), &r, &err),
			 0);
	ck_assert_uint_eq(pg_rows(r), 1);
	ck_assert_str_eq(pg_text(r, 0, 0), "it's; DROP TABLE x --");
	ck_assert_str_eq(pg_text(r, 0, 1), "43");
	ck_assert_uint_eq(pg_length(r, 0, 2), 512);
	ck_assert_int_eq(strncmp(pg_text(r, 0, 2), "000102", 6), 0);
	ck_assert_ptr_null(pg_text(r, 0, 3));
	ck_assert_uint_eq(pg_length(r, 0, 3), 0);
	ck_assert_str_eq(pg_text(r, 0, 4), "");
	ck_assert_str_eq(pg_text(r, 0, 5), "[1, null]");
	ck_assert_str_eq(pg_text(r, 0, 6), "256");
	pg_result_free(r);
	pg_put(c);
	pg_pool_free(p);
}
END_TEST

/* More than a socket holds, in both directions. */
START_TEST(test_large_values)
{
	struct pg_pool *p = new_pool(1);
	struct pg *c = get(p);
	struct pg_result *r;
	struct err err;
	size_t size = 32u << 20;
	char *data = malloc(size);
	const struct pg_param params[] = {PG_BYTES(data, size)};

	memset(data, '\xff', size);
	ck_assert_msg(pg_exec(c, "SELECT $1::bytea, length($1::bytea)", params, 1, &r, &err) == 0,
		      "%s", err.msg);
	ck_assert_uint_eq(pg_length(r, 0, 0), 2 + 2 * size);
	ck_assert_str_eq(pg_text(r, 0, 1), "33554432");
	pg_result_free(r);
	free(data);
	pg_put(c);
	pg_pool_free(p);
}
END_TEST

/* What libpq has grown to for one of them is not kept. */
START_TEST(test_large_values_are_not_kept)
{
	static const struct {
		const char *sql;
		bool kept;
	} rows[] = {{"SELECT repeat('x', 100000)", true},
		    {"SELECT repeat('x', 3000000)", false},
		    {"SELECT length($1)", false}};
	static char text[3000001];
	struct pg_pool *p = new_pool(1);

	memset(text, 'x', sizeof(text) - 1);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct pg_param param = {text, sizeof(text) - 1, false};
		struct pg *c = get(p);
		char *before = ask(c, "SELECT pg_backend_pid()"), *after;
		struct err err;

		ck_assert_int_eq(pg_exec(c, rows[i].sql, &param, strstr(rows[i].sql, "$1") != NULL,
					 NULL, &err),
				 0);
		pg_put(c);
		c = get(p);
		after = ask(c, "SELECT pg_backend_pid()");
		ck_assert_int_eq(strcmp(before, after) == 0, rows[i].kept);
		free(before);
		free(after);
		pg_put(c);
	}
	pg_pool_free(p);
}
END_TEST

START_TEST(test_nul_in_text)
{
	struct pg_pool *p = new_pool(1);
	struct pg *c = get(p);
	struct err err;
	const struct pg_param params[] = {PG_TEXT("x"), {.data = "a\0b", .len = 3}};

	ck_assert_int_eq(pg_exec(c, "SELECT $1::text, $2::text", params, 2, NULL, &err),
			 -ERR_INVALID);
	ck_assert_ptr_nonnull(strstr(err.msg, "$2"));
	expect(c, "SELECT 1", "1");
	pg_put(c);
	pg_pool_free(p);
}
END_TEST

START_TEST(test_errors)
{
	struct pg_pool *p = new_pool(1);
	struct pg *c = get(p);
	struct err err;

	refuse(c, "SELEC 1", ERR_FAILED, false);
	refuse(c, "SELECT * FROM no_such_table", ERR_NOTFOUND, false);
	refuse(c, "SELECT 'x'::int", ERR_INVALID, false);
	refuse(c, "DO $$ BEGIN RAISE SQLSTATE '40P01'; END $$", ERR_CONFLICT, true);
	refuse(c, "COPY pg_class TO STDOUT", ERR_UNSUPPORTED, false);
	refuse(c, "SELECT 1", ERR_CLOSED, true);
	pg_put(c);
	c = get(p);
	/* Constraint violations repeat no values of the row. */
	ck_assert_int_eq(pg_script(c,
				   "CREATE TEMP TABLE t (s text PRIMARY KEY); INSERT INTO t VALUES "
				   "('hunter2')",
				   &err),
			 0);
	ck_assert_int_eq(pg_exec(c, "INSERT INTO t VALUES ('hunter2')", NULL, 0, NULL, &err),
			 -ERR_CONFLICT);
	ck_assert_ptr_null(strstr(err.msg, "hunter2"));
	ck_assert_ptr_nonnull(strstr(err.msg, "23505"));
	refuse(c, "DO $$ BEGIN RAISE SQLSTATE '53100'; END $$", ERR_UNAVAILABLE, true);
	pg_put(c);
	pg_pool_free(p);
}
END_TEST

START_TEST(test_scripts)
{
	struct pg_pool *p = new_pool(1);
	struct pg *c = get(p);
	struct err err;

	ck_assert_int_eq(
		pg_script(c, "CREATE TEMP TABLE s (i int);\nINSERT INTO s VALUES (1), (2);", &err),
		0);
	expect(c, "SELECT count(*) FROM s", "2");
	ck_assert_int_eq(
		pg_script(c, "INSERT INTO s VALUES (3);\n\n-- é\nSELECT nonsense FROM s;\n", &err),
		-ERR_FAILED);
	ck_assert_msg(strstr(err.msg, "line 4"), "%s", err.msg);
	/* One transaction: nothing of it is left. */
	expect(c, "SELECT count(*) FROM s", "2");
	ck_assert_int_eq(pg_script(c, "", &err), 0);
	pg_put(c);
	pg_pool_free(p);
}
END_TEST

START_TEST(test_put_rolls_back)
{
	struct pg_pool *p = new_pool(1);
	struct pg *c = get(p);
	struct err err;

	ck_assert_int_eq(pg_script(c, "CREATE TEMP TABLE r (i int)", &err), 0);
	ck_assert_int_eq(pg_script(c, "BEGIN; INSERT INTO r VALUES (1)", &err), 0);
	pg_put(c);
	c = get(p);
	/* The same session, without what was not committed. */
	expect(c, "SELECT count(*) FROM r", "0");
	ck_assert_int_eq(pg_script(c, "BEGIN", &err), 0);
	refuse(c, "SELECT nonsense", ERR_FAILED, false);
	pg_put(c);
	c = get(p);
	expect(c, "SELECT count(*) FROM r", "0");
	pg_put(c);
	pg_pool_free(p);
}
END_TEST

START_TEST(test_statement_timeout)
{
	struct pg_pool *p = new_pool(1);
	struct pg *c = get(p);
	struct err err;

	ck_assert_int_eq(pg_script(c, "SET statement_timeout = 1000", &err), 0);
	refuse(c, "SELECT pg_sleep(20)", ERR_TIMEOUT, true);
	expect(c, "SELECT 1", "1");
	pg_put(c);
	pg_pool_free(p);
}
END_TEST

/* The session is ended under a statement, and while it lies idle in the pool. */
START_TEST(test_terminated)
{
	struct pg_pool *p = new_pool(2);
	struct pg *c = get(p), *other = get(p);
	char *pid, sql[64];

	refuse(c, "SELECT pg_terminate_backend(pg_backend_pid())", ERR_UNAVAILABLE, true);
	refuse(c, "SELECT 1", ERR_CLOSED, true);
	pg_put(c);
	c = get(p);
	pid = ask(c, "SELECT pg_backend_pid()");
	pg_put(c);
	snprintf(sql, sizeof(sql), "SELECT pg_terminate_backend(%s, 5000)", pid);
	free(pid);
	expect(other, sql, "t");
	c = get(p);
	expect(c, "SELECT 1", "1");
	pg_put(c);
	pg_put(other);
	pg_pool_free(p);
}
END_TEST

START_TEST(test_outage)
{
	struct postgres *s = postgres_start();
	char *url = postgres_url(s, "postgres", "postgres");
	struct pg_pool *p;
	struct pg *c;
	struct err err;

	ck_assert_int_eq(pg_pool_new(url, 2, "t", &p, &err), 0);
	free(url);
	c = get(p);
	expect(c, "SELECT 1", "1");
	postgres_down(s);
	refuse(c, "SELECT 1", ERR_UNAVAILABLE, true);
	pg_put(c);
	ck_assert_int_eq(pg_get(p, seconds(2), &c, &err), -ERR_UNAVAILABLE);
	ck_assert(err_is_transient(&err));
	postgres_up(s);
	c = get(p);
	expect(c, "SELECT 1", "1");
	pg_put(c);
	pg_pool_free(p);
	postgres_free(s);
}
END_TEST

START_TEST(test_refused)
{
	static const struct {
		const char *user, *database;
		int code;
	} cases[] = {
		{"no_such_user", "postgres", ERR_DENIED},
		{"postgres", "no_such_database", ERR_NOTFOUND},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *url = postgres_url(g_server, cases[i].user, cases[i].database);
		struct pg_pool *p;
		struct pg *c;
		struct err err;

		ck_assert_int_eq(pg_pool_new(url, 1, "t", &p, &err), 0);
		free(url);
		for (int try = 0; try < 2; try++) {
			ck_assert_int_eq(pg_get(p, seconds(5), &c, &err), -cases[i].code);
			ck_assert(!err_is_transient(&err));
		}
		pg_pool_free(p);
	}
}
END_TEST

/* A server that accepts and says nothing. */
START_TEST(test_silent_server)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char url[128];
	struct pg_pool *p;
	struct pg *c;
	struct err err;
	usec_t begin = clock_mono();

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	ck_assert_int_eq(listen(fd, 5), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	snprintf(url, sizeof(url), "postgresql+psycopg2://u:hunter2@127.0.0.1:%d/d",
		 ntohs(sa.sin_port));
	ck_assert_int_eq(pg_pool_new(url, 1, "t", &p, &err), 0);
	ck_assert_int_eq(pg_get(p, clock_deadline(300 * USEC_PER_MSEC), &c, &err), -ERR_TIMEOUT);
	ck_assert(err_is_transient(&err));
	ck_assert_ptr_null(strstr(err.msg, "hunter2"));
	ck_assert_int_lt(clock_mono() - begin, 2 * USEC_PER_SEC);
	pg_pool_free(p);
	close(fd);
}
END_TEST

static void stop_process(pid_t pid)
{
	char path[64], state = '?';

	ck_assert_int_eq(kill(pid, SIGSTOP), 0);
	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	while (state != 'T') {
		FILE *stat = fopen(path, "r");

		ck_assert_ptr_nonnull(stat);
		ck_assert_int_eq(fscanf(stat, "%*d (%*[^)]) %c", &state), 1);
		ck_assert_int_eq(fclose(stat), 0);
	}
}

/* A server that stops answering in the middle is left, not waited for. */
START_TEST(test_hung_server)
{
	struct pg_pool *p = new_pool(1);
	struct pg *c = get(p);
	char *pid = ask(c, "SELECT pg_backend_pid()");
	usec_t begin = clock_mono();

	stop_process(atoi(pid));
	c->patience = 300 * USEC_PER_MSEC;
	refuse(c, "SELECT 1", ERR_TIMEOUT, true);
	ck_assert_int_lt(clock_mono() - begin, 2 * USEC_PER_SEC);
	kill(atoi(pid), SIGCONT);
	free(pid);
	c->patience = PG_STATEMENT_TIMEOUT;
	pg_put(c);
	c = get(p);
	expect(c, "SELECT 1", "1");
	pg_put(c);
	pg_pool_free(p);
}
END_TEST

static void *put_later(void *arg)
{
	nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
	pg_put(arg);
	return NULL;
}

START_TEST(test_wait_for_connection)
{
	struct pg_pool *p = new_pool(1);
	struct pg *c = get(p), *same;
	struct err err;
	pthread_t thread;
	usec_t begin = clock_mono();

	ck_assert_int_eq(pg_get(p, clock_deadline(50 * USEC_PER_MSEC), &same, &err), -ERR_TIMEOUT);
	ck_assert(err_is_transient(&err));
	ck_assert_int_ge(clock_mono() - begin, 50 * USEC_PER_MSEC);
	ck_assert_int_eq(pthread_create(&thread, NULL, put_later, c), 0);
	same = get(p);
	ck_assert_ptr_eq(same, c);
	pthread_join(thread, NULL);
	expect(same, "SELECT 1", "1");
	pg_put(same);
	pg_pool_free(p);
}
END_TEST

static void *use_pool(void *arg)
{
	for (int i = 0; i < 50; i++) {
		struct pg *c = get(arg);

		expect(c, "SELECT 'x'", "x");
		pg_put(c);
	}
	return NULL;
}

START_TEST(test_many_threads)
{
	struct pg_pool *p = new_pool(3);
	pthread_t threads[8];
	struct pg *c;

	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, use_pool, p), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	c = get(p);
	expect(c,
	       "SELECT count(*) <= 3 FROM pg_stat_activity WHERE application_name = 'celeriac "
	       "test'",
	       "t");
	pg_put(c);
	pg_pool_free(p);
}
END_TEST

/* What is said twice is prepared, up to a bound, and everything else goes on as it is. */
START_TEST(test_prepared)
{
	static const char *const count = "SELECT count(*) FROM pg_prepared_statements";
	struct pg_pool *p = new_pool(1);
	struct pg *c = get(p);
	char sql[64], want[16];

	expect(c, "SELECT 'once'", "once");
	expect(c, count, "0");
	for (int i = 0; i < 3; i++)
		expect(c, "SELECT 'often'", "often");
	expect(c, count, "2"); /* that one, and this one */
	for (int i = 0; i < 3 * PG_PREPARED_MAX; i++) {
		snprintf(sql, sizeof(sql), "SELECT %d", i / 2);
		snprintf(want, sizeof(want), "%d", i / 2);
		expect(c, sql, want);
	}
	snprintf(want, sizeof(want), "%d", PG_PREPARED_MAX - 1); /* not the one said once */
	expect(c, count, want);
	expect(c, "SELECT 'often'", "often");
	pg_put(c);
	pg_pool_free(p);
}
END_TEST

/* A statement that fails, in preparation or later, fails as it would without. */
START_TEST(test_prepared_failures)
{
	struct pg_pool *p = new_pool(1);
	struct pg *c = get(p);

	for (int i = 0; i < 3; i++) {
		refuse(c, "SELECT * FROM missing", ERR_NOTFOUND, false);
		refuse(c, "SELECT 1 / 0", ERR_INVALID, false);
		expect(c, "SELECT 1", "1");
	}
	pg_put(c);
	pg_pool_free(p);
}
END_TEST

/* What the server has forgotten, or what does not fit any more, is for the next connection. */
START_TEST(test_prepared_is_stale)
{
	static const char *const changes[] = {
		"DEALLOCATE ALL", "ALTER TABLE changing ALTER COLUMN a TYPE text; SELECT 1"};
	struct pg_pool *p = new_pool(1);
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		struct pg *c = get(p);

		ck_assert_int_eq(pg_script(c,
					   "DROP TABLE IF EXISTS changing;"
					   "CREATE TABLE changing AS SELECT 1 AS a",
					   &err),
				 0);
		for (int k = 0; k < 3; k++)
			expect(c, "SELECT a FROM changing", "1");
		ck_assert_int_eq(pg_script(c, changes[i], &err), 0);
		ck_assert_int_lt(pg_exec(c, "SELECT a FROM changing", NULL, 0, NULL, &err), 0);
		ck_assert_msg(err_is_transient(&err), "%s", err.msg);
		pg_put(c);
		c = get(p);
		expect(c, "SELECT a FROM changing", "1");
		pg_put(c);
	}
	pg_pool_free(p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pg");
	TCase *pure = tcase_create("pure"), *real = tcase_create("real server");
	SRunner *runner;
	int failed;

	tcase_add_test(pure, test_urls_refused);
	tcase_add_test(pure, test_classes);
	suite_add_tcase(s, pure);
	tcase_add_unchecked_fixture(real, start, stop);
	tcase_set_timeout(real, 120);
	tcase_add_test(real, test_session);
	tcase_add_test(real, test_parameters);
	tcase_add_test(real, test_prepared);
	tcase_add_test(real, test_prepared_failures);
	tcase_add_test(real, test_prepared_is_stale);
	tcase_add_test(real, test_large_values);
	tcase_add_test(real, test_large_values_are_not_kept);
	tcase_add_test(real, test_nul_in_text);
	tcase_add_test(real, test_errors);
	tcase_add_test(real, test_scripts);
	tcase_add_test(real, test_put_rolls_back);
	tcase_add_test(real, test_statement_timeout);
	tcase_add_test(real, test_terminated);
	tcase_add_test(real, test_outage);
	tcase_add_test(real, test_refused);
	tcase_add_test(real, test_silent_server);
	tcase_add_test(real, test_hung_server);
	tcase_add_test(real, test_wait_for_connection);
	tcase_add_test(real, test_many_threads);
	suite_add_tcase(s, real);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
