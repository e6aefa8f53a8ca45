/*
 * celeriac.sleep: returns nothing after so many seconds, or as soon as it is cancelled.
 */
#include <math.h>

#include "clock.h"
#include "mem.h"
#include "number.h"
#include "tasks.h"

#define SLEEP_MAX 9e12 /* seconds: about what Python's clock can count */

/* The words of time.sleep. */
static int read_length(struct task_ctx *ctx, const json_t *value, usec_t *ret, struct err *err)
{
	_cleanup_(number_done) struct number n = {0};
	double seconds = 0;

	if (number_read(value, &n, err) < 0 || number_real(&n, &seconds, err) < 0)
		seconds = INFINITY;
	if (isnan(seconds))
		return raise_value_error(ctx, err, "Invalid value NaN (not a number)");
	if (seconds < 0)
		return raise_value_error(ctx, err, "sleep length must be non-negative");
	if (seconds > SLEEP_MAX)
		return task_raise(ctx, err, "builtins", "OverflowError",
				  "timestamp out of range for platform time_t");
	*ret = (usec_t)(seconds * (double)USEC_PER_SEC);
	return 0;
}

static int run_sleep(struct task_ctx *ctx, json_t *const *values, json_t **ret_result,
		     struct err *err)
{
	usec_t length = 0;
	int rc = read_length(ctx, values[0], &length, err);

	if (rc < 0)
		return rc;
	if (!task_sleep(ctx, clock_deadline(length)))
		return err_set(err, ERR_CANCELLED, "the sleep was cancelled");
	*ret_result = json_null();
	return 0;
}

static const struct task_param params[] = {
	{"seconds", PARAM_NUMBER, true},
};

const struct task task_celeriac_sleep = {
	.name = "celeriac.sleep",
	.run = run_sleep,
	.params = params,
	.param_count = ARRAY_LEN(params),
	.flags = TASK_ACKS_LATE,
	.help = "waits for so many seconds",
};
