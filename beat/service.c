/*
 * service.c: the tick loop: sleep until the soonest entry, send what is due, tell an outage once
 * and try until it is over.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "beat.h"
#include "clock.h"
#include "daemon.h"
#include "log.h"
#include "mem.h"

#define RETRY_MIN (50 * USEC_PER_MSEC) /* after a try that failed, doubled each time … */
#define RETRY_MAX (2 * USEC_PER_SEC)   /* … up to this, so that an outage's end is noticed soon */
#define PATIENCE  (1 * USEC_PER_SEC)   /* an outage shorter than this is nobody's business */
#define CLOSING	  (200 * USEC_PER_MSEC) /* for the link to end */

struct service {
	const struct settings *settings;
	struct publisher publisher;
	struct scheduler scheduler;
	struct entry *entries;
	size_t entry_count;
	size_t loaded;	      /* entries whose state was read */
	usec_t trouble_since; /* monotonic, 0 = none */
	bool trouble_said;
	usec_t retry; /* the last pause after a failure, 0 = none */
};

struct entry *service_entries(const struct settings *s, size_t *ret_count)
{
	struct entry *list = xcalloc(1, sizeof(*list));

	list[0] = (struct entry){.name = "sandbox.cleanup",
				 .task = "sandbox.cleanup",
				 .queue = s->task_default_queue,
				 .period = s->sandbox_cleanup_interval};
	*ret_count = 1;
	return list;
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

/* ---- the loop ---- */

static int send_due(void *arg, struct entry *e, struct err *err)
{
	struct service *s = arg;
	bool sent = false;
	int rc = publisher_send(&s->publisher, e, &sent, err);

	if (rc == 0 && sent)
		log_info("Scheduler: Sending due task %s (%s)", e->name, e->task);
	else if (rc == 0)
		log_debug("Scheduler: %s (%s) was sent already", e->name, e->task);
	return rc;
}

/* The states are read when Redis answers, and only then is anything due. */
static int load(struct service *s, struct err *err)
{
	if (s->scheduler.heap != NULL)
		return 0;
	for (; s->loaded < s->entry_count; s->loaded++) {
		int rc = publisher_load(&s->publisher, &s->entries[s->loaded], err);

		if (rc < 0)
			return rc;
	}
	scheduler_init(&s->scheduler, s->entries, s->entry_count);
	return 0;
}

/* What is due is sent; returns how long nothing is. */
static usec_t tick(struct service *s)
{
	usec_t longest = s->settings->beat_max_loop_interval;
	const struct entry *first;
	struct err err = {0};
	usec_t left;
	int rc = load(s, &err);

	if (rc == 0)
		rc = scheduler_tick(&s->scheduler, clock_mono(), send_due, s, &err);
	if (rc < 0) {
		trouble(s, &err);
		s->retry = s->retry == 0	      ? RETRY_MIN
			   : s->retry * 2 > RETRY_MAX ? RETRY_MAX
						      : s->retry * 2;
		return s->retry;
	}
	no_trouble(s);
	first = scheduler_first(&s->scheduler);
	left = first ? first->due - clock_mono() : longest;
	return left < 0 ? 0 : left < longest ? left : longest;
}

/* False when a signal says that it is over. */
static bool wait_for(int signals, usec_t span)
{
	usec_t deadline = clock_deadline(span);
	struct pollfd fd = {.fd = signals, .events = POLLIN};

	do {
		poll(&fd, 1, clock_left_ms(deadline));
		switch (daemon_next_signal(signals)) {
		case SIGTERM:
		case SIGINT:
		case SIGQUIT:
			return false;
		default:
			break; /* none, or one that means nothing to us */
		}
	} while (clock_left_ms(deadline) > 0);
	return true;
}

static void loop(struct service *s, int signals)
{
	char human[HUMAN_SIZE];
	usec_t span;

	do {
		span = tick(s);
		service_human(span, human);
		if (s->trouble_since == 0)
			log_debug("beat: Waking up in %s.", human);
	} while (wait_for(signals, span));
}

int service_run(const struct settings *settings, int signals)
{
	struct service s = {.settings = settings};
	char human[HUMAN_SIZE];
	struct err err = {0};

	if (publisher_open(&s.publisher, settings, &err) < 0) {
		log_critical("beat: %s", err.msg);
		return EXIT_FAILURE;
	}
	s.entries = service_entries(settings, &s.entry_count);
	log_info("beat: Starting...");
	service_human(settings->beat_max_loop_interval, human);
	log_debug("beat: Ticking with max interval->%s", human);
	loop(&s, signals);
	log_info("beat: Shutting down...");
	publisher_close(&s.publisher, clock_deadline(CLOSING));
	scheduler_done(&s.scheduler);
	for (size_t i = 0; i < s.entry_count; i++)
		entry_done(&s.entries[i]);
	free(s.entries);
	return EXIT_SUCCESS;
}
