/*
 * pretended.c: a call of a conversation without a container, for the simulation of scale.py: its
 * worker sleeps. What is real is everything before and after: claim, route, lane, result.
 */
#include <celeriac/task_module.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int run_call(struct task_ctx *ctx, json_t *const *values, json_t **ret, struct err *err)
{
	double began = now(), seconds = json_number_value(values[2]);

	if (!task_sleep(ctx, task_clock() + (usec_t)(seconds * (double)USEC_PER_SEC)))
		return err_set(err, ERR_CANCELLED, "cancelled");
	*ret = json_pack("{s:O, s:O, s:i, s:f, s:f}", "conversation", values[0], "n", values[1],
			 "node", (int)getpid(), "began", began, "ended", now());
	return 0;
}

static const struct task_param params[] = {{"conversation_id", PARAM_ID, true},
					   {"n", PARAM_INT, true},
					   {"seconds", PARAM_NUMBER, true}};
static const struct task tasks[] = {{.name = "pretended.call",
				     .run = run_call,
				     .params = params,
				     .param_count = ARRAY_LEN(params),
				     .lane = "conversation_id"}};

TASK_MODULE(.name = "pretended", .tasks = tasks, .task_count = ARRAY_LEN(tasks));
