/*
 * message.h: one task message of Celery: protocol 2 inside kombu's virtual envelope
 * (celery/app/amqp.py, kombu/transport/virtual/base.py).
 *
 * Pure: bytes in, structure out, and back. Nothing here touches a broker. A message belongs to one
 * thread at a time.
 */
#ifndef CELERIAC_MESSAGE_H
#define CELERIAC_MESSAGE_H

#include <jansson.h>

#include "buf.h"
#include "err.h"
#include "settings.h"

/* Why a message cannot be run, and so what happens to it. */
enum message_verdict {
	MESSAGE_OK,
	MESSAGE_UNDECODABLE, /* not JSON, not an object, body not base64 …: to the dead letters */
	MESSAGE_DISALLOWED,  /* pickle, or a content type that is not accepted: rejected, nothing
				stored */
	MESSAGE_INVALID /* decoded, but not a task: no `task` or `id`, args not a list …: to the
			   dead letters */
};

/* Strings are borrowed from the JSON the message owns, "" or NULL as said. */
struct message {
	json_t *headers;			 /* object */
	json_t *properties;			 /* object */
	json_t *args;				 /* array */
	json_t *kwargs;				 /* object */
	json_t *embed;				 /* object: callbacks, errbacks, chain, chord */
	const char *id, *task;			 /* never NULL when MESSAGE_OK */
	const char *shadow;			 /* display name, or NULL */
	const char *root_id, *parent_id, *group; /* or NULL */
	const char *reply_to;			 /* or NULL */
	const char *exchange, *routing_key;	 /* of delivery_info, "" when absent */
	int64_t retries;
	int priority;			    /* 0-9 */
	usec_t eta, expires;		    /* wall, 0 = none */
	usec_t time_limit, soft_time_limit; /* 0 = default */
	int ignore_result;		    /* -1 not said, 0, 1 */
	bool redelivered;
	json_t *root; /* owns everything above */
	json_t *body; /* likewise */
};

/*
 * Reads an envelope. `accept`: the content types or serializer names that may run (accept_content).
 * On success MESSAGE_OK and *ret given (message_free). Otherwise the verdict, with `err` saying
 * what was wrong, and, for MESSAGE_INVALID and MESSAGE_DISALLOWED, what could be read in `ret_id`
 * and `ret_task` ("" if nothing; each BOUND_TASK_NAME_BYTES + 1 bytes). Every limit is named in
 * bounds.h. [any]
 */
enum message_verdict message_decode(const char *data, size_t len, const struct str_list *accept,
				    struct message **ret, char *ret_id, char *ret_task,
				    struct err *err) must_check;
void message_free(struct message *m);

/* What a producer says; the rest gets Celery's defaults. Borrowed. */
struct message_out {
	const char *task;		 /* required */
	const char *id;			 /* required */
	const char *queue;		 /* required: routing key on the anonymous exchange */
	const json_t *args;		 /* array, NULL = [] */
	const json_t *kwargs;		 /* object, NULL = {} */
	const json_t *embed;		 /* object, NULL = all null */
	const json_t *headers;		 /* further headers, put over the defaults; or NULL */
	const char *root_id, *parent_id; /* NULL: root = id, parent null */
	const char *reply_to;		 /* NULL = "" */
	const char *origin;		 /* "gen123@host", or NULL */
	int64_t retries;
	int priority;
	usec_t eta, expires; /* wall, 0 = none */
	bool ignore_result;
};
/* Appends the envelope, byte for byte of the shape that Celery 5's Python client makes. [any] */
int message_encode(const struct message_out *m, struct buf *out, struct err *err) must_check;

#endif
