/*
 * The events thread: heartbeats, and whatever was queued, in batches when there is much of it. See
 * events.h.
 */
#include "events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "event.h"
#include "fanout.h"
#include "log.h"
#include "mem.h"
#include "worker.h"

#define BATCH	      24		   /* events in one message (celery's buffer_limit) */
#define BATCH_WAIT    (50 * USEC_PER_MSEC) /* between two batches, unless one is full */
#define BACKLOG	      64		   /* messages the broker has not taken: more waits here */
#define BACKLOG_RETRY (10 * USEC_PER_MSEC)

struct event_item {
	struct event_item *next;
	char type[24];
	size_t len;
	char json[];
};

/* What one round of the thread keeps in mind. */
struct sending {
	usec_t next_batch, next_heartbeat;
	bool online; /* worker-online was said since the link came up */
};

static void drop_oldest_locked(struct events *e) REQUIRES(e->lock)
{
	struct event_item *oldest = e->first;

	e->first = oldest->next;
	if (e->first == NULL)
		e->last = &e->first;
	e->count--;
	e->bytes -= oldest->len;
	free(oldest);
	atomic_fetch_add(&e->dropped, 1);
}

struct event_item *events_item(struct worker *w, const char *type, const struct buf *json)
{
	struct event_item *item;

	if (json->failed != 0) {
		atomic_fetch_add(&w->events.dropped, 1);
		return NULL;
	}
	item = xmalloc(sizeof(*item) + json->len + 1);
	item->next = NULL;
	snprintf(item->type, sizeof(item->type), "%s", type);
	item->len = json->len;
	memcpy(item->json, json->data, json->len + 1);
	return item;
}

void events_append(struct event_item **list, struct event_item *item)
{
	while (*list != NULL)
		list = &(*list)->next;
	*list = item;
}

static void queue_one(struct worker *w, struct event_item *item)
{
	struct events *e = &w->events;

	mutex_lock(&e->lock);
	while (e->first != NULL &&
	       (e->count >= BOUND_EVENTS || e->bytes + item->len > BOUND_EVENTS_BYTES)) {
		drop_oldest_locked(e);
	}
	*e->last = item;
	e->last = &item->next;
	e->count++;
	e->bytes += item->len;
	if (e->count == 1 || e->count == BATCH)
		cond_signal(&e->changed);
	mutex_unlock(&e->lock);
}

void events_queue(struct worker *w, struct event_item *item)
{
	while (item != NULL) {
		struct event_item *next = item->next;

		item->next = NULL;
		queue_one(w, item);
		item = next;
	}
}

static void publish(struct worker *w, const char *routing_key, struct slice body)
{
	_cleanup_buf_ struct buf envelope = BUF_INIT(BOUND_REDIS_COMMAND);
	struct err err = {0};

	if (event_envelope(w->settings.event_serializer, body, w->settings.event_exchange,
			   routing_key, w->settings.worker_hostname, &envelope, &err) < 0) {
		log_debug("event not sent: %s", err.msg);
		return;
	}
	fanout_publish(w->fanout, w->settings.event_exchange, routing_key,
		       (struct slice){envelope.data, envelope.len});
}

/* "task-received" as a routing key. */
static void publish_one(struct worker *w, const char *type, struct slice body)
{
	char routing_key[32];

	snprintf(routing_key, sizeof(routing_key), "%s", type);
	for (char *c = routing_key; *c != '\0'; c++) {
		if (*c == '-')
			*c = '.';
	}
	publish(w, routing_key, body);
}

/* At most BATCH events off the queue. */
static struct event_item *take_batch(struct events *e, size_t *ret_count)
{
	struct event_item *list, *last = NULL;
	size_t count = 0;

	mutex_lock(&e->lock);
	list = e->first;
	while (e->first != NULL && count < BATCH) {
		last = e->first;
		e->first = last->next;
		e->count--;
		e->bytes -= last->len;
		count++;
	}
	if (e->first == NULL)
		e->last = &e->first;
	mutex_unlock(&e->lock);
	if (last != NULL)
		last->next = NULL;
	*ret_count = count;
	return list;
}

static void send_batch(struct worker *w)
{
	_cleanup_buf_ struct buf body = BUF_INIT(BOUND_REDIS_COMMAND);
	size_t count;
	struct event_item *item = take_batch(&w->events, &count), *next;

	if (count == 1)
		publish_one(w, item->type, (struct slice){item->json, item->len});
	for (const char *before = "["; item != NULL; item = next, before = ", ") {
		next = item->next;
		buf_append_str(&body, before);
		buf_append(&body, item->json, item->len);
		free(item);
	}
	buf_append_char(&body, ']');
	if (count > 1)
		publish(w, "task.multi", (struct slice){body.data, body.len});
}

static void send_worker_event(struct worker *w, const char *type, usec_t freq)
{
	_cleanup_buf_ struct buf json = BUF_INIT(BOUND_EVENT_BYTES);
	double load[3] = {0};

	if (getloadavg(load, 3) < 0)
		memset(load, 0, sizeof(load));
	event_begin(&json, type, w->settings.worker_hostname, lamport_forward(&w->clock));
	event_add_double(&json, "freq", (double)freq / (double)USEC_PER_SEC);
	event_add_int(&json, "active", (int64_t)atomic_load(&w->state.active_count));
	event_add_int(&json, "processed", (int64_t)atomic_load(&w->state.accepted_count));
	buf_appendf(&json, ", \"loadavg\": [%.2f, %.2f, %.2f]", load[0], load[1], load[2]);
	event_add_str(&json, "sw_ident", "celeriac");
	event_add_str(&json, "sw_ver", CELERIAC_VERSION);
	event_add_str(&json, "sw_sys", "Linux");
	event_end(&json);
	publish_one(w, type, (struct slice){json.data, json.len});
}

void events_heartbeat(struct worker *w)
{
	if (w->events.started)
		send_worker_event(w, "worker-heartbeat", w->settings.worker_heartbeat_interval);
}

/* worker-online whenever the broker is there (again), heartbeats from then on. */
static void beat(struct worker *w, struct sending *s, usec_t now)
{
	usec_t interval = w->settings.worker_heartbeat_interval;

	if (w->settings.worker_without_heartbeat || now < s->next_heartbeat)
		return;
	if (!fanout_up(w->fanout)) {
		s->online = false;
		s->next_heartbeat = now + 100 * USEC_PER_MSEC;
		return;
	}
	send_worker_event(w, s->online ? "worker-heartbeat" : "worker-online", interval);
	s->online = true;
	s->next_heartbeat = now + interval;
}

/* When the thread has something to do again. */
static usec_t next_wake_locked(const struct events *e, const struct sending *s, usec_t now)
	REQUIRES(e->lock)
{
	usec_t at = s->next_heartbeat != 0 ? s->next_heartbeat : now + USEC_PER_SEC;

	if (e->count >= BATCH)
		return now;
	return e->count > 0 && s->next_batch < at ? s->next_batch : at;
}

static void work(struct worker *w, struct sending *s)
{
	usec_t now;

	fanout_prepare(w->fanout, w->settings.event_exchange);
	now = clock_mono();
	beat(w, s, now);
	if (fanout_backlog(w->fanout) > BACKLOG) {
		s->next_batch = now + BACKLOG_RETRY;
		return;
	}
	send_batch(w);
	s->next_batch = now + BATCH_WAIT;
}

static void *events_thread(void *arg)
{
	struct worker *w = arg;
	struct events *e = &w->events;
	struct sending s = {0};

	mutex_lock(&e->lock);
	while (!e->stopping) {
		usec_t now = clock_mono();
		usec_t at = next_wake_locked(e, &s, now);

		if (at > now && cond_wait_until(&e->changed, &e->lock, at))
			continue;
		mutex_unlock(&e->lock);
		work(w, &s);
		mutex_lock(&e->lock);
	}
	while (e->count > 0 && fanout_backlog(w->fanout) < BOUND_EVENTS / BATCH) {
		mutex_unlock(&e->lock);
		send_batch(w);
		mutex_lock(&e->lock);
	}
	mutex_unlock(&e->lock);
	if (!w->settings.worker_without_heartbeat)
		send_worker_event(w, "worker-offline", w->settings.worker_heartbeat_interval);
	return NULL;
}

bool events_enable(struct worker *w, bool on)
{
	return atomic_exchange(&w->events.tasks, on) != on;
}

int events_start(struct worker *w, struct err *err)
{
	struct events *e = &w->events;
	int rc;

	mutex_init(&e->lock);
	cond_init(&e->changed);
	e->last = &e->first;
	atomic_store(&e->tasks, w->settings.worker_send_task_events);
	rc = thread_start(&e->thread, "events", events_thread, w, err);
	e->started = rc == 0;
	return rc;
}

void events_stop(struct worker *w)
{
	struct events *e = &w->events;

	if (!e->started)
		return;
	mutex_lock(&e->lock);
	e->stopping = true;
	cond_signal(&e->changed);
	mutex_unlock(&e->lock);
	pthread_join(e->thread, NULL);
	e->started = false;
}
