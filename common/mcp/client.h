/*
 * client.h: the parts of a client. Private to common/mcp.
 */
#ifndef CELERIAC_MCP_CLIENT_H
#define CELERIAC_MCP_CLIENT_H

#include "transport.h"

struct mcp_client {
	struct mcp_transport *transport;
	struct mcp_client_config config;
	struct mcp_peer peer;
	int64_t last_id;
	int64_t progress_of; /* the request whose progress is told, 0 = none */
	bool stateless;	     /* it refused a handshake because it has been asked otherwise */
	bool opened;	     /* the server may ask us things now */
	int64_t listen_id;   /* of the request whose answer is what changes, 0 = none */
	usec_t listen_again; /* monotonic: not before */
	bool broken;
};

/* ---- client.c: one request and its answer ---- */
/* Sends a request (`params` borrowed, may be NULL) and waits for its answer, a result or an error
 * (given); what comes in between is dealt with. `tool` and `headers` as in mcp_outgoing. *ret_id
 * (or NULL) is its id, also on failure. A request that is given up is cancelled in the generation's
 * way. */
struct mcp_ask {
	const char *method;
	json_t *params;
	const char *tool;
	const char *const *headers;
	bool never_cancel;
};
int mcp_request(struct mcp_client *c, const struct mcp_ask *what, usec_t deadline, json_t **ret,
		struct err *err) must_check;
int mcp_notify(struct mcp_client *c, const char *method, json_t *params, usec_t deadline,
	       struct err *err) must_check;
/* An object for params._meta: what the stateless generation says with every request; empty for the
 * other one. Given. */
json_t *mcp_meta(const struct mcp_client *c);
/* What we offer to servers. Given. */
json_t *mcp_capabilities(const struct mcp_client *c);
json_t *mcp_client_info(void);

/* Asks to hear when the catalogue changes, where that takes asking (stateless generation) and
 * somebody wants to know. What comes of it comes in between other answers. */
void mcp_listen(struct mcp_client *c);

/* ---- open.c ---- */
int mcp_open(struct mcp_client *c, usec_t deadline, struct err *err) must_check;
/* The greeting of the handshake generation, also of a session begun anew. */
int mcp_greet(struct mcp_client *c, usec_t deadline, struct err *err) must_check;

#endif
