/*
 * example.c: a module that shows what tasks can do besides returning a value: progress, retries,
 * further tasks, and ending when they are told to.
 *
 *	cc -std=gnu17 -shared -fPIC $(pkg-config --cflags celeriac) -o example.so example.c
 *	celeriac-worker -I ./example.so
 */
#include <celeriac/task_module.h>
#include <stdlib.h>
#include <string.h>

/* ---- example.primes(limit): long work that tells how far it is ---- */

#define PRIMES_MOST 10000000
#define SHARES	    10 /* reports of progress */

static int report(struct task_ctx *ctx, json_int_t current, json_int_t total, struct err *err)
{
	json_t *meta = json_pack("{s:I, s:I}", "current", current, "total", total);
	int rc = task_update_state(ctx, "PROGRESS", meta, err);

	json_decref(meta);
	return rc;
}

static int run_primes(struct task_ctx *ctx, json_t *const *values, json_t **ret_result,
		      struct err *err)
{
	json_int_t limit = json_integer_value(values[0]), count = 0;
	json_int_t share = limit / SHARES > 0 ? limit / SHARES : 1;
	char *composite;

	if (limit < 2 || limit > PRIMES_MOST)
		return task_raise(ctx, err, "builtins", "ValueError",
				  "limit must be between 2 and %d", PRIMES_MOST);
	composite = calloc((size_t)limit + 1, 1);
	if (composite == NULL)
		return task_raise(ctx, err, "builtins", "MemoryError", "%lld bytes",
				  (long long)limit);
	for (json_int_t n = 2; n <= limit; n++) {
		if (n % share == 0 && (task_cancelled(ctx) || report(ctx, n, limit, err) < 0))
			break;
		if (composite[n])
			continue;
		count++;
		for (json_int_t m = n * n; m <= limit; m += n)
			composite[m] = 1;
	}
	free(composite);
	/* what is returned then does not matter: the worker knows why it ended */
	if (task_cancelled(ctx))
		return err_set(err, ERR_CANCELLED, "cancelled");
	*ret_result = json_integer(count);
	return 0;
}

static const struct task_param primes_params[] = {{"limit", PARAM_INT, true}};

/* ---- example.flaky(failures): retried by itself, with a backoff ---- */

static int run_flaky(struct task_ctx *ctx, json_t *const *values, json_t **ret_result,
		     struct err *err)
{
	int64_t retries = task_ctx_retries(ctx);

	if (retries < json_integer_value(values[0])) {
		task_log(ctx, TASK_LOG_WARNING, "run %lld fails", (long long)retries + 1);
		return task_raise(ctx, err, "builtins", "ConnectionError", "run %lld",
				  (long long)retries + 1);
	}
	*ret_result = json_integer(retries);
	return 0;
}

static const struct task_param flaky_params[] = {{"failures", PARAM_INT, true}};
static const char *const flaky_errors[] = {"ConnectionError", "TimeoutError", NULL};

/* ---- example.poll(url): asks for another run itself ---- */

static int run_poll(struct task_ctx *ctx, json_t *const *values, json_t **ret_result,
		    struct err *err)
{
	const char *url = json_string_value(values[0]);

	if (strncmp(url, "ready:", 6) != 0 && task_ctx_retries(ctx) < 3) {
		task_raise(ctx, err, "example", "NotReady", "%s", url);
		return task_retry(ctx, 0, err); /* with NotReady as the reason */
	}
	*ret_result =
		json_pack("{s:s, s:I}", "url", url, "asked", (json_int_t)task_ctx_retries(ctx) + 1);
	return 0;
}

static const struct task_param poll_params[] = {{"url", PARAM_STR, true}};

/* ---- example.total(numbers): parts for other tasks, and one that puts them together ---- */

/* {"task": name, "args": args, …}: what app.signature(name, args) is. */
static json_t *signature(const char *name, json_t *args)
{
	return json_pack("{s:s, s:o, s:{}, s:{}, s:n, s:b}", "task", name, "args", args, "kwargs",
			 "options", "subtask_type", "immutable", 0);
}

static int run_total(struct task_ctx *ctx, json_t *const *values, json_t **ret_result,
		     struct err *err)
{
	json_t *header = json_array(), *chord, *number;
	char id[TASK_ID_SIZE];
	size_t i;
	int rc;

	json_array_foreach(values[0], i, number) json_array_append_new(
		header, signature("celeriac.add", json_pack("[O, O]", number, number)));
	chord = json_pack("{s:s, s:[], s:{s:o, s:o}, s:{}, s:s, s:b}", "task", "celery.chord",
			  "args", "kwargs", "header", header, "body",
			  signature("celeriac.xsum", json_array()), "options", "subtask_type",
			  "chord", "immutable", 0);
	rc = task_send_signature(ctx, chord, NULL, id, err);
	json_decref(chord);
	if (rc == 0)
		*ret_result = json_string(id); /* of the total, for AsyncResult */
	return rc;
}

static const struct task_param total_params[] = {{"numbers", PARAM_LIST, true}};

/* ---- the table ---- */

static const struct task tasks[] = {
	{.name = "example.primes",
	 .run = run_primes,
	 .params = primes_params,
	 .param_count = ARRAY_LEN(primes_params),
	 .help = "counts the primes up to a limit",
	 .options = {.acks_late = TASK_YES, .soft_time_limit = 60 * USEC_PER_SEC}},
	{.name = "example.flaky",
	 .run = run_flaky,
	 .params = flaky_params,
	 .param_count = ARRAY_LEN(flaky_params),
	 .help = "fails so many times before it succeeds",
	 .options = {.autoretry_for = flaky_errors,
		     .max_retries = 4,
		     .retry_backoff = USEC_PER_SEC,
		     .retry_backoff_max = 10 * USEC_PER_SEC}},
	{.name = "example.poll",
	 .run = run_poll,
	 .params = poll_params,
	 .param_count = ARRAY_LEN(poll_params),
	 .help = "asks until something is ready"},
	{.name = "example.total",
	 .run = run_total,
	 .params = total_params,
	 .param_count = ARRAY_LEN(total_params),
	 .help = "doubles each number in a task of its own, and adds them up in another"},
};

static int start(struct err *err)
{
	/* open here what all tasks share, and fail with a clear word */
	return getenv("EXAMPLE_REFUSES") ? err_set(err, ERR_INVALID, "EXAMPLE_REFUSES is set") : 0;
}

TASK_MODULE(.name = "example", .version = "1.0", .tasks = tasks, .task_count = ARRAY_LEN(tasks),
	    .start = start);
