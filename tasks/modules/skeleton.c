/*
 * skeleton.c: a module with one task, to begin with.
 *
 *	cc -std=gnu17 -shared -fPIC $(pkg-config --cflags celeriac) -o skeleton.so skeleton.c
 *	celeriac-worker -I ./skeleton.so
 *
 * From Python: app.send_task("skeleton.greet", kwargs={"name": "Ada", "times": 2}).get().
 *Everything a task can do is in <celeriac/task.h>; example.c uses most of it.
 */
#include <celeriac/task_module.h>

/*
 * Runs in one of the worker's threads, perhaps in several at once: it keeps nothing in static
 * variables without a lock. `values` has one value for each parameter, of the right type: NULL
 * where the caller gave none. On success *ret_result is new; values in it that came as arguments
 * need a reference of their own (json_incref).
 */
static int run_greet(struct task_ctx *ctx, json_t *const *values, json_t **ret_result,
		     struct err *err)
{
	json_int_t times = values[1] ? json_integer_value(values[1]) : 1;

	if (times < 1 || times > 100)
		return task_raise(ctx, err, "builtins", "ValueError",
				  "times must be between 1 and 100, not %lld", (long long)times);
	*ret_result = json_array();
	for (json_int_t i = 0; i < times; i++)
		json_array_append_new(*ret_result,
				      json_sprintf("Hello, %s!", json_string_value(values[0])));
	return 0;
}

/* Bound as Python binds: positional in this order, or by name. A call that does not fit is a
 * TypeError in Python's words, and the function is not called. */
static const struct task_param greet_params[] = {
	{"name", PARAM_STR, true},
	{"times", PARAM_INT, false},
};

static const struct task tasks[] = {
	{
		.name = "skeleton.greet",
		.run = run_greet,
		.params = greet_params,
		.param_count = ARRAY_LEN(greet_params),
		.help = "greets somebody so many times",
		/* What is not said here is as the settings say (struct task_options). */
		.options = {.acks_late = TASK_YES, .max_retries = 5, .rate_limit = "100/s"},
	},
};

TASK_MODULE(.name = "skeleton", .version = "1", .tasks = tasks, .task_count = ARRAY_LEN(tasks));
