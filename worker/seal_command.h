/*
 * seal_command.h: celeriac-worker --seal and --reseal.
 */
#ifndef CELERIAC_WORKER_SEAL_COMMAND_H
#define CELERIAC_WORKER_SEAL_COMMAND_H

#include "settings.h"

/* Reads a secret from standard input, or with `again` one that is sealed, and prints it sealed for
 * `place` (table.column.id) under the key in use. The exit status; errors go to standard error and
 * hold nothing of it. [init] */
int seal_command(const struct settings *s, const char *place, bool again);

#endif
