/*
 * probe.c: tasks that tell what a task sees, and that send others.
 */
#include <celeriac/task_module.h>
#include <stdio.h>
#include <stdlib.h>
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
	(void)ret;
	return task_update_state(ctx, json_string_value(values[0]), NULL, err);
}

static int run_log(struct task_ctx *ctx, json_t *const *values, json_t **ret, struct err *err)
{
	(void)err;
	task_log(ctx, TASK_LOG_WARNING, "%s", json_string_value(values[0]));
	*ret = json_null();
	return 0;
}

static const struct task_param any[] = {{"a", PARAM_ANY, false}, {"b", PARAM_ANY, false}};
static const struct task_param send[] = {
	{"name", PARAM_STR, true}, {"args", PARAM_LIST, false}, {"options", PARAM_DICT, false}};
static const struct task_param one[] = {{"signature", PARAM_DICT, true}};
static const struct task_param names[] = {{"name", PARAM_STR, true}, {"queue", PARAM_STR, true}};

static const struct task tasks[] = {
	{.name = "probe.request", .run = run_request, .params = any, .param_count = 2},
	{.name = "probe.send", .run = run_send, .params = send, .param_count = 3},
	{.name = "probe.send_and_wait",
	 .run = run_send_and_wait,
	 .params = names,
	 .param_count = 2},
	{.name = "probe.wait_for", .run = run_wait_for, .params = names, .param_count = 1},
	{.name = "probe.signature", .run = run_signature, .params = one, .param_count = 1},
	{.name = "probe.state", .run = run_state, .params = names, .param_count = 1},
	{.name = "probe.log", .run = run_log, .params = names, .param_count = 1},
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
