/*
 * egress_head.h: what a sandbox says to the proxy: the head of a request, where its body ends, and
 * the name in a TLS greeting. Pure: knows no sockets.
 */
#ifndef CELERIAC_SANDBOX_EGRESS_HEAD_H
#define CELERIAC_SANDBOX_EGRESS_HEAD_H

#include "buf.h"
#include "outbound.h"

#define EGRESS_HEAD_BYTES  (16u << 10)
#define EGRESS_RUN_HEADER  "Celeriac-Run" /* only we say it */
#define EGRESS_HELLO_BYTES (16u << 10)	  /* of a TLS greeting */

/* ---- the body of a request ---- */
struct egress_body {
	bool chunked;
	uint64_t left; /* bytes of the body, or of the chunk */
	/* chunked: where we are */
	enum {
		CHUNK_SIZE,
		CHUNK_EXTENSION,
		CHUNK_DATA,
		CHUNK_DATA_END,
		CHUNK_TRAILER,
		CHUNK_END
	} at;
	unsigned digits, line; /* of the size; bytes of the line */
	char last;
	bool bad;
};
/* How many of the `len` bytes belong to the body. `bad` is set by what is not chunked coding;
 * nothing belongs to it then. */
size_t egress_body_feed(struct egress_body *b, const char *data, size_t len);
bool egress_body_is_over(const struct egress_body *b);

/* ---- the head ---- */
struct egress_request {
	bool connect;
	char method[24];
	struct outbound_host host;
	uint16_t port;
	char *path;	 /* with its query, begins with a slash; NULL of CONNECT */
	bool old;	 /* HTTP/1.0 */
	struct buf head; /* what goes to the origin instead; of CONNECT nothing */
	size_t headers;	 /* where the client's own headers begin in it */
	struct egress_body body;
};
void egress_request_done(struct egress_request *r);
/* Begins `r->head` anew: the request line for `path`, Host and Connection. */
void egress_head_begin(struct egress_request *r, const char *path, const struct outbound_host *host,
		       uint16_t port, uint16_t usual_port);
/* Looks for the end of a head in `data`: its length, 0 = it is not there yet. */
size_t egress_head_length(const char *data, size_t len);
/*
 * Reads a whole head: CONNECT host:port, or a method with an absolute http URL, HTTP/1.0 or 1.1
 * (RFC 9112, 3.2.2 and 3.2.3). What goes on names the origin in Host, carries nothing that is meant
 * for a proxy, and asks for one answer only. ERR_INVALID says what was wrong. [any]
 */
int egress_request_parse(const char *data, size_t len, struct egress_request *ret,
			 struct err *err) must_check;

/* ---- TLS ---- */
enum egress_hello { HELLO_MORE, HELLO_NAMED, HELLO_NAMELESS, HELLO_NOT_TLS };
/* The server name of a ClientHello (RFC 8446, 4.1.2; RFC 6066, 3) at the beginning of `data`. */
enum egress_hello egress_hello_read(const void *data, size_t len,
				    char ret_name[OUTBOUND_NAME_BYTES + 1]);

#endif
