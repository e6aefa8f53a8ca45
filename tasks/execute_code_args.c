/*
 * execute_code_args.c: every argument of sandbox.execute_code is looked at before anything is
 * started; what is wrong with one is said by its name, never by the value of a secret.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "execute_code.h"
#include "json.h"
#include "mem.h"
#include "tasks.h"
#include "tool.h"

#define REPLACEMENT "\xef\xbf\xbd"

/* ---- language, packages, stateful ---- */

static int check_language(struct task_ctx *ctx, const json_t *value, struct execute_args *a,
			  struct err *err)
{
	const char *name = value ? json_string_value(value) : "python", *known;
	_cleanup_buf_ struct buf all = BUF_INIT(BOUND_ERROR_TEXT);

	for (size_t i = 0; (known = sandbox_language_name(i)) != NULL; i++) {
		if (strcmp(name, known) == 0) {
			a->run.language = known;
			return 0;
		}
		buf_appendf(&all, "%s%s", i > 0 ? ", " : "", known);
	}
	return raise_value_error(ctx, err, "language '%.60s' is not known; there are %s", name,
				 all.data);
}

/* What they may look like and whether there is a network is the sandbox's to say. */
static int read_packages(struct task_ctx *ctx, const json_t *list, struct execute_args *a,
			 struct err *err)
{
	size_t n = json_array_size(list);

	if (n == 0)
		return 0;
	if (n > BOUND_PACKAGES)
		return raise_value_error(ctx, err, "packages has %zu names, at most %u are allowed",
					 n, BOUND_PACKAGES);
	a->packages = xcalloc(n + 1, sizeof(*a->packages));
	a->run.packages = a->packages;
	for (size_t i = 0; i < n; i++) {
		const json_t *value = json_array_get(list, i);

		if (!json_is_string(value) || json_is_python_number(value))
			return raise_type_error(ctx, err, "packages[%zu] must be str, not %s", i,
						json_type_name(value));
		if (strlen(json_string_value(value)) != json_string_length(value))
			return raise_value_error(ctx, err, "packages[%zu] must not hold null bytes",
						 i);
		a->packages[i] = json_string_value(value);
	}
	return 0;
}

static int check_stateful(struct task_ctx *ctx, const json_t *value, struct execute_args *a,
			  struct err *err)
{
	a->run.stateful = json_is_true(value);
	if (a->run.stateful && strcmp(a->run.language, "python") != 0)
		return raise_value_error(ctx, err, "stateful: only python keeps variables, not %s",
					 a->run.language);
	if (a->run.stateful && a->run.one_shot)
		return raise_value_error(
			ctx, err,
			"stateful and one_shot contradict each other: nothing of a "
			"container of its own lasts");
	return 0;
}

/* ---- texts ---- */

static size_t count_replacements(const char *text, size_t len)
{
	size_t n = 0;

	for (const char *p = text;
	     (p = memmem(p, (size_t)(text + len - p), REPLACEMENT, 3)) != NULL; p += 3)
		n++;
	return n;
}

/* As UTF-8. A lone surrogate has none, and replacing it would run something else than was sent. */
static int read_text(struct task_ctx *ctx, const char *name, const json_t *value, size_t limit,
		     struct buf *out, struct err *err)
{
	size_t before = count_replacements(json_string_value(value), json_string_length(value));
	struct err why = {0};

	*out = BUF_INIT(limit);
	json_text_append(value, out);
	if (buf_status(out, &why) < 0)
		return raise_value_error(ctx, err, "%s has more than %zu bytes", name, limit);
	if (count_replacements(out->data, out->len) != before)
		return raise_value_error(ctx, err, "%s holds a lone surrogate, which is no text",
					 name);
	return 0;
}

static int read_code(struct task_ctx *ctx, const json_t *value, struct execute_args *a,
		     struct err *err)
{
	int rc = read_text(ctx, "code", value, BOUND_CODE_BYTES, &a->code, err);

	if (rc < 0)
		return rc;
	if (memchr(a->code.data, '\0', a->code.len) != NULL)
		return raise_value_error(ctx, err, "code must not hold null bytes");
	a->run.code = (struct slice){a->code.data, a->code.len};
	return 0;
}

static int read_stdin(struct task_ctx *ctx, const json_t *value, struct execute_args *a,
		      struct err *err)
{
	int rc;

	if (value == NULL)
		return 0;
	rc = read_text(ctx, "stdin", value, BOUND_STDIN_BYTES, &a->input, err);
	if (rc == 0)
		a->run.stdin_data = (struct slice){a->input.data, a->input.len};
	return rc;
}

/* ---- env ---- */

static bool is_env_name(const char *name)
{
	if (!isalpha((unsigned char)name[0]) && name[0] != '_')
		return false;
	for (const char *p = name; *p != '\0'; p++) {
		if (!isalnum((unsigned char)*p) && *p != '_')
			return false;
	}
	return true;
}

static int read_variable(struct task_ctx *ctx, const char *name, const json_t *value, size_t *total,
			 char **ret, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(0);
	_cleanup_free_ char *label = NULL;
	int rc;

	if (!is_env_name(name))
		return raise_value_error(ctx, err, "env: '%.60s' is not the name of a variable",
					 name);
	label = xasprintf("env['%.60s']", name);
	if (!json_is_string(value) || json_is_python_number(value))
		return raise_type_error(ctx, err, "%s must be str, not %s", label,
					json_type_name(value));
	rc = read_text(ctx, label, value, BOUND_ENV_BYTES, &text, err);
	if (rc < 0)
		return rc;
	if (memchr(text.data, '\0', text.len) != NULL)
		return raise_value_error(ctx, err, "%s must not hold null bytes", label);
	*total += strlen(name) + text.len + 2;
	if (*total > BOUND_ENV_BYTES)
		return raise_value_error(ctx, err, "env has more than %u bytes", BOUND_ENV_BYTES);
	*ret = xasprintf("%s=%s", name, text.data);
	return 0;
}

static int read_env(struct task_ctx *ctx, const json_t *value, struct execute_args *a,
		    struct err *err)
{
	size_t count = json_object_size(value), total = 0, i = 0;
	const char *key;
	json_t *member;

	if (count > BOUND_ENV_VARS)
		return raise_value_error(ctx, err, "env has %zu variables, at most %d are allowed",
					 count, BOUND_ENV_VARS);
	a->env = xcalloc(count + 1, sizeof(*a->env));
	a->run.env = (const char *const *)a->env;
	json_object_foreach((json_t *)(uintptr_t)value, key, member)
	{
		int rc = read_variable(ctx, key, member, &total, &a->env[i], err);

		if (rc < 0)
			return rc;
		i++;
	}
	return 0;
}

/* ---- all ---- */

int execute_args_read(struct task_ctx *ctx, json_t *const *values, struct execute_args *ret,
		      struct err *err)
{
	int rc;

	*ret = (struct execute_args){.code = BUF_INIT(0), .input = BUF_INIT(0)};
	ret->run.task_id = task_ctx_id(ctx);
	ret->run.conversation = json_string_value(values[EXECUTE_CONVERSATION]);
	ret->run.project = json_string_value(values[EXECUTE_PROJECT]);
	ret->run.one_shot = json_is_true(values[EXECUTE_ONE_SHOT]);
	ret->run.cancel = task_cancel_flag(ctx);
	rc = check_language(ctx, values[EXECUTE_LANGUAGE], ret, err);
	if (rc == 0)
		rc = read_packages(ctx, values[EXECUTE_PACKAGES], ret, err);
	if (rc == 0)
		rc = check_stateful(ctx, values[EXECUTE_STATEFUL], ret, err);
	if (rc == 0)
		rc = tool_timeout(ctx, values[EXECUTE_TIMEOUT], &ret->run.timeout, err);
	if (rc == 0)
		rc = read_code(ctx, values[EXECUTE_CODE], ret, err);
	if (rc == 0)
		rc = read_env(ctx, values[EXECUTE_ENV], ret, err);
	if (rc == 0)
		rc = read_stdin(ctx, values[EXECUTE_STDIN], ret, err);
	if (rc == 0)
		rc = execute_files_read(ctx, values[EXECUTE_FILES], ret, err);
	return rc;
}

void execute_args_done(struct execute_args *a)
{
	for (size_t i = 0; a->env != NULL && a->env[i] != NULL; i++) {
		wipe(a->env[i], strlen(a->env[i]));
		free(a->env[i]);
	}
	free(a->env);
	for (size_t i = 0; i < a->run.file_count; i++)
		free((void *)(uintptr_t)a->files[i].data);
	free(a->files);
	free(a->packages);
	buf_done(&a->code);
	buf_done(&a->input);
}
