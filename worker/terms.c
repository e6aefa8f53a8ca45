/*
 * What sandbox_settings grant one call. A row counts as a whole.
 */
#include "terms.h"

#include <string.h>

#include "mem.h"
#include "task_house.h"

/* `other` is for the second name that an HTTP tool has: with the prefix, or without. */
static const struct sandbox_setting *find(const struct task_ctx *ctx, char **other,
					  const char **ret_tool)
{
	const struct sandbox_setting *s = NULL;

	if (ctx->target && ctx->task->kind && strcmp(ctx->task->kind, "http") == 0)
		*other = strncmp(ctx->target, "custom_", 7) == 0
				 ? xstrdup(ctx->target + 7)
				 : xasprintf("custom_%s", ctx->target);
	const char *const names[] = {ctx->target, *other, ctx->task->name};

	for (size_t i = 0; ctx->policy && i < ARRAY_LEN(names) && s == NULL; i++) {
		if (names[i])
			s = policy_setting(ctx->policy, names[i], ctx->project);
		*ret_tool = names[i];
	}
	return s;
}

/* The row, and why it does not do. */
static int blame(const struct task_ctx *ctx, const char *tool, struct err *err)
{
	return err_wrap(err, "sandbox_settings of %.128s%s%.100s", tool,
			ctx->project ? " for project " : "", ctx->project ? ctx->project : "");
}

/* Both have to let it pass: the list of the worker's settings, and a rule. */
static int add_mount(struct task_ctx *ctx, const char *line, struct err *err)
{
	char reason[TASK_REASON_SIZE];
	struct sandbox *s = ctx->sandbox ? ctx->sandbox : fleet_any(ctx->worker->fleet);
	int rc = sandbox_terms_mount(&ctx->terms, s, line, err);

	if (rc < 0) {
		task_ctx_audit(ctx, "deny", policy_kind_name(POLICY_MOUNT), line, err->msg,
			       USEC_NEVER, NULL);
		err->code = ERR_DENIED;
		return -ERR_DENIED;
	}
	if (!task_ctx_may(ctx, POLICY_MOUNT, line, policy_kind_default(POLICY_MOUNT), reason))
		return err_set(err, ERR_DENIED, "%s", reason);
	return 0;
}

static int add_mounts(struct task_ctx *ctx, const char *lines, struct err *err)
{
	static const char space[] = " \t\r";
	int rc = 0;

	while (rc == 0 && *lines) {
		size_t len = strcspn(lines, "\n"), from = strspn(lines, space), to = len;
		_cleanup_free_ char *line = NULL;

		while (to > from && strchr(space, lines[to - 1]))
			to--;
		line = to > from ? xstrndup(lines + from, to - from) : NULL;
		if (line)
			rc = add_mount(ctx, line, err);
		lines += len + (lines[len] == '\n');
	}
	return rc;
}

int terms_read(struct task_ctx *ctx, struct err *err)
{
	const struct settings *settings = &ctx->worker->settings;
	const char *tool = NULL;
	_cleanup_free_ char *other = NULL;
	const struct sandbox_setting *s = find(ctx, &other, &tool);
	int rc = 0;

	ctx->in_sandbox = s && s->run_in_sandbox;
	sandbox_terms_done(&ctx->terms);
	sandbox_terms_init(settings, s ? s->network : (ctx->task->flags & TASK_NETWORK) != 0,
			   &ctx->terms);
	/* who makes no container needs no more */
	if (s == NULL || ctx->worker->fleet == NULL ||
	    !(ctx->task->flags & TASK_SANDBOX || s->run_in_sandbox))
		return 0;
	rc = sandbox_terms_limit(&ctx->terms, settings, s->limits, err);
	if (rc == 0)
		rc = add_mounts(ctx, s->mounts, err);
	return rc < 0 ? blame(ctx, tool, err) : 0;
}
