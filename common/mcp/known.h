/*
 * known.h: what is known of servers' configurations, so that it need not be asked again: which
 * generation they speak, and their catalogues. Private to common/mcp.
 *
 * The oldest makes room for the newest. A catalogue that was listed anew elsewhere counts here
 * within CATALOGUE_AGE.
 */
#ifndef CELERIAC_MCP_KNOWN_H
#define CELERIAC_MCP_KNOWN_H

#include "mcp_sessions.h"
#include "thread.h"

#define KNOWN_ERAS	 256
#define KNOWN_CATALOGUES 32
#define CATALOGUE_SIZE	 (256u << 10) /* bytes as text; larger ones are read again for each call */
#define CATALOGUE_AGE	 (60 * USEC_PER_SEC)

struct mcp_known {
	struct mutex lock;
	/* guarded by lock; server 0 = nothing */
	struct mcp_known_era {
		int64_t server;
		char hash[65];
		enum mcp_era era;
		bool tools_change;
	} eras[KNOWN_ERAS];
	struct mcp_known_catalogue {
		int64_t server;
		char hash[65];
		json_t *tools; /* const: it is shared */
		usec_t until;  /* monotonic */
	} catalogues[KNOWN_CATALOGUES];
	size_t next_era, next_catalogue;
};

void mcp_known_init(struct mcp_known *k);
void mcp_known_done(struct mcp_known *k);

/* MCP_ERA_UNKNOWN: of this configuration nothing is known. [any] */
enum mcp_era mcp_known_get_era(struct mcp_known *k, const struct mcp_server *server,
			       bool *ret_tools_change);
void mcp_known_put_era(struct mcp_known *k, const struct mcp_server *server,
		       const struct mcp_peer *peer);

/* Given, to be read alone; NULL likewise. [any] */
json_t *mcp_known_get_catalogue(struct mcp_known *k, const struct mcp_server *server);
/* `tools` is borrowed and must not be changed any more. [any] */
void mcp_known_put_catalogue(struct mcp_known *k, const struct mcp_server *server, json_t *tools);

#endif
