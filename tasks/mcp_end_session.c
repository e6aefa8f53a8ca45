/*
 * mcp.end_session, mcp.stop_server: end sessions of this worker.
 */
#include "json.h"
#include "mcp_task.h"
#include "tasks.h"

static int end(struct task_ctx *ctx, const json_t *server, const char *conversation,
	       const char *project, json_t **ret_result, struct err *err)
{
	struct err why = {0};
	int64_t id;
	int rc = mcp_target_find(ctx, server, &id, &why);

	if (rc == -ERR_CANCELLED) {
		*err = why;
		return rc;
	}
	if (rc < 0)
		return raise_value_error(ctx, err, "%s", why.msg);
	*ret_result = json_pack(
		"{s:I}", "removed",
		(json_int_t)mcp_sessions_end(task_ctx_mcp(ctx), id, conversation, project));
	mcp_record(ctx, *ret_result, conversation, project);
	return 0;
}

static int run_end_session(struct task_ctx *ctx, json_t *const *values, json_t **ret_result,
			   struct err *err)
{
	return end(ctx, values[0], json_string_value(values[1]), json_string_value(values[2]),
		   ret_result, err);
}

static int run_stop_server(struct task_ctx *ctx, json_t *const *values, json_t **ret_result,
			   struct err *err)
{
	return end(ctx, values[0], NULL, NULL, ret_result, err);
}

static const struct task_param params[] = {
	{"server_id", PARAM_ANY, true},
	{"conversation_id", PARAM_ID, true},
	{"project_id", PARAM_ID, false}, /* names of conversations are a project's own */
};

const struct task task_mcp_end_session = {
	.name = "mcp.end_session",
	.run = run_end_session,
	.params = params,
	.param_count = 3,
	.flags = TASK_ACKS_LATE | TASK_STORED,
	.lane = "conversation_id",
	.kind = "mcp",
	.help = "ends a conversation's session with an MCP server",
};

const struct task task_mcp_stop_server = {
	.name = "mcp.stop_server",
	.run = run_stop_server,
	.params = params,
	.param_count = 1,
	.flags = TASK_ACKS_LATE | TASK_STORED,
	.kind = "mcp",
	.help = "ends all sessions with an MCP server",
};
