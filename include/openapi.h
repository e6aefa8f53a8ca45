/*
 * openapi.h: operations of an OpenAPI 3 document as rows of http_tools.
 */
#ifndef CELERIAC_OPENAPI_H
#define CELERIAC_OPENAPI_H

#include <jansson.h>

#include "err.h"

/*
 * *ret_tools: array of objects with the columns of http_tools; *ret_skipped: array of {operation,
 * reason}; both given. `base` (or NULL) is the URL of the document, for a server that is relative
 * to it. A tool whose secret is not in the document comes disabled. ERR_INVALID: it is no such
 * document, or says no server. Pure. [any]
 */
int openapi_tools(const json_t *document, const char *base, json_t **ret_tools,
		  json_t **ret_skipped, struct err *err) must_check;

#endif
