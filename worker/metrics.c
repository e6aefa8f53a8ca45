/*
 * metrics.c: what the worker's pages say: its own counters, those of metrics.h, and whether
 * messages may be claimed.
 */
#include "metrics.h"

#include "audit.h"
#include "pages.h"
#include "worker.h"

#define SETTING "CELERIAC_METRICS"

static const struct {
	enum counter counter;
	const char *name, *help;
} counters[] = {
	{COUNT_RECEIVED, "celeriac_messages_received_total", "Messages claimed from the broker."},
	{COUNT_SUCCEEDED, "celeriac_tasks_succeeded_total", "Tasks that ended in SUCCESS."},
	{COUNT_FAILED, "celeriac_tasks_failed_total", "Tasks that ended in FAILURE."},
	{COUNT_REJECTED, "celeriac_messages_rejected_total",
	 "Messages that went to the dead letters."},
	{COUNT_UNKNOWN, "celeriac_tasks_unregistered_total",
	 "Messages that named an unknown task."},
	{COUNT_EXPIRED, "celeriac_tasks_expired_total", "Tasks that came after their expiry."},
	{COUNT_REVOKED, "celeriac_tasks_revoked_total", "Tasks that were revoked or terminated."},
	{COUNT_REQUEUED, "celeriac_messages_requeued_total", "Messages given back unrun."},
	{COUNT_RESTORED, "celeriac_messages_restored_total", "Messages of dead workers put back."},
	{COUNT_FORGOTTEN, "celeriac_messages_forgotten_total",
	 "Messages in celeriac:dead that made room for others; RabbitMQ does not count those of "
	 "its "
	 "queue celeriac.dead."},
	{COUNT_ROUTED, "celeriac_calls_routed_total",
	 "Calls given to the node that has their conversation."},
	{COUNT_CLAIMS, "celeriac_claims_total", "Round trips that asked the broker for messages."},
	{COUNT_RENEWED, "celeriac_messages_renewed_total",
	 "Messages held whose visibility was extended, each time."},
	{COUNT_REDELIVERED, "celeriac_messages_redelivered_total",
	 "Messages claimed that had been delivered before."},
};

static unsigned long long undeliverable(struct worker *w)
{
	return broker_undeliverable(w->broker);
}

static unsigned long long held(struct worker *w)
{
	return atomic_load(&w->state.held_count) + schedule_count(&w->schedule);
}

static unsigned long long scheduled(struct worker *w)
{
	return schedule_count(&w->schedule);
}

static unsigned long long active(struct worker *w)
{
	return atomic_load(&w->state.active_count);
}

static unsigned long long threads(struct worker *w)
{
	return pool_size(&w->pool);
}

static unsigned long long ready(struct worker *w)
{
	struct readiness r;

	return worker_readiness(w, &r) && r.consumer;
}

static unsigned long long refused_queues(struct worker *w)
{
	unsigned long long count = 0;
	size_t at = 0;

	while (broker_next_refused(w->broker, &at) != NULL)
		count++;
	return count;
}

static unsigned long long audit_drops(struct worker *w)
{
	return audit_dropped(w->audit);
}

static unsigned long long events_dropped(struct worker *w)
{
	return atomic_load(&w->events.dropped);
}

static unsigned long long dead_letters(struct worker *w)
{
	return (unsigned long long)atomic_load(&w->state.dead_letters);
}

/* What is not counted here but asked of its owner. */
static const struct asked {
	const char *name, *type, *help;
	unsigned long long (*value)(struct worker *w);
} asked[] = {
	{"celeriac_messages_undeliverable_total", "counter",
	 "Follow-ups for exchanges that no queue was bound to.", undeliverable},
	{"celeriac_messages_held", "gauge", "Messages held unacked.", held},
	{"celeriac_tasks_scheduled", "gauge",
	 "Of them, those that wait in the broker for their time or turn.", scheduled},
	{"celeriac_tasks_active", "gauge", "Tasks running now.", active},
	{"celeriac_pool_threads", "gauge", "Threads that run tasks.", threads},
	{"celeriac_dead_letters", "gauge",
	 "Dead letters of all workers, in the list celeriac:dead or, on RabbitMQ without a Redis, "
	 "in "
	 "the queue celeriac.dead; counted every 10 s.",
	 dead_letters},
	{"celeriac_ready", "gauge", "Whether messages are claimed.", ready},
	{"celeriac_queues_refused", "gauge",
	 "Queues that RabbitMQ does not let this worker have; the others are consumed.",
	 refused_queues},
	{"celeriac_audit_dropped_total", "counter", "Audit events that have a line and no row.",
	 audit_drops},
	{"celeriac_events_dropped_total", "counter", "Events that nobody will see.",
	 events_dropped},
};

static void write_page(void *arg, struct buf *out)
{
	struct worker *w = arg;

	for (size_t i = 0; i < ARRAY_LEN(counters); i++)
		metrics_write_one(out, counters[i].name, "", "counter", counters[i].help,
				  atomic_load(&w->state.counters[counters[i].counter]));
	for (size_t i = 0; i < ARRAY_LEN(asked); i++)
		metrics_write_one(out, asked[i].name, "", asked[i].type, asked[i].help,
				  asked[i].value(w));
	for (size_t i = 0; w->fleet && i < fleet_count(w->fleet); i++)
		sandbox_tell_states(fleet_at(w->fleet, i));
	metrics_write(out);
	metrics_write_one(out, "celeriac_build_info", "{version=\"" CELERIAC_VERSION "\"}", "gauge",
			  "Version.", 1);
}

static bool write_readiness(void *arg, struct buf *out)
{
	struct worker *w = arg;
	struct readiness r;
	bool ready = worker_readiness(w, &r) && r.consumer && !atomic_load(&w->stopping);
	const char *refused;
	size_t at = 0;

	if (shared_state_apart(w->shared))
		buf_appendf(out, "state %s\n", r.shared ? "up" : "away");
	buf_appendf(out, "broker %s\nbackend %s\ndatabase %s\nengine %s\nconsumer %s\n",
		    r.broker ? "up" : "away", r.backend ? "up" : "away", r.store ? "up" : "away",
		    r.engine ? "up" : "away", r.consumer ? "connected" : "not connected");
	while ((refused = broker_next_refused(w->broker, &at)) != NULL) {
		buf_appendf(out, "queue:%s refused\n", refused);
		ready = false;
	}
	for (size_t i = 0; w->fleet && fleet_count(w->fleet) > 1 && i < fleet_count(w->fleet); i++)
		buf_appendf(out, "engine:%s %s\n", fleet_address(w->fleet, i),
			    sandbox_ready(fleet_at(w->fleet, i)) ? "up" : "away");
	return ready;
}

int metrics_check(const struct settings *s, struct err *err)
{
	return pages_check(SETTING, s->metrics, err);
}

int metrics_start(struct worker *w, struct err *err)
{
	const struct pages pages = {
		.setting = SETTING, .metrics = write_page, .ready = write_readiness, .arg = w};

	return pages_start(w->settings.metrics, &pages, &w->pages, err);
}

int metrics_ask_ready(const struct settings *s, struct buf *out, struct err *err)
{
	return pages_ask(SETTING, s->metrics, out, err);
}
