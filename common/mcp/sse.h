/*
 * sse.h: server-sent events taken apart. Pure: knows no sockets. Private to common/mcp.
 *
 * HTML's "Server-sent events", §9.2.6: UTF-8 with an optional byte order mark; lines end with CR,
 * LF or both; comments and unknown fields are passed over; several data lines become one text.
 */
#ifndef CELERIAC_MCP_SSE_H
#define CELERIAC_MCP_SSE_H

#include "buf.h"

#define SSE_TYPE_BYTES 64
#define SSE_ID_BYTES   1024

struct sse {
	char id[SSE_ID_BYTES + 1]; /* of the last event, "" = none: what Last-Event-ID says */
	int64_t retry_ms;	   /* as the server last said, -1 = never */

	/* private */
	struct buf line, data;
	char type[SSE_TYPE_BYTES + 1];
	char next_id[SSE_ID_BYTES + 1];
	bool has_data, after_cr, began;
};

/* An event with data; `type` is "message" where the server says none. Borrowed. A negative return
 * ends the feeding with it. */
typedef int sse_event_fn(void *arg, const char *type, const char *data, size_t len,
			 struct err *err);

/* `limit`: bytes of one line, and of one event's data. */
void sse_init(struct sse *s, size_t limit);
/* ERR_TOOBIG, or what the function said. */
int sse_feed(struct sse *s, const char *data, size_t len, sse_event_fn *event, void *arg,
	     struct err *err) must_check;
void sse_done(struct sse *s);

#endif
