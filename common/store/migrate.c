/*
 * migrate.c: the schema, brought up to date. Each migration is a transaction that first takes one
 * advisory lock and looks again where the database is, so any number of processes may migrate at
 * once, behind any pooler.
 */
#include "session.h"

#include <stdlib.h>

#include "clock.h"
#include "mem.h"

#define MIGRATE_LOCK	"4847364434551193966" /* "CELERIAn", read as a number */
#define MIGRATE_CONNECT (30 * USEC_PER_SEC)

int migrate_version(struct pg *c, int *ret, struct err *err)
{
	_cleanup_pg_result_ struct pg_result *found = NULL, *rows = NULL;
	int rc = pg_exec(c,
			 "SELECT FROM pg_tables WHERE schemaname = 'celeriac'"
			 " AND tablename = 'schema_version'",
			 NULL, 0, &found, err);
	if (rc < 0)
		return rc;
	if (pg_rows(found) == 0) {
		*ret = 0;
		return 0;
	}
	rc = pg_exec(c, "SELECT count(*), coalesce(max(number), 0) FROM celeriac.schema_version",
		     NULL, 0, &rows, err);
	if (rc < 0)
		return err_wrap(err, "celeriac.schema_version");
	const char *count = pg_text(rows, 0, 0), *newest = pg_text(rows, 0, 1);
	if (!count || !newest)
		return err_set(err, ERR_PROTOCOL, "celeriac.schema_version: no answer");
	if (strcmp(count, newest) != 0)
		return err_set(err, ERR_CONFLICT,
			       "celeriac.schema_version has gaps: %s migrations, the newest is %s",
			       count, newest);
	*ret = (int)strtol(newest, NULL, 10);
	return 0;
}

static int check_list(const struct migration_text *list, size_t count, struct err *err)
{
	for (size_t i = 0; i < count; i++)
		if (list[i].number != (int)i + 1)
			return err_set(err, ERR_INVALID, "migration %s should have the number %zu",
				       list[i].name, i + 1);
	return 0;
}

/* Waits for the lock. Names are looked up in the system's schema only, unless a migration says
 * otherwise. */
static int begin(struct pg *c, struct err *err)
{
	return pg_script(
		c,
		"BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0;"
		" SET LOCAL client_min_messages = warning; SET LOCAL search_path = pg_catalog;"
		" SELECT pg_advisory_xact_lock(" MIGRATE_LOCK ")",
		err);
}

static int apply(struct pg *c, const struct migration_text *m, struct err *err)
{
	int rc = pg_script(c, m->sql, err);
	if (rc < 0)
		return err_wrap(err, "migration %s", m->name);
	const struct decimal n = decimal(m->number);
	const struct pg_param params[] = {PG_TEXT(n.text), PG_TEXT(m->name)};
	return pg_exec(c, "INSERT INTO celeriac.schema_version (number, name) VALUES ($1, $2)",
		       params, ARRAY_LEN(params), NULL, err);
}

/* One transaction; `ret_version` is where the database is after it. */
static int step(struct pg *c, const struct migration_text *list, size_t count, int *ret_version,
		bool *ret_applied, struct err *err)
{
	int version;
	int rc = begin(c, err);
	if (rc == 0)
		rc = migrate_version(c, &version, err);
	if (rc < 0)
		return rc;
	bool pending = version >= 0 && (size_t)version < count;
	if (pending) {
		rc = apply(c, &list[version], err);
		if (rc < 0)
			return rc;
		version++;
	}
	rc = pg_script(c, "COMMIT", err);
	if (rc < 0)
		return rc;
	*ret_version = version;
	*ret_applied = pending;
	return 0;
}

static int check_encoding(struct pg *c, struct err *err)
{
	_cleanup_pg_result_ struct pg_result *r = NULL;
	int rc = pg_exec(c, "SHOW server_encoding", NULL, 0, &r, err);
	if (rc < 0)
		return rc;
	const char *encoding = pg_text(r, 0, 0);
	if (!encoding || strcmp(encoding, "UTF8") != 0)
		return err_set(err, ERR_UNSUPPORTED, "the database's encoding is %s, not UTF8",
			       encoding ? encoding : "unknown");
	return 0;
}

int migrate_run(struct pg *c, const struct migration_text *list, size_t count, int *ret_applied,
		struct err *err)
{
	int rc = check_list(list, count, err);
	if (rc == 0)
		rc = check_encoding(c, err);
	if (rc < 0)
		return rc;
	int applied = 0, version = 0;
	bool did;
	do {
		rc = step(c, list, count, &version, &did, err);
		if (rc < 0)
			return rc;
		applied += did;
	} while (did && (size_t)version < count);
	*ret_applied = applied;
	return 0;
}

int store_migrate(const char *owner_url, int *ret_applied, struct err *err)
{
	struct pg_pool *pool;
	int rc = pg_pool_new(owner_url, 1, "celeriac-migrate", &pool, err);
	if (rc < 0)
		return rc;
	struct pg *c = NULL;
	rc = pg_get(pool, clock_deadline(MIGRATE_CONNECT), &c, err);
	if (rc == 0)
		rc = migrate_run(c, g_migrations, g_migration_count, ret_applied, err);
	pg_put(c);
	pg_pool_free(pool);
	return rc;
}
