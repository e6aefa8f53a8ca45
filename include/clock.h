/*
 * clock.h: the two clocks, and dates as Celery writes them.
 *
 * Monotonic for waits and deadlines, wall (UTC, since the epoch) for what is written down.
 */
#ifndef CELERIAC_CLOCK_H
#define CELERIAC_CLOCK_H

#include <time.h>

#include "base.h"
#include "err.h"

usec_t clock_wall(void);
/*
 * The machine's own wall clock, and what it is ahead of the one that counts: from then on
 * clock_wall was so much behind it at that moment, and goes as the monotonic clock does, so that it
 * takes no part in a step of the machine's. 0 = they are one. Whoever corrects it looks again when
 * the machine's clock was set meanwhile (or stood, as the monotonic one does while a machine
 * sleeps). [any]
 */
usec_t clock_machine(void);
void clock_correct(usec_t ahead);
#define CLOCK_STEP USEC_PER_SEC /* less of a step is none */
bool clock_was_set(void);
usec_t clock_mono(void);

/* A monotonic deadline `after` from now; USEC_NEVER stays what it is. */
usec_t clock_deadline(usec_t after);

/* What is left until `deadline`, never negative, as poll's milliseconds (rounded up; -1 for
 * USEC_NEVER). */
int clock_left_ms(usec_t deadline);

/* For tests only: replaces both clocks; NULL restores. [init] */
void clock_hook(usec_t (*wall)(void), usec_t (*mono)(void));

/*
 * "2026-11-21T09:30:00.123456+00:00", as Python's isoformat() of an aware UTC datetime (no fraction
 * when it is zero). `out` holds at least CLOCK_ISO_SIZE bytes. [any]
 */
#define CLOCK_ISO_SIZE 40
void clock_iso(usec_t wall, char out[CLOCK_ISO_SIZE]);

/*
 * Reads ISO 8601 as Celery's producers write it: date or date and time, 'T' or space, fraction of
 * 0-9 digits, 'Z' or +hh[:mm] or nothing (then UTC). ERR_INVALID. [any]
 */
int clock_parse_iso(const char *text, usec_t *ret_wall, struct err *err) must_check;
/* The same for what workers read (eta, expires): also all else that dateutil's isoparse takes, such
 * as 20261121T0930, 2026-W47-6, 2026-325, 2026-11, 24:00, with any character between date and time.
 * Without an offset it is UTC, whatever the timezone is: Celery reads it so. ERR_INVALID. [any] */
int clock_isoparse(const char *text, usec_t *ret_wall, struct err *err) must_check;

#endif
