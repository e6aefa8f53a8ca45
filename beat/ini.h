/*
 * ini.h: entries in INI: a section each, its name that of the entry.
 *
 *     [report]
 *     task = app.report
 *     schedule = 0 8 * * mon-fri
 *     args = [1]
 *     queue = reports
 *
 * The keys are those of an entry in JSON and, beside them, those of its options. task, schedule,
 * queue, shadow and last_run_at are text as it stands; enabled, relative and ignore_result true or
 * false, also yes, no, on, off, 1, 0; everything else is JSON. Lines that begin with # or ; are
 * comments. Pure.
 */
#ifndef CELERIAC_BEAT_INI_H
#define CELERIAC_BEAT_INI_H

#include <jansson.h>

#include "err.h"

/* An object of entries by their names, as the JSON file is one; given. `text` is changed.
 * ERR_INVALID names the line, or entry and key. [any] */
int ini_read(char *text, json_t **ret, struct err *err) must_check;

#endif
