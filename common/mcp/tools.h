/*
 * tools.h: a server's catalogue, page by page. Pure. Private to common/mcp.
 */
#ifndef CELERIAC_MCP_TOOLS_H
#define CELERIAC_MCP_TOOLS_H

#include "mcp.h"

struct mcp_catalogue {
	json_t *tools; /* array */
	json_t *names; /* object: those seen */
	json_t *cursors;
	size_t bytes;
};
void mcp_catalogue_init(struct mcp_catalogue *c);
void mcp_catalogue_done(struct mcp_catalogue *c);
/* Takes a tools/list result in. `left_out` (or NULL) is told of tools that are not well formed;
 * `headers`: annotations for HTTP headers are looked at. *ret_cursor (borrowed from `result`):
 * where to go on, NULL at the end. ERR_PROTOCOL, ERR_TOOBIG. */
int mcp_catalogue_page(struct mcp_catalogue *c, const json_t *result, bool headers,
		       void (*left_out)(void *arg, const char *level, const char *text), void *arg,
		       const json_t **ret_cursor, struct err *err) must_check;

#endif
