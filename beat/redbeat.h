/*
 * redbeat.h: what RedBeat keeps of an entry, as an entry of ours. Pure.
 *
 * RedBeat (celery-redbeat, redbeat/schedulers.py and decoder.py) has a hash <prefix><name> for each
 * entry, with JSON in its fields `definition` and `meta`, and beside them <prefix>:schedule,
 * <prefix>:statics and <prefix>:lock; the prefix is "redbeat:".
 */
#ifndef CELERIAC_BEAT_REDBEAT_H
#define CELERIAC_BEAT_REDBEAT_H

#include <jansson.h>

#include "buf.h"
#include "err.h"

/*
 * A row of periodic_tasks: name, task, schedule, args, kwargs, options, enabled, and last_run_at
 * and total_run_count where it ran; given. `meta` may be empty. Dates in arguments become what
 * kombu makes of them. ERR_INVALID and ERR_UNSUPPORTED say what cannot be taken. [any]
 */
int redbeat_row(struct slice definition, struct slice meta, json_t **ret,
		struct err *err) must_check;

#endif
