/*
 * language.h: how code of each language becomes a command. One row each.
 */
#ifndef CELERIAC_SANDBOX_LANGUAGE_H
#define CELERIAC_SANDBOX_LANGUAGE_H

#include "base.h"

#define LANGUAGE_ARGS 8

struct language {
	const char *name;
	const char *file; /* where the code goes, below /sandbox */
	const char
		*argv[LANGUAGE_ARGS]; /* NULL-terminated; a name without '/' is looked up in PATH */
	const char *const *env;	      /* beyond sandbox_language_env; NULL-terminated */
	bool is_python; /* argv is python3 -u FILE: the agent may fork instead of starting it */
};

/* What every run gets, NULL-terminated; the caller's own variables come after and win. */
extern const char *const sandbox_language_env[];

/* NULL if there is none of that name. [any] */
const struct language *sandbox_language_find(const char *name);

#endif
