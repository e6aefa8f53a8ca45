/*
 * openapi_private.h: what the files of common/openapi share.
 */
#ifndef CELERIAC_OPENAPI_PRIVATE_H
#define CELERIAC_OPENAPI_PRIVATE_H

#include "buf.h"
#include "openapi.h"

/* What `node` stands for: itself, or what its $ref names in the document. Borrowed; NULL when that
 * is not there or goes round. */
const json_t *openapi_look(const json_t *document, const json_t *node);
/* A copy of a schema without references; what is too deep, or goes round, is {}: anything. Given.
 */
json_t *openapi_schema(const json_t *document, const json_t *schema);

/* One operation on its way to a row. */
struct operation {
	const json_t *document, *path_item, *node;
	const char *method; /* upper case */
	const char *path;
	const char *server;	       /* URL without a slash at its end */
	json_t *properties, *required; /* of the input schema */
	struct buf url, body;
	const char *content_type;
	const char *reason; /* why it is skipped, or NULL */
};
/* ---- parameters.c: parameters and body; sets op->reason where it cannot be done ---- */
void openapi_parameters(struct operation *op);
void openapi_body(struct operation *op);

#endif
