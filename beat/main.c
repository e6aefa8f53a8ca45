/*
 * celeriac-beat: command line, banner, and the service between them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "beat.h"
#include "bounds.h"
#include "cage.h"
#include "clock.h"
#include "daemon.h"
#include "http.h"
#include "import.h"
#include "log.h"
#include "options.h"
#include "serial.h"
#include "status.h"
#include "url.h"

static void banner(const struct settings *s, const struct options *o)
{
	char *broker = url_safe(s->broker_url);
	char human[HUMAN_SIZE], now[CLOCK_ISO_SIZE];

	service_human(s->beat_max_loop_interval, human);
	clock_iso(clock_wall(), now);
	printf("celeriac-beat v%s is starting.\n"
	       "Time -> %.19s UTC\n"
	       "Configuration ->\n"
	       "    . broker -> %s\n"
	       "    . state -> celeriac:%s:beat\n"
	       "    . logfile -> %s\n"
	       "    . maxinterval -> %s\n",
	       CELERIAC_VERSION, now, broker, s->instance, o->logfile ? o->logfile : "[stderr]",
	       human);
	fflush(stdout);
	free(broker);
}

/* By what messages are written, and signed where they are. */
static int open_serial(const struct settings *s, struct err *err)
{
	_cleanup_buf_ struct buf notes = BUF_INIT(BOUND_ERROR_TEXT * 4);
	int rc = serial_open(s, &notes, err);

	for (const char *line = notes.data; *line != '\0'; line += strcspn(line, "\n") + 1)
		log_warning("%.*s", (int)strcspn(line, "\n"), line);
	return rc;
}

static int enter_cage(const struct settings *s, const struct options *o, struct err *err)
{
	const struct cage_plan plan = {.settings = s,
				       .pidfile = o->pidfile,
				       .logfile = o->logfile,
				       .listens = s->beat_metrics};
	struct cage_report report;
	int rc = cage_enter(&plan, &report, err);

	if (rc == 0)
		cage_log(&report);
	return rc;
}

static int run(const struct settings *s, const struct options *o, int parent)
{
	struct err err = {0};
	int signals = -1;
	int status;

	if (s->broker_url == NULL || s->broker_url[0] == '\0') {
		fprintf(stderr,
			"celeriac-beat: no broker: set CELERY_BROKER_URL or use --broker\n");
		return EXIT_FAILURE;
	}
	if (daemon_descriptors(&err) < 0 || daemon_signals(&signals, &err) < 0 ||
	    (o->pidfile != NULL && daemon_pidfile_write(o->pidfile, &err) < 0)) {
		log_critical("%s", err.msg);
		return EXIT_FAILURE;
	}
	daemon_detached(parent);
	if (enter_cage(s, o, &err) < 0 || open_serial(s, &err) < 0) {
		log_critical("%s", err.msg);
		daemon_pidfile_remove(o->pidfile);
		close(signals);
		return EXIT_FAILURE;
	}
	if (!o->quiet)
		banner(s, o);
	status = service_run(s, signals);
	daemon_pidfile_remove(o->pidfile);
	close(signals);
	return status;
}

static int ask_ready(const struct settings *s)
{
	_cleanup_buf_ struct buf said = BUF_INIT(BOUND_ERROR_TEXT);
	struct err err = {0};
	int rc = http_global_init(&err);

	if (rc == 0)
		rc = status_ask(s, &said, &err);
	if (said.len > 0)
		fputs(said.data, stdout);
	if (rc < 0)
		fprintf(stderr, "celeriac-beat: %s\n", err.msg);
	return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int act(const struct settings *s, const struct options *o, int parent)
{
	switch (o->action) {
	case ACTION_HELP:
		options_help(&beat_options, stdout);
		return EXIT_SUCCESS;
	case ACTION_VERSION:
		printf("celeriac-beat %s\n", CELERIAC_VERSION);
		return EXIT_SUCCESS;
	case ACTION_SETTINGS:
		settings_print(s, stdout);
		return EXIT_SUCCESS;
	case ACTION_CHECK:
		return beat_check(s);
	case ACTION_READY:
		return ask_ready(s);
	case ACTION_IMPORT:
	case ACTION_IMPORT_APPLY:
		return import_redbeat(s, o->action == ACTION_IMPORT_APPLY);
	case ACTION_MIGRATE: /* no row of ours says so */
	case ACTION_SEAL:
	case ACTION_RESEAL:
	case ACTION_DEAD:
	case ACTION_ENGINE:
	case ACTION_RUN:
		break;
	}
	return run(s, o, parent);
}

static int prepare(struct settings *s, struct options *o, int argc, char **argv, int *ret_parent,
		   struct err *err)
{
	int rc = settings_load(NULL, s, err);

	if (rc == 0)
		rc = options_parse(&beat_options, argc, argv, s, o, err);
	if (rc == 0 && o->action == ACTION_RUN)
		rc = daemon_settle(&o->place, err);
	if (rc == 0 && o->action == ACTION_RUN && o->detach)
		rc = daemon_detach(ret_parent, err);
	if (rc == 0)
		rc = log_open(o->logfile, o->level,
			      strcmp(s->log_format, "json") == 0 ? LOG_FORMAT_JSON
								 : LOG_FORMAT_CELERY,
			      err);
	return rc;
}

int main(int argc, char **argv)
{
	struct settings settings = {0};
	struct options options = {0};
	struct err err = {0};
	int status = EXIT_FAILURE, parent = -1;

	daemon_limits();
	if (prepare(&settings, &options, argc, argv, &parent, &err) < 0)
		fprintf(stderr, "celeriac-beat: %s\n", err.msg);
	else
		status = act(&settings, &options, parent);
	options_done(&options);
	settings_done(&settings);
	return status;
}
