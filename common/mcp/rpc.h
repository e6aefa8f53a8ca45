/*
 * rpc.h: JSON-RPC 2.0 as MCP uses it: pure. Private to common/mcp.
 */
#ifndef CELERIAC_MCP_RPC_H
#define CELERIAC_MCP_RPC_H

#include <jansson.h>

#include "buf.h"
#include "mcp.h"

enum rpc_kind { RPC_NOTHING, RPC_REQUEST, RPC_NOTIFICATION, RPC_RESULT, RPC_ERROR };
/* What a message is; RPC_NOTHING for anything that breaks the form. [any] */
enum rpc_kind rpc_classify(const json_t *message);
/* The id of an answer to one of our requests, which are positive integers; 0 for any other. */
int64_t rpc_answer_id(const json_t *message);

#define RPC_METHOD_NOT_FOUND	(-32601)
#define RPC_INVALID_PARAMS	(-32602)
#define MCP_HEADER_MISMATCH	(-32020)
#define MCP_MISSING_CAPABILITY	(-32021)
#define MCP_UNSUPPORTED_VERSION (-32022)

/* The code of an error answer, 0 if it has none. */
int64_t rpc_error_code(const json_t *message);
/* Fills `err` (ERR_FAILED) with the server's words. Returns -ERR_FAILED. */
int rpc_error(const json_t *message, const char *method, struct err *err);

/* {"jsonrpc": "2.0", "id"?, "method", "params"?}; `id` 0 makes a notification, `params` (or NULL)
 * is borrowed. Given. */
json_t *rpc_request(int64_t id, const char *method, json_t *params);
/* An answer to the server's request; `id` borrowed; `result` given to it, NULL = an error of `code`
 * and `text`. */
json_t *rpc_answer(json_t *id, json_t *result, int code, const char *text);

#endif
