/*
 * language.h: how code of each language becomes a command. One row each.
 */
#ifndef CELERIAC_SANDBOX_LANGUAGE_H
#define CELERIAC_SANDBOX_LANGUAGE_H

#include "base.h"

#define LANGUAGE_ARGS	 14
#define LANGUAGE_STEPS	 2
#define LANGUAGE_WAY_OUT 6

/* Argument vectors are NULL-terminated; a name without '/' is looked up in PATH. */
struct language {
	const char *name;
	const char *file; /* where the code goes, below /sandbox */
	/* Compilers and the program; each is started when the one before has ended with 0. */
	const char *steps[LANGUAGE_STEPS][LANGUAGE_ARGS];
	/* Comes before, with the names of packages after it; empty = there is none. */
	const char *install[LANGUAGE_ARGS];
	/* With a way out: further arguments of the last step, after its first; and a file they
	 * need. */
	const char *way_out[LANGUAGE_WAY_OUT];
	const char *way_out_file; /* below /sandbox; its text is script_way_out */
	const char *const *env;	  /* beyond sandbox_language_env; NULL-terminated */
	bool is_python; /* the step is python3 -u FILE: the agent may fork instead of starting it */
};

/* What every run gets, NULL-terminated; the caller's own variables come after and win. */
extern const char *const sandbox_language_env[];

/* NULL if there is none of that name. [any] */
const struct language *sandbox_language_find(const char *name);

/* Python that seems to load no packages. [any] */
bool sandbox_python_is_plain(struct slice code);

#endif
