/*
 * mcp.call_tool: calls a tool of an MCP server.
 */
#include <stdio.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "json.h"
#include "log.h"
#include "mcp_task.h"
#include "mem.h"
#include "tasks.h"
#include "tool.h"

enum param { SERVER, TOOL, ARGUMENTS, CONVERSATION, TIMEOUT, PROJECT, COUNT };

#define PROGRESS_EVERY (500 * USEC_PER_MSEC)
#define REFRESH_TIME   (5 * USEC_PER_SEC)

/* One call. */
struct mcp_work {
	struct task_ctx *ctx;
	usec_t told;  /* monotonic: when progress was told last */
	bool changed; /* the server's catalogue */
};

static void on_progress(void *arg, double progress, double total, const char *message)
{
	struct mcp_work *c = arg;
	struct err ignored;

	if (clock_mono() - c->told < PROGRESS_EVERY)
		return;
	c->told = clock_mono();
	_cleanup_json_ json_t *meta = json_pack("{s:f}", "progress", progress);
	if (total >= 0)
		json_object_set_new(meta, "total", json_real(total));
	if (message)
		json_object_set_new(meta, "message",
				    json_text(message, strnlen(message, 1000), true));
	(void)!task_update_state(c->ctx, "PROGRESS", meta, &ignored);
}

static void on_log(void *arg unused_arg, const char *level, const char *text)
{
	log_debug("MCP server: %.20s: %.500s", level, text);
}

static void on_change(void *arg)
{
	((struct mcp_work *)arg)->changed = true;
}

static const json_t *find_tool(const json_t *tools, const char *name)
{
	json_t *tool;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)tools, i, tool)
	{
		const char *own = json_member_str(tool, "name");
		if (own && strcmp(own, name) == 0)
			return tool;
	}
	return NULL;
}

/* The text of all its parts, or what it calls its structured content. */
static json_t *value_of(const json_t *result)
{
	json_t *structured = json_member(result, "structuredContent"), *part;
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_RESULT_BYTES);
	size_t i;

	if (structured)
		return json_incref(structured);
	json_array_foreach(json_object_get(result, "content"), i, part)
	{
		const char *type = json_member_str(part, "type");
		if (type && strcmp(type, "text") == 0) {
			if (text.len > 0)
				buf_append_char(&text, '\n');
			json_text_append(json_object_get(part, "text"), &text);
		}
	}
	return json_text(text.data, text.len, true);
}

static json_t *call_result(const json_t *result, usec_t duration)
{
	bool is_error = json_is_true(json_object_get(result, "isError"));
	_cleanup_json_ json_t *value = value_of(result);
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_ERROR_TEXT * 4);

	if (is_error && json_is_string(value)) {
		json_text_append(value, &text);
		if (text.failed)
			buf_reset(&text);
	}
	return tool_result(is_error ? "error" : "ok", json_incref(value),
			   json_incref(json_object_get(result, "content")), is_error,
			   !is_error	  ? NULL
			   : text.len > 0 ? text.data
					  : "the tool reports a failure",
			   duration);
}

static json_t *failure(const struct err *err, usec_t duration)
{
	const char *status = err->code == ERR_TIMEOUT  ? "timeout"
			     : err->code == ERR_DENIED ? "denied"
						       : "error";

	return tool_result(status, NULL, NULL, true, err->msg, duration);
}

/* The tool in the catalogue, and whether the arguments fit it. */
static int check_in(const struct mcp_target *t, const json_t *tools, const char *name,
		    const json_t *arguments, const json_t **ret_schema, struct err *err)
{
	const json_t *tool = find_tool(tools, name);

	if (!tool)
		return err_set(err, ERR_INVALID, "MCP server %.100s has no tool '%.100s'",
			       t->server.name, name);
	*ret_schema = json_object_get(tool, "inputSchema");
	return json_schema_check(*ret_schema, arguments, "arguments", err);
}

/* In a session: the catalogue, the arguments against it, the call. What does not fit is looked at
 * in a fresher catalogue before it is refused: the server may have got the tool since, or another
 * schema. */
static int call_in(struct mcp_work *c, const struct mcp_target *t, struct mcp_session *session,
		   json_t *const *values, usec_t deadline, json_t **ret, struct err *err)
{
	const char *name = json_string_value(values[TOOL]);
	_cleanup_json_ json_t *tools = NULL;
	_cleanup_json_ json_t *arguments =
		values[ARGUMENTS] ? json_incref(values[ARGUMENTS]) : json_object();
	/* said while nobody called */
	enum mcp_freshness fresh = c->changed ? MCP_TOOLS_LISTED : MCP_TOOLS_KNOWN;
	const json_t *schema = NULL;

	c->changed = false;
	for (;;) {
		int rc = mcp_target_tools(c->ctx, t, session, &fresh, deadline, &tools, err);

		if (rc < 0)
			return rc;
		rc = check_in(t, tools, name, arguments, &schema, err);
		if (rc == 0)
			break;
		/* of one that is stored only what is not there may be listed anew */
		if (fresh == MCP_TOOLS_LISTED ||
		    (fresh == MCP_TOOLS_STORED && find_tool(tools, name))) {
			if (find_tool(tools, name))
				task_ctx_audit(c->ctx, "error", "schema", name, err->msg,
					       USEC_NEVER, NULL);
			return rc;
		}
		json_decref(TAKE(tools));
		fresh++;
	}
	return mcp_client_call(mcp_session_client(session), name, schema, arguments, deadline, ret,
			       err);
}

/* The server said during the call that its tools are others now: whoever offers them reads the
 * catalogue without a connection, so it is listed anew. That it cannot be takes nothing from the
 * call. */
static void refresh(struct mcp_work *c, const struct mcp_target *t, struct mcp_session *session)
{
	_cleanup_json_ json_t *tools = NULL;
	enum mcp_freshness listed = MCP_TOOLS_LISTED;
	struct err err;

	if (mcp_target_tools(c->ctx, t, session, &listed, clock_deadline(REFRESH_TIME), &tools,
			     &err) < 0)
		log_info("MCP server %s: its catalogue has changed and cannot be listed: %s",
			 t->server.name, err.msg);
}

static int call(struct mcp_work *c, const struct mcp_target *t, json_t *const *values,
		usec_t deadline, json_t **ret_result, struct err *err)
{
	const struct mcp_session_wish wish = {.server = &t->server,
					      .conversation =
						      json_string_value(values[CONVERSATION]),
					      .project = json_string_value(values[PROJECT]),
					      .deadline = deadline,
					      .cancelled = task_cancel_flag(c->ctx),
					      .hooks = {on_progress, on_log, on_change, NULL, c}};
	struct mcp_sessions *sessions = task_ctx_mcp(c->ctx);
	struct mcp_session *session = NULL;
	_cleanup_json_ json_t *result = NULL;
	usec_t began = clock_mono();
	struct err why = {0};
	int rc = mcp_session_get(sessions, &wish, &session, &why);

	if (rc == 0) {
		rc = call_in(c, t, session, values, deadline, &result, &why);
		if (rc == 0 && c->changed)
			refresh(c, t, session);
		mcp_session_put(sessions, session);
	}
	usec_t duration = clock_mono() - began;
	task_ctx_audit(c->ctx,
		       rc == 0			? "allow"
		       : why.code == ERR_DENIED ? "deny"
						: "error",
		       "mcp", t->server.name, rc < 0 ? why.msg : NULL, duration, NULL);
	if (rc == -ERR_CANCELLED) {
		*err = why;
		return rc;
	}
	*ret_result = rc < 0 ? failure(&why, duration) : call_result(result, duration);
	return 0;
}

/* The name by which policies and models know it. */
static bool may_call(struct task_ctx *ctx, const struct mcp_target *t, const char *tool,
		     char reason[TASK_REASON_SIZE])
{
	_cleanup_free_ char *name = xasprintf("mcp_%.128s_%.128s", t->server.name, tool);

	return task_ctx_may(ctx, POLICY_TOOL, name, true, reason);
}

static int run(struct task_ctx *ctx, json_t *const *values, json_t **ret_result, struct err *err)
{
	_cleanup_(mcp_target_done) struct mcp_target t = {0};
	struct mcp_work c = {.ctx = ctx};
	const char *project = json_string_value(values[PROJECT]);
	char reason[TASK_REASON_SIZE];
	struct err why = {0};
	usec_t timeout;
	int rc = tool_timeout(ctx, values[TIMEOUT], &timeout, err);

	if (rc < 0)
		return rc;
	rc = mcp_target_load(ctx, values[SERVER], project, &t, &why);
	if (rc == -ERR_NOTFOUND)
		return raise_value_error(ctx, err, "%s", why.msg);
	if (rc == -ERR_CANCELLED) {
		*err = why;
		return rc;
	}
	if (rc < 0)
		*ret_result = failure(&why, 0);
	else if (!may_call(ctx, &t, json_string_value(values[TOOL]), reason))
		*ret_result = tool_result("denied", NULL, NULL, true, reason, 0);
	else
		rc = call(&c, &t, values, clock_deadline(timeout), ret_result, err);
	if (*ret_result) {
		mcp_record(ctx, *ret_result, json_string_value(values[CONVERSATION]), project);
		return 0;
	}
	return rc;
}

static const struct task_param params[COUNT] = {
	[SERVER] = {"server_id", PARAM_ANY, true},
	[TOOL] = {"tool", PARAM_ID, true},
	[ARGUMENTS] = {"arguments", PARAM_DICT, false},
	[CONVERSATION] = {"conversation_id", PARAM_ID, false},
	[TIMEOUT] = {"timeout", PARAM_NUMBER, false},
	[PROJECT] = {"project_id", PARAM_ID, false},
};

const struct task task_mcp_call_tool = {
	.name = "mcp.call_tool",
	.run = run,
	.params = params,
	.param_count = ARRAY_LEN(params),
	.flags = TASK_ACKS_LATE | TASK_STORED,
	.lane = "conversation_id",
	.kind = "mcp",
	.help = "calls a tool of an MCP server",
};
