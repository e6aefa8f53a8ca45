/*
 * celeriac-worker: start the parts in order, wait for a signal, stop them in reverse.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#include "audit.h"
#include "bounds.h"
#include "canvas.h"
#include "clock.h"
#include "daemon.h"
#include "http.h"
#include "log.h"
#include "mem.h"
#include "options.h"
#include "settle.h"
#include "url.h"
#include "worker.h"

#define JOIN_PATIENCE	(2 * USEC_PER_SEC) /* one try at the node lease, before the log says so */
#define COLD_PATIENCE	(5 * USEC_PER_SEC) /* for cancelled tasks to end */
#define SETTLE_PATIENCE (5 * USEC_PER_SEC) /* for the broker to confirm what was handed over */
#define RETRY_MS	1000

/* ---- start ---- */

/* It shares the broker's link, and result and follow-ups are one transaction, where messages are
 * taken from and sent to one server. */
static int open_backend(struct worker *w, struct err *err)
{
	const struct redis_address *broker = broker_address(w->broker);
	bool one = broker_write_address(w->broker) == broker;

	return backend_open(&w->settings, one ? broker : NULL, one ? broker_link(w->broker) : NULL,
			    &w->backend, err);
}

static int open_parts(struct worker *w, struct err *err)
{
	const struct settings *s = &w->settings;
	int rc;

	if (s->broker_url == NULL || s->broker_url[0] == '\0')
		return err_set(err, ERR_INVALID,
			       "no broker: set CELERY_BROKER_URL or use --broker");
	if ((rc = registry_load(&w->registry, s, err)) < 0 ||
	    (rc = alias_check(&w->registry, s->task_aliases, err)) < 0)
		return rc;
	if ((rc = state_init(&w->state, err)) < 0 || (rc = broker_open(s, &w->broker, err)) < 0 ||
	    (rc = open_backend(w, err)) < 0)
		return rc;
	lanes_init(&w->lanes);
	schedule_init(&w->schedule);
	mutex_init(&w->keeper.lock);
	cond_init(&w->keeper.changed);
	mutex_init(&w->services.lock);
	cond_init(&w->services.changed);
	mutex_init(&w->chords.lock);
	cond_init(&w->chords.changed);
	orders_init(&w->orders);
	limits_init(&w->limits);
	limits_of_registry(&w->limits, &w->registry);
	revoked_init(&w->revoked, (size_t)s->worker_revokes_max, s->worker_revoke_expires);
	if ((rc = autoscaler_init(&w->autoscaler, s->worker_autoscale, err)) < 0 ||
	    (rc = fanout_open(s, broker_address(w->broker), broker_write_address(w->broker),
			      &w->fanout, err)) < 0)
		return rc;
	if (s->database_url == NULL || s->database_url[0] == '\0') {
		log_warning("DATABASE_URL is not set: sandbox and tool tasks are not offered");
		return 0;
	}
	if ((rc = way_out_open(s, &w->way_out, err)) < 0 ||
	    (rc = store_open(s, &w->store, err)) < 0 ||
	    (rc = policy_watch_open(&w->policy, s, w->store, err)) < 0)
		return rc;
	return audit_open(w->store, &w->audit, err);
}

/* Our node name's lease: Redis may be away for as long as it likes, signals still end us. */
static int join(struct worker *w, int signals, struct err *err)
{
	bool said = false;

	for (;;) {
		struct redis *r = NULL;
		int rc = redis_open(broker_address(w->broker), "celeriac-join", JOIN_PATIENCE, &r,
				    err);

		if (rc == 0)
			rc = presence_join(r, broker_address(w->broker)->key_prefix,
					   w->settings.instance, w->settings.node,
					   clock_deadline(2 * PRESENCE_TTL), &w->presence, err);
		redis_close(r);
		if (rc == 0 || !err_is_transient(err))
			return rc;
		if (!said)
			log_error("consumer: Cannot connect to %s: %s. Trying again.",
				  broker_address(w->broker)->safe, err->msg);
		said = true;
		struct pollfd fd = {.fd = signals, .events = POLLIN};

		poll(&fd, 1, RETRY_MS);
		if (daemon_next_signal(signals) != 0)
			return err_set(err, ERR_CANCELLED, "stopped before Redis answered");
	}
}

static int migrate_at_start(const struct settings *s, struct err *err)
{
	int applied = 0;
	int rc;

	if (s->owner_database_url == NULL || s->owner_database_url[0] == '\0')
		return 0;
	rc = store_migrate(s->owner_database_url, &applied, err);
	if (rc < 0 && err_is_transient(err)) {
		log_error("migrations wait: %s", err->msg);
		return 0; /* the services thread will say so until the schema is there */
	}
	if (rc == 0 && applied > 0)
		log_info("applied %d migration(s)", applied);
	return rc;
}

/* --purge: what waits in our queues is thrown away before anything is taken. */
static int purge(struct worker *w, struct err *err)
{
	int64_t erased = 0;
	int rc;

	if (!w->settings.worker_purge)
		return 0;
	rc = broker_purge(w->broker, &erased, err);
	if (rc == 0)
		log_warning("purge: Erased %lld message(s) from the queue.", (long long)erased);
	return rc;
}

/* Messages may wait for it. */
static void policy_loaded(void *arg)
{
	struct worker *w = arg;

	state_wake_consumer(&w->state);
}

static int start_threads(struct worker *w, struct err *err)
{
	const struct autoscaler *a = &w->autoscaler;
	size_t threads = a->on ? a->min : (size_t)w->settings.worker_concurrency;
	int rc;

	worker_set_prefetch(w, a->on ? a->max : threads);
	if ((rc = pool_start(&w->pool, w, threads > 0 ? threads : 1, err)) < 0 ||
	    (rc = keeper_start(w, err)) < 0 || (rc = services_start(w, err)) < 0 ||
	    (w->store && (rc = policy_watch_start(&w->policy, policy_loaded, w, err)) < 0) ||
	    (rc = chord_sweep_start(w, err)) < 0 || (rc = metrics_start(w, &w->metrics, err)) < 0 ||
	    (rc = events_start(w, err)) < 0 || (rc = panel_start(w, err)) < 0)
		return rc;
	return thread_start(&w->consumer, "consumer", consumer_thread, w, err);
}

static int start(struct worker *w, int signals, struct err *err)
{
	int rc = open_parts(w, err);

	if (rc < 0)
		return rc;
	rc = migrate_at_start(&w->settings, err);
	if (rc < 0)
		return rc;
	rc = join(w, signals, err);
	if (rc < 0)
		return rc;
	if (w->store != NULL) {
		rc = sandbox_open(&w->settings, broker_link(w->broker),
				  broker_address(w->broker)->key_prefix, w->presence, &w->sandbox,
				  err);
		if (rc < 0)
			return rc;
	}
	rc = purge(w, err);
	if (rc < 0)
		return rc;
	revoked_learn(w); /* before the first message */
	w->started = clock_mono();
	rc = start_threads(w, err);
	if (rc == 0)
		log_info("%s ready.", w->settings.worker_hostname);
	return rc;
}

/* ---- stop ---- */

static int newest_first(const struct request *a, const struct request *b)
{
	return a->number < b->number ? 1 : -1;
}

/* Each goes to the front of its queue: the newest first, so that they come again in their order. */
static void release_all(struct request *list)
{
	struct request *next;

	LL_SORT(list, newest_first);
	for (; list != NULL; list = next) {
		next = list->next;
		settle_release(list);
	}
}

/* Nothing more is claimed; what has not begun goes back. */
static void stop_claiming(struct worker *w, bool cold)
{
	struct request *aside, *in_lanes, *queued;

	atomic_store(&w->stopping, true);
	state_wake_consumer(&w->state);
	pthread_join(w->consumer, NULL);
	aside = keeper_drain(w);
	in_lanes = lanes_drain(&w->lanes);
	queued = pool_stop(&w->pool);
	LL_CONCAT(queued, in_lanes);
	LL_CONCAT(queued, aside);
	/* before what was to run now, so that it comes behind it */
	due_release_all(w, clock_deadline(cold ? COLD_PATIENCE : w->settings.worker_grace_time));
	release_all(queued);
}

static void cancel(struct worker *w)
{
	atomic_store(&w->releasing, true);
	state_cancel_all(&w->state);
}

/* Waits for what runs; another INT or QUIT makes it cold, and so does the end of the grace time. */
static void finish(struct worker *w, int signals, bool cold)
{
	usec_t deadline = clock_deadline(cold ? COLD_PATIENCE : w->settings.worker_grace_time);

	if (cold)
		cancel(w);
	while (!state_wait_empty(&w->state, clock_deadline(100 * USEC_PER_MSEC))) {
		int signal_number = daemon_next_signal(signals);

		release_all(keeper_drain(w));
		if (cold && clock_mono() >= deadline)
			break;
		if (!cold && (clock_mono() >= deadline || signal_number == SIGINT ||
			      signal_number == SIGQUIT)) {
			log_warning("worker: Cold shutdown (%s)",
				    signal_number ? "signal" : "grace time over");
			cold = true;
			deadline = clock_deadline(COLD_PATIENCE);
			cancel(w);
		}
	}
}

static void leave(struct worker *w)
{
	struct redis *r = NULL;
	struct err err = {0};

	if (redis_open(broker_address(w->broker), "celeriac-leave", JOIN_PATIENCE, &r, &err) == 0)
		presence_leave(w->presence, r);
	redis_close(r);
}

/* False when a task did not end. */
static bool stop(struct worker *w, int signals, bool cold)
{
	log_warning("worker: %s shutdown (MainProcess)", cold ? "Cold" : "Warm");
	stop_claiming(w, cold);
	finish(w, signals, cold);
	panel_stop(w);
	services_stop(w);
	chord_sweep_stop(w);
	metrics_stop(w->metrics);
	if (atomic_load(&w->state.held_count) > 0) {
		/* a task that does not end: its message stays recorded as ours and is restored once
		 * we are gone */
		log_error("%zu task(s) did not end; their messages are restored by the next worker",
			  atomic_load(&w->state.held_count));
		events_stop(w);
		fanout_close(w->fanout, clock_deadline(SETTLE_PATIENCE));
		return false;
	}
	pool_join(&w->pool);
	keeper_stop(w);
	sandbox_close_all(w->sandbox);
	way_out_close(&w->way_out);
	policy_watch_close(&w->policy);
	leave(w);
	backend_close(w->backend, clock_deadline(SETTLE_PATIENCE));
	broker_close(w->broker, clock_deadline(SETTLE_PATIENCE));
	events_stop(w); /* the last events come with the broker's last confirmations */
	fanout_close(w->fanout, clock_deadline(SETTLE_PATIENCE));
	revoked_done(&w->revoked);
	limits_done(&w->limits);
	orders_done(&w->orders);
	registry_done(&w->registry);
	audit_close(w->audit, clock_deadline(SETTLE_PATIENCE));
	store_close(w->store);
	lanes_done(&w->lanes);
	schedule_done(&w->schedule);
	state_done(&w->state);
	presence_free(w->presence);
	return true;
}

/* The end while threads of ours are still at work on `w`. */
static __attribute__((noreturn)) void quit(struct worker *w, const char *pidfile, int status)
{
	if (w->presence != NULL)
		leave(w);
	daemon_pidfile_remove(pidfile);
	_exit(status);
}

/* Until TERM, INT (warm) or QUIT (cold). */
static bool wait_for_end(int signals)
{
	for (;;) {
		struct pollfd fd = {.fd = signals, .events = POLLIN};

		poll(&fd, 1, -1);
		switch (daemon_next_signal(signals)) {
		case SIGTERM:
		case SIGINT:
			return false;
		case SIGQUIT:
			return true;
		case SIGHUP:
		case SIGUSR1:
			log_info("signal ignored: restart the worker to change its settings");
			break;
		default:
			break;
		}
	}
}

static int run(struct worker *w, const struct options *o)
{
	struct err err = {0};
	int signals = -1;
	bool cold;

	if (daemon_signals(&signals, &err) < 0 || http_global_init(&err) < 0 ||
	    (o->pidfile != NULL && daemon_pidfile_write(o->pidfile, &err) < 0) ||
	    start(w, signals, &err) < 0) {
		log_critical("%s", err.msg);
		quit(w, o->pidfile, err.code == ERR_CANCELLED ? EXIT_SUCCESS : EXIT_FAILURE);
	}
	cold = wait_for_end(signals);
	if (!stop(w, signals, cold))
		quit(w, o->pidfile, EXIT_SUCCESS);
	daemon_pidfile_remove(o->pidfile);
	close(signals);
	return EXIT_SUCCESS;
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

static int act(struct worker *w, const struct options *o)
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
	case ACTION_MIGRATE:
		return migrate(&w->settings);
	case ACTION_RUN:
		break;
	}
	return run(w, o);
}

int main(int argc, char **argv)
{
	struct worker *w = xcalloc(1, sizeof(*w));
	struct options options;
	struct err err = {0};
	int rc;

	if (settings_load(NULL, &w->settings, &err) < 0 ||
	    options_parse(&worker_options, argc, argv, &w->settings, &options, &err) < 0 ||
	    log_open(options.logfile, options.level,
		     strcmp(w->settings.log_format, "json") == 0 ? LOG_FORMAT_JSON
								 : LOG_FORMAT_CELERY,
		     &err) < 0) {
		fprintf(stderr, "celeriac-worker: %s\n", err.msg);
		return EXIT_FAILURE;
	}
	daemon_limits();
	rc = act(w, &options);
	settings_done(&w->settings);
	free(w);
	return rc;
}
