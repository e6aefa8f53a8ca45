/*
 * header.h: what the stateless generation repeats of a request in HTTP headers. Pure. Private to
 * common/mcp.
 *
 * Specification 2026-07-28, Streamable HTTP, "Request Metadata".
 */
#ifndef CELERIAC_MCP_HEADER_H
#define CELERIAC_MCP_HEADER_H

#include <jansson.h>

#include "buf.h"

/* Appends `value` so that a header may hold it: as it is, or "=?base64?…?=". */
void mcp_header_value(const char *value, size_t len, struct buf *out);

/* Checks the x-mcp-header annotations of a tool's inputSchema. ERR_INVALID says which rule one
 * breaks; ERR_TOOBIG. [any] */
int mcp_header_check(const json_t *schema, struct err *err) must_check;
/* "Mcp-Param-Region: us-west1" … for the arguments that `schema` annotates; NULL-terminated, one
 * block, given; NULL if there are none. */
int mcp_header_params(const json_t *schema, const json_t *arguments, char ***ret,
		      struct err *err) must_check;

#endif
