/*
 * tool_python.c: a Python tool in a container of its own.
 *
 * The program of the run is always the same (tool_runner.py); everything that differs is data on
 * its standard input. What the tool returns comes back as a file with a name made up for this call.
 */
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "codec.h"
#include "json.h"
#include "kept_run.h"
#include "mem.h"
#include "tasks.h"
#include "tool.h"

extern const char script_tool_runner[];

#define ANSWER_PREFIX ".celeriac-answer-"

static json_t *or_null(const json_t *value)
{
	return value ? json_incref((json_t *)(uintptr_t)value) : json_null();
}

/* What tool_runner.py reads. */
static int make_request(const struct python_tool *t, const char *answer, struct buf *out,
			struct err *err)
{
	_cleanup_json_ json_t *request = json_object();

	json_object_set_new(request, "tool", t->tool ? json_string(t->tool) : json_null());
	json_object_set_new(request, "files", or_null(t->files));
	json_object_set_new(request, "params", or_null(t->params));
	json_object_set_new(request, "context", t->context ? or_null(t->context) : json_object());
	json_object_set_new(request, "plugin_config", or_null(t->plugin_config));
	json_object_set_new(request, "answer", json_string(answer));
	/* all of it at once: a secret is not left behind by growing */
	if (buf_reserve(out, BOUND_STDIN_BYTES) == NULL)
		return err_set(err, ERR_NOMEM, "plugin and params");
	json_dump_python(request, out);
	if (buf_status(out, err) < 0)
		return err_set(err, ERR_TOOBIG, "plugin and params have more than %u bytes in all",
			       BOUND_STDIN_BYTES);
	return 0;
}

/* "import failed: ModuleNotFoundError: …\n  File \"tools.py\", line 3, in <module>". */
static json_t *failure(struct task_ctx *ctx, const json_t *answer, usec_t duration)
{
	static const struct {
		const char *stage, *words;
	} stages[] = {
		{"import", "the plugin could not be imported"},
		{"class", "the tool could not be made"},
		{"schema", "the parameters do not fit the tool's input_schema"},
		{"exception", "the tool raised an exception"},
		{"result", "the tool returned what is no JSON"},
	};
	const char *stage = json_member_str(answer, "stage");
	const char *said = json_member_str(answer, "error");
	const char *text = said ? said : "it does not say why";
	const json_t *lines = json_object_get(answer, "lines"), *line;
	_cleanup_buf_ struct buf words = BUF_INIT(BOUND_ERROR_TEXT * 4);
	const char *begins = "the tool failed", *name = NULL;
	size_t i;

	for (i = 0; stage && i < ARRAY_LEN(stages); i++)
		if (strcmp(stages[i].stage, stage) == 0) {
			name = stages[i].stage;
			begins = stages[i].words;
		}
	if (name && strcmp(name, "schema") == 0)
		task_ctx_audit(ctx, "error", "schema", NULL, begins, USEC_NEVER, NULL);
	buf_appendf(&words, "%s: %.*s", begins, BOUND_ERROR_TEXT, text);
	json_array_foreach((json_t *)(uintptr_t)lines, i, line) if (json_is_string(line))
		buf_appendf(&words, "\n  %.300s", json_string_value(line));
	return tool_result("error", NULL, NULL, true, words.data, duration);
}

/* What the tool said; anything but the one form is an answer that it forged. */
static json_t *read_answer(struct task_ctx *ctx, const char *data, size_t len, usec_t duration)
{
	_cleanup_json_ json_t *answer = NULL;
	struct err why = {0};

	if (len > BOUND_TOOL_ANSWER || json_load_python(data, len, &answer, &why) < 0 ||
	    !json_is_object(answer))
		return tool_result("error", NULL, NULL, true, "the tool's answer cannot be read",
				   duration);
	if (!json_is_true(json_object_get(answer, "ok")))
		return failure(ctx, answer, duration);
	json_t *calls = json_object_get(answer, "calls");
	json_t *r = tool_result("ok", or_null(json_object_get(answer, "result")), NULL, false, NULL,
				duration);
	if (json_array_size(calls) > 0)
		json_object_set(r, "api_calls", calls);
	return r;
}

/* A run that ended before its tool had answered. */
static json_t *no_answer(const struct sandbox_outcome *o)
{
	const char *status = sandbox_status_text(o->status);
	_cleanup_free_ char *text = NULL;
	size_t tail = o->stderr_len > 2000 ? o->stderr_len - 2000 : 0;

	if (o->status == SANDBOX_TIMEOUT)
		return tool_result("timeout", NULL, NULL, true, "the tool took too long",
				   o->duration);
	text = xasprintf("the tool ended without an answer (%s, exit code %d)%s%s",
			 o->status == SANDBOX_OK ? "error" : status, o->exit_code,
			 o->stderr_len ? ": " : "", o->stderr_text ? o->stderr_text + tail : "");
	return tool_result("error", NULL, NULL, true, text, o->duration);
}

static int execute(struct task_ctx *ctx, const struct python_tool *t, const char *answer,
		   struct slice request, json_t **ret_result, struct err *err)
{
	struct sandbox_terms terms;
	struct sandbox_run run = {
		.task_id = task_ctx_id(ctx),
		.conversation = t->conversation ? t->conversation : task_ctx_id(ctx),
		.project = t->project,
		.language = "python",
		.code = {script_tool_runner, strlen(script_tool_runner)},
		.stdin_data = request,
		.timeout = t->timeout,
		.one_shot = true,
		.plugin = true,
	};
	struct kept_run *k;
	_cleanup_free_ char *data = NULL;
	size_t len = 0;

	task_ctx_bind_run(ctx, &run);
	/* its answer is a file too */
	terms = *run.terms;
	terms.files_max++;
	run.terms = &terms;
	int rc = kept_run(ctx, &run, &k, err);
	if (rc < 0)
		return rc;
	data = kept_run_take_file(k, answer, &len);
	kept_run_record(ctx, &run, k);
	*ret_result = data && k->outcome.status == SANDBOX_OK
			      ? read_answer(ctx, data, len, k->outcome.duration)
			      : no_answer(&k->outcome);
	struct task_record *record = task_ctx_record(ctx);
	record->conversation = t->conversation;
	record->finish.status = json_string_value(json_object_get(*ret_result, "status"));
	record->finish.error = json_string_value(json_object_get(*ret_result, "error"));
	return 0;
}

int python_tool_run(struct task_ctx *ctx, const struct python_tool *t, json_t **ret_result,
		    struct err *err)
{
	_cleanup_buf_ struct buf request = BUF_INIT(BOUND_STDIN_BYTES);
	char id[UUID_SIZE], answer[sizeof(ANSWER_PREFIX) + UUID_SIZE] = ANSWER_PREFIX;

	/* the same for the same task: a run may be taken over by somebody else */
	uuid8(task_ctx_id(ctx), id);
	memcpy(answer + strlen(ANSWER_PREFIX), id, UUID_SIZE);
	int rc = make_request(t, answer, &request, err);
	if (rc == 0)
		rc = execute(ctx, t, answer, (struct slice){request.data, request.len}, ret_result,
			     err);
	wipe(request.data, request.len);
	return rc;
}
