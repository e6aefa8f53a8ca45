/*
 * options.h: the command line of `celery worker`, as far as it makes sense for us.
 */
#ifndef CELERIAC_WORKER_OPTIONS_H
#define CELERIAC_WORKER_OPTIONS_H

#include "err.h"
#include "log.h"
#include "settings.h"

enum options_action {
	ACTION_RUN,
	ACTION_CHECK,
	ACTION_SETTINGS,
	ACTION_MIGRATE,
	ACTION_HELP,
	ACTION_VERSION
};

struct options {
	enum options_action action;
	const char *pidfile, *logfile;
	enum log_level level;
};

/* Options of the command line over the environment's settings. ERR_INVALID names the option.
 * Strings borrowed from argv. [init] */
int options_parse(int argc, char **argv, struct settings *s, struct options *ret,
		  struct err *err) must_check;
void options_help(FILE *out);

#endif
