/*
 * table.h: periodic_tasks, watched, and told what ran.
 */
#ifndef CELERIAC_BEAT_TABLE_H
#define CELERIAC_BEAT_TABLE_H

#include <jansson.h>

#include "base.h"
#include "err.h"
#include "settings.h"

struct table;
/* Begins to read the table, again and again while the database is away, and after each change. NULL
 * in *ret without DATABASE_URL. [init] */
int table_open(const struct settings *s, struct table **ret, struct err *err) must_check;
void table_close(struct table *t);
/* Writes down a run of the row `name`, soon, and without waiting: of the runs within a second only
 * the last. [one thread] */
void table_note(struct table *t, const char *name, usec_t last_run_at, int64_t total_run_count);
/* The database answered last time. [any] */
bool table_ready(const struct table *t);
/* Readable when there is something to take; -1 for NULL. */
int table_fd(const struct table *t);
/* The rows as they are now, if they were read anew since the last call: given; else NULL. [one
 * thread] */
json_t *table_take(struct table *t);
/* Takes `rows`, of which nothing could be made now: table_take gives them again, unless newer ones
 * have come. [that thread] */
void table_give_back(struct table *t, json_t *rows);

#endif
