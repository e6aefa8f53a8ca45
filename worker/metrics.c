/*
 * /metrics for Prometheus, /healthz (the process answers) and /readyz (messages may be claimed), on
 * CELERIAC_METRICS.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "audit.h"
#include "bounds.h"
#include "clock.h"
#include "log.h"
#include "mem.h"
#include "worker.h"

#define CONNECTIONS  16
#define IDLE_SECONDS 10
#define PAGE_BYTES   (64u << 10)

struct metrics {
	struct MHD_Daemon *daemon;
};

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
	 "Messages in celeriac:dead that made room for others."},
	{COUNT_CLAIMS, "celeriac_claims_total", "Round trips that asked the broker for messages."},
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

static unsigned long long ready(struct worker *w)
{
	struct readiness r;

	return worker_readiness(w, &r) && r.consumer;
}

static unsigned long long events_dropped(struct worker *w)
{
	return atomic_load(&w->events.dropped);
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
	{"celeriac_ready", "gauge", "Whether messages are claimed.", ready},
	{"celeriac_events_dropped_total", "counter", "Events that nobody will see.",
	 events_dropped},
};

static void write_metric(struct buf *out, const char *name, const char *labels, const char *type,
			 const char *help, unsigned long long value)
{
	buf_appendf(out, "# HELP %s %s\n# TYPE %s %s\n%s%s %llu\n", name, help, name, type, name,
		    labels, value);
}

static void write_metrics(struct worker *w, struct buf *out)
{
	for (size_t i = 0; i < ARRAY_LEN(counters); i++)
		write_metric(out, counters[i].name, "", "counter", counters[i].help,
			     atomic_load(&w->state.counters[counters[i].counter]));
	for (size_t i = 0; i < ARRAY_LEN(asked); i++)
		write_metric(out, asked[i].name, "", asked[i].type, asked[i].help,
			     asked[i].value(w));
	write_metric(out, "celeriac_build_info", "{version=\"" CELERIAC_VERSION "\"}", "gauge",
		     "Version.", 1);
}

static bool write_readiness(struct worker *w, struct buf *out)
{
	struct readiness r;
	bool ready = worker_readiness(w, &r) && r.consumer && !atomic_load(&w->stopping);

	buf_appendf(out, "broker %s\nbackend %s\ndatabase %s\nengine %s\nconsumer %s\n",
		    r.broker ? "up" : "away", r.backend ? "up" : "away", r.store ? "up" : "away",
		    r.engine ? "up" : "away", r.consumer ? "connected" : "not connected");
	return ready;
}

static enum MHD_Result respond(struct MHD_Connection *connection, unsigned status, struct buf *page)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(page->len, page->data, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result rc;

	if (response == NULL)
		return MHD_NO;
	MHD_add_response_header(response, "Content-Type",
				"text/plain; version=0.0.4; charset=utf-8");
	rc = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return rc;
}

static enum MHD_Result handle(void *cls, struct MHD_Connection *connection, const char *url,
			      const char *method, const char *version unused_arg,
			      const char *data unused_arg, size_t *size unused_arg,
			      void **state unused_arg)
{
	_cleanup_buf_ struct buf page = BUF_INIT(PAGE_BYTES);
	struct worker *w = cls;
	unsigned status = MHD_HTTP_OK;

	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
		status = MHD_HTTP_METHOD_NOT_ALLOWED;
	} else if (strcmp(url, "/metrics") == 0) {
		write_metrics(w, &page);
	} else if (strcmp(url, "/healthz") == 0) {
		buf_append_str(&page, "ok\n");
	} else if (strcmp(url, "/readyz") == 0) {
		status = write_readiness(w, &page) ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
	} else {
		status = MHD_HTTP_NOT_FOUND;
	}
	return respond(connection, status, &page);
}

/* "host:port", IPv4 or a bracketed IPv6 address; never a name that needs a resolver. */
static int parse_listen(const char *text, struct sockaddr_storage *ret, struct err *err)
{
	const char *colon = strrchr(text, ':');
	_cleanup_free_ char *host = NULL;
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
				 .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;

	if (colon == NULL)
		return err_set(err, ERR_INVALID, "CELERIAC_METRICS: '%s' is not address:port",
			       text);
	host = text[0] == '[' && colon > text + 1 ? xstrndup(text + 1, (size_t)(colon - text) - 2)
						  : xstrndup(text, (size_t)(colon - text));
	if (strlen(colon + 1) > 5 || atoi(colon + 1) > UINT16_MAX ||
	    getaddrinfo(host[0] ? host : NULL, colon + 1, &hints, &found) != 0)
		return err_set(err, ERR_INVALID, "CELERIAC_METRICS: '%s' is not address:port",
			       text);
	memcpy(ret, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	return 0;
}

int metrics_check(const struct settings *s, struct err *err)
{
	struct sockaddr_storage address;

	return s->metrics && s->metrics[0] ? parse_listen(s->metrics, &address, err) : 0;
}

int metrics_start(struct worker *w, struct metrics **ret, struct err *err)
{
	struct sockaddr_storage address = {0};
	struct metrics *m;
	unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_AUTO;
	int rc;

	*ret = NULL;
	if (w->settings.metrics == NULL || w->settings.metrics[0] == '\0')
		return 0;
	rc = parse_listen(w->settings.metrics, &address, err);
	if (rc < 0)
		return rc;
	if (address.ss_family == AF_INET6)
		flags |= MHD_USE_IPv6;
	m = xcalloc(1, sizeof(*m));
	errno = 0;
	m->daemon = MHD_start_daemon(flags, 0, NULL, NULL, handle, w, MHD_OPTION_SOCK_ADDR,
				     (struct sockaddr *)&address, MHD_OPTION_CONNECTION_LIMIT,
				     (unsigned)CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
				     (unsigned)IDLE_SECONDS, MHD_OPTION_END);
	if (m->daemon == NULL) {
		int reason = errno;

		free(m);
		if (reason == EADDRINUSE)
			return err_set(
				err, ERR_FAILED,
				"cannot listen on CELERIAC_METRICS %s: the address is in use "
				"(each worker of a machine needs its own; empty = none)",
				w->settings.metrics);
		return err_set_errno(err, ERR_FAILED, reason,
				     "cannot listen on CELERIAC_METRICS %s", w->settings.metrics);
	}
	*ret = m;
	return 0;
}

void metrics_stop(struct metrics *m)
{
	if (m == NULL)
		return;
	MHD_stop_daemon(m->daemon);
	free(m);
}
