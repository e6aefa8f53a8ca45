/*
 * event.h: the bodies and envelopes of Celery's events (celery/events/event.py, dispatcher.py) and
 * the logical clock that orders them (kombu/clocks.py).
 *
 * Pure, but for the time. An event is text as soon as it happens, so that it may travel between
 * threads.
 */
#ifndef CELERIAC_EVENT_H
#define CELERIAC_EVENT_H

#include <stdatomic.h>

#include "buf.h"
#include "err.h"

/* Lamport's clock. [any] */
struct lamport {
	atomic_int_fast64_t value;
};
/* Before something is sent; the value to send. */
int64_t lamport_forward(struct lamport *c);
/* After something was received; what no clock can have counted to is not believed. */
int64_t lamport_adjust(struct lamport *c, int64_t other);
int64_t lamport_value(const struct lamport *c);

/* One event: begin, fields, end. Appending never fails here: `out` says so in the end. [any] */
void event_begin(struct buf *out, const char *type, const char *hostname, int64_t clock);
void event_add_str(struct buf *out, const char *key, const char *value); /* NULL = null */
void event_add_text(struct buf *out, const char *key, struct slice value);
void event_add_int(struct buf *out, const char *key, int64_t value);
void event_add_double(struct buf *out, const char *key, double value);
void event_add_bool(struct buf *out, const char *key, bool value);
void event_add_null(struct buf *out, const char *key);
/* `json` is one complete JSON value. */
void event_add_raw(struct buf *out, const char *key, const char *json);
void event_end(struct buf *out);

/* The envelope of one event, or of an array of them; `routing_key` as "task.multi"; `serializer`
 * json or auth. [any] */
int event_envelope(const char *serializer, struct slice body, const char *exchange,
		   const char *routing_key, const char *hostname, struct buf *out,
		   struct err *err) must_check;

#endif
