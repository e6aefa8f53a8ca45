/*
 * options.h: the command lines of both programs, named as Celery names them.
 *
 * A program is a table of rows; what an option of Celery's cannot mean here is accepted with a note
 * or refused with what to do instead, so that a command line need not change. All [init].
 */
#ifndef CELERIAC_OPTIONS_H
#define CELERIAC_OPTIONS_H

#include <stdio.h>

#include "daemon.h"
#include "err.h"
#include "log.h"
#include "settings.h"

enum option_kind {
	OPTION_SETTING, /* `what` is a setting's name */
	OPTION_URL,	/* likewise; what stands after the scheme is no longer shown by ps */
	OPTION_SWITCH,	/* likewise, of a boolean that becomes true */
	OPTION_ACTION,	/* its value, if it takes one, is the action's subject */
	OPTION_VERB,	/* likewise, and one word more, its object, may follow */
	OPTION_LOGLEVEL,
	OPTION_LOGFILE,
	OPTION_PIDFILE,
	OPTION_WORKDIR,
	OPTION_UID,
	OPTION_GID,
	OPTION_UMASK,
	OPTION_DETACH,
	OPTION_QUIET,
	OPTION_COUNT,  /* a setting; "auto" is its 0 */
	OPTION_NOTED,  /* accepted; `what` says why nothing comes of it, NULL: nobody would miss it
			*/
	OPTION_REFUSED /* `what` says what to do instead */
};
enum options_action {
	ACTION_RUN,
	ACTION_ENGINE,
	ACTION_CHECK,
	ACTION_READY,
	ACTION_SETTINGS,
	ACTION_MIGRATE,
	ACTION_SEAL,
	ACTION_RESEAL,
	ACTION_IMPORT,
	ACTION_IMPORT_APPLY,
	ACTION_DEAD,
	ACTION_HELP,
	ACTION_VERSION
};
struct option_row {
	char letter; /* 0 = none */
	const char *name;
	bool takes_value;
	enum option_kind kind;
	const char *what;
	enum options_action action;
	const char *help;
};
struct option_table {
	const char *program; /* "celeriac-worker" */
	const char *word;    /* of `celery … worker …`, skipped once */
	const char *purpose; /* one sentence for --help */
	const struct option_row *rows;
	size_t count;
};

struct options {
	enum options_action action;
	const char *subject;	 /* of the action, or NULL */
	const char *object;	 /* a further word of an action that takes one, or NULL */
	char *pidfile, *logfile; /* with %n %h %d %p %i %I expanded; or NULL */
	struct daemon_place place;
	bool detach;
	enum log_level level;
	bool quiet;
};

/*
 * Options go over what the environment said; an option's own variable, as click reads it for
 * Celery's programs (CELERY_WORKER_LOGLEVEL …), stands between the two. ERR_INVALID and
 * ERR_UNSUPPORTED name the option or the variable. `ret` borrows from argv and the environment.
 */
int options_parse(const struct option_table *t, int argc, char **argv, struct settings *s,
		  struct options *ret, struct err *err) must_check;
void options_done(struct options *o);
void options_help(const struct option_table *t, FILE *out);

#endif
