/*
 * reply.h: a result as a message to who sent the task (celery/backends/rpc.py).
 */
#ifndef CELERIAC_REPLY_H
#define CELERIAC_REPLY_H

#include <jansson.h>

#include "buf.h"
#include "err.h"

/* Appends the envelope of `meta` for the queue `reply_to`; `serializer` as in serial_known;
 * `persistent`: it outlives the server. ERR_TOOBIG, ERR_UNSUPPORTED. Pure. [any] */
int reply_encode(const char *serializer, const json_t *meta, bool persistent, const char *reply_to,
		 const char *correlation_id, struct buf *out, struct err *err) must_check;

#endif
