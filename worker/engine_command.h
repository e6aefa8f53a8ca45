/*
 * --engine: this process is an engine role (engine_role.h) and nothing else.
 */
#ifndef CELERIAC_ENGINE_COMMAND_H
#define CELERIAC_ENGINE_COMMAND_H

#include "options.h"

/* Until a signal ends it; the exit status. */
int engine_command(const struct settings *s, const struct options *o, int parent);

#endif
