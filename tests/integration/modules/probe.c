/*
 * probe.c: tasks that tell what a task sees, and that send others.
 */
#include <celeriac/task_module.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static json_t *text(const char *s)
{
	return s ? json_string(s) : json_null();
}

static int run_request(struct task_ctx *ctx, json_t *const *values, json_t **ret, struct err *err)
{
	const struct task_request *r = task_ctx_request(ctx);

	(void)values;
	(void)err;
	*ret = json_object();
	json_object_set_new(*ret, "id", text(r->id));
	json_object_set_new(*ret, "name", text(r->name));
	json_object_set_new(*ret, "root_id", text(r->root_id));
	json_object_set_new(*ret, "parent_id", text(r->parent_id));
	json_object_set_new(*ret, "group", text(r->group));
	json_object_set_new(*ret, "retries", json_integer(r->retries));
	json_object_set_new(*ret, "expires", json_integer(r->expires));
	json_object_set_new(*ret, "hostname", text(r->hostname));
	json_object_set_new(*ret, "queue", text(r->queue));
	json_object_set_new(*ret, "exchange", text(r->exchange));
	json_object_set_new(*ret, "routing_key", text(r->routing_key));
	json_object_set_new(*ret, "priority", json_integer(r->priority));
	json_object_set_new(*ret, "redelivered", json_boolean(r->redelivered));
	json_object_set_new(*ret, "args", json_deep_copy(r->args));
	json_object_set_new(*ret, "kwargs", json_deep_copy(r->kwargs));
	json_object_set_new(*ret, "mine", json_deep_copy(json_object_get(r->headers, "mine")));
	json_object_set_new(*ret, "time_limit", json_integer(r->time_limit));
	json_object_set_new(*ret, "soft_time_limit", json_integer(r->soft_time_limit));
	return 0;
}

static int run_send(struct task_ctx *ctx, json_t *const *values, json_t **ret, struct err *err)
{
	char id[TASK_ID_SIZE];
	int rc = task_send(ctx, json_string_value(values[0]), values[1], NULL, values[2], id, err);

	if (rc == 0)
		*ret = json_string(id);
	return rc;
}

/* The name is not text. */
static int run_send_bytes(struct task_ctx *ctx, json_t *const *values, json_t **ret,
			  struct err *err)
{
	(void)values;
	(void)ret;
	return task_send(ctx, "\xff", NULL, NULL, NULL, NULL, err);
}

static int run_send_and_wait(struct task_ctx *ctx, json_t *const *values, json_t **ret,
			     struct err *err)
{
	json_t *options = json_pack("{s:O}", "queue", values[1]);
	int rc = task_send(ctx, json_string_value(values[0]), NULL, NULL, options, NULL, err);

	(void)ret;
	json_decref(options);
	task_sleep(ctx, task_clock() + 600 * USEC_PER_SEC);
	return rc < 0 ? rc : err_set(err, ERR_CANCELLED, "cancelled");
}

/* Sleeps until a file is there. */
static int run_wait_for(struct task_ctx *ctx, json_t *const *values, json_t **ret, struct err *err)
{
	const char *path = json_string_value(values[0]);

	while (access(path, F_OK) < 0) {
		if (!task_sleep(ctx, task_clock() + 20 * USEC_PER_MSEC))
			return err_set(err, ERR_CANCELLED, "cancelled");
	}
	*ret = json_integer(1);
	return 0;
}

static int run_signature(struct task_ctx *ctx, json_t *const *values, json_t **ret, struct err *err)
{
	char id[TASK_ID_SIZE];
	int rc = task_send_signature(ctx, values[0], NULL, id, err);

	if (rc == 0)
		*ret = json_string(id);
	return rc;
}

static int run_state(struct task_ctx *ctx, json_t *const *values, json_t **ret, struct err *err)
{
	*ret = json_null();
	return task_update_state(ctx, json_string_value(values[0]), values[1], err);
}

/* A state of its own with so many bytes. */
static int run_long_state(struct task_ctx *ctx, json_t *const *values, json_t **ret,
			  struct err *err)
{
	size_t len = (size_t)json_integer_value(values[0]);
	char *bytes = malloc(len + 1);
	json_t *meta;
	int rc;

	(void)ret;
	if (bytes == NULL)
		return err_set(err, ERR_NOMEM, "%zu bytes", len);
	memset(bytes, 'x', len);
	meta = json_stringn(bytes, len);
	rc = task_update_state(ctx, "LONG", meta, err);
	json_decref(meta);
	free(bytes);
	return rc;
}

static int run_log(struct task_ctx *ctx, json_t *const *values, json_t **ret, struct err *err)
{
	json_int_t level = values[1] ? json_integer_value(values[1]) : TASK_LOG_WARNING;

	(void)err;
	task_log(ctx, (enum task_log_level)level, "%s", json_string_value(values[0]));
	*ret = json_null();
	return 0;
}

/* Says in its log why it is cancelled, before and after. */
static int run_why(struct task_ctx *ctx, json_t *const *values, json_t **ret, struct err *err)
{
	static const char *const names[] = {
		[TASK_NOT_CANCELLED] = "not cancelled", [TASK_REVOKED_RUNNING] = "revoked",
		[TASK_SOFT_TIME_LIMIT] = "soft limit",	[TASK_TIME_LIMIT] = "limit",
		[TASK_SHUTDOWN] = "shutdown",
	};

	(void)values;
	(void)ret;
	task_log(ctx, TASK_LOG_WARNING, "first %s", names[task_why_cancelled(ctx)]);
	task_sleep(ctx, task_clock() + 600 * USEC_PER_SEC);
	task_log(ctx, TASK_LOG_WARNING, "then %s", names[task_why_cancelled(ctx)]);
	return err_set(err, ERR_CANCELLED, "cancelled");
}

/* Asks to come again, without a reason, until a file is there. */
static int run_not_yet(struct task_ctx *ctx, json_t *const *values, json_t **ret, struct err *err)
{
	if (access(json_string_value(values[0]), F_OK) < 0)
		return task_reject(ctx, NULL, true, err);
	*ret = json_integer(task_ctx_retries(ctx));
	return 0;
}

static const struct task_param any[] = {{"a", PARAM_ANY, false}, {"b", PARAM_ANY, false}};
static const struct task_param send[] = {
	{"name", PARAM_STR, true}, {"args", PARAM_LIST, false}, {"options", PARAM_ANY, false}};
static const struct task_param one[] = {{"signature", PARAM_DICT, true}};
static const struct task_param state[] = {{"name", PARAM_STR, true}, {"meta", PARAM_ANY, false}};
static const struct task_param bytes[] = {{"bytes", PARAM_INT, true}};
static const struct task_param line[] = {{"text", PARAM_STR, true}, {"level", PARAM_INT, false}};
static const struct task_param names[] = {{"name", PARAM_STR, true}, {"queue", PARAM_STR, true}};

static const struct task tasks[] = {
	{.name = "probe.request", .run = run_request, .params = any, .param_count = 2},
	{.name = "probe.send", .run = run_send, .params = send, .param_count = 3},
	{.name = "probe.send_bytes", .run = run_send_bytes},
	{.name = "probe.send_and_wait",
	 .run = run_send_and_wait,
	 .params = names,
	 .param_count = 2},
	{.name = "probe.wait_for", .run = run_wait_for, .params = names, .param_count = 1},
	{.name = "probe.signature", .run = run_signature, .params = one, .param_count = 1},
	{.name = "probe.state", .run = run_state, .params = state, .param_count = 2},
	{.name = "probe.long_state", .run = run_long_state, .params = bytes, .param_count = 1},
	{.name = "probe.log", .run = run_log, .params = line, .param_count = 2},
	{.name = "probe.why", .run = run_why},
	{.name = "probe.not_yet", .run = run_not_yet, .params = names, .param_count = 1},
};

static void stop(void)
{
	const char *path = getenv("PROBE_STOPPED");
	FILE *f = path ? fopen(path, "w") : NULL;

	if (f == NULL)
		return;
	fputs("stopped\n", f);
	fclose(f);
}

TASK_MODULE(.name = "probe", .tasks = tasks, .task_count = ARRAY_LEN(tasks), .stop = stop);
