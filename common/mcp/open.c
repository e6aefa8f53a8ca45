/*
 * open.c: which generation a server speaks, and the greeting of the older one.
 *
 * Specification 2026-07-28: "Backward Compatibility" of stdio and of Streamable HTTP. A server is
 * asked `server/discover`; what it says decides, never one error code alone.
 */
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "clock.h"
#include "json.h"
#include "rpc.h"
#include "version.h"

static void set_peer(struct mcp_client *c, const char *version, const json_t *info,
		     const json_t *capabilities)
{
	const char *name = json_member_str(info, "name");
	const char *own = json_member_str(info, "version");

	c->peer.era = mcp_version_era(version);
	snprintf(c->peer.version, sizeof(c->peer.version), "%s", version);
	snprintf(c->peer.name, sizeof(c->peer.name), "%s", name ? name : "");
	snprintf(c->peer.server_version, sizeof(c->peer.server_version), "%s", own ? own : "");
	c->peer.tools_change = json_is_true(
		json_object_get(json_object_get(capabilities, "tools"), "listChanged"));
	c->transport->ops->agreed(c->transport, c->peer.era, c->peer.version);
}

/* ---- the handshake generation ---- */
/* The answer to `initialize`. */
static int take_greeting(struct mcp_client *c, const json_t *answer, usec_t deadline,
			 struct err *err)
{
	const json_t *result = json_object_get(answer, "result");
	const char *version = json_member_str(result, "protocolVersion");

	c->stateless = rpc_classify(answer) == RPC_ERROR &&
		       rpc_error_code(answer) == MCP_UNSUPPORTED_VERSION;
	if (rpc_classify(answer) == RPC_ERROR)
		return rpc_error(answer, "initialize", err);
	if (!version)
		return err_set(err, ERR_PROTOCOL, "initialize: the answer names no version");
	if (mcp_version_era(version) != MCP_ERA_HANDSHAKE)
		return err_set(err, ERR_UNSUPPORTED, "initialize: the server speaks %.32s",
			       version);
	set_peer(c, version, json_object_get(result, "serverInfo"),
		 json_object_get(result, "capabilities"));
	int r = mcp_notify(c, "notifications/initialized", NULL, deadline, err);
	if (r == 0 && c->transport->ops->listen &&
	    (c->config.hooks.input || (c->config.hooks.tools_changed && c->peer.tools_change)))
		c->transport->ops->listen(c->transport);
	return r;
}

static json_t *greeting(const struct mcp_client *c)
{
	json_t *params = json_object();

	json_object_set_new(params, "protocolVersion",
			    json_string(mcp_version_newest(MCP_ERA_HANDSHAKE)));
	json_object_set_new(params, "capabilities", mcp_capabilities(c));
	json_object_set_new(params, "clientInfo", mcp_client_info());
	return params;
}

int mcp_greet(struct mcp_client *c, usec_t deadline, struct err *err)
{
	_cleanup_json_ json_t *params = greeting(c);
	_cleanup_json_ json_t *answer = NULL;
	struct mcp_ask what = {.method = "initialize", .params = params, .never_cancel = true};

	c->peer.era = MCP_ERA_HANDSHAKE;
	c->peer.version[0] = '\0';
	c->transport->ops->agreed(c->transport, MCP_ERA_HANDSHAKE, "");
	int r = mcp_request(c, &what, deadline, &answer, err);
	return r < 0 ? r : take_greeting(c, answer, deadline, err);
}

/* A server behind HTTP that takes no POST at its URL may be one that speaks by a stream. */
static int greet_at_last(struct mcp_client *c, usec_t deadline, struct err *err)
{
	struct mcp_transport *t = c->transport;
	int r = mcp_greet(c, deadline, err);

	if (r < 0 && t->ops->older && !t->handshake &&
	    (t->status == 400 || t->status == 404 || t->status == 405)) {
		struct err first = *err;
		t->ops->older(t);
		r = mcp_greet(c, deadline, err);
		if (r < 0 && (t->status >= 400 || t->status == 200))
			*err = first; /* it is neither: what it said to the POST is the better word
				       */
	}
	return r < 0 ? -err->code : 0;
}

/* ---- the stateless generation ---- */
static int discover(struct mcp_client *c, const char *version, usec_t deadline, json_t **ret,
		    struct err *err)
{
	struct mcp_ask what = {.method = "server/discover", .never_cancel = true};

	c->peer.era = MCP_ERA_STATELESS;
	snprintf(c->peer.version, sizeof(c->peer.version), "%s", version);
	c->transport->ops->agreed(c->transport, MCP_ERA_STATELESS, version);
	return mcp_request(c, &what, deadline, ret, err);
}

/* What an answer to `server/discover` makes of the server. */
enum verdict { IS_STATELESS, IS_HANDSHAKE, ASK_AGAIN, HOPELESS };

static enum verdict judge_error(const json_t *answer, const char **ret_version, struct err *err)
{
	const json_t *data = json_object_get(json_object_get(answer, "error"), "data");
	const json_t *supported = json_object_get(data, "supported");

	switch (rpc_error_code(answer)) {
	case MCP_UNSUPPORTED_VERSION:
		*ret_version = mcp_version_choose(supported, MCP_ERA_STATELESS);
		if (*ret_version)
			return ASK_AGAIN;
		if (mcp_version_choose(supported, MCP_ERA_HANDSHAKE))
			return IS_HANDSHAKE;
		err_set(err, ERR_UNSUPPORTED, "the server speaks no version that we do");
		return HOPELESS;
	case MCP_HEADER_MISMATCH:
	case MCP_MISSING_CAPABILITY:
		rpc_error(answer, "server/discover", err);
		return HOPELESS;
	default:
		return IS_HANDSHAKE;
	}
}

static enum verdict judge_answer(struct mcp_client *c, const json_t *answer,
				 const char **ret_version, struct err *err)
{
	const json_t *result = json_object_get(answer, "result");
	const json_t *supported = json_object_get(result, "supportedVersions");

	if (rpc_classify(answer) == RPC_ERROR)
		return judge_error(answer, ret_version, err);
	if (!json_is_array(supported)) /* one that answers anything to anything */
		return IS_HANDSHAKE;
	*ret_version = mcp_version_choose(supported, MCP_ERA_STATELESS);
	if (*ret_version) {
		const json_t *meta = json_object_get(result, "_meta");
		const json_t *info = json_object_get(meta, "io.modelcontextprotocol/serverInfo");
		set_peer(c, *ret_version, info ? info : json_object_get(result, "serverInfo"),
			 json_object_get(result, "capabilities"));
		return IS_STATELESS;
	}
	if (mcp_version_choose(supported, MCP_ERA_HANDSHAKE))
		return IS_HANDSHAKE;
	err_set(err, ERR_UNSUPPORTED, "the server speaks no version that we do");
	return HOPELESS;
}

/* Nothing that can be read as an answer: silence, or an HTTP status. */
static enum verdict judge_failure(const struct mcp_client *c, int code)
{
	const struct mcp_transport *t = c->transport;

	if (code == -ERR_TIMEOUT && !t->lost)
		return IS_HANDSHAKE;
	if (t->http && !t->lost && t->status >= 400 && t->status != 401 && t->status != 403)
		return IS_HANDSHAKE;
	return HOPELESS;
}

static int probe(struct mcp_client *c, usec_t deadline, struct err *err)
{
	const char *version = mcp_version_newest(MCP_ERA_STATELESS);

	for (int tries = 0; tries < 3; tries++) {
		_cleanup_json_ json_t *answer = NULL;
		usec_t until = clock_deadline(c->config.probe);
		int r = discover(c, version, until < deadline ? until : deadline, &answer, err);
		enum verdict v =
			r < 0 ? judge_failure(c, r) : judge_answer(c, answer, &version, err);
		switch (v) {
		case IS_STATELESS:
			return 0;
		case IS_HANDSHAKE:
			r = greet_at_last(c, deadline, err);
			/* it had only been slow to begin, and took our first question after all */
			if (r < 0 && c->stateless && clock_mono() < deadline)
				break;
			return r;
		case HOPELESS:
			return -err->code;
		case ASK_AGAIN:
			break;
		}
	}
	return err_set(err, ERR_UNSUPPORTED, "the server refuses the version it says it speaks");
}

int mcp_open(struct mcp_client *c, usec_t deadline, struct err *err)
{
	struct err first;
	int r;

	if (c->transport->handshake || c->config.era == MCP_ERA_HANDSHAKE)
		return greet_at_last(c, deadline, err);
	if (c->config.era == MCP_ERA_STATELESS) {
		/* what was known may have changed with the server: then it is asked */
		set_peer(c, mcp_version_newest(MCP_ERA_STATELESS), NULL, NULL);
		c->peer.tools_change = c->config.tools_change;
		return 0;
	}
	r = probe(c, deadline, &first);
	if (r < 0)
		*err = first;
	return r;
}
