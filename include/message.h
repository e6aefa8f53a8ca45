/*
 * message.h: one task message of Celery: protocol 2 inside kombu's virtual envelope
 * (celery/app/amqp.py, kombu/transport/virtual/base.py). Protocol 1 is read too, and looks the same
 * afterwards. Bodies may be JSON, YAML or MessagePack, compressed or not, signed or not
 * (security.h); the values in them are JSON (json.h), and what JSON has no type for is as kombu
 * writes it there (typed.h).
 *
 * Pure: bytes in, structure out, and back. Nothing here touches a broker. A message belongs to one
 * thread at a time.
 */
#ifndef CELERIAC_MESSAGE_H
#define CELERIAC_MESSAGE_H

#include <jansson.h>

#include "buf.h"
#include "err.h"
#include "mem.h"
#include "settings.h"

/* Why a message cannot be run, and so what happens to it. */
enum message_verdict {
	MESSAGE_OK,
	MESSAGE_UNDECODABLE, /* not JSON, not an object, body not base64, damaged compression …: to
				the dead letters */
	MESSAGE_DISALLOWED,  /* pickle, or a content type that is not accepted: rejected, nothing
				stored */
	MESSAGE_UNTRUSTED,   /* not signed by anybody who may: likewise */
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
	int64_t group_index;			 /* -1: none */
	const char *reply_to;			 /* or NULL */
	const char *serializer;			 /* "json", "yaml", "msgpack" … */
	const char *compression;		 /* MIME type, or NULL */
	const json_t *stamped_headers;		 /* array of names, or NULL */
	const json_t *stamps;			 /* object, or NULL */
	const char *exchange, *routing_key;	 /* of delivery_info, "" when absent */
	int64_t retries;
	int priority;			    /* 0-9 */
	usec_t eta, expires;		    /* wall, 0 = none */
	usec_t time_limit, soft_time_limit; /* 0 = default */
	int ignore_result;		    /* -1 not said, 0, 1 */
	const char *traceparent;	    /* W3C trace context, a valid one, or NULL */
	const char *tracestate;		    /* with it, or NULL */
	const char *signer;		    /* id of the certificate that signed it, or NULL */
	bool redelivered;		    /* a worker that had it before did not settle it */
	json_t *root;			    /* owns everything above */
	json_t *body;			    /* likewise */
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
static inline void cleanup_message_p(struct message **m)
{
	message_free(*m);
}
#define _cleanup_message_ _cleanup_(cleanup_message_p)
/* The name in logs, events and lists: the shadow, if it has one. */
static inline const char *message_shown_name(const struct message *m)
{
	return m->shadow != NULL && *m->shadow != '\0' ? m->shadow : m->task;
}

/* What a producer says; the rest gets Celery's defaults. Borrowed. */
struct message_out {
	const char *task;  /* required */
	const char *id;	   /* required */
	const char *queue; /* routing key on the anonymous exchange; required unless `exchange` */
	const char *exchange,
		*routing_key;	  /* both, instead of `queue`: a named exchange; or NULL */
	const json_t *args;	  /* array, NULL = [] */
	const json_t *kwargs;	  /* object, NULL = {} */
	const json_t *embed;	  /* object, NULL = all null */
	const json_t *headers;	  /* further headers, put over everything else said here; or NULL */
	const json_t *properties; /* further properties, likewise; or NULL */
	const char *shadow;	  /* or NULL */
	const char *group;	  /* or NULL */
	const json_t *group_index;		    /* an int, or NULL */
	const char *root_id, *parent_id;	    /* NULL: root = id, parent null */
	const json_t *time_limit, *soft_time_limit; /* numbers of seconds, or NULL */
	const json_t *stamped_headers, *stamps;	    /* array and object, or NULL */
	const char *reply_to;			    /* NULL = "" */
	const char *origin;			    /* "gen123@host", or NULL: this process */
	const char *serializer;			    /* name or MIME type; NULL = task_serializer */
	const char *compression;		    /* alias or MIME type; NULL = none */
	int64_t retries, replaced_task_nesting;
	int priority;
	int delivery_mode;   /* 0 = 2, persistent */
	usec_t eta, expires; /* wall, 0 = none */
	int ignore_result;   /* 0: not said, 1: true, -1: false */
	bool args_tuple;     /* argsrepr shows a tuple, as Celery passes arguments on */
};
/* Appends the envelope, byte for byte of the shape that Celery 5's Python client makes. [any] */
int message_encode(const struct message_out *m, struct buf *out, struct err *err) must_check;

/*
 * What to publish so that `m` runs again under its own id (Task.retry in celery/app/task.py): every
 * header and option is kept, so are serializer and compression; what only the delivery added goes.
 * `ret` borrows from `m` and from *ret_headers, which is given (json_decref when published). Wall
 * `eta`, 0 = at once. [any]
 */
int message_retry(const struct message *m, int64_t retries, usec_t eta, json_t **ret_headers,
		  struct message_out *ret, struct err *err) must_check;

#endif
