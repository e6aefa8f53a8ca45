/*
 * tools.run_plugin: runs a tool of a plugin of PLUGIN_DIR in a container of its own.
 */
#include <string.h>

#include "json.h"
#include "mem.h"
#include "tasks.h"
#include "tool.h"

enum param { PLUGIN, TOOL, PARAMS, CONTEXT, PLUGIN_CONFIG, PROJECT, CONVERSATION, TIMEOUT, COUNT };

static int raise_plugin_error(struct task_ctx *ctx, struct err *err)
{
	struct err why = *err;

	if (why.code == ERR_DENIED)
		return raise_recorded(ctx, err, "PermissionError", "%s", why.msg);
	return raise_value_error(ctx, err, "%s", why.msg);
}

/* Which bytes ran, for row and audit. */
static void note_digest(struct task_ctx *ctx, const char *plugin, const char *digest)
{
	struct task_record *record = task_ctx_record(ctx);

	json_decref(record->detail);
	record->detail = json_pack("{s:s, s:s}", "plugin", plugin, "plugin_sha256", digest);
}

/* What the message brings along, else the row of plugin_configs. */
static int configure(struct task_ctx *ctx, json_t *const *values, struct python_tool *tool,
		     json_t **ret_opened, struct err *err)
{
	int rc;

	if (values[PLUGIN_CONFIG])
		return 0;
	rc = plugin_config_load(ctx, json_string_value(values[PLUGIN]), tool->project, ret_opened,
				err);
	tool->plugin_config = *ret_opened;
	return rc;
}

static int run(struct task_ctx *ctx, json_t *const *values, json_t **ret_result, struct err *err)
{
	_cleanup_json_wipe_ json_t *opened = NULL;
	_cleanup_json_ json_t *files = NULL;
	char digest[PLUGIN_DIGEST_SIZE];
	struct python_tool tool = {
		.tool = json_string_value(values[TOOL]),
		.params = values[PARAMS],
		.context = values[CONTEXT],
		.plugin_config = values[PLUGIN_CONFIG],
		.project = json_string_value(values[PROJECT]),
		.conversation = json_string_value(values[CONVERSATION]),
	};
	int rc = tool_timeout(ctx, values[TIMEOUT], &tool.timeout, err);

	if (rc < 0)
		return rc;
	rc = plugin_dir_read(task_ctx_settings(ctx)->plugin_dir, json_string_value(values[PLUGIN]),
			     &files, digest, err);
	if (rc < 0)
		return raise_plugin_error(ctx, err);
	note_digest(ctx, json_string_value(values[PLUGIN]), digest);
	rc = configure(ctx, values, &tool, &opened, err);
	if (rc < 0)
		return rc;
	tool.files = files;
	return python_tool_run(ctx, &tool, ret_result, err);
}

static const struct task_param params[COUNT] = {
	[PLUGIN] = {"plugin", PARAM_ID, true},
	[TOOL] = {"tool", PARAM_ID, true},
	[PARAMS] = {"params", PARAM_DICT, true},
	[CONTEXT] = {"context", PARAM_DICT, false},
	[PLUGIN_CONFIG] = {"plugin_config", PARAM_DICT, false},
	[PROJECT] = {"project_id", PARAM_ID, false},
	[CONVERSATION] = {"conversation_id", PARAM_ID, false},
	[TIMEOUT] = {"timeout", PARAM_NUMBER, false},
};

static const char *const secret_params[] = {"plugin_config", NULL};

const struct task task_tools_run_plugin = {
	.name = "tools.run_plugin",
	.run = run,
	.params = params,
	.param_count = ARRAY_LEN(params),
	.flags = TASK_ACKS_LATE | TASK_SANDBOX | TASK_STORED,
	.kind = "plugin",
	.target = "tool",
	.secret_params = secret_params,
	.help = "runs a tool of a plugin in a sandbox of its own",
};
