/*
 * Command lines. See options.h.
 */
#include "options.h"

#include <string.h>

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
		return set(row, "1", s, err);
	case OPTION_ACTION:
		o->action = row->action;
		return 0;
	case OPTION_LOGLEVEL:
		return log_level_parse(value, &o->level, err);
	case OPTION_LOGFILE:
		o->logfile = value;
		return 0;
	case OPTION_PIDFILE:
		o->pidfile = value;
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

int options_parse(const struct option_table *t, int argc, char **argv, struct settings *s,
		  struct options *ret, struct err *err)
{
	bool named = false; /* the word of `celery -A app worker -l INFO` was there */

	*ret = (struct options){.level = LOG_LEVEL_WARNING};
	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i], *value;
		const struct option_row *row = find_row(t, arg, &value);
		int rc;

		if (!named && strcmp(arg, t->word) == 0) {
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
		rc = apply(t, row, value, s, ret, err);
		if (rc < 0)
			return err_wrap(err, "--%s", row->name);
	}
	return 0;
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
