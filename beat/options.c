/*
 * options.c: one row per option. What `celery beat` takes and has no meaning here is accepted with
 * a note, so that a command line need not change.
 */
#include "options.h"

#include <string.h>

#include "mem.h"

enum option_kind {
	KIND_SETTING, /* `what` is a setting's name */
	KIND_ACTION,
	KIND_LOGLEVEL,
	KIND_LOGFILE,
	KIND_PIDFILE,
	KIND_QUIET,
	KIND_NOTED,  /* accepted; `what` says why nothing comes of it, NULL: nobody would miss it */
	KIND_REFUSED /* `what` says what to do instead */
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

/* clang-format off */
static const struct option_row g_rows[] = {
	{ 'A', "app", true, KIND_NOTED, "there is no application to load", 0, "accepted and ignored" },
	{ 'b', "broker", true, KIND_SETTING, "broker_url", 0, "URL of the broker" },
	{ 0, "result-backend", true, KIND_NOTED, NULL, 0, "accepted and ignored: beat stores no results" },
	{ 0, "max-interval", true, KIND_SETTING, "beat_max_loop_interval", 0, "seconds to sleep at most" },
	{ 's', "schedule", true, KIND_NOTED, "the last runs are kept in Redis", 0, "accepted and ignored" },
	{ 'S', "scheduler", true, KIND_NOTED, "there is one scheduler", 0, "accepted and ignored" },
	{ 'l', "loglevel", true, KIND_LOGLEVEL, NULL, 0, "DEBUG, INFO, WARNING, ERROR, CRITICAL" },
	{ 'f', "logfile", true, KIND_LOGFILE, NULL, 0, "file for the log (default: stderr)" },
	{ 0, "pidfile", true, KIND_PIDFILE, NULL, 0, "file for the process id" },
	{ 'C', "no-color", false, KIND_NOTED, NULL, 0, "always so" },
	{ 'q', "quiet", false, KIND_QUIET, NULL, 0, "no banner" },
	{ 0, "loader", true, KIND_NOTED, "there is nothing to load", 0, "accepted and ignored" },
	{ 0, "config", true, KIND_NOTED, "settings come from the environment", 0, "accepted and ignored" },
	{ 0, "detach", false, KIND_REFUSED, "let systemd, Docker or the shell put it into the background", 0, "refused" },
	{ 0, "check", false, KIND_ACTION, NULL, ACTION_CHECK, "validate settings, reach every service, print a verdict each" },
	{ 0, "settings", false, KIND_ACTION, NULL, ACTION_SETTINGS, "print every setting and where it came from" },
	{ 'h', "help", false, KIND_ACTION, NULL, ACTION_HELP, "print this" },
	{ 0, "version", false, KIND_ACTION, NULL, ACTION_VERSION, "print the version" },
};
/* clang-format on */

/* "-lINFO", "-l INFO", "--loglevel=INFO", "--loglevel INFO"; *value NULL when none is attached. */
static const struct option_row *find_row(const char *arg, const char **value)
{
	*value = NULL;
	for (size_t i = 0; i < ARRAY_LEN(g_rows); i++) {
		const struct option_row *row = &g_rows[i];
		size_t len = strlen(row->name);

		if (strncmp(arg, "--", 2) == 0 && strncmp(arg + 2, row->name, len) == 0 &&
		    (arg[2 + len] == '\0' || arg[2 + len] == '=')) {
			*value = arg[2 + len] == '=' ? arg + 3 + len : NULL;
			return row;
		}
		if (row->letter != 0 && arg[0] == '-' && arg[1] == row->letter) {
			*value = arg[2] != '\0' ? arg + 2 : NULL;
			return row;
		}
	}
	return NULL;
}

static int apply(const struct option_row *row, const char *value, struct settings *s,
		 struct options *o, struct err *err)
{
	_cleanup_free_ char *source = NULL;

	switch (row->kind) {
	case KIND_SETTING:
		source = xasprintf("--%s", row->name);
		return settings_set(s, row->what, value, source, err);
	case KIND_ACTION:
		o->action = row->action;
		return 0;
	case KIND_LOGLEVEL:
		return log_level_parse(value, &o->level, err);
	case KIND_LOGFILE:
		o->logfile = value;
		return 0;
	case KIND_PIDFILE:
		o->pidfile = value;
		return 0;
	case KIND_QUIET:
		o->quiet = true;
		return 0;
	case KIND_NOTED:
		if (row->what != NULL)
			fprintf(stderr, "celeriac-beat: --%s is accepted and ignored: %s\n",
				row->name, row->what);
		return 0;
	case KIND_REFUSED:
		return err_set(err, ERR_UNSUPPORTED, "not supported; %s", row->what);
	}
	return 0;
}

int options_parse(int argc, char **argv, struct settings *s, struct options *ret, struct err *err)
{
	bool named = false; /* the word of `celery -A app beat -l INFO` was there */

	*ret = (struct options){.level = LOG_LEVEL_WARNING};
	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i], *value;
		const struct option_row *row = find_row(arg, &value);
		int rc;

		if (!named && strcmp(arg, "beat") == 0) {
			named = true;
			continue;
		}
		if (row == NULL)
			return err_set(err, ERR_INVALID, "unknown option %.100s (see --help)", arg);
		if (!row->takes_value && value != NULL)
			return err_set(err, ERR_INVALID, "option --%s takes no value", row->name);
		if (row->takes_value && value == NULL) {
			if (i + 1 >= argc)
				return err_set(err, ERR_INVALID, "option --%s needs a value",
					       row->name);
			value = argv[++i];
		}
		rc = apply(row, value, s, ret, err);
		if (rc < 0)
			return err_wrap(err, "--%s", row->name);
	}
	return 0;
}

void options_help(FILE *out)
{
	fprintf(out, "usage: celeriac-beat [options]\n\nA Celery beat: sends periodic tasks when "
		     "they are due.\n\n");
	for (size_t i = 0; i < ARRAY_LEN(g_rows); i++) {
		const struct option_row *row = &g_rows[i];
		char name[48];

		snprintf(name, sizeof(name), "--%s%s", row->name, row->takes_value ? " VALUE" : "");
		if (row->letter != 0)
			fprintf(out, "  -%c, %-28s %s\n", row->letter, name, row->help);
		else
			fprintf(out, "      %-28s %s\n", name, row->help);
	}
	fprintf(out, "\nSettings come from the environment; --settings lists them.\n");
}
