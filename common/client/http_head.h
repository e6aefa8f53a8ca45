/*
 * http_head.h: the head of an HTTP/1.1 answer, read byte by byte. Pure: knows no sockets.
 *
 * Only for connections that turn into a stream; everything else is libcurl's. Bounded by
 * BOUND_HTTP_HEAD and HTTP_HEAD_LINE. Interim answers (1xx but 101) are passed over.
 */
#ifndef CELERIAC_HTTP_HEAD_H
#define CELERIAC_HTTP_HEAD_H

#include "base.h"
#include "err.h"

#define HTTP_HEAD_LINE 8192

struct http_head {
	int status;
	bool has_length; /* Content-Length was given */
	uint64_t length;
	bool chunked;

	/* private */
	size_t total;
	size_t line_len;
	char line[HTTP_HEAD_LINE];
};

void http_head_init(struct http_head *h);

/*
 * Feeds `len` bytes. 1: the head is complete and *ret_used of these bytes belonged to it, the rest
 * is body. 0: all were used and more is needed. ERR_PROTOCOL, ERR_TOOBIG. [any]
 */
int http_head_feed(struct http_head *h, const char *data, size_t len, size_t *ret_used,
		   struct err *err) must_check;

#endif
