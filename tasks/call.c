/*
 * tools.call: a tool by its name alone. Four tiers are asked in this order: core tools, names that
 * begin with mcp_, names that begin with custom_, plugins; the first to which the name belongs has
 * the call, which is from then on that of the task behind the tool, with everything that is known
 * of that one: gate, row, network, secrets.
 */
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "plugins.h"
#include "tasks.h"
#include "tool.h"

enum param { NAME, PARAMS, CONTEXT, PROJECT, CONVERSATION, COUNT };

static const struct {
	const char *name;
	const struct task *task;
} core[] = {
	{"execute_code", &task_tools_execute_code},
};

static void set(json_t *kwargs, const char *name, json_t *value)
{
	if (value)
		json_object_set(kwargs, name, value);
}

/* Whose the call is. */
static void set_owner(json_t *kwargs, json_t *const *values)
{
	set(kwargs, "project_id", values[PROJECT]);
	set(kwargs, "conversation_id", values[CONVERSATION]);
}

/* params are the task's own arguments: all but whose the call is, which a model must not choose. */
static int resolve_core(struct task_ctx *ctx, json_t *const *values, const struct task *task,
			const struct task **ret_task, json_t **ret_kwargs, struct err *err)
{
	static const char *const owner[] = {"project_id", "conversation_id"};

	for (size_t i = 0; i < ARRAY_LEN(owner); i++)
		if (json_object_get(values[PARAMS], owner[i]))
			return raise_recorded(ctx, err, "TypeError", "params must not hold %s",
					      owner[i]);
	*ret_kwargs = json_copy(values[PARAMS]);
	set_owner(*ret_kwargs, values);
	*ret_task = task;
	return 0;
}

/* "mcp_<server>_<tool>". */
static int resolve_mcp(struct task_ctx *ctx, json_t *const *values, const struct task **ret_task,
		       json_t **ret_kwargs, struct err *err)
{
	const char *name = json_string_value(values[NAME]) + strlen("mcp_"), *tool;
	struct err why = {0};
	int64_t server;
	int rc;

	do
		rc = store_find_mcp_tool(task_ctx_store(ctx), name,
					 json_string_value(values[PROJECT]), &server, &tool, &why);
	while (task_asks_again(ctx, &rc, &why));
	if (rc == -ERR_NOTFOUND)
		return raise_value_error(ctx, err, "name: %s", why.msg);
	if (rc < 0) {
		*err = why;
		return rc;
	}
	*ret_kwargs = json_object();
	json_object_set_new(*ret_kwargs, "server_id", json_integer(server));
	json_object_set_new(*ret_kwargs, "tool", json_string(tool));
	set(*ret_kwargs, "arguments", values[PARAMS]);
	set_owner(*ret_kwargs, values);
	*ret_task = &task_mcp_call_tool;
	return 0;
}

static int resolve_custom(unused_arg struct task_ctx *ctx, json_t *const *values,
			  const struct task **ret_task, json_t **ret_kwargs,
			  unused_arg struct err *err)
{
	*ret_kwargs = json_object();
	set(*ret_kwargs, "tool", values[NAME]);
	set(*ret_kwargs, "params", values[PARAMS]);
	set_owner(*ret_kwargs, values);
	*ret_task = &task_tools_call_http;
	return 0;
}

static int resolve_plugin(struct task_ctx *ctx, json_t *const *values, const struct task **ret_task,
			  json_t **ret_kwargs, struct err *err)
{
	const char *name = json_string_value(values[NAME]);
	const char *plugin = plugin_index_find(task_ctx_plugins(ctx), name);

	if (plugin == NULL)
		return raise_value_error(ctx, err, "name: there is no tool '%.128s'", name);
	*ret_kwargs = json_object();
	json_object_set_new(*ret_kwargs, "plugin", json_string(plugin));
	set(*ret_kwargs, "tool", values[NAME]);
	set(*ret_kwargs, "params", values[PARAMS]);
	set(*ret_kwargs, "context", values[CONTEXT]);
	set_owner(*ret_kwargs, values);
	*ret_task = &task_tools_run_plugin;
	return 0;
}

static const struct {
	const char *prefix;
	task_resolve_fn *resolve;
} tiers[] = {
	{"mcp_", resolve_mcp},
	{"custom_", resolve_custom},
	{"", resolve_plugin},
};

bool tool_name_is_taken(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(core); i++)
		if (strcmp(name, core[i].name) == 0)
			return true;
	for (size_t i = 0; i < ARRAY_LEN(tiers); i++)
		if (tiers[i].prefix[0] &&
		    strncmp(name, tiers[i].prefix, strlen(tiers[i].prefix)) == 0)
			return true;
	return false;
}

static int resolve(struct task_ctx *ctx, json_t *const *values, const struct task **ret_task,
		   json_t **ret_kwargs, struct err *err)
{
	const char *name = json_string_value(values[NAME]);
	size_t i = 0;

	for (size_t k = 0; k < ARRAY_LEN(core); k++)
		if (strcmp(name, core[k].name) == 0)
			return resolve_core(ctx, values, core[k].task, ret_task, ret_kwargs, err);
	while (strncmp(name, tiers[i].prefix, strlen(tiers[i].prefix)) != 0)
		i++;
	return tiers[i].resolve(ctx, values, ret_task, ret_kwargs, err);
}

static const struct task_param params[COUNT] = {
	[NAME] = {"name", PARAM_ID, true},
	[PARAMS] = {"params", PARAM_DICT, true},
	[CONTEXT] = {"context", PARAM_DICT, false},
	[PROJECT] = {"project_id", PARAM_ID, false},
	[CONVERSATION] = {"conversation_id", PARAM_ID, false},
};

static const char *const secret_params[] = {"params.env", NULL};

const struct task task_tools_call = {
	.name = "tools.call",
	.resolve = resolve,
	.params = params,
	.param_count = ARRAY_LEN(params),
	.flags = TASK_ACKS_LATE | TASK_STORED,
	.lane = "conversation_id",
	.kind = "core",
	.target = "name",
	.secret_params = secret_params,
	.help = "calls a tool by its name: core, mcp_, custom_ or a plugin's",
};
