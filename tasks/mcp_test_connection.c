/*
 * mcp.test_connection: reaches a server and stores its catalogue.
 */
#include "clock.h"
#include "json.h"
#include "log.h"
#include "mcp_task.h"
#include "tasks.h"
#include "tool.h"

enum param { SERVER, PROJECT, COUNT };

static void on_log(void *arg unused_arg, const char *level, const char *text)
{
	log_warning("MCP server: %.20s: %.500s", level, text);
}

static json_t *answer(const struct mcp_target *t, const struct mcp_peer *peer, json_t *tools)
{
	return json_pack("{s:{s:I, s:s, s:s, s:s, s:s}, s:O}", "server", "id",
			 (json_int_t)t->server.id, "name", t->server.name, "protocol_version",
			 peer->version, "server_name", peer->name, "server_version",
			 peer->server_version, "tools", tools);
}

static int test(struct task_ctx *ctx, const struct mcp_target *t, const char *project,
		json_t **ret_result, struct err *err)
{
	usec_t deadline = clock_deadline(task_ctx_settings(ctx)->sandbox_max_timeout);
	const struct mcp_session_wish wish = {.server = &t->server,
					      .project = project,
					      .deadline = deadline,
					      .cancelled = task_cancel_flag(ctx),
					      .hooks = {.log = on_log}};
	struct mcp_sessions *sessions = task_ctx_mcp(ctx);
	struct mcp_session *session = NULL;
	_cleanup_json_ json_t *tools = NULL;
	enum mcp_freshness listed = MCP_TOOLS_LISTED;
	int rc = mcp_session_get(sessions, &wish, &session, err);

	if (rc < 0)
		return rc;
	rc = mcp_target_tools(ctx, t, session, &listed, deadline, &tools, err);
	if (rc == 0)
		*ret_result = answer(t, mcp_client_peer(mcp_session_client(session)), tools);
	mcp_session_put(sessions, session);
	return rc;
}

/* A server that cannot be reached is the caller's to know: an exception that says why. */
static int raise_mcp_error(struct task_ctx *ctx, const struct err *why, struct err *err)
{
	switch (why->code) {
	case ERR_CANCELLED:
		*err = *why;
		return -ERR_CANCELLED;
	case ERR_NOTFOUND:
	case ERR_INVALID:
		return raise_value_error(ctx, err, "%s", why->msg);
	case ERR_DENIED:
		return task_raise(ctx, err, "builtins", "PermissionError", "%s", why->msg);
	default:
		return task_raise(ctx, err, "celeriac", "McpError", "%s", why->msg);
	}
}

static int run(struct task_ctx *ctx, json_t *const *values, json_t **ret_result, struct err *err)
{
	_cleanup_(mcp_target_done) struct mcp_target t = {0};
	const char *project = json_string_value(values[PROJECT]);
	struct err why = {0};
	int rc = mcp_target_load(ctx, values[SERVER], project, &t, &why);

	if (rc == 0)
		rc = test(ctx, &t, project, ret_result, &why);
	if (rc < 0)
		return raise_mcp_error(ctx, &why, err);
	mcp_record(ctx, *ret_result, NULL, project);
	return 0;
}

static const struct task_param params[COUNT] = {
	[SERVER] = {"server_id", PARAM_ANY, true},
	[PROJECT] = {"project_id", PARAM_ID, false},
};

const struct task task_mcp_test_connection = {
	.name = "mcp.test_connection",
	.run = run,
	.params = params,
	.param_count = ARRAY_LEN(params),
	.flags = TASK_ACKS_LATE | TASK_STORED,
	.kind = "mcp",
	.help = "reaches an MCP server and stores its catalogue",
};
