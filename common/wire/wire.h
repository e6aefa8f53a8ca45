/*
 * wire.h: what the files of this family share: kombu's virtual envelope, and the table of content
 * types.
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

/* ---- content.c: content types (kombu/serialization.py) ---- */
struct content_type {
	const char *name; /* of the serializer, as accept_content may call it */
	const char *mime;
	/* Bytes to JSON value; NULL: not in this build. */
	int (*read)(const char *data, size_t len, json_t **ret, struct err *err);
	bool refused; /* whatever accept_content says: reading it runs code of the sender */
};
/* MESSAGE_OK with the row to read by, or why not. */
enum message_verdict content_check(const char *mime, const char *encoding,
				   const struct str_list *accept, const struct content_type **ret,
				   struct err *err) must_check;

/* ---- message_fields.c: headers and properties into the fields of a message ---- */
int message_read_fields(struct message *m, struct err *err) must_check;

#endif
