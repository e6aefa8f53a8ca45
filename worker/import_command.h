/*
 * import_command.h: celeriac-worker --import-openapi.
 */
#ifndef CELERIAC_WORKER_IMPORT_COMMAND_H
#define CELERIAC_WORKER_IMPORT_COMMAND_H

#include "settings.h"

/* Prints one JSON object a line for each tool that the document at `source` (a file, or an http://
 * or https:// URL) becomes, and on standard error what cannot be one and why; with `apply` adds
 * them. The exit status. [init] */
int import_command(const struct settings *s, const char *source, bool apply);

#endif
