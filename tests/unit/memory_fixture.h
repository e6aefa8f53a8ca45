/*
 * memory_fixture.h: memory that is asked for by input (mem.h: try_alloc, buf.h) and is not there.
 *
 * For programs that are linked with --wrap of MEMORY_WRAPPED (Makefile). What aborts without memory
 * (xmalloc and friends) is not counted.
 */
#ifndef CELERIAC_TEST_MEMORY_FIXTURE_H
#define CELERIAC_TEST_MEMORY_FIXTURE_H

#include "base.h"

/* Counts from here; request `which` fails, once. 0 = none does. */
void memory_fail(size_t which);

/* Whether it came to that request since; no other fails from here. */
bool memory_failed(void);

/* Likewise, while it goes on. */
bool memory_has_failed(void);

#endif
