/*
 * tools.run_custom: runs a tool given as source text, always in a container of its own.
 */
#include <string.h>

#include "bounds.h"
#include "codec.h"
#include "json.h"
#include "tasks.h"
#include "tool.h"

enum param { SOURCE, PARAMS, CONTEXT, PROJECT, CONVERSATION, TIMEOUT, COUNT };

static int run(struct task_ctx *ctx, json_t *const *values, json_t **ret_result, struct err *err)
{
	_cleanup_json_ json_t *files = json_object();
	_cleanup_buf_ struct buf source = BUF_INIT(BOUND_CODE_BYTES),
				 text = BUF_INIT(2 * BOUND_CODE_BYTES);
	struct python_tool tool = {
		.files = files,
		.params = values[PARAMS],
		.context = values[CONTEXT],
		.project = json_string_value(values[PROJECT]),
		.conversation = json_string_value(values[CONVERSATION]),
	};
	char digest[SHA256_HEX_SIZE];
	int rc = tool_timeout(ctx, values[TIMEOUT], &tool.timeout, err);

	if (rc < 0)
		return rc;
	json_text_append(values[SOURCE], &source);
	base64_encode(source.data, source.len, &text);
	if (source.failed == ERR_NOMEM)
		return buf_status(&source, err);
	if (source.failed == 0 && buf_status(&text, err) < 0)
		return -err->code;
	if (source.failed)
		return raise_value_error(ctx, err, "source has more than %u bytes",
					 BOUND_CODE_BYTES);
	sha256_hex(source.data, source.len, digest);
	json_decref(task_ctx_record(ctx)->detail);
	task_ctx_record(ctx)->detail = json_pack("{s:s}", "source_sha256", digest);
	json_object_set_new(files, "tools.py", json_stringn(text.data, text.len));
	return python_tool_run(ctx, &tool, ret_result, err);
}

static const struct task_param params[COUNT] = {
	[SOURCE] = {"source", PARAM_STR, true},
	[PARAMS] = {"params", PARAM_DICT, true},
	[CONTEXT] = {"context", PARAM_DICT, false},
	[PROJECT] = {"project_id", PARAM_ID, false},
	[CONVERSATION] = {"conversation_id", PARAM_ID, false},
	[TIMEOUT] = {"timeout", PARAM_NUMBER, false},
};

const struct task task_tools_run_custom = {
	.name = "tools.run_custom",
	.run = run,
	.params = params,
	.param_count = ARRAY_LEN(params),
	.flags = TASK_ACKS_LATE | TASK_SANDBOX | TASK_STORED,
	.kind = "custom",
	.help = "runs a tool given as source text in a sandbox of its own",
};
