/*
 * wire.h: what the files of this family share: kombu's virtual envelope, and the steps of reading a
 * message.
 */
#ifndef CELERIAC_WIRE_H
#define CELERIAC_WIRE_H

#include <jansson.h>

#include "buf.h"
#include "err.h"
#include "message.h"

/* ---- envelope.c: the outer JSON object of kombu's virtual transports
 * (kombu/transport/virtual/base.py) ---- */
struct envelope {
	json_t *root;				     /* owns what is borrowed below */
	json_t *headers;			     /* object, made when absent */
	json_t *properties;			     /* likewise */
	const char *content_type, *content_encoding; /* "" when absent */
};
/* ERR_INVALID or ERR_TOOBIG: it is none. To be released with envelope_done, also after a failure.
 */
int envelope_parse(const char *data, size_t len, struct envelope *ret, struct err *err) must_check;
/* Appends the body's bytes, decoded as `body_encoding` says, and drops it from the envelope. */
int envelope_take_body(struct envelope *e, struct buf *out, struct err *err) must_check;
void envelope_done(struct envelope *e);
/* Wraps up a body: appends the whole envelope. `headers` and `properties` are borrowed; the
 * properties that only the envelope knows (body_encoding, delivery_tag) are added to them. */
int envelope_write(const char *content_type, const json_t *headers, json_t *properties,
		   struct slice body, struct buf *out, struct err *err) must_check;

/* ---- message_fields.c: headers and properties into the fields of a message ---- */
int message_read_fields(struct message *m, struct err *err) must_check;

/* ---- message_v1.c: protocol 1 and the hybrid (celery/worker/strategy.py) ---- */
/* Is this body one of them? */
bool message_is_v1(const struct message *m);
/* Rewrites headers and body as protocol 2 has them. ERR_INVALID. */
int message_from_v1(struct message *m, struct err *err) must_check;

#endif
