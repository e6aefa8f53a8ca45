/*
 * The parts of the worker are started in order.
 */
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "audit.h"
#include "canvas.h"
#include "clock.h"
#include "daemon.h"
#include "log.h"
#include "login.h"
#include "mem.h"
#include "outlived.h"
#include "serial.h"
#include "shutdown.h"
#include "quota.h"
#include "record.h"

/* Result and follow-ups are one transaction where messages are taken from and sent to one server.
 */
static int open_backend(struct worker *w, struct err *err)
{
	const struct redis_address *broker = broker_address(w->broker);
	bool one = broker_write_address(w->broker) == broker;
	const struct backend_links links = {
		.amqp = broker_amqp(w->broker),
		.broker = one ? broker : NULL,
		.broker_link = one ? broker_link(w->broker) : NULL,
		.shared = shared_state_address(w->shared),
		.shared_link = shared_state_link(w->shared),
	};

	return backend_open(&w->settings, &links, &w->backend, err);
}

/* Without a Redis plain tasks are run all the same. */
static int open_shared(struct worker *w, struct err *err)
{
	const struct settings *s = &w->settings;
	bool stored = s->database_url != NULL && s->database_url[0] != '\0';

	if (stored || shared_state_said(s))
		return shared_state_open(s, broker_address(w->broker), broker_link(w->broker),
					 &w->shared, err);
	log_warning("CELERIAC_STATE_URL is not set, and neither broker nor backend is a "
		    "Redis: " SHARED_STATE_MISSING);
	w->shared = shared_state_none();
	return 0;
}

static int open_fanout(struct worker *w, struct err *err)
{
	struct amqp_client *amqp = broker_amqp(w->broker);
	const struct fanout_place place = {
		.redis = broker_address(w->broker),
		.write = broker_write_address(w->broker),
		.amqp = amqp != NULL ? amqp_client_address(amqp) : NULL,
	};
	int rc = fanout_check(&w->settings, err);

	return rc < 0 ? rc : fanout_open(&w->settings, &place, &w->fanout, err);
}

static int check_accept(const struct settings *s, struct err *err)
{
	_cleanup_buf_ struct buf notes = BUF_INIT(BOUND_ERROR_TEXT * 4);
	int rc = serial_open(s, &notes, err);

	for (const char *line = notes.data; *line != '\0'; line += strcspn(line, "\n") + 1)
		log_warning("%.*s", (int)strcspn(line, "\n"), line);
	return rc;
}

/* What tasks with a row need. */
static int open_stored(struct worker *w, struct err *err)
{
	const struct settings *s = &w->settings;
	int rc;

	if (s->database_url == NULL || s->database_url[0] == '\0') {
		log_warning("DATABASE_URL is not set: sandbox and tool tasks are not offered");
		return 0;
	}
	if ((rc = seal_keys_parse(s->secrets_encryption_key, &w->seal_keys, err)) < 0 ||
	    (rc = plugin_index_open(s->plugin_dir, &w->plugins, err)) < 0 ||
	    (rc = way_out_open(s, &w->way_out, err)) < 0 ||
	    (rc = store_open(s, &w->store, err)) < 0)
		return rc;
	return policy_watch_open(&w->policy, s, w->store, err);
}

static int open_audit(struct worker *w, struct err *err)
{
	const struct audit_limits limits = {.rows = w->settings.audit_rows,
					    .denials = w->settings.audit_burst_denials,
					    .containers = w->settings.audit_burst_containers};
	int rc = audit_open(w->store, &limits, &w->audit, err);

	if (rc == 0)
		login_on_refused(record_login, w);
	return rc;
}

static int open_parts(struct worker *w, struct err *err)
{
	const struct settings *s = &w->settings;
	int rc;

	if (s->broker_url == NULL || s->broker_url[0] == '\0')
		return err_set(err, ERR_INVALID,
			       "no broker: set CELERY_BROKER_URL or use --broker");
	if ((rc = check_accept(s, err)) < 0 ||
	    (rc = timezone_open(s->timezone, s->enable_utc, &w->zone, err)) < 0 ||
	    (rc = registry_load(&w->registry, s, err)) < 0 ||
	    (rc = modules_load(&w->modules, &w->registry, s, err)) < 0 ||
	    (rc = alias_check(&w->registry, s->task_aliases, err)) < 0)
		return rc;
	if ((rc = state_init(&w->state, err)) < 0 || (rc = broker_open(s, &w->broker, err)) < 0 ||
	    (rc = open_shared(w, err)) < 0 || (rc = open_backend(w, err)) < 0)
		return rc;
	lanes_init(&w->lanes);
	schedule_init(&w->schedule);
	mutex_init(&w->keeper.lock);
	cond_init(&w->keeper.changed);
	mutex_init(&w->services.lock);
	cond_init(&w->services.changed);
	mutex_init(&w->chords.lock);
	cond_init(&w->chords.changed);
	mutex_init(&w->consumer_lock);
	cond_init(&w->consumer_gone);
	mutex_init(&w->restorer.lock);
	cond_init(&w->restorer.changed);
	orders_init(&w->orders);
	outlived_init(&w->outlived);
	limits_init(&w->limits);
	limits_of_registry(&w->limits, &w->registry);
	revoked_init(&w->revoked, (size_t)s->worker_revokes_max, s->worker_revoke_expires);
	if ((rc = autoscaler_init(&w->autoscaler, s->worker_autoscale, err)) < 0 ||
	    (rc = open_fanout(w, err)) < 0)
		return rc;
	rc = open_stored(w, err);
	return rc < 0 ? rc : open_audit(w, err);
}

bool worker_may_retry(struct worker *w, bool at_start, int64_t tries)
{
	const struct settings *s = &w->settings;
	bool retry = at_start ? s->broker_connection_retry_on_startup : s->broker_connection_retry;

	if (retry &&
	    (s->broker_connection_max_retries == 0 || tries <= s->broker_connection_max_retries))
		return true;
	if (!retry)
		log_critical("Retrying to %s the message broker connection has been disabled "
			     "(broker_connection_retry%s=False). Shutting down...",
			     at_start ? "establish" : "re-establish",
			     at_start ? "_on_startup" : "");
	else
		log_critical("the broker was away for %lld tries "
			     "(broker_connection_max_retries). Shutting down...",
			     (long long)tries);
	return false;
}

void worker_give_up(struct worker *w)
{
	atomic_store(&w->gave_up, true);
	kill(getpid(), SIGTERM);
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
	    (rc = keeper_start(w, err)) < 0 || (rc = restorer_start(w, err)) < 0 ||
	    (rc = services_start(w, err)) < 0 ||
	    (w->store && (rc = policy_watch_start(&w->policy, policy_loaded, w, err)) < 0) ||
	    (rc = chord_sweep_start(w, err)) < 0 || (rc = metrics_start(w, err)) < 0 ||
	    (rc = events_start(w, err)) < 0 || (rc = panel_start(w, err)) < 0 ||
	    (rc = broadcast_start(w, err)) < 0)
		return rc;
	return thread_start(&w->consumer, "consumer", consumer_thread, w, err);
}

int worker_start(struct worker *w, int signals, struct err *err)
{
	int rc = open_parts(w, err);
	struct redis_link *link;
	const char *prefix;

	if (rc < 0)
		return rc;
	rc = migrate_at_start(&w->settings, err);
	if (rc < 0)
		return rc;
	rc = lease_join(w, signals, err);
	if (rc == 0)
		rc = broker_join(w->broker, &w->settings, w->at_broker, err);
	if (rc < 0)
		return rc;
	link = shared_state_link(w->shared);
	prefix = shared_state_address(w->shared)->key_prefix;
	if (link != NULL)
		w->quota = quota_new(link, prefix, w->presence);
	if (w->store != NULL) {
		rc = fleet_open(&w->settings, w->held, link, prefix, w->presence, &w->fleet, err);
		if (rc < 0)
			return rc;
		if (shared_state_apart(w->shared) && broker_link(w->broker) != NULL)
			fleet_route_at(w->fleet, broker_link(w->broker),
				       broker_address(w->broker)->key_prefix);
		for (size_t i = 0; i < fleet_count(w->fleet); i++)
			sandbox_on_event(fleet_at(w->fleet, i), record_container, w);
		rc = broker_route_begin(w->broker, w->at_broker, err);
		if (rc < 0)
			return rc;
		w->mcp = mcp_sessions_new(w->fleet, w->way_out.outbound, w->settings.mcp_max,
					  w->settings.sandbox_idle_timeout);
	}
	rc = purge(w, err);
	if (rc < 0)
		return rc;
	revoked_learn(w); /* before the first message */
	rc = modules_start(&w->modules, err);
	if (rc < 0)
		return rc;
	w->started = clock_mono();
	rc = start_threads(w, err);
	if (rc == 0)
		log_info("%s ready.", w->settings.worker_hostname);
	return rc;
}
