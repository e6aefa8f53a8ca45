/*
 * control.h: messages of Celery's remote control (kombu/pidbox.py): who is asked for what, and the
 * answer.
 *
 * Pure: bytes in, structure out, and back.
 */
#ifndef CELERIAC_CONTROL_H
#define CELERIAC_CONTROL_H

#include <jansson.h>

#include "buf.h"
#include "err.h"
#include "settings.h"

/* Strings and values are borrowed from `root`. */
struct control_request {
	const char *method;
	json_t *arguments; /* object, or NULL when none were sent */
	/* where the reply goes, NULL = none is wanted */
	const char *reply_exchange, *reply_key;
	json_t *ticket; /* of any type, or NULL */
	int64_t clock;	/* 0 = none */
	bool for_us;	/* false: somebody else is asked; only `clock` is set then */
	bool is_signed; /* so is the reply */
	json_t *root;	/* owns it all */
};

/*
 * Reads one request as `node` ("celery@host") sees it, of a type in `accept` (accept_content, as
 * Celery's mailbox does), at most BOUND_CONTROL_BYTES. ERR_DENIED: of another type, or not signed
 * by anybody who may. `reply_exchange` is the only one a reply may be asked to; any other is
 * ERR_DENIED. ERR_INVALID, ERR_TOOBIG, ERR_UNSUPPORTED (a matcher or pattern we cannot). [any]
 */
int control_decode(const char *data, size_t len, const struct str_list *accept, const char *node,
		   const char *reply_exchange, struct control_request *ret,
		   struct err *err) must_check;
void control_request_done(struct control_request *r);

/* The envelope of {node: value}. `value` NULL = null. [any] */
int control_encode_reply(const struct control_request *r, const char *node, const json_t *value,
			 int64_t clock, struct buf *out, struct err *err) must_check;

/*
 * Does `text` match? "glob" as Python's fnmatch; "pcre" as Python's re.match, as far as POSIX
 * extended expressions can say it. ERR_UNSUPPORTED, ERR_TOOBIG. [any]
 */
int control_match(const char *text, const char *pattern, const char *matcher, bool *ret,
		  struct err *err) must_check;

#endif
