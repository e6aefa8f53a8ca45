/*
 * rpc.c: messages told apart and built. JSON-RPC 2.0; ids of MCP are strings or integers.
 */
#include "rpc.h"

#include <math.h>
#include <string.h>

#include "json.h"

static bool valid_id(const json_t *id)
{
	return json_is_string(id) || json_is_integer(id) ||
	       (json_is_real(id) && floor(json_real_value(id)) == json_real_value(id));
}

enum rpc_kind rpc_classify(const json_t *message)
{
	if (!json_is_object(message))
		return RPC_NOTHING;
	const char *version = json_member_str(message, "jsonrpc");
	json_t *id = json_object_get(message, "id");
	bool method = json_is_string(json_object_get(message, "method"));
	bool result = json_object_get(message, "result") != NULL;
	bool error = json_is_object(json_object_get(message, "error"));

	if (!version || strcmp(version, "2.0") != 0)
		return RPC_NOTHING;
	if (method && !result && !error)
		return !id ? RPC_NOTIFICATION : valid_id(id) ? RPC_REQUEST : RPC_NOTHING;
	if (result && !error && !method)
		return valid_id(id) ? RPC_RESULT : RPC_NOTHING;
	if (error && !result && !method) /* its id is null where the request could not be read */
		return !id || json_is_null(id) || valid_id(id) ? RPC_ERROR : RPC_NOTHING;
	return RPC_NOTHING;
}

int64_t rpc_answer_id(const json_t *message)
{
	json_t *id = json_object_get(message, "id");

	if (json_is_integer(id) && json_integer_value(id) > 0)
		return json_integer_value(id);
	if (json_is_real(id) && json_real_value(id) >= 1 && json_real_value(id) < 9e15)
		return (int64_t)json_real_value(id);
	return 0;
}

int64_t rpc_error_code(const json_t *message)
{
	json_t *code = json_object_get(json_object_get(message, "error"), "code");

	if (json_is_real(code))
		return fabs(json_real_value(code)) < 9e15 ? (int64_t)json_real_value(code) : 0;
	return json_integer_value(code);
}

int rpc_error(const json_t *message, const char *method, struct err *err)
{
	const char *text = json_member_str(json_object_get(message, "error"), "message");

	return err_set(err, ERR_FAILED, "%s: %s (%lld)", method, text ? text : "no reason given",
		       (long long)rpc_error_code(message));
}

json_t *rpc_request(int64_t id, const char *method, json_t *params)
{
	json_t *m = json_object();

	json_object_set_new(m, "jsonrpc", json_string("2.0"));
	if (id)
		json_object_set_new(m, "id", json_integer(id));
	json_object_set_new(m, "method", json_string(method));
	if (params)
		json_object_set(m, "params", params);
	return m;
}

json_t *rpc_answer(json_t *id, json_t *result, int code, const char *text)
{
	json_t *m = json_object();

	json_object_set_new(m, "jsonrpc", json_string("2.0"));
	json_object_set(m, "id", id);
	if (result) {
		json_object_set_new(m, "result", result);
	} else {
		json_t *error = json_object();
		json_object_set_new(error, "code", json_integer(code));
		json_object_set_new(error, "message", json_string(text));
		json_object_set_new(m, "error", error);
	}
	return m;
}
