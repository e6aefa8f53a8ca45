/*
 * solar.h: Celery's solar schedules: when the sun is next where it should be, seen from a place.
 *
 * Pure, and good to a few seconds between 1900 and 2100; where the sun moves almost along the
 * horizon, as near the polar circles, to a minute or so.
 */
#ifndef CELERIAC_BEAT_SOLAR_H
#define CELERIAC_BEAT_SOLAR_H

#include "clock.h"

struct solar {
	int event;		    /* solar_event() of its name */
	double latitude, longitude; /* degrees, north and east positive */
};

/* Celery's names: "sunrise", "dusk_civil", …; -1: there is no such event. [any] */
int solar_event(const char *name);
/* "dawn_astronomical, dawn_nautical, …", for errors. */
extern const char solar_events[];

/* The first time after `wall` (since the epoch) that it happens: a whole second. Where it does not
 * happen every day, days are left out; USEC_NEVER: not within some years. [any] */
usec_t solar_next(const struct solar *s, usec_t wall);

#endif
