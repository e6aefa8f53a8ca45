/*
 * celeriac-worker: start the parts in order, wait for a signal, stop them in reverse.
 */
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bounds.h"
#include "cage.h"
#include "clock.h"
#include "daemon.h"
#include "dump.h"
#include "engine_command.h"
#include "engine_role.h"
#include "http.h"
#include "dead_command.h"
#include "import_command.h"
#include "log.h"
#include "mem.h"
#include "options.h"
#include "seal_command.h"
#include "shutdown.h"
#include "worker.h"

#define WATCHDOG_TICK_MS 500

/* The end while threads of ours are still at work on `w`. */
static __attribute__((noreturn)) void quit(struct worker *w, const char *pidfile, int status)
{
	worker_leave(w);
	daemon_pidfile_remove(pidfile);
	_exit(status);
}

/* Looks after the consumer. Does not return when nothing helps. */
static void watch(struct worker *w, const struct options *o)
{
	usec_t limit = w->settings.watchdog;

	switch (watchdog_judge(&w->watchdog, clock_mono(), limit, broker_ready(w->broker))) {
	case WATCHDOG_OK:
		break;
	case WATCHDOG_REBUILD:
		log_error("watchdog: the consumer has stood still for %g s although Redis answers: "
			  "its connections are replaced",
			  (double)limit / (double)USEC_PER_SEC);
		broker_interrupt(w->broker);
		break;
	case WATCHDOG_GIVE_UP:
		log_critical("watchdog: the consumer still stands still: the worker ends, its "
			     "messages are restored by the next one");
		dump_threads(w);
		quit(w, o->pidfile, EXIT_FAILURE);
	}
}

/* Closing a terminal must not leave a worker behind that nobody started there. */
static int meant_by(struct worker *w, struct shutdown *end, int signum)
{
	if (signum == SIGTERM && atomic_load(&w->asked_to_stop))
		end->term_is_quit = false;
	return signum == SIGHUP && isatty(STDOUT_FILENO) ? SIGTERM : signum;
}

/* Until a signal ends it. */
static void wait_for_end(struct worker *w, const struct options *o, int signals,
			 struct shutdown *end)
{
	bool watched = daemon_watchdog() > 0, lost = false;

	while (end->stage == SHUTDOWN_NONE) {
		struct pollfd fd = {.fd = signals, .events = POLLIN};
		int signum;

		poll(&fd, 1, WATCHDOG_TICK_MS);
		signum = daemon_next_signal(signals);
		if (signum == SIGUSR1)
			dump_threads(w);
		else if (signum != 0)
			shutdown_signal(end, meant_by(w, end, signum));
		watch(w, o);
		if (!lost && engine_held_is_lost(w->held)) {
			lost = true;
			log_critical(
				"the process that keeps the engine's is gone: the worker ends");
			worker_give_up(w);
		}
		if (watched) /* reached only by a consumer that moves */
			daemon_notify("WATCHDOG=1");
	}
}

/* In the same process: nobody who waits for it notices. Returns only when it cannot be. */
static void restart(void)
{
	struct err err = {0};

	log_warning("Restarting celeriac-worker");
	if (daemon_restart(&err) < 0)
		log_critical("it cannot be restarted: %s", err.msg);
}

static int enter_cage(struct worker *w, const struct options *o, struct err *err)
{
	const struct cage_plan plan = {.settings = &w->settings,
				       .pidfile = o->pidfile,
				       .logfile = o->logfile,
				       .listens = w->settings.metrics,
				       .program = daemon_program(),
				       .engine_apart = w->held != NULL};
	struct cage_report report;
	int rc = cage_enter(&plan, &report, err);

	if (rc == 0)
		cage_log(&report);
	return rc;
}

static int run(struct worker *w, const struct options *o, int parent)
{
	struct shutdown end = {.term_is_quit = w->settings.remap_sigterm[0] != '\0'};
	struct err err = {0};
	int signals = -1;
	bool whole;

	if (daemon_descriptors(&err) < 0 || daemon_signals(&signals, &err) < 0 ||
	    http_global_init(&err) < 0 ||
	    (o->pidfile != NULL && daemon_pidfile_write(o->pidfile, &err) < 0)) {
		log_critical("%s", err.msg);
		quit(w, o->pidfile, EXIT_FAILURE);
	}
	daemon_detached(parent);
	if (enter_cage(w, o, &err) < 0 || engine_held_begin(w->held, log_descriptor(), &err) < 0 ||
	    worker_start(w, signals, &err) < 0) {
		log_critical("%s", err.msg);
		quit(w, o->pidfile, err.code == ERR_CANCELLED ? EXIT_SUCCESS : EXIT_FAILURE);
	}
	daemon_notify("READY=1");
	wait_for_end(w, o, signals, &end);
	daemon_notify("STOPPING=1");
	whole = worker_stop(w, signals, &end);
	if (atomic_load(&w->gave_up))
		end.status = EXIT_FAILURE;
	if (end.restart && !end.by_force)
		restart();
	if (!whole)
		quit(w, o->pidfile, end.status);
	daemon_pidfile_remove(o->pidfile);
	close(signals);
	return end.status;
}

static int migrate(const struct settings *s)
{
	struct err err = {0};
	int applied = 0;

	if (s->owner_database_url == NULL || s->owner_database_url[0] == '\0') {
		fprintf(stderr, "celeriac-worker: --migrate needs CELERIAC_OWNER_DATABASE_URL\n");
		return EXIT_FAILURE;
	}
	if (store_migrate(s->owner_database_url, &applied, &err) < 0) {
		fprintf(stderr, "celeriac-worker: %s\n", err.msg);
		return EXIT_FAILURE;
	}
	printf("%d migration(s) applied\n", applied);
	return EXIT_SUCCESS;
}

static int ask_ready(const struct settings *s)
{
	_cleanup_buf_ struct buf said = BUF_INIT(BOUND_ERROR_TEXT);
	struct err err = {0};
	int rc = http_global_init(&err);

	if (rc == 0)
		rc = metrics_ask_ready(s, &said, &err);
	if (said.len > 0)
		fputs(said.data, stdout);
	if (rc < 0)
		fprintf(stderr, "celeriac-worker: %s\n", err.msg);
	return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int act(struct worker *w, const struct options *o, int parent)
{
	struct err err = {0};

	switch (o->action) {
	case ACTION_HELP:
		options_help(&worker_options, stdout);
		return EXIT_SUCCESS;
	case ACTION_VERSION:
		printf("celeriac-worker %s\n", CELERIAC_VERSION);
		return EXIT_SUCCESS;
	case ACTION_SETTINGS:
		settings_print(&w->settings, stdout);
		return EXIT_SUCCESS;
	case ACTION_CHECK:
		if (http_global_init(&err) < 0) {
			fprintf(stderr, "celeriac-worker: %s\n", err.msg);
			return EXIT_FAILURE;
		}
		return check_run(&w->settings);
	case ACTION_READY:
		return ask_ready(&w->settings);
	case ACTION_MIGRATE:
		return migrate(&w->settings);
	case ACTION_SEAL:
		return seal_command(&w->settings, o->subject, false);
	case ACTION_RESEAL:
		return seal_command(&w->settings, o->subject, true);
	case ACTION_IMPORT:
		return import_command(&w->settings, o->subject, false);
	case ACTION_IMPORT_APPLY:
		return import_command(&w->settings, o->subject, true);
	case ACTION_DEAD:
		return dead_command(&w->settings, o->subject, o->object);
	case ACTION_ENGINE:
		return engine_command(&w->settings, o, parent);
	case ACTION_RUN:
		break;
	}
	return run(w, o, parent);
}

/* Everything that can be wrong before there is a log; the terminal hears of it. */
static int prepare(struct worker *w, struct options *o, int argc, char **argv, int *ret_parent,
		   struct err *err)
{
	struct settings *s = &w->settings;
	bool json;
	int rc;

	if ((rc = settings_load(NULL, s, err)) < 0 ||
	    (rc = options_parse(&worker_options, argc, argv, s, o, err)) < 0 ||
	    (rc = pool_kind_apply(s, err)) < 0)
		return rc;
	if ((o->action == ACTION_RUN || o->action == ACTION_ENGINE) &&
	    ((o->detach && (rc = daemon_detach(ret_parent, err)) < 0) ||
	     /* with the rights that we give up */
	     (o->action == ACTION_RUN &&
	      (rc = engine_held_start(s, o->level, &w->held, err)) < 0) ||
	     (rc = daemon_settle(&o->place, err)) < 0))
		return rc;
	json = strcmp(s->log_format, "json") == 0;
	return log_open(o->logfile, o->level, json ? LOG_FORMAT_JSON : LOG_FORMAT_CELERY, err);
}

/* Left to itself glibc keeps, in each arena, twice as much free as the largest block it ever gave
 * back: tens of MiB after a few runs that print much. */
#define KEPT_FREE (1 << 20)
static void bound_free_memory(void)
{
	(void)mallopt(M_MMAP_THRESHOLD, KEPT_FREE);
	(void)mallopt(M_TRIM_THRESHOLD, KEPT_FREE);
}

int main(int argc, char **argv)
{
	struct worker *w = xcalloc(1, sizeof(*w));
	struct options options = {0};
	struct err err = {0};
	int rc, parent = -1;

	bound_free_memory();
	daemon_remember(argc, argv);
	if (prepare(w, &options, argc, argv, &parent, &err) < 0) {
		fprintf(stderr, "celeriac-worker: %s\n", err.msg);
		return EXIT_FAILURE;
	}
	daemon_limits();
	rc = act(w, &options, parent);
	engine_held_end(w->held);
	options_done(&options);
	settings_done(&w->settings);
	free(w);
	return rc;
}
