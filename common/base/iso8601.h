/*
 * iso8601.h: what the two readers of dates share. Private to common/base/.
 */
#ifndef CELERIAC_ISO8601_H
#define CELERIAC_ISO8601_H

#include "base.h"

/* Exactly `count` digits within [min, max] at *p, which moves on. */
bool iso_number(const char **p, int count, int min, int max, int *ret);
/* Z, or +hh, +hhmm, +hh:mm, +hh:mm:ss; nothing is UTC. */
bool iso_zone(const char **p, usec_t *ret_offset);
/* [.,]digits, if there are any: microseconds, what is finer is cut off. */
void iso_fraction(const char **p, int most, usec_t *ret_usec);
bool iso_is_leap(int year);
int iso_days_in(int year, int month);

#endif
