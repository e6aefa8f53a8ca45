/*
 * One row per option: how it is written, what it sets, what it means. An option of `celery worker`
 * that has no meaning here is accepted with a note, so that a command line need not change.
 */
#include "options.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"

enum option_kind {
	KIND_SETTING, /* `what` is a setting's name */
	KIND_URL,     /* likewise, and what stands after the scheme is no longer shown by ps */
	KIND_SWITCH,  /* likewise, of a boolean that becomes true */
	KIND_ACTION,
	KIND_LOGLEVEL,
	KIND_LOGFILE,
	KIND_PIDFILE,
	KIND_NOTED /* accepted; `what` says why nothing comes of it */
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

static const struct option_row rows[] = {
	{'A', "app", true, KIND_NOTED, "the tasks are built in", 0, "accepted and ignored"},
	{'b', "broker", true, KIND_URL, "broker_url", 0, "URL of the broker"},
	{0, "result-backend", true, KIND_URL, "result_backend", 0, "URL of the result backend"},
	{'c', "concurrency", true, KIND_SETTING, "worker_concurrency", 0,
	 "pool threads (default: CPUs)"},
	{'Q', "queues", true, KIND_SETTING, "worker_queues", 0,
	 "queues to consume, comma-separated"},
	{0, "time-limit", true, KIND_SETTING, "task_time_limit", 0, "hard time limit of a task"},
	{0, "soft-time-limit", true, KIND_SETTING, "task_soft_time_limit", 0,
	 "soft time limit of a task"},
	{'n', "hostname", true, KIND_SETTING, "worker_hostname", 0, "node name, with %h %n %d"},
	{'l', "loglevel", true, KIND_LOGLEVEL, NULL, 0, "DEBUG, INFO, WARNING, ERROR, CRITICAL"},
	{'f', "logfile", true, KIND_LOGFILE, NULL, 0, "file for the log (default: stderr)"},
	{0, "pidfile", true, KIND_PIDFILE, NULL, 0, "file for the process id"},
	{0, "prefetch-multiplier", true, KIND_SETTING, "worker_prefetch_multiplier", 0,
	 "messages held per thread"},
	{'P', "pool", true, KIND_NOTED, "the pool is always threads", 0, "accepted and ignored"},
	{'O', "optimization", true, KIND_NOTED, "messages are claimed only when there is room", 0,
	 "accepted and ignored"},
	{'X', "exclude-queues", true, KIND_SETTING, "worker_exclude_queues", 0,
	 "queues not to consume, comma-separated"},
	{'E', "task-events", false, KIND_SWITCH, "worker_send_task_events", 0,
	 "send task events for monitors"},
	{0, "autoscale", true, KIND_SETTING, "worker_autoscale", 0,
	 "most and fewest pool threads: 10,3"},
	{0, "purge", false, KIND_SWITCH, "worker_purge", 0,
	 "erase the messages waiting in our queues first"},
	{0, "discard", false, KIND_SWITCH, "worker_purge", 0, "the same as --purge"},
	{0, "without-gossip", false, KIND_NOTED, NULL, 0, "always so"},
	{0, "without-mingle", false, KIND_NOTED, NULL, 0, "always so: Redis knows what is revoked"},
	{0, "without-heartbeat", false, KIND_SWITCH, "worker_without_heartbeat", 0,
	 "send no worker events"},
	{0, "heartbeat-interval", true, KIND_SETTING, "worker_heartbeat_interval", 0,
	 "between two heartbeats (default: 2 s)"},
	{0, "check", false, KIND_ACTION, NULL, ACTION_CHECK,
	 "validate settings, reach every service, print a verdict each"},
	{0, "settings", false, KIND_ACTION, NULL, ACTION_SETTINGS,
	 "print every setting and where it came from"},
	{0, "migrate", false, KIND_ACTION, NULL, ACTION_MIGRATE,
	 "bring the database schema up to date"},
	{'h', "help", false, KIND_ACTION, NULL, ACTION_HELP, "print this"},
	{0, "version", false, KIND_ACTION, NULL, ACTION_VERSION, "print the version"},
};

/* "-c8", "-c 8", "--concurrency=8", "--concurrency 8"; *value NULL when none is attached. */
static const struct option_row *find_row(const char *arg, const char **value)
{
	*value = NULL;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct option_row *row = &rows[i];
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
static int set_url(const struct option_row *row, const char *value, struct settings *s,
		   const char *source, struct err *err)
{
	int rc = settings_set(s, row->what, value, source, err);
	char *secret = strchr((char *)(uintptr_t)value, '@') ? strstr(value, "://") : NULL;

	if (secret != NULL)
		memset(secret + 3, '*', strlen(secret + 3));
	return rc;
}

static int apply(const struct option_row *row, const char *value, struct settings *s,
		 struct options *o, struct err *err)
{
	_cleanup_free_ char *source = NULL;

	switch (row->kind) {
	case KIND_SETTING:
		source = xasprintf("--%s", row->name);
		return settings_set(s, row->what, value, source, err);
	case KIND_URL:
		source = xasprintf("--%s", row->name);
		return set_url(row, value, s, source, err);
	case KIND_SWITCH:
		source = xasprintf("--%s", row->name);
		return settings_set(s, row->what, "1", source, err);
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
	case KIND_NOTED:
		if (row->what != NULL)
			fprintf(stderr, "celeriac-worker: --%s is accepted and ignored: %s\n",
				row->name, row->what);
		return 0;
	}
	return 0;
}

int options_parse(int argc, char **argv, struct settings *s, struct options *ret, struct err *err)
{
	bool named = false;

	*ret = (struct options){.level = LOG_LEVEL_WARNING};
	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i], *value;
		const struct option_row *row = find_row(arg, &value);
		int rc;

		if (!named && strcmp(arg, "worker") == 0) {
			named = true; /* `celery -A proj worker …` with the program's name changed
				       */
			continue;
		}
		if (row == NULL)
			return err_set(err, ERR_INVALID, "unknown option %s (see --help)", arg);
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
	fprintf(out, "usage: celeriac-worker [options]\n\nA Celery worker for tasks that need the "
		     "Docker socket.\n\n");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct option_row *row = &rows[i];
		char name[48];

		snprintf(name, sizeof(name), "--%s%s", row->name, row->takes_value ? " VALUE" : "");
		if (row->letter != 0)
			fprintf(out, "  -%c, %-28s %s\n", row->letter, name, row->help);
		else
			fprintf(out, "      %-28s %s\n", name, row->help);
	}
	fprintf(out, "\nSettings come from the environment; --settings lists them.\n");
}
