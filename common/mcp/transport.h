/*
 * transport.h: what carries messages to a server and back. Private to common/mcp.
 */
#ifndef CELERIAC_MCP_TRANSPORT_H
#define CELERIAC_MCP_TRANSPORT_H

#include "mcp.h"

#define MCP_SUBSCRIBE "subscriptions/listen" /* 2026-07-28: its answer is a stream that lasts */

/* One message for the server; all borrowed. */
struct mcp_outgoing {
	const char *json;
	size_t len;
	const char *method;	   /* NULL: an answer to the server's own request */
	const char *tool;	   /* of tools/call */
	int64_t id;		   /* of a request, 0 for anything else */
	const char *const *params; /* further headers "Mcp-Param-X: v", NULL-terminated, or NULL */
};

struct mcp_transport_ops {
	/* Hands it over; the answer, or why there will be none, comes by receive. */
	int (*send)(struct mcp_transport *t, const struct mcp_outgoing *m, usec_t deadline,
		    struct err *err);
	/* The next message (given), or an error of the transport; ERR_TIMEOUT when none came. */
	int (*receive)(struct mcp_transport *t, usec_t deadline, json_t **ret, struct err *err);
	/* What was agreed on; said with every message from now on where the transport does so. */
	void (*agreed)(struct mcp_transport *t, enum mcp_era era, const char *version);
	/* Goes over to the transport of 2024-11-05 at the same URL; or NULL. */
	void (*older)(struct mcp_transport *t);
	/* Hears what the server says unasked, where that takes more than waiting; or NULL. */
	void (*listen)(struct mcp_transport *t);
	/* Forgets a request. True if that tells the server by itself; else it is to be told. */
	bool (*cancel)(struct mcp_transport *t, int64_t id);
	void (*close)(struct mcp_transport *t, usec_t deadline);
	void (*free)(struct mcp_transport *t);
};

struct mcp_transport {
	const struct mcp_transport_ops *ops;
	bool http;	/* generations are told apart by status codes */
	bool handshake; /* nothing but the handshake generation speaks this transport */
	int status;	/* of the HTTP answer that the last message or error came with, 0 = none */
	bool lost;	/* nothing more will come */
	bool deaf;	/* the stream of subscriptions/listen has ended */
	bool session_lost; /* the server no longer knows our session: begin anew */
	/* the client's: looked at where send has to wait; or NULL */
	const atomic_bool *cancelled;
};

#endif
