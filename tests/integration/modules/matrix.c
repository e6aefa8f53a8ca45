/*
 * matrix.c: one task that ends in every way a task can end, as matrix.run of python_matrix.py does.
 */
#include <celeriac/task_module.h>
#include <string.h>
#include <time.h>

static int fail(struct task_ctx *ctx, json_t **ret, struct err *err)
{
	(void)ret;
	return task_raise(ctx, err, "builtins", "RuntimeError", "boo");
}

static int ignore(struct task_ctx *ctx, json_t **ret, struct err *err)
{
	(void)ret;
	return task_ignore(ctx, err);
}

static int reject(struct task_ctx *ctx, json_t **ret, struct err *err)
{
	(void)ret;
	return task_reject(ctx, "no", false, err);
}

static int requeue(struct task_ctx *ctx, json_t **ret, struct err *err)
{
	if (!task_ctx_request(ctx)->redelivered)
		return task_reject(ctx, "later", true, err);
	*ret = json_string("again");
	return 0;
}

static int retry(struct task_ctx *ctx, json_t **ret, struct err *err)
{
	if (task_ctx_retries(ctx) < 2)
		return task_retry(ctx, 0, err);
	*ret = json_integer(task_ctx_retries(ctx));
	return 0;
}

static int retry_for(struct task_ctx *ctx, json_t **ret, struct err *err)
{
	(void)ret;
	task_raise(ctx, err, "builtins", "ValueError", "reason");
	return task_retry(ctx, TASK_RETRY_DELAY, err);
}

static int retry_eta(struct task_ctx *ctx, json_t **ret, struct err *err)
{
	if (task_ctx_retries(ctx) < 1)
		return task_retry_with(ctx, TASK_RETRY(.eta = (time(NULL) + 1) * USEC_PER_SEC),
				       err);
	*ret = json_integer(task_ctx_retries(ctx));
	return 0;
}

static int retry_2100(struct task_ctx *ctx, json_t **ret, struct err *err)
{
	(void)ret;
	return task_retry_with(ctx, TASK_RETRY(.eta = 4102444800 * USEC_PER_SEC), err);
}

static int retry_once(struct task_ctx *ctx, json_t **ret, struct err *err)
{
	(void)ret;
	task_raise(ctx, err, "builtins", "ValueError", "reason");
	return task_retry_with(ctx, TASK_RETRY(.countdown = TASK_NONE, .max_retries = 1), err);
}

static int sleep_long(struct task_ctx *ctx, json_t **ret, struct err *err)
{
	(void)ret;
	task_sleep(ctx, task_clock() + 600 * USEC_PER_SEC);
	return err_set(err, ERR_CANCELLED, "cancelled");
}

static int sleep_once(struct task_ctx *ctx, json_t **ret, struct err *err)
{
	if (!task_ctx_request(ctx)->redelivered)
		return sleep_long(ctx, ret, err);
	*ret = json_string("again");
	return 0;
}

/* Catches the soft time limit. */
static int catch_soft(struct task_ctx *ctx, json_t **ret, struct err *err)
{
	(void)err;
	task_sleep(ctx, task_clock() + 600 * USEC_PER_SEC);
	*ret = json_string(task_why_cancelled(ctx) == TASK_SOFT_TIME_LIMIT ? "caught" : "?");
	return 0;
}

static int progress(struct task_ctx *ctx, json_t **ret, struct err *err)
{
	json_t *meta = json_pack("{s:i, s:i}", "current", 3, "total", 10);
	int rc = task_update_state(ctx, "PROGRESS", meta, err);

	json_decref(meta);
	return rc < 0 ? rc : task_ignore(ctx, err);
	(void)ret;
}

static const struct {
	const char *name;
	int (*run)(struct task_ctx *ctx, json_t **ret, struct err *err);
} ways[] = {
	{"fail", fail},
	{"ignore", ignore},
	{"reject", reject},
	{"requeue", requeue},
	{"retry", retry},
	{"retry_for", retry_for},
	{"retry_eta", retry_eta},
	{"retry_2100", retry_2100},
	{"retry_once", retry_once},
	{"sleep_long", sleep_long},
	{"sleep_once", sleep_once},
	{"catch_soft", catch_soft},
	{"progress", progress},
};

static int run_matrix(struct task_ctx *ctx, json_t *const *values, json_t **ret_result,
		      struct err *err)
{
	const char *how = json_string_value(values[0]);

	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		if (strcmp(ways[i].name, how) == 0)
			return ways[i].run(ctx, ret_result, err);
	}
	*ret_result = json_string(how);
	return 0;
}

static const struct task_param params[] = {{"how", PARAM_STR, true}};

static const struct task tasks[] = {
	{.name = "matrix.run",
	 .run = run_matrix,
	 .params = params,
	 .param_count = ARRAY_LEN(params)},
};

TASK_MODULE(.name = "matrix", .tasks = tasks, .task_count = ARRAY_LEN(tasks));
