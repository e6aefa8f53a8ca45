/*
 * backoff.h: pauses between tries to reach a server that is away. They double, so that it is not
 * besieged, up to what the caller bears, so that its return is noticed soon. Thread class: [any].
 */
#ifndef CELERIAC_BACKOFF_H
#define CELERIAC_BACKOFF_H

#include "base.h"

#define BACKOFF_FIRST (50 * USEC_PER_MSEC)

/* The pause after one of `last` microseconds (0 = there was none), at most `most`. */
usec_t backoff_next(usec_t last, usec_t most);
/* Between half and all of `pause`, so that the workers of a site do not come back in step. */
usec_t backoff_jitter(usec_t pause);

#endif
