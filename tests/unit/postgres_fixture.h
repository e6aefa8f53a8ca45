/*
 * postgres_fixture.h: a real PostgreSQL of its own for a test program.
 *
 * A cluster in a temporary directory, reached by a unix socket only, run by an unprivileged user,
 * everybody trusted. It dies with the process that started it. Start it in an unchecked fixture
 * (once for a test case), so that the forked tests share it, and take a fresh database in each
 * test. Every function aborts the test when it cannot do its work.
 */
#ifndef CELERIAC_TESTS_POSTGRES_FIXTURE_H
#define CELERIAC_TESTS_POSTGRES_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>

struct postgres;

/* A running server, with the superuser "postgres". Environment PG_BINDIR names other programs than
 * the newest installed. */
struct postgres *postgres_start(void);
/* Ends the server and removes its directory. NULL is fine. */
void postgres_free(struct postgres *p);

/* An outage: the server is gone at once, as after a crash, and comes back with what was committed.
 */
void postgres_down(struct postgres *p);
void postgres_up(struct postgres *p);

/* Makes an empty database with a name nobody else has. `name` holds at least 32 bytes. */
#define POSTGRES_NAME_SIZE 32
void postgres_database(struct postgres *p, char name[POSTGRES_NAME_SIZE]);

/* "postgresql://user@/database?host=…". Given. */
char *postgres_url(const struct postgres *p, const char *user, const char *database);

/* Runs `psql -f file` as the superuser; `variables` is a NULL-terminated list of "name=value", or
 * NULL. */
void postgres_psql(const struct postgres *p, const char *database, const char *file,
		   const char *const *variables);

/* Runs statements and gives the first field of the last one's first row, NULL for NULL or no row.
 */
char *postgres_query(const struct postgres *p, const char *user, const char *database,
		     const char *sql);
/* The same for a number. */
long postgres_number(const struct postgres *p, const char *user, const char *database,
		     const char *sql);

/* The SQLSTATE that the statements end with: "00000" is success. Static storage. */
const char *postgres_state(const struct postgres *p, const char *user, const char *database,
			   const char *sql);

#endif
