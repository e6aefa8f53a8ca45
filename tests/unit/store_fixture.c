/*
 * store_fixture.c: roles and schema go into template1 once, so that a fresh database costs a copy
 * of it.
 */
#include "store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <check.h>

static struct postgres *g_server;
static char g_database[POSTGRES_NAME_SIZE];
static struct store *g_store;

void store_server_start(void)
{
	const char *const passwords[] = {"owner_password=o", "worker_password=it's",
					 "beat_password=b", "application_password=a", NULL};
	struct err err = {0};
	int applied;

	g_server = postgres_start();
	postgres_psql(g_server, "template1", "deploy/sql/roles.sql", passwords);
	char *url = postgres_url(g_server, "celeriac_owner", "template1");
	ck_assert_msg(store_migrate(url, &applied, &err) == 0, "%s", err.msg);
	free(url);
}

void store_server_stop(void)
{
	postgres_free(g_server);
	g_server = NULL;
}

struct postgres *store_server(void)
{
	return g_server;
}

struct store *another_store(const char *media_dir)
{
	struct err err = {0};
	struct store *store = NULL;
	char *url = postgres_url(g_server, "celeriac_worker", g_database);
	const struct settings settings = {
		.database_url = url, .database_connections = 2, .media_dir = media_dir};
	ck_assert_msg(store_open(&settings, &store, &err) == 0, "%s", err.msg);
	free(url);
	return store;
}

void store_fresh(void)
{
	postgres_database(g_server, g_database);
	g_store = another_store(NULL);
}

void store_fresh_done(void)
{
	store_close(g_store);
	g_store = NULL;
}

struct store *fresh_store(void)
{
	return g_store;
}

const char *fresh_database(void)
{
	return g_database;
}

void scratch_make(char path[64])
{
	snprintf(path, 64, "/tmp/celeriac-store-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(path));
}

void scratch_remove(const char *path)
{
	pid_t pid = fork();
	if (pid == 0) {
		execl("/bin/rm", "rm", "-rf", path, (char *)NULL);
		_exit(127);
	}
	waitpid(pid, NULL, 0);
}

struct store_task sample_task(const char *task_id)
{
	return (struct store_task){.task_id = task_id,
				   .kind = "sandbox",
				   .tool = "sandbox.execute_code",
				   .conversation = "c-1",
				   .project = "p-1",
				   .worker = "node-a",
				   .epoch = 1,
				   .delivery = "delivery-1"};
}

void begin_sample(const struct store_task *t)
{
	struct err err = {0};
	struct store_begin b = {0};
	ck_assert_msg(store_begin_task(g_store, t, &b, &err) == 0, "%s", err.msg);
	ck_assert_int_eq(b.verdict, STORE_BEGUN);
}

long ask_number(const char *sql)
{
	return postgres_number(g_server, "postgres", g_database, sql);
}

void expect_text(const char *sql, const char *expected)
{
	char *value = postgres_query(g_server, "postgres", g_database, sql);
	ck_assert_msg(value && strcmp(value, expected) == 0, "%s: \"%s\", not \"%s\"", sql,
		      value ? value : "NULL", expected);
	free(value);
}
