/*
 * call.c: the catalogue, and calls.
 */
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "client.h"
#include "header.h"
#include "json.h"
#include "mem.h"
#include "rpc.h"
#include "tools.h"

/* One request. A session that the server forgot is begun anew, once. */
static int ask(struct mcp_client *c, const struct mcp_ask *what, usec_t deadline, json_t **ret,
	       struct err *err)
{
	int r = mcp_request(c, what, deadline, ret, err);

	if (r < 0 && c->transport->session_lost) {
		c->transport->session_lost = false;
		r = mcp_greet(c, deadline, err);
		if (r == 0)
			r = mcp_request(c, what, deadline, ret, err);
	}
	if (r < 0 && r != -ERR_TIMEOUT && r != -ERR_CANCELLED && r != -ERR_TOOBIG)
		c->broken = true;
	return r;
}

/* The result of an answer, borrowed from it. */
static int result_of(struct mcp_client *c, const json_t *answer, const char *method,
		     const json_t **ret, struct err *err)
{
	if (rpc_classify(answer) == RPC_ERROR) {
		/* another server than the one that was remembered */
		if (rpc_error_code(answer) == MCP_UNSUPPORTED_VERSION)
			c->broken = true;
		return rpc_error(answer, method, err);
	}
	*ret = json_object_get(answer, "result");
	if (!json_is_object(*ret))
		return err_set(err, ERR_PROTOCOL, "%s: its result is no object", method);
	return 0;
}

static int list_page(struct mcp_client *c, const json_t *cursor, usec_t deadline, json_t **ret,
		     struct err *err)
{
	_cleanup_json_ json_t *params = json_object();
	struct mcp_ask what = {.method = "tools/list", .params = params};

	if (cursor)
		json_object_set(params, "cursor", (json_t *)(uintptr_t)cursor);
	return ask(c, &what, deadline, ret, err);
}

int mcp_client_list_tools(struct mcp_client *c, usec_t deadline, json_t **ret, struct err *err)
{
	struct mcp_catalogue catalogue;
	_cleanup_json_ json_t *cursor = NULL;
	int r;

	mcp_catalogue_init(&catalogue);
	do {
		_cleanup_json_ json_t *answer = NULL;
		const json_t *result, *next = NULL;
		r = list_page(c, cursor, deadline, &answer, err);
		if (r == 0)
			r = result_of(c, answer, "tools/list", &result, err);
		if (r == 0)
			r = mcp_catalogue_page(&catalogue, result, c->transport->http,
					       c->config.hooks.log, c->config.hooks.arg, &next,
					       err);
		json_decref(cursor);
		cursor = r == 0 ? json_incref((json_t *)(uintptr_t)next) : NULL;
	} while (r == 0 && cursor);
	if (r == 0)
		*ret = json_incref(catalogue.tools);
	mcp_catalogue_done(&catalogue);
	return r;
}

/* ---- requests for input inside a call: multi round-trip requests (2026-07-28) ---- */
static json_t *declined(void)
{
	return json_pack("{s:s}", "action", "decline");
}

static json_t *inputs(struct mcp_client *c, const json_t *requests)
{
	json_t *responses = json_object();
	const char *key;
	json_t *request;

	json_object_foreach((json_t *)(uintptr_t)requests, key, request)
	{
		const char *method = json_member_str(request, "method");
		json_t *answer = NULL;
		if (c->config.hooks.input && method)
			answer = c->config.hooks.input(c->config.hooks.arg, method,
						       json_object_get(request, "params"));
		json_object_set_new(responses, key, answer ? answer : declined());
	}
	return responses;
}

/* The params of the next round: those of the first, the inputs, and the state as it was said. */
static json_t *next_round(struct mcp_client *c, const json_t *first, const json_t *result)
{
	json_t *params = json_copy((json_t *)(uintptr_t)first);
	const json_t *requests = json_member(result, "inputRequests");
	json_t *state = json_object_get(result, "requestState");

	if (json_is_object(requests))
		json_object_set_new(params, "inputResponses", inputs(c, requests));
	if (state)
		json_object_set(params, "requestState", state);
	return params;
}

enum shape { COMPLETE, INPUT_REQUIRED };

static int shape_of(const struct mcp_client *c, const json_t *result, enum shape *ret,
		    struct err *err)
{
	const json_t *member = json_object_get(result, "resultType");
	const char *type = json_string_value(member);

	*ret = COMPLETE;
	if (c->peer.era != MCP_ERA_STATELESS || !member || (type && strcmp(type, "complete") == 0))
		return 0;
	if (!type || strcmp(type, "input_required") != 0)
		return err_set(err, ERR_PROTOCOL, "tools/call: a result of an unknown type");
	*ret = INPUT_REQUIRED;
	return 0;
}

/* A result as callers may rely on it: `content` is an array, whatever the server forgot. */
static int take_result(const json_t *result, json_t **ret, struct err *err)
{
	json_t *content = json_object_get(result, "content");

	if (content && !json_is_array(content))
		return err_set(err, ERR_PROTOCOL, "tools/call: its content is no array");
	json_t *copy = json_copy((json_t *)(uintptr_t)result);
	if (!content)
		json_object_set_new(copy, "content", json_array());
	*ret = copy;
	return 0;
}

int mcp_client_call(struct mcp_client *c, const char *tool, const json_t *schema,
		    const json_t *arguments, usec_t deadline, json_t **ret, struct err *err)
{
	char **headers = NULL;
	_cleanup_json_ json_t *first = json_object();
	int r = 0;

	json_object_set_new(first, "name", json_string(tool));
	json_object_set_new(first, "arguments",
			    arguments ? json_incref((json_t *)(uintptr_t)arguments)
				      : json_object());
	if (c->transport->http && c->peer.era == MCP_ERA_STATELESS && schema)
		r = mcp_header_params(schema, arguments, &headers, err);
	_cleanup_free_ char **owned = headers;
	_cleanup_json_ json_t *params = json_incref(first);
	for (int round = 0; r == 0; round++) {
		_cleanup_json_ json_t *answer = NULL;
		const json_t *result = NULL;
		enum shape shape = COMPLETE;
		struct mcp_ask what = {.method = "tools/call",
				       .params = params,
				       .tool = tool,
				       .headers = (const char *const *)headers};
		if (round == BOUND_MCP_ROUNDS)
			return err_set(err, ERR_PROTOCOL,
				       "tools/call: asks for input again and again");
		r = ask(c, &what, deadline, &answer, err);
		if (r == 0)
			r = result_of(c, answer, "tools/call", &result, err);
		if (r == 0)
			r = shape_of(c, result, &shape, err);
		if (r == 0 && shape == COMPLETE)
			return take_result(result, ret, err);
		if (r == 0) {
			json_t *next = next_round(c, first, result);
			json_decref(params);
			params = next;
		}
	}
	return r;
}
