/*
 * service.c: the tick loop: sleep until the soonest entry, send what is due, tell an outage once
 * and try until it is over.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "beat.h"
#include "clock.h"
#include "daemon.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "status.h"
#include "table.h"

#define RETRY_MIN (50 * USEC_PER_MSEC) /* after a try that failed, doubled each time … */
#define RETRY_MAX (2 * USEC_PER_SEC)   /* … up to this, so that an outage's end is noticed soon */
#define PATIENCE  (1 * USEC_PER_SEC)   /* an outage shorter than this is nobody's business */
#define ASKING	  (600 * USEC_PER_MSEC) /* for the lease: a signal ends us within a second */
#define CLOSING	  (200 * USEC_PER_MSEC) /* for the link to end */

/* A clock that was set is seen by how far the two are apart. */
#define STEP (1 * USEC_PER_SEC)

struct service {
	const struct settings *settings;
	const struct timezone_info *zone;
	struct publisher publisher;
	struct scheduler scheduler;
	struct entries entries;
	struct table *table; /* or NULL */
	struct status status;
	bool leads;		   /* as far as it is known */
	char leader[LEASE_HOLDER]; /* "" when nothing is known yet */
	usec_t lease_due;	   /* monotonic: when the lease is taken or renewed */
	size_t loaded;		   /* entries whose state was read */
	usec_t apart;		   /* wall minus monotonic, at the last tick */
	usec_t trouble_since;	   /* monotonic, 0 = none */
	bool trouble_said;
	usec_t retry; /* the last pause after a failure, 0 = none */
};

int service_entries(const struct settings *s, const struct timezone_info *zone, struct entries *ret,
		    struct err *err)
{
	int rc;

	entries_init(ret, zone);
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
	if (s->trouble_said || now - s->trouble_since < PATIENCE ||
	    !broker_ready(s->publisher.broker))
		return;
	s->trouble_said = true;
	log_error("beat: Connection error: %s; trying again until it works", err->msg);
}

static void no_trouble(struct service *s)
{
	if (s->trouble_said)
		log_info("beat: %s works again", broker_address(s->publisher.broker)->safe);
	s->trouble_since = s->retry = 0;
	s->trouble_said = false;
}

/* ---- leading ---- */

static void stop_leading(struct service *s)
{
	scheduler_done(&s->scheduler);
	s->loaded = 0;
	s->leads = false;
	s->status.failing = 0;
}

static void set_role(struct service *s, bool leads, const char *leader)
{
	if (leads && !s->leads)
		log_info("beat: Leading%s%s", *s->leader ? ", after " : "", s->leader);
	else if (!leads && s->leads)
		log_warning("beat: The lease went to %s while this beat slept; standing by",
			    leader);
	else if (!leads && strcmp(s->leader, leader) != 0)
		log_info("beat: Standing by: %s leads", leader);
	if (!leads && s->leads)
		stop_leading(s);
	s->leads = leads;
	status_role(&s->status, leads, leader);
	snprintf(s->leader, sizeof(s->leader), "%s", leader);
}

/* Takes the lease, renews it, or sees whose it is. */
static int lead(struct service *s, struct err *err)
{
	char leader[LEASE_HOLDER];
	usec_t now = clock_mono();
	bool ours;
	int rc;

	if (now < s->lease_due)
		return 0;
	rc = lease_take(&s->publisher.lease, clock_deadline(ASKING), &ours, leader, err);
	if (rc < 0)
		return rc;
	s->lease_due = now + (ours ? LEASE_RENEW : LEASE_LOOK);
	set_role(s, ours, leader);
	return 0;
}

/* ---- the loop ---- */

static void note(struct service *s, const struct entry *e)
{
	if (e->is_row)
		table_note(s->table, e->name, e->last_run_at, e->total_run_count);
}

static void tell(struct service *s, struct sending *sending, usec_t slot)
{
	struct entry *e = sending->entry;

	switch (sending->verdict) {
	case SEND_OPEN:
		return;
	case SEND_DONE:
		log_info("Scheduler: Sending due task %s (%s)", e->name, e->task);
		log_debug("%s sent. id->%s", e->task, e->last_id);
		status_sent(slot, clock_wall());
		note(s, e);
		break;
	case SEND_ELSEWHERE:
		log_debug("Scheduler: %s (%s) was sent already", e->name, e->task);
		break;
	case SEND_FAILED:
		if (!e->failing)
			log_error("beat: entry '%.100s': %s; trying again until it works", e->name,
				  sending->err.msg);
		s->status.failing += !e->failing;
		e->failing = true;
		e->due = clock_deadline(RETRY_MAX);
		return;
	}
	s->status.failing -= e->failing;
	if (e->failing)
		log_info("beat: entry '%.100s' works again", e->name);
	e->failing = false;
}

/* ERR_CONFLICT: we do not lead. */
static int send_due(void *arg, struct entry **due, size_t count, struct err *err)
{
	struct sending list[SCHEDULER_BATCH];
	usec_t slots[SCHEDULER_BATCH];
	struct service *s = arg;
	bool leads;
	int rc;

	for (size_t i = 0; i < count; i++) {
		list[i] = (struct sending){.entry = due[i]};
		slots[i] = due[i]->slot;
	}
	rc = publisher_send(&s->publisher, list, count, &leads, err);
	for (size_t i = 0; i < count; i++)
		tell(s, &list[i], slots[i]);
	return rc < 0 || leads ? rc : err_set(err, ERR_CONFLICT, "another beat leads");
}

/* What ran and was not written down, because the database was away or beat ended. */
static void note_what_is_known(struct service *s)
{
	for (size_t i = 0; i < s->entries.count; i++) {
		const struct entry *e = &s->entries.list[i];

		if (e->total_run_count > 0 && e->last_run_at > e->known_run_at)
			note(s, e);
	}
}

/* The states are read when Redis answers, and only then is anything due. */
static int load(struct service *s, struct err *err)
{
	while (s->loaded < s->entries.count) {
		size_t left = s->entries.count - s->loaded;
		size_t n = left < PUBLISHER_LOAD ? left : PUBLISHER_LOAD;
		int rc = publisher_load(&s->publisher, &s->entries.list[s->loaded], n, err);

		if (rc < 0)
			return rc;
		s->loaded += n;
	}
	if (!s->scheduler.heap) {
		scheduler_init(&s->scheduler, s->entries.list, s->entries.count);
		note_what_is_known(s);
	}
	return 0;
}

/* The table was read anew: all entries are made again, and their states are looked up. */
static void take_table(struct service *s)
{
	_cleanup_json_ json_t *rows = table_take(s->table);
	struct entries fresh;
	struct err err;

	if (!rows)
		return;
	if (service_entries(s->settings, s->zone, &fresh, &err) < 0) {
		log_error("beat: %s; the entries stay as they were", err.msg);
		return;
	}
	entries_add_rows(&fresh, rows, s->settings);
	scheduler_done(&s->scheduler);
	entries_done(&s->entries);
	s->entries = fresh;
	s->loaded = 0;
	s->status.failing = 0;
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

static int work(struct service *s, struct err *err)
{
	int rc = lead(s, err);

	if (rc < 0 || !s->leads)
		return rc;
	rc = load(s, err);
	if (rc == 0)
		rc = scheduler_tick(&s->scheduler, clock_mono(), send_due, s, err);
	if (rc != -ERR_CONFLICT)
		return rc;
	s->lease_due = 0; /* to see at once whose it is */
	return 0;
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
	if (work(s, &err) < 0) {
		s->status.ready = false;
		trouble(s, &err);
		s->retry = s->retry == 0	      ? RETRY_MIN
			   : s->retry * 2 > RETRY_MAX ? RETRY_MAX
						      : s->retry * 2;
		return s->retry;
	}
	no_trouble(s);
	s->status.ready = true;
	return idle(s);
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
	char human[HUMAN_SIZE];
	usec_t span;

	do {
		span = tick(s);
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
	loop(&s, signals);
	log_info("beat: Shutting down...");
	status_close(&s.status);
	table_close(s.table);
	if (s.leads && s.trouble_since == 0)
		lease_leave(&s.publisher.lease, clock_deadline(CLOSING));
	publisher_close(&s.publisher, clock_deadline(CLOSING));
	scheduler_done(&s.scheduler);
	entries_done(&s.entries);
	timezone_close(s.zone);
	return EXIT_SUCCESS;
}
