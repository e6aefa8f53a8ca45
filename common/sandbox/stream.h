/*
 * stream.h: the output of a run while it is going, as a Redis stream that any client can read and
 * resume by id.
 *
 * Key <prefix>celeriac:stream:<task id>, entries {stream, data, seq}: "stdout" and "stderr" with
 * whole lines, one or more (over-long ones are split), as valid UTF-8, so that all data of a stream
 * one after another is its text; "dropped" with "<stream> <bytes>" for what is missing at this
 * place; "end" with the status, once, as the last one. `seq` counts from 1. It expires STREAM_TTL
 * after the last entry. Beside it <key>:state, a hash {stdout, stderr: bytes of the run's output
 * that are in it, seq, end}, lets another worker go on where the first one died.
 *
 * Nothing here waits for Redis, but to ask where to go on: one batch is on its way at a time, what
 * comes meanwhile is collected, and what is too much is counted as dropped.
 */
#ifndef CELERIAC_SANDBOX_STREAM_H
#define CELERIAC_SANDBOX_STREAM_H

#include "buf.h"
#include "redis.h"

#define STREAM_TTL	     (3600 * USEC_PER_SEC)
#define STREAM_ENTRY_BYTES   8192u	  /* of data; a longer line is split */
#define STREAM_PENDING_BYTES (256u << 10) /* collected while Redis is slow */

/* Where streams go. */
struct stream_store {
	struct redis_link *link; /* NULL = nowhere */
	char *base;		 /* <prefix>celeriac:stream: */
	struct redis_script append;
};
void sandbox_streams_init(struct stream_store *store, struct redis_link *link,
			  const char *key_prefix);
void sandbox_streams_done(struct stream_store *store);

enum stream_side { STREAM_STDOUT, STREAM_STDERR, STREAM_SIDES };
struct sandbox_stream;

/* A run begins, or (`resume`) is followed by one more worker, which will be told its output from
 * the beginning. NULL when there is nobody to tell it to. The other functions take NULL. */
struct sandbox_stream *sandbox_stream_open(struct stream_store *store, const char *task_id,
					   bool resume);
/* Output as it comes. */
void sandbox_stream_add(struct sandbox_stream *s, enum stream_side side, const void *data,
			size_t len);
/* The end of an output of which `dropped` bytes are missing before `tail`. */
void sandbox_stream_tail(struct sandbox_stream *s, enum stream_side side, uint64_t dropped,
			 const void *tail, size_t len);
/* The last entry. Gives the stream away. */
void sandbox_stream_end(struct sandbox_stream *s, const char *status);
/* Without it: somebody else will go on. */
void sandbox_stream_leave(struct sandbox_stream *s);

#endif
