/*
 * timezone.h: time zones by the system's database (tzdata), with their summer times.
 *
 * Celery writes date_done in the application's zone. Dates in messages need none: without an offset
 * they are UTC (clock_isoparse).
 */
#ifndef CELERIAC_TIMEZONE_H
#define CELERIAC_TIMEZONE_H

#include "clock.h"

struct timezone_info; /* const once it is open: [any] */

/* ERR_INVALID when the system knows no zone of that name; "" is fine. Reads the database. [any] */
int timezone_check(const char *name, struct err *err) must_check;
/*
 * The zone of the settings timezone (NULL: UTC) and enable_utc, by Celery's rules: by its name
 * ("Europe/Berlin"); without one UTC, or the machine's own when enable_utc is off. *ret is NULL for
 * UTC. ERR_INVALID.
 */
int timezone_open(const char *name, bool enable_utc, const struct timezone_info **ret,
		  struct err *err) must_check;
void timezone_close(const struct timezone_info *z);

/* Seconds east of Greenwich at that instant. [any] */
int timezone_offset(const struct timezone_info *z, usec_t wall);
/*
 * The instant at which the zone's clocks show `local` (what timezone_offset was added to): the
 * first of two when clocks were set back, and a time that they skip as much later as they were set
 * forward, as Python's datetime with fold=0. [any]
 */
usec_t timezone_instant(const struct timezone_info *z, usec_t local);
/* As clock_iso, in the zone: "2026-07-01T14:00:00+02:00". [any] */
void timezone_iso(const struct timezone_info *z, usec_t wall, char out[CLOCK_ISO_SIZE]);

#endif
