/*
 * store_fixture.h: a store on a private PostgreSQL, with the roles and the schema that a real one
 * has.
 */
#ifndef CELERIAC_TESTS_STORE_FIXTURE_H
#define CELERIAC_TESTS_STORE_FIXTURE_H

#include "store.h"

#include "postgres_fixture.h"

/* Once for a test case: a server whose new databases have roles and schema. */
void store_server_start(void);
void store_server_stop(void);
struct postgres *store_server(void);

/* For each test: a fresh database and a store on it, with the worker's rights. */
void store_fresh(void);
void store_fresh_done(void);
struct store *fresh_store(void);
const char *fresh_database(void);
/* Another store on the same database; `media_dir` may be NULL. */
struct store *another_store(const char *media_dir);

/* An empty directory, and its removal with what is in it. */
void scratch_make(char path[64]);
void scratch_remove(const char *path);

/* A task as the worker "node-a" in its life 1 has it. */
struct store_task sample_task(const char *task_id);
/* Begins it and insists that it is ours. */
void begin_sample(const struct store_task *t);

/* Questions to the fresh database, as its superuser. */
long ask_number(const char *sql);
void expect_text(const char *sql, const char *expected);

#endif
