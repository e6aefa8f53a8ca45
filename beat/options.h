/*
 * options.h: the command line of `celery beat`.
 */
#ifndef CELERIAC_BEAT_OPTIONS_H
#define CELERIAC_BEAT_OPTIONS_H

#include <stdio.h>

#include "err.h"
#include "log.h"
#include "settings.h"

enum options_action { ACTION_RUN, ACTION_CHECK, ACTION_SETTINGS, ACTION_HELP, ACTION_VERSION };

struct options {
	enum options_action action;
	const char *pidfile, *logfile;
	enum log_level level;
	bool quiet;
};

/* Options of the command line over the environment's settings. ERR_INVALID names the option.
 * Strings borrowed from argv. [init] */
int options_parse(int argc, char **argv, struct settings *s, struct options *ret,
		  struct err *err) must_check;
void options_help(FILE *out);

#endif
