/*
 * content.h: the table of content types (kombu/serialization.py), and the reader and writer of
 * each.
 *
 * Whatever the bytes are, values come out as JSON as Python writes it (json.h, typed.h), at most
 * BOUND_JSON_DEPTH deep. All [any].
 */
#ifndef CELERIAC_WIRE_CONTENT_H
#define CELERIAC_WIRE_CONTENT_H

#include <jansson.h>

#include "buf.h"
#include "err.h"
#include "message.h"

typedef int content_read_fn(const char *data, size_t len, json_t **ret, struct err *err);
typedef int content_write_fn(const json_t *value, struct buf *out, struct err *err);

struct content_type {
	const char *name;     /* of the serializer, as accept_content may call it */
	const char *mime;     /* content-type */
	const char *encoding; /* content-encoding */
	content_read_fn *read;
	content_write_fn *write; /* appends */
	bool trusted;		 /* read whatever accept_content says: no more than a string */
	bool refused;		 /* never read: reading it runs code of the sender */
};

/* MESSAGE_OK with the row to read by, or why not. */
enum message_verdict content_check(const char *mime, const char *encoding,
				   const struct str_list *accept, const struct content_type **ret,
				   struct err *err) must_check;
/* Whether it is the name or MIME type of what is never read: pickle. */
bool content_refused(const char *name);
/* The row to write by, by name or MIME type; NULL when nothing is written so. */
const struct content_type *content_find(const char *name);

content_read_fn json_body_read, yaml_read, msgpack_read, raw_read, auth_read;
content_write_fn json_body_write, yaml_write, msgpack_write, raw_write, auth_write;

/* As auth_read, and who signed (borrowed for the life of the process), set when the signature is
 * good. ERR_DENIED: nobody who may; ERR_UNSUPPORTED: signed, but of a type that is not read. */
int auth_open(const char *data, size_t len, json_t **ret, const char **ret_signer,
	      struct err *err) must_check;
/* Signs JSON text: appends the body. */
int auth_wrap(struct slice body, struct buf *out, struct err *err) must_check;

#endif
