/*
 * What `celery beat` takes.
 */
#include "beat.h"
#include "options.h"

/* clang-format off */
static const struct option_row g_rows[] = {
	{ 'A', "app", true, OPTION_NOTED, "there is no application to load", 0, "accepted and ignored" },
	{ 'b', "broker", true, OPTION_SETTING, "broker_url", 0, "URL of the broker" },
	{ 0, "result-backend", true, OPTION_URL, "result_backend", 0, "URL of the result backend: whether it has to be cleaned" },
	{ 0, "max-interval", true, OPTION_SETTING, "beat_max_loop_interval", 0, "seconds to sleep at most" },
	{ 's', "schedule", true, OPTION_NOTED, "the last runs are kept in Redis or the database, no file is read or written", 0, "accepted and ignored" },
	{ 'S', "scheduler", true, OPTION_NOTED, "there is one scheduler", 0, "accepted and ignored" },
	{ 'l', "loglevel", true, OPTION_LOGLEVEL, NULL, 0, "DEBUG, INFO, WARNING, ERROR, CRITICAL" },
	{ 'f', "logfile", true, OPTION_LOGFILE, NULL, 0, "file for the log (default: stderr), with %n %h %d %p %i %I" },
	{ 0, "pidfile", true, OPTION_PIDFILE, NULL, 0, "file for the process id, likewise" },
	{ 0, "uid", true, OPTION_UID, NULL, 0, "user to become, a name or a number" },
	{ 0, "gid", true, OPTION_GID, NULL, 0, "group to become, likewise (default: the user's)" },
	{ 0, "umask", true, OPTION_UMASK, NULL, 0, "mask of new files, octal" },
	{ 0, "workdir", true, OPTION_WORKDIR, NULL, 0, "directory to go to first" },
	{ 0, "executable", true, OPTION_NOTED, "this is no Python", 0, "accepted and ignored" },
	{ 'C', "no-color", false, OPTION_NOTED, NULL, 0, "always so" },
	{ 'n', "hostname", true, OPTION_NOTED, "beat does not answer remote control; there is --ready", 0, "accepted and ignored" },
	{ 0, "enable-remote-control", false, OPTION_NOTED, "beat does not answer remote control; there is --ready", 0, "accepted and ignored" },
	{ 0, "no-enable-remote-control", false, OPTION_NOTED, NULL, 0, "always so" },
	{ 0, "skip-checks", false, OPTION_NOTED, NULL, 0, "accepted and ignored" },
	{ 'q', "quiet", false, OPTION_QUIET, NULL, 0, "no banner" },
	{ 0, "loader", true, OPTION_NOTED, "there is nothing to load", 0, "accepted and ignored" },
	{ 0, "config", true, OPTION_NOTED, "settings come from the environment", 0, "accepted and ignored" },
	{ 0, "detach", false, OPTION_DETACH, NULL, 0, "go on in the background" },
	{ 0, "check", false, OPTION_ACTION, NULL, ACTION_CHECK, "validate settings, reach every service, print a verdict each" },
	{ 0, "import-redbeat", false, OPTION_ACTION, NULL, ACTION_IMPORT, "show which of RedBeat's entries can be taken" },
	{ 0, "import-redbeat-apply", false, OPTION_ACTION, NULL, ACTION_IMPORT_APPLY, "take them" },
	{ 0, "ready", false, OPTION_ACTION, NULL, ACTION_READY, "ask the beat that runs with these settings whether it is ready" },
	{ 0, "settings", false, OPTION_ACTION, NULL, ACTION_SETTINGS, "print every setting and where it came from" },
	{ 'h', "help", false, OPTION_ACTION, NULL, ACTION_HELP, "print this" },
	{ 0, "version", false, OPTION_ACTION, NULL, ACTION_VERSION, "print the version" },
};
/* clang-format on */

const struct option_table beat_options = {
	.program = "celeriac-beat",
	.word = "beat",
	.purpose = "A Celery beat: sends periodic tasks when they are due.",
	.rows = g_rows,
	.count = ARRAY_LEN(g_rows),
};
