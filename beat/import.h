/*
 * import.h: celeriac-beat --import-redbeat.
 */
#ifndef CELERIAC_BEAT_IMPORT_H
#define CELERIAC_BEAT_IMPORT_H

#include <stdbool.h>

#include "settings.h"

/* Prints what can be taken of RedBeat's entries and what cannot, and with `apply` adds them to
 * periodic_tasks, or to a file that is not there yet. Returns the exit status. [init] */
int import_redbeat(const struct settings *s, bool apply);

#endif
