/*
 * dead_command.h: celeriac-worker --dead.
 */
#ifndef CELERIAC_WORKER_DEAD_COMMAND_H
#define CELERIAC_WORKER_DEAD_COMMAND_H

#include "settings.h"

/* `what`: list, show, requeue or drop; `id`: of one dead letter, or "all" of requeue and drop. One
 * JSON object a line on standard output. The exit status. [init] */
int dead_command(const struct settings *s, const char *what, const char *id);

#endif
