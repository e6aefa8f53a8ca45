/*
 * See fault.h. Empty but in a build with FAULT=1.
 */
#include "fault.h"

#ifdef CELERIAC_FAULT_BUILD
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fault_point(const char *name)
{
	static _Atomic long hits;
	const char *wanted = secure_getenv("CELERIAC_FAULT");
	size_t len = strlen(name);

	if (wanted == NULL || strncmp(wanted, name, len) != 0 ||
	    (wanted[len] != '\0' && wanted[len] != ':'))
		return;
	if (atomic_fetch_add(&hits, 1) + 1 < (wanted[len] == ':' ? atol(wanted + len + 1) : 1))
		return;
	fprintf(stderr, "fault: killed at %s\n", name);
	raise(SIGKILL);
}
#endif
