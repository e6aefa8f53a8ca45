/*
 * Command lines. See options.h.
 */
#include "options.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mem.h"

/* "-c8", "-c 8", "--concurrency=8", "--concurrency 8"; *value NULL when none is attached. */
static const struct option_row *find_row(const struct option_table *t, const char *arg,
					 const char **value)
{
	*value = NULL;
	for (size_t i = 0; i < t->count; i++) {
		const struct option_row *row = &t->rows[i];
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

/* A password in an argument is readable by everybody on the machine: it is overwritten as soon as
 * it has been read. */
static void hide_url(const char *value)
{
	char *secret = strchr((char *)(uintptr_t)value, '@') ? strstr(value, "://") : NULL;

	if (secret != NULL)
		memset(secret + 3, '*', strlen(secret + 3));
}

static int set(const struct option_row *row, const char *value, struct settings *s, struct err *err)
{
	_cleanup_free_ char *source = xasprintf("--%s", row->name);

	return settings_set(s, row->what, value, source, err);
}

static void replace(char **text, const char *with)
{
	free(*text);
	*text = xstrdup(with);
}

static int apply(const struct option_table *t, const struct option_row *row, const char *value,
		 struct settings *s, struct options *o, struct err *err)
{
	int rc;

	switch (row->kind) {
	case OPTION_SETTING:
		return set(row, value, s, err);
	case OPTION_URL:
		rc = set(row, value, s, err);
		hide_url(value);
		return rc;
	case OPTION_SWITCH:
		return set(row, value != NULL ? value : "1", s, err);
	case OPTION_COUNT:
		return set(row, strcmp(value, "auto") == 0 ? "0" : value, s, err);
	case OPTION_ACTION:
	case OPTION_VERB:
		o->action = row->action;
		o->subject = value;
		return 0;
	case OPTION_LOGLEVEL:
		return log_level_parse(value, &o->level, err);
	case OPTION_LOGFILE:
		replace(&o->logfile, value);
		return 0;
	case OPTION_PIDFILE:
		replace(&o->pidfile, value);
		return 0;
	case OPTION_WORKDIR:
		o->place.workdir = value;
		return 0;
	case OPTION_UID:
		o->place.uid = value;
		return 0;
	case OPTION_GID:
		o->place.gid = value;
		return 0;
	case OPTION_UMASK:
		o->place.umask = value;
		return 0;
	case OPTION_DETACH:
		o->detach = true;
		return 0;
	case OPTION_QUIET:
		o->quiet = true;
		return 0;
	case OPTION_NOTED:
		if (row->what != NULL)
			fprintf(stderr, "%s: --%s is accepted and ignored: %s\n", t->program,
				row->name, row->what);
		return 0;
	case OPTION_REFUSED:
		return err_set(err, ERR_UNSUPPORTED, "not supported; %s", row->what);
	}
	return 0;
}

/* ---- the environment ---- */

/* Options of `celery` itself: their variables have no program in their names. */
static const char *const of_celery[] = {"app",	    "loader", "config",	    "workdir",
					"no-color", "quiet",  "skip-checks"};

static bool is_of_celery(const struct option_row *row)
{
	for (size_t i = 0; i < ARRAY_LEN(of_celery); i++) {
		if (strcmp(row->name, of_celery[i]) == 0)
			return true;
	}
	return false;
}

/* Its variable: "CELERY_WORKER_TASK_EVENTS". Given. */
static char *variable_of(const struct option_table *t, const struct option_row *row)
{
	char *name = is_of_celery(row) ? xasprintf("CELERY_%s", row->name)
				       : xasprintf("CELERY_%s_%s", t->word, row->name);

	for (char *p = name; *p != '\0'; p++)
		*p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
	return name;
}

static bool is_true(const char *text)
{
	static const char *const words[] = {"1", "true", "t", "yes", "y", "on"};

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strcasecmp(text, words[i]) == 0)
			return true;
	}
	return false;
}

/* A URL's variable is a setting's own affair, and --help is asked for by nobody's environment. */
static int apply_variable(const struct option_table *t, const struct option_row *row,
			  struct settings *s, struct options *o, struct err *err)
{
	_cleanup_free_ char *name = variable_of(t, row);
	const char *value = getenv(name);
	bool flag = !row->takes_value && row->kind != OPTION_SWITCH;
	int rc;

	if (value == NULL || value[0] == '\0' || row->kind == OPTION_ACTION ||
	    row->kind == OPTION_VERB || row->kind == OPTION_URL || (flag && !is_true(value)))
		return 0;
	if (row->kind == OPTION_SETTING || row->kind == OPTION_SWITCH)
		rc = settings_set(s, row->what, value, name, err);
	else
		rc = apply(t, row, value, s, o, err);
	return rc < 0 ? err_wrap(err, "%s", name) : 0;
}

/* ---- the command line ---- */

static int take_value(const struct option_row *row, int argc, char **argv, int *i,
		      const char **value, struct err *err)
{
	if (!row->takes_value && *value != NULL)
		return err_set(err, ERR_INVALID, "option --%s takes no value", row->name);
	if (!row->takes_value || *value != NULL)
		return 0;
	if (*i + 1 >= argc)
		return err_set(err, ERR_INVALID, "option --%s needs a value", row->name);
	*value = argv[++*i];
	return 0;
}

static int parse_arguments(const struct option_table *t, int argc, char **argv, struct settings *s,
			   struct options *o, struct err *err)
{
	bool named = false; /* the word of `celery -A app worker -l INFO` was there */

	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i], *value;
		const struct option_row *row = find_row(t, arg, &value);
		int rc;

		if (!named && strcmp(arg, t->word) == 0) {
			named = true;
			continue;
		}
		if (row == NULL)
			return err_set(err, ERR_INVALID, "%s %.100s (see --help)",
				       arg[0] == '-' ? "unknown option" : "unexpected argument",
				       arg);
		rc = take_value(row, argc, argv, &i, &value, err);
		if (rc < 0)
			return rc;
		rc = apply(t, row, value, s, o, err);
		if (rc < 0)
			return err_wrap(err, "--%s", row->name);
		if (row->kind == OPTION_VERB && i + 1 < argc && argv[i + 1][0] != '-')
			o->object = argv[++i];
	}
	return 0;
}

/* File names may hold the node's name, which is known once everything was read. */
static int expand(char **text, const char *option, const struct settings *s, struct err *err)
{
	char *whole;

	if (*text == NULL)
		return 0;
	if (settings_expand_node(s, *text, &whole, err) < 0)
		return err_wrap(err, "--%s", option);
	free(*text);
	*text = whole;
	return 0;
}

int options_parse(const struct option_table *t, int argc, char **argv, struct settings *s,
		  struct options *ret, struct err *err)
{
	struct options o = {.level = LOG_LEVEL_WARNING};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < t->count; i++)
		rc = apply_variable(t, &t->rows[i], s, &o, err);
	if (rc == 0)
		rc = parse_arguments(t, argc, argv, s, &o, err);
	if (rc == 0)
		rc = expand(&o.logfile, "logfile", s, err);
	if (rc == 0)
		rc = expand(&o.pidfile, "pidfile", s, err);
	if (rc < 0)
		options_done(&o);
	else
		*ret = o;
	return rc;
}

void options_done(struct options *o)
{
	free(o->pidfile);
	free(o->logfile);
	o->pidfile = o->logfile = NULL;
}

void options_help(const struct option_table *t, FILE *out)
{
	fprintf(out, "usage: %s [options]\n\n%s\n\n", t->program, t->purpose);
	for (size_t i = 0; i < t->count; i++) {
		const struct option_row *row = &t->rows[i];
		char name[48];

		snprintf(name, sizeof(name), "--%s%s", row->name, row->takes_value ? " VALUE" : "");
		if (row->letter != 0)
			fprintf(out, "  -%c, %-28s %s\n", row->letter, name, row->help);
		else
			fprintf(out, "      %-28s %s\n", name, row->help);
	}
	fprintf(out, "\nSettings come from the environment; --settings lists them.\n");
}
