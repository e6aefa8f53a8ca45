/*
 * sandbox.execute_code: runs code in the conversation's container. Code that fails is a task that
 * succeeded.
 */
#include "execute_code.h"

#include <string.h>

#include "bounds.h"
#include "json.h"
#include "kept_run.h"
#include "mem.h"
#include "tasks.h"

static json_t *files_json(const struct kept_run *k)
{
	json_t *list = json_array();

	for (size_t i = 0; i < k->outcome.file_count; i++) {
		const struct store_file *f = &k->files[i];

		json_array_append_new(
			list, json_pack("{s:s, s:o, s:s, s:I, s:s}", "id", f->id, "name",
					json_text(f->name, strlen(f->name), true), "mime", f->mime,
					"size", (json_int_t)f->len, "sha256", f->sha256));
	}
	return list;
}

static json_t *skipped_json(const struct sandbox_outcome *o)
{
	json_t *list = json_array();

	for (size_t i = 0; i < o->skipped_count; i++) {
		const struct sandbox_skipped_file *f = &o->skipped[i];

		json_array_append_new(list,
				      json_pack("{s:o, s:o}", "name",
						json_text(f->name, strlen(f->name), true), "reason",
						json_text(f->reason, strlen(f->reason), true)));
	}
	return list;
}

static json_t *output_json(const char *text, size_t len)
{
	return json_text(text ? text : "", text ? len : 0, true);
}

/* The run result, as the manual lists it. */
static json_t *run_result(const struct kept_run *k)
{
	const struct sandbox_outcome *o = &k->outcome;

	return json_pack("{s:s, s:i, s:o, s:o, s:I, s:I, s:I, s:o, s:o, s:s, s:b, s:b}", "status",
			 sandbox_status_text(o->status), "exit_code", o->exit_code, "stdout",
			 output_json(o->stdout_text, o->stdout_len), "stderr",
			 output_json(o->stderr_text, o->stderr_len), "stdout_dropped",
			 (json_int_t)o->stdout_dropped, "stderr_dropped",
			 (json_int_t)o->stderr_dropped, "duration_ms",
			 (json_int_t)(o->duration / USEC_PER_MSEC), "files", files_json(k),
			 "files_skipped", skipped_json(o), "sandbox", o->container, "reused",
			 o->reused, "restarted", o->restarted);
}

static int run_checked(struct task_ctx *ctx, const struct sandbox_run *run, json_t **ret_result,
		       struct err *err)
{
	struct kept_run *k;
	int rc = kept_run(ctx, run, &k, err);

	if (rc < 0)
		return rc;
	kept_run_record(ctx, run, k);
	*ret_result = run_result(k);
	return 0;
}

/* The installer with its packages is a command, for the policy. */
static int may_install(struct task_ctx *ctx, const struct sandbox_run *run, struct err *err)
{
	const char *const *installer = sandbox_language_installer(run->language);
	_cleanup_free_ const char **argv = NULL;
	char reason[TASK_REASON_SIZE];
	size_t n = 0;

	if (run->packages == NULL || installer[0] == NULL)
		return 0;
	while (installer[n])
		n++;
	argv = xcalloc(n + BOUND_PACKAGES + 1, sizeof(*argv));
	memcpy(argv, installer, n * sizeof(*argv));
	for (size_t i = 0; run->packages[i]; i++)
		argv[n++] = run->packages[i];
	if (task_ctx_may_run(ctx, argv, reason))
		return 0;
	return task_raise(ctx, err, "builtins", "PermissionError", "packages: %s", reason);
}

static int run_execute_code(struct task_ctx *ctx, json_t *const *values, json_t **ret_result,
			    struct err *err)
{
	_cleanup_(execute_args_done) struct execute_args args;
	int rc = execute_args_read(ctx, values, &args, err);

	if (rc == 0)
		rc = may_install(ctx, &args.run, err);
	if (rc < 0)
		return rc;
	task_ctx_bind_run(ctx, &args.run);
	return run_checked(ctx, &args.run, ret_result, err);
}

static const struct task_param params[EXECUTE_PARAMS] = {
	[EXECUTE_CONVERSATION] = {"conversation_id", PARAM_ID, true},
	[EXECUTE_CODE] = {"code", PARAM_STR, true},
	[EXECUTE_LANGUAGE] = {"language", PARAM_STR, false},
	[EXECUTE_PROJECT] = {"project_id", PARAM_ID, false},
	[EXECUTE_FILES] = {"files", PARAM_LIST, false},
	[EXECUTE_PACKAGES] = {"packages", PARAM_LIST, false},
	[EXECUTE_STDIN] = {"stdin", PARAM_STR, false},
	[EXECUTE_ENV] = {"env", PARAM_DICT, false},
	[EXECUTE_TIMEOUT] = {"timeout", PARAM_NUMBER, false},
	[EXECUTE_ONE_SHOT] = {"one_shot", PARAM_BOOL, false},
	[EXECUTE_STATEFUL] = {"stateful", PARAM_BOOL, false},
};

static const char *const secret_params[] = {"env", NULL};

/* As a tool: the run is its result. */
static int run_as_tool(struct task_ctx *ctx, json_t *const *values, json_t **ret_result,
		       struct err *err)
{
	_cleanup_json_ json_t *done = NULL;
	_cleanup_free_ char *text = NULL;
	int rc = run_execute_code(ctx, values, &done, err);

	if (rc < 0)
		return rc;
	const char *status = json_string_value(json_object_get(done, "status"));
	bool good = strcmp(status, "ok") == 0, late = strcmp(status, "timeout") == 0;
	usec_t duration =
		(usec_t)json_integer_value(json_object_get(done, "duration_ms")) * USEC_PER_MSEC;
	if (!good)
		text = xasprintf("the code ended with status %s, exit code %lld", status,
				 (long long)json_integer_value(json_object_get(done, "exit_code")));
	*ret_result = tool_result(good || late ? status : "error", TAKE(done), NULL, !good, text,
				  duration);
	return 0;
}

const struct task task_sandbox_execute_code = {
	.name = "sandbox.execute_code",
	.run = run_execute_code,
	.params = params,
	.param_count = ARRAY_LEN(params),
	.flags = TASK_ACKS_LATE | TASK_SANDBOX | TASK_STORED | TASK_NETWORK,
	.lane = "conversation_id",
	.kind = "sandbox",
	.secret_params = secret_params,
	.help = "runs code in the conversation's sandbox",
};

const struct task task_tools_execute_code = {
	.name = "sandbox.execute_code",
	.run = run_as_tool,
	.params = params,
	.param_count = ARRAY_LEN(params),
	.flags = TASK_ACKS_LATE | TASK_SANDBOX | TASK_STORED | TASK_NETWORK,
	.lane = "conversation_id",
	.kind = "sandbox",
	.secret_params = secret_params,
	.help = "runs code in the conversation's sandbox",
};
