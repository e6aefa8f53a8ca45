/*
 * migrations.h: the schema as text, carried inside the program (made from deploy/sql by
 * deploy/embed).
 */
#ifndef CELERIAC_STORE_MIGRATIONS_H
#define CELERIAC_STORE_MIGRATIONS_H

#include <stddef.h>

struct migration_text {
	int number; /* from 1, without gaps */
	const char *name;
	const char *sql;
};
extern const struct migration_text g_migrations[];
extern const size_t g_migration_count;

#endif
