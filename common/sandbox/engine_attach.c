/*
 * engine_attach.c: the connection to a container's first process, from the engine itself.
 */
#include "engine_internal.h"

#include <stdio.h>
#include <string.h>

int engine_direct_attach(struct engine *e, const char *id, struct http_stream **ret,
			 struct err *err)
{
	struct engine_container now;
	struct err look;
	char path[200], api[8];

	int rc = engine_check_id(id, err);
	if (rc == 0)
		rc = engine_negotiate(e, false, api, err);
	if (rc < 0)
		return rc;
	snprintf(path, sizeof(path), "/v%s/containers/%s/attach?stream=1&stdin=1&stdout=1&stderr=1",
		 api, id);
	struct http_request req = {
		.method = "POST", .path = path, .timeout = ENGINE_LIMIT_ATTACH * USEC_PER_SEC};
	rc = http_stream_open(&e->target, &req, ret, err);
	/* Any server says 404; whether the container is gone, the engine is asked. */
	if (rc == -ERR_NOTFOUND && engine_inspect(e, id, &now, &look) != -ERR_NOTFOUND)
		return err_set(err, ERR_PROTOCOL, "engine: attach answers 404 for what is there");
	return rc < 0 ? err_wrap(err, "engine %s: attach", e->address) : 0;
}
