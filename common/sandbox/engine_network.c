/*
 * engine_network.c: the network that sandboxes have instead of the proxy, where the operator asks
 * for one by name.
 */
#include "engine_internal.h"

#include <stdlib.h>
#include <string.h>

#define ICC "com.docker.network.bridge.enable_icc"

/* Is a network that is there fit for sandboxes? */
static int check(const json_t *network, const char *name, struct err *err)
{
	const char *icc = json_member_str(json_object_get(network, "Options"), ICC);

	if (icc == NULL || strcmp(icc, "false") != 0)
		return err_set(err, ERR_UNSUPPORTED,
			       "network '%s': its containers reach one another (no option " ICC
			       "=false), so it is not for sandboxes",
			       name);
	if (json_is_true(json_object_get(network, "EnableIPv6")))
		return err_set(err, ERR_UNSUPPORTED, "network '%s': has IPv6", name);
	return 0;
}

static int look(struct engine *e, const char *name, struct err *err)
{
	_cleanup_buf_ struct buf path = BUF_INIT(512);
	_cleanup_json_ json_t *reply = NULL;
	int rc;

	buf_append_str(&path, "/networks/");
	engine_encode(name, "", &path);
	rc = buf_status(&path, err);
	if (rc == 0)
		rc = engine_call(e, "GET", path.data, NULL, ENGINE_LIMIT_LOOK, &reply, err);
	return rc < 0 ? rc : check(reply, name, err);
}

int engine_direct_network_need(struct engine *e, const char *name, struct err *err)
{
	_cleanup_json_ json_t *body = NULL, *reply = NULL;
	_cleanup_free_ char *text = NULL;
	int rc;

	if (!engine_is_name(name, 128))
		return err_set(err, ERR_INVALID, "network: '%.100s'", name);
	rc = look(e, name, err);
	if (rc != -ERR_NOTFOUND)
		return rc;
	body = json_pack("{s:s, s:b, s:s, s:b, s:{s:s}, s:{s:s}}", "Name", name, "CheckDuplicate",
			 1, "Driver", "bridge", "EnableIPv6", 0, "Options", ICC, "false", "Labels",
			 ENGINE_LABEL_PREFIX "instance", e->instance);
	text = json_dumps(body, JSON_COMPACT);
	if (text == NULL)
		return err_set(err, ERR_NOMEM, "network");
	rc = engine_call(e, "POST", "/networks/create", text, ENGINE_LIMIT_CREATE, &reply, err);
	/* Another worker may have been faster. */
	return rc == -ERR_CONFLICT ? look(e, name, err) : rc;
}
