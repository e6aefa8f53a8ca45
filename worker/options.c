/*
 * What `celery worker` takes.
 */
#include "options.h"
#include "worker.h"

#define NOTED_HELP "accepted and ignored"

/* clang-format off */
static const struct option_row rows[] = {
	/* worker */
	{ 'n', "hostname", true, OPTION_SETTING, "worker_hostname", 0, "node name, with %h %n %d" },
	{ 'D', "detach", false, OPTION_DETACH, NULL, 0, "go on in the background" },
	{ 'S', "statedb", true, OPTION_NOTED, "revoked ids are kept in Redis", 0, NOTED_HELP },
	{ 'l', "loglevel", true, OPTION_LOGLEVEL, NULL, 0, "DEBUG, INFO, WARNING, ERROR, CRITICAL" },
	{ 'O', "optimization", true, OPTION_NOTED, "messages are claimed only when there is room, which is fair", 0, NOTED_HELP },
	{ 0, "prefetch-multiplier", true, OPTION_SETTING, "worker_prefetch_multiplier", 0, "messages held per thread" },
	{ 0, "disable-prefetch", false, OPTION_SWITCH, "worker_disable_prefetch", 0, "hold no more messages than threads" },
	/* pool */
	{ 'c', "concurrency", true, OPTION_COUNT, "worker_concurrency", 0, "pool threads (default, and auto: CPUs)" },
	{ 'P', "pool", true, OPTION_SETTING, "worker_pool", 0, "threads or solo; prefork and processes are threads" },
	{ 'E', "task-events", false, OPTION_SWITCH, "worker_send_task_events", 0, "send task events for monitors" },
	{ 0, "events", false, OPTION_SWITCH, "worker_send_task_events", 0, "the same as --task-events" },
	{ 0, "time-limit", true, OPTION_SETTING, "task_time_limit", 0, "hard time limit of a task" },
	{ 0, "soft-time-limit", true, OPTION_SETTING, "task_soft_time_limit", 0, "soft time limit of a task" },
	{ 0, "max-tasks-per-child", true, OPTION_NOTED, "threads are not replaced", 0, NOTED_HELP },
	{ 0, "max-memory-per-child", true, OPTION_NOTED, "threads are not replaced", 0, NOTED_HELP },
	{ 0, "pool-start-method", true, OPTION_NOTED, "there are no child processes", 0, NOTED_HELP },
	{ 0, "autoscale", true, OPTION_SETTING, "worker_autoscale", 0, "most and fewest pool threads: 10,3" },
	/* queues */
	{ 0, "purge", false, OPTION_SWITCH, "worker_purge", 0, "erase the messages waiting in our queues first" },
	{ 0, "discard", false, OPTION_SWITCH, "worker_purge", 0, "the same as --purge" },
	{ 'Q', "queues", true, OPTION_SETTING, "worker_queues", 0, "queues to consume, comma-separated" },
	{ 'X', "exclude-queues", true, OPTION_SETTING, "worker_exclude_queues", 0, "queues not to consume, comma-separated" },
	/* features */
	{ 0, "without-gossip", false, OPTION_NOTED, NULL, 0, "always so" },
	{ 0, "without-mingle", false, OPTION_NOTED, NULL, 0, "always so: Redis knows what is revoked" },
	{ 0, "without-heartbeat", false, OPTION_SWITCH, "worker_without_heartbeat", 0, "send no worker events" },
	{ 0, "heartbeat-interval", true, OPTION_SETTING, "worker_heartbeat_interval", 0, "between two heartbeats (default: 2 s)" },
	/* beat */
	{ 'B', "beat", false, OPTION_REFUSED, "run celeriac-beat beside it", 0, "refused" },
	{ 's', "schedule", true, OPTION_NOTED, "beat is a program of its own", 0, NOTED_HELP },
	{ 0, "schedule-filename", true, OPTION_NOTED, "beat is a program of its own", 0, NOTED_HELP },
	{ 0, "scheduler", true, OPTION_NOTED, "beat is a program of its own", 0, NOTED_HELP },
	/* the system around it */
	{ 'f', "logfile", true, OPTION_LOGFILE, NULL, 0, "file for the log (default: stderr), with %n %h %d %p %i %I" },
	{ 0, "pidfile", true, OPTION_PIDFILE, NULL, 0, "file for the process id, likewise" },
	{ 0, "uid", true, OPTION_UID, NULL, 0, "user to become, a name or a number" },
	{ 0, "gid", true, OPTION_GID, NULL, 0, "group to become, likewise (default: the user's)" },
	{ 0, "umask", true, OPTION_UMASK, NULL, 0, "mask of new files, octal" },
	{ 0, "executable", true, OPTION_NOTED, "this is no Python", 0, NOTED_HELP },
	/* of celery itself */
	{ 'A', "app", true, OPTION_NOTED, "the tasks are built in", 0, NOTED_HELP },
	{ 'I', "include", true, OPTION_SETTING, "include", 0, "shared objects with tasks: ./mine.so, more after commas" },
	{ 'b', "broker", true, OPTION_URL, "broker_url", 0, "URL of the broker" },
	{ 0, "result-backend", true, OPTION_URL, "result_backend", 0, "URL of the result backend" },
	{ 0, "loader", true, OPTION_NOTED, "there is nothing to load", 0, NOTED_HELP },
	{ 0, "config", true, OPTION_NOTED, "settings come from the environment", 0, NOTED_HELP },
	{ 0, "workdir", true, OPTION_WORKDIR, NULL, 0, "directory to go to first" },
	{ 'C', "no-color", false, OPTION_NOTED, NULL, 0, "always so" },
	{ 'q', "quiet", false, OPTION_QUIET, NULL, 0, "there is no banner" },
	{ 0, "skip-checks", false, OPTION_NOTED, NULL, 0, "always so: there is no Django" },
	/* ours */
	{ 0, "engine", false, OPTION_ACTION, NULL, ACTION_ENGINE, "be the engine role at CELERIAC_ENGINE: the process that alone has Docker" },
	{ 0, "check", false, OPTION_ACTION, NULL, ACTION_CHECK, "validate settings, reach every service, print a verdict each" },
	{ 0, "ready", false, OPTION_ACTION, NULL, ACTION_READY, "ask the worker that runs with these settings whether it is ready" },
	{ 0, "settings", false, OPTION_ACTION, NULL, ACTION_SETTINGS, "print every setting and where it came from" },
	{ 0, "migrate", false, OPTION_ACTION, NULL, ACTION_MIGRATE, "bring the database schema up to date" },
	{ 0, "seal", true, OPTION_ACTION, NULL, ACTION_SEAL, "seal what comes on stdin for a place: plugin_configs.config.7" },
	{ 0, "reseal", true, OPTION_ACTION, NULL, ACTION_RESEAL, "the same of what is sealed already, under the key in use now" },
	{ 0, "import-openapi", true, OPTION_ACTION, NULL, ACTION_IMPORT, "show the HTTP tools that an OpenAPI file or URL would become" },
	{ 0, "import-openapi-apply", true, OPTION_ACTION, NULL, ACTION_IMPORT_APPLY, "the same, and add them to http_tools" },
	{ 0, "dead", true, OPTION_VERB, NULL, ACTION_DEAD, "dead letters: list, show ID, requeue ID (or all), drop ID (or all)" },
	{ 'h', "help", false, OPTION_ACTION, NULL, ACTION_HELP, "print this" },
	{ 0, "version", false, OPTION_ACTION, NULL, ACTION_VERSION, "print the version" },
};
/* clang-format on */

const struct option_table worker_options = {
	.program = "celeriac-worker",
	.word = "worker",
	.purpose = "A Celery worker for tasks that need the Docker socket.",
	.rows = rows,
	.count = ARRAY_LEN(rows),
};
