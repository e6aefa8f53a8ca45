/*
 * version.h: which revision is spoken. Pure. Private to common/mcp.
 */
#ifndef CELERIAC_MCP_VERSION_H
#define CELERIAC_MCP_VERSION_H

#include "mcp.h"

const char *mcp_version_newest(enum mcp_era era);
/* The newest of that generation among `supported` (an array a server sent, or NULL) that this
 * client speaks too, or NULL. */
const char *mcp_version_choose(const json_t *supported, enum mcp_era era);

#endif
