/*
 * http.h: the two HTTP transports. Private to common/mcp.
 *
 * Streamable HTTP: each message is a POST, answered by JSON or by a stream of events; in the
 * handshake generation a stream that ends early is taken up again by a GET. HTTP+SSE (2024-11-05):
 * one GET carries everything from the server, and says where POSTs go.
 */
#ifndef CELERIAC_MCP_HTTP_H
#define CELERIAC_MCP_HTTP_H

#include "err.h"
#include "http_multi.h"
#include "outbound.h"
#include "sse.h"
#include "transport.h"

#define MCP_SESSION_BYTES 1024

enum mcp_exchange_kind {
	MCP_POST,   /* one message of ours */
	MCP_RESUME, /* a GET that goes on with the stream of a POST */
	MCP_LISTEN, /* a GET for what the server says unasked (handshake generation) */
	MCP_STREAM, /* the GET of HTTP+SSE */
	MCP_DELETE  /* of a session */
};

struct mcp_http;
struct mcp_exchange {
	struct mcp_http *http;
	struct mcp_exchange *next;
	struct http_exchange *exchange; /* NULL while it waits to resume */
	enum mcp_exchange_kind kind;
	int64_t id; /* of the request it answers, 0 = none */
	bool initialize;
	bool listens; /* a POST whose answer is what changes: nobody waits for its end */
	bool answered;
	bool events; /* the answer is text/event-stream */
	bool json;
	unsigned resumed;
	usec_t resume_at; /* monotonic; while it waits */
	struct buf body;
	struct sse sse;
};

struct mcp_http {
	struct mcp_transport base;
	struct http_multi *multi;
	struct mcp_exchange *exchanges;
	char *url;  /* as configured */
	char *post; /* where messages go: `url`, or what the endpoint event said; NULL before it */
	char **headers;
	struct outbound_origin origin; /* of `url`; `post` never has another */
	struct outbound *outbound;
	/* what the host stands for, judged: connections are made to these alone; 0 = it is an
	 * address itself, or a socket of ours */
	struct ip_address addresses[OUTBOUND_ADDRESSES];
	size_t address_count;
	usec_t resolve_at; /* monotonic: they are looked up again, when there is a message to send
			    */
	struct http_local local;
	enum mcp_era era;
	char version[MCP_VERSION_SIZE];
	char session[MCP_SESSION_BYTES + 1];
	json_t *queue; /* messages to be looked at; the first is queue_next */
	size_t queue_next;
	int queue_status;  /* of the answer the newest came with */
	struct err failed; /* an exchange that will bring nothing; code 0 = none */
	int failed_status;
};

/* ---- http_exchange.c ---- */
int mcp_http_begin(struct mcp_http *h, enum mcp_exchange_kind kind, const struct mcp_outgoing *m,
		   usec_t timeout, struct err *err) must_check;
void mcp_http_end(struct mcp_exchange *x);
/* Begins again what waits for its time; returns when the next one is due. */
usec_t mcp_http_resume(struct mcp_http *h);

/* ---- http_url.c: pure ---- */
/* `reference` of an endpoint event, relative to `base`: a URL of the same origin, given. ERR_DENIED
 * for another origin, ERR_INVALID. */
int mcp_url_endpoint(const char *base, const char *reference, size_t len, char **ret,
		     struct err *err) must_check;

#endif
