/*
 * cage_internal.h: what the parts of the cage share.
 */
#ifndef CELERIAC_CAGE_INTERNAL_H
#define CELERIAC_CAGE_INTERNAL_H

#include "cage.h"

#define CAGE_PATHS 512

/* What may be done at a path and below it. */
enum cage_access {
	CAGE_READ = 1 << 0,
	CAGE_WRITE = 1 << 1,  /* with making, renaming and removing */
	CAGE_DEVICE = 1 << 2, /* write to what is there */
	CAGE_EXECUTE = 1 << 3
};

struct cage_paths {
	struct {
		char *path; /* absolute */
		unsigned access;
	} items[CAGE_PATHS];
	size_t count;
	bool full; /* some did not fit */
};

/* Every path that the plan, its settings and the libraries need; those that are not there lead to
 * the nearest directory that is. ERR_INVALID: CELERIAC_CAGE_PATHS. */
int cage_paths(const struct cage_plan *plan, struct cage_paths *ret, struct err *err) must_check;
void cage_paths_done(struct cage_paths *p);

/* Both: 0 and how far in `detail`, or an error that says what the kernel lacks. */
int cage_files(const struct cage_plan *plan, const struct cage_paths *paths, char *detail,
	       size_t size, struct err *err) must_check;
int cage_calls(const struct cage_plan *plan, char *detail, size_t size, struct err *err) must_check;

/* Does anything but the engine need a connection to a unix socket? Pure but for the environment. */
bool cage_needs_unix(const struct settings *s);

#endif
