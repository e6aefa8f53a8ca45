/*
 * tools.call_http: makes the request of a custom HTTP tool.
 *
 * The worker itself is the client, or a sandbox where sandbox_settings say so. A request is made
 * once per attempt of the task, so that one that was lost with its worker is made again: as with
 * any other client of HTTP.
 */
#include <string.h>

#include "http_tool.h"
#include "json.h"
#include "mem.h"
#include "tasks.h"
#include "tool.h"

enum param { TOOL, PARAMS, PROJECT, CONVERSATION, COUNT };

#define INLINE_NAME "http_inline" /* what the policy calls a tool that the message brings along */

/* The row of `name`, with or without the prefix that the product gives it. Waits while the database
 * is away. */
static int load(struct task_ctx *ctx, const char *name, const char *project, json_t **ret,
		struct err *err)
{
	int rc;

	if (strncmp(name, "custom_", 7) == 0)
		name += 7;
	do
		rc = store_load_http_tool(task_ctx_store(ctx), name, project, ret, err);
	while (task_asks_again(ctx, &rc, err));
	return rc;
}

static json_t *refused(const char *status, const char *text)
{
	return tool_result(status, NULL, NULL, true, text, 0);
}

/* A row has two names, with the prefix and without: the gate has asked about the one that was said,
 * and a rule about the other holds as well. */
static bool may_other_name(struct task_ctx *ctx, const char *name, char reason[TASK_REASON_SIZE])
{
	_cleanup_free_ char *other =
		strncmp(name, "custom_", 7) == 0 ? xstrdup(name + 7) : xasprintf("custom_%s", name);

	return task_ctx_may(ctx, POLICY_TOOL, other, true, reason);
}

/* The tool, with its secrets open. NULL and *ret_result or an exception: it cannot be had. */
static int find_tool(struct task_ctx *ctx, json_t *const *values, json_t **ret_tool,
		     json_t **ret_result, struct err *err)
{
	_cleanup_json_ json_t *row = NULL;
	char reason[TASK_REASON_SIZE];
	struct err why = {0};
	int rc = 0;

	if (json_is_object(values[TOOL])) {
		if (!task_ctx_may(ctx, POLICY_TOOL, INLINE_NAME, false, reason)) {
			*ret_result = refused("denied", reason);
			return 0;
		}
		row = json_incref(values[TOOL]);
	} else if (!json_is_string(values[TOOL])) {
		return raise_type_error(ctx, err, "tool must be str or dict, not %s",
					json_type_name(values[TOOL]));
	} else if (!may_other_name(ctx, json_string_value(values[TOOL]), reason)) {
		*ret_result = refused("denied", reason);
		return 0;
	} else {
		rc = load(ctx, json_string_value(values[TOOL]), json_string_value(values[PROJECT]),
			  &row, &why);
	}
	if (rc == -ERR_NOTFOUND)
		return raise_value_error(ctx, err, "%s", why.msg);
	if (rc == 0) {
		rc = http_tool_open(row, json_integer_value(json_object_get(row, "id")),
				    task_ctx_seal_keys(ctx), ret_tool, &why);
		if (rc < 0)
			record_unopened(ctx, &why);
	}
	if (rc < 0)
		*err = why;
	return rc;
}

static void wipe_member(const json_t *auth, const char *name)
{
	json_t *text = json_object_get(auth, name);

	if (json_is_string(text))
		wipe((void *)(uintptr_t)json_string_value(text), json_string_length(text));
}

static void forget(json_t **tool)
{
	const json_t *auth = json_object_get(*tool, "auth");

	/* an inline tool's are the message's, which lives on */
	if (*tool && auth && json_object_get(*tool, "id")) {
		wipe_member(auth, "token");
		wipe_member(auth, "value");
		wipe_member(auth, "password");
	}
	json_decref(*tool);
}

static int call(struct task_ctx *ctx, json_t *const *values, json_t **ret_result, struct err *err)
{
	__attribute__((cleanup(forget))) json_t *tool = NULL;
	_cleanup_(http_tool_request_done) struct http_tool_request request = {0};
	_cleanup_json_ json_t *params =
		values[PARAMS] ? json_incref(values[PARAMS]) : json_object();
	struct err why = {0};
	int rc = find_tool(ctx, values, &tool, ret_result, err);

	if (rc < 0 || !tool)
		return rc;
	if (json_schema_check(json_member(tool, "input_schema"), params, "params", &why) < 0) {
		task_ctx_audit(ctx, "error", "schema", NULL, why.msg, USEC_NEVER, NULL);
		*ret_result = refused("error", why.msg);
		return 0;
	}
	if (http_tool_request(tool, params, &request, &why) < 0) {
		*ret_result = refused("error", why.msg);
		return 0;
	}
	const struct http_tool_place place = {json_string_value(values[CONVERSATION]),
					      json_string_value(values[PROJECT])};
	return http_tool_ask(ctx, tool, &place, &request, ret_result, err);
}

static int run(struct task_ctx *ctx, json_t *const *values, json_t **ret_result, struct err *err)
{
	struct task_record *record = task_ctx_record(ctx);
	int rc = call(ctx, values, ret_result, err);

	if (rc == 0) {
		record->conversation = json_string_value(values[CONVERSATION]);
		record->project = json_string_value(values[PROJECT]);
		record->finish.status = json_string_value(json_object_get(*ret_result, "status"));
		record->finish.error = json_string_value(json_object_get(*ret_result, "error"));
	}
	return rc;
}

static const struct task_param params[COUNT] = {
	[TOOL] = {"tool", PARAM_ANY, true},
	[PARAMS] = {"params", PARAM_DICT, false},
	[PROJECT] = {"project_id", PARAM_ID, false},
	[CONVERSATION] = {"conversation_id", PARAM_ID, false},
};

static const char *const secret_params[] = {"tool.auth", "tool.headers", NULL};

const struct task task_tools_call_http = {
	.name = "tools.call_http",
	.run = run,
	.params = params,
	.param_count = ARRAY_LEN(params),
	.flags = TASK_ACKS_LATE | TASK_STORED,
	.kind = "http",
	.target = "tool",
	.secret_params = secret_params,
	.help = "makes the request of a custom HTTP tool",
};
