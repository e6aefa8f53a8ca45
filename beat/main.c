/*
 * celeriac-beat: command line, banner, and the service between them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "beat.h"
#include "clock.h"
#include "daemon.h"
#include "log.h"
#include "options.h"
#include "redis.h"
#include "url.h"

#define CHECK_PATIENCE (5 * USEC_PER_SEC)

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
	if (daemon_signals(&signals, &err) < 0 ||
	    (o->pidfile != NULL && daemon_pidfile_write(o->pidfile, &err) < 0)) {
		log_critical("%s", err.msg);
		return EXIT_FAILURE;
	}
	daemon_detached(parent);
	if (!o->quiet)
		banner(s, o);
	status = service_run(s, signals);
	daemon_pidfile_remove(o->pidfile);
	close(signals);
	return status;
}

/* ---- --check ---- */

static int ping(const char *url, struct err *err)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct redis_address address = {0};
	struct redis *r = NULL;
	int rc = url && url[0] ? redis_address_parse(url, &address, err)
			       : err_set(err, ERR_INVALID, "CELERY_BROKER_URL is not set");

	if (rc == 0)
		rc = redis_open(&address, "celeriac-check", CHECK_PATIENCE, &r, err);
	if (rc == 0)
		rc = redis_do(r, &reply, err, "PING");
	redis_close(r);
	redis_address_done(&address);
	return rc;
}

static void print_entry(const struct entry *e)
{
	char text[SCHEDULE_TEXT];

	schedule_text(e->schedule_value, &e->schedule, text);
	printf("ok    %-12s %s (%s) %s to queue %s\n", "entry", e->name, e->task, text, e->queue);
}

static int check(const struct settings *s)
{
	const struct timezone_info *zone = NULL;
	struct entries entries;
	struct err err = {0};
	int failed = 0;
	int rc = ping(s->broker_url, &err);

	printf("%s  %-12s %s\n", rc < 0 ? "FAIL" : "ok  ", "broker", rc < 0 ? err.msg : "answers");
	failed += rc < 0;
	rc = timezone_open(s->timezone, s->enable_utc, &zone, &err);
	if (rc == 0)
		rc = service_entries(s, zone, &entries, &err);
	if (rc < 0) {
		printf("FAIL  %-12s %s\n", "entries", err.msg);
		failed++;
	} else {
		for (size_t i = 0; i < entries.count; i++)
			print_entry(&entries.list[i]);
		entries_done(&entries);
	}
	timezone_close(zone);
	if (failed > 0)
		printf("%d check(s) failed\n", failed);
	else
		printf("ready\n");
	return failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
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
		return check(s);
	case ACTION_READY:
	case ACTION_MIGRATE: /* no row of ours says so */
	case ACTION_SEAL:
	case ACTION_RESEAL:
	case ACTION_IMPORT:
	case ACTION_IMPORT_APPLY:
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
