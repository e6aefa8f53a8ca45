/*
 * service.c: the tick loop: sleep until the soonest entry, send what is due, tell an outage once
 * and try until it is over.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backoff.h"
#include "clock.h"
#include "daemon.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "service.h"

#define RETRY_MAX (2 * USEC_PER_SEC)	/* between tries: the end of an outage is noticed soon */
#define PATIENCE  (1 * USEC_PER_SEC)	/* an outage shorter than this is nobody's business */
#define CLOSING	  (200 * USEC_PER_MSEC) /* for the link to end */

/* A clock that was set is seen by how far the two are apart. */
#define STEP (1 * USEC_PER_SEC)

int service_entries(const struct settings *s, const struct timezone_info *zone, struct entries *ret,
		    struct err *err)
{
	int rc;

	entries_init(ret, zone);
	ret->deadline = s->beat_cron_starting_deadline;
	rc = entries_add_own(ret, s, err);
	if (rc == 0 && s->beat_schedule && *s->beat_schedule)
		rc = entries_add_file(ret, s->beat_schedule, s, err);
	if (rc < 0)
		entries_done(ret);
	return rc;
}

void service_human(usec_t span, char out[HUMAN_SIZE])
{
	static const struct {
		const char *name;
		double seconds;
	} units[] = {{"day", 86400}, {"hour", 3600}, {"minute", 60}, {"second", 1}};
	double seconds = (double)span / (double)USEC_PER_SEC;
	size_t i = 0;

	while (i + 1 < ARRAY_LEN(units) && seconds < units[i].seconds)
		i++;
	seconds /= units[i].seconds;
	snprintf(out, HUMAN_SIZE, "%.2f %s%s", seconds, units[i].name,
		 seconds >= 0.995 && seconds < 1.005 ? "" : "s");
}

/* ---- outages ---- */

/* A lost connection is told by the link itself; this is for a server that is there and does not do
 * its work. */
static void trouble(struct service *s, const struct err *err)
{
	usec_t now = clock_mono();

	if (s->trouble_since == 0)
		s->trouble_since = now;
	if (s->trouble_said || now - s->trouble_since < PATIENCE || !publisher_ready(&s->publisher))
		return;
	s->trouble_said = true;
	log_error("beat: Connection error: %s; trying again until it works", err->msg);
}

static void no_trouble(struct service *s)
{
	if (s->trouble_said)
		log_info("beat: %s works again", publisher_where(&s->publisher));
	s->trouble_since = s->retry = 0;
	s->trouble_said = false;
}

/* ---- the loop ---- */

/* The table was read anew: all entries are made again, and their states are looked up. */
static void take_table(struct service *s)
{
	_cleanup_json_ json_t *rows = table_take(s->table);
	struct entries fresh;
	struct err err;

	if (!rows)
		return;
	if (service_entries(s->settings, s->zone, &fresh, &err) < 0) {
		if (strcmp(err.msg, s->file_said.msg) != 0)
			log_error("beat: %s; the entries stay as they were", err.msg);
		s->file_said = err;
		table_give_back(s->table, TAKE(rows)); /* the next tick tries again */
		return;
	}
	s->file_said = (struct err){0};
	entries_add_rows(&fresh, rows, s->settings);
	leading_forget(s);
	entries_done(&s->entries);
	s->entries = fresh;
	s->status.entries = s->entries.count;
	log_info("beat: Schedule changed: %zu entries", s->entries.count);
}

/* Crontabs are told by the wall clock, waits by the other one: when one of them was set, everything
 * is reckoned again. */
static void look_at_clocks(struct service *s)
{
	usec_t wall = clock_wall(), mono = clock_mono();
	usec_t step = wall - mono - s->apart;

	if (s->scheduler.heap && (step > STEP || step < -STEP)) {
		log_warning("beat: the clock was set by %g s", (double)step / (double)USEC_PER_SEC);
		for (size_t i = 0; i < s->entries.count; i++)
			if (s->entries.list[i].schedule.kind != SCHEDULE_INTERVAL)
				entry_reckon(&s->entries.list[i], wall, mono);
		scheduler_done(&s->scheduler);
		scheduler_init(&s->scheduler, s->entries.list, s->entries.count);
	}
	s->apart = wall - mono;
}

/* Until something is to be done. */
static usec_t idle(const struct service *s)
{
	usec_t most = s->settings->beat_max_loop_interval;
	const struct entry *first = scheduler_first(&s->scheduler);
	usec_t now = clock_mono(), until = s->lease_due;

	if (first && first->due < until)
		until = first->due;
	if (until <= now)
		return 0;
	return until - now < most ? until - now : most;
}

/* What is due is sent; returns how long nothing is. */
static usec_t tick(struct service *s)
{
	struct err err = {0};

	take_table(s);
	look_at_clocks(s);
	if (leading_work(s, &err) < 0) {
		s->status.ready = false;
		trouble(s, &err);
		s->retry = backoff_next(s->retry, RETRY_MAX);
		return s->retry;
	}
	no_trouble(s);
	s->status.ready = true;
	return leading_prepare(s) ? idle(s) : 0;
}

/* To the microsecond: what poll rounds up would be late. */
static void wait_until(struct pollfd *fds, nfds_t count, usec_t deadline)
{
	usec_t left = deadline - clock_mono();
	struct timespec span = {.tv_sec = left / USEC_PER_SEC,
				.tv_nsec = left % USEC_PER_SEC * 1000};

	if (left < 0)
		span = (struct timespec){0};
	if (ppoll(fds, count, &span, NULL) < 0)
		for (nfds_t i = 0; i < count; i++)
			fds[i].revents = 0;
}

/* False when a signal says that it is over. Also ends when the table was read anew. */
static bool wait_for(int signals, int table, usec_t span)
{
	usec_t deadline = clock_deadline(span);
	struct pollfd fds[] = {{.fd = signals, .events = POLLIN}, {.fd = table, .events = POLLIN}};

	do {
		wait_until(fds, ARRAY_LEN(fds), deadline);
		switch (daemon_next_signal(signals)) {
		case SIGTERM:
		case SIGINT:
		case SIGQUIT:
			return false;
		default:
			break; /* none, or one that means nothing to us */
		}
	} while (clock_mono() < deadline && fds[1].revents == 0);
	return true;
}

static void loop(struct service *s, int signals)
{
	usec_t watchdog = daemon_watchdog();
	char human[HUMAN_SIZE];
	usec_t span;

	do {
		span = tick(s);
		if (watchdog > 0) {
			daemon_notify("WATCHDOG=1");
			span = span < watchdog ? span : watchdog;
		}
		service_human(span, human);
		if (s->trouble_since == 0 && s->leads)
			log_debug("beat: Waking up in %s.", human);
	} while (wait_for(signals, table_fd(s->table), span));
}

static int open_all(struct service *s, struct err *err)
{
	int rc = timezone_open(s->settings->timezone, s->settings->enable_utc, &s->zone, err);

	if (rc == 0)
		rc = service_entries(s->settings, s->zone, &s->entries, err);
	if (rc == 0)
		rc = publisher_open(&s->publisher, s->settings, err);
	if (rc == 0)
		rc = table_open(s->settings, &s->table, err);
	s->status.table = s->table;
	s->status.entries = s->entries.count;
	return rc < 0 ? rc : status_open(&s->status, s->settings->beat_metrics, err);
}

int service_run(const struct settings *settings, int signals)
{
	struct service s = {.settings = settings, .apart = clock_wall() - clock_mono()};
	char human[HUMAN_SIZE];
	struct err err = {0};

	if (open_all(&s, &err) < 0) {
		log_critical("beat: %s", err.msg);
		return EXIT_FAILURE;
	}
	log_info("beat: Starting...");
	service_human(settings->beat_max_loop_interval, human);
	log_debug("beat: Ticking with max interval->%s", human);
	daemon_notify("READY=1");
	loop(&s, signals);
	daemon_notify("STOPPING=1");
	log_info("beat: Shutting down...");
	status_close(&s.status);
	table_close(s.table);
	if (s.leads && s.trouble_since == 0)
		publisher_leave(&s.publisher, clock_deadline(CLOSING));
	publisher_close(&s.publisher, clock_deadline(CLOSING));
	scheduler_done(&s.scheduler);
	entries_done(&s.entries);
	timezone_close(s.zone);
	return EXIT_SUCCESS;
}
