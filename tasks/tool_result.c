/*
 * tool_result.c: the result that every tool returns, whatever it is.
 */
#include <math.h>
#include <string.h>

#include "json.h"
#include "number.h"
#include "tasks.h"
#include "tool.h"

json_t *tool_result(const char *status, json_t *result, json_t *content, bool is_error,
		    const char *error, usec_t duration)
{
	json_t *r = json_object();

	json_object_set_new(r, "status", json_string(status));
	json_object_set_new(r, "result", result ? result : json_null());
	json_object_set_new(r, "content", content ? content : json_array());
	json_object_set_new(r, "is_error", json_boolean(is_error));
	json_object_set_new(r, "error",
			    error ? json_text(error, strlen(error), true) : json_null());
	json_object_set_new(r, "duration_ms", json_integer(duration / USEC_PER_MSEC));
	return r;
}

int tool_timeout(struct task_ctx *ctx, const json_t *value, usec_t *ret, struct err *err)
{
	const struct sandbox_terms *t = task_ctx_terms(ctx);
	bool narrowed = t->max_timeout < task_ctx_settings(ctx)->sandbox_max_timeout;
	double longest = (double)t->max_timeout / (double)USEC_PER_SEC, seconds = 0;
	_cleanup_(number_done) struct number n = {0};
	struct err why = {0};

	*ret = t->timeout;
	if (value == NULL)
		return 0;
	if (number_read(value, &n, &why) < 0 || number_real(&n, &seconds, &why) < 0)
		seconds = INFINITY;
	if (!(seconds > 0))
		return raise_value_error(ctx, err, "timeout must be more than 0 seconds");
	if (seconds > longest)
		return raise_value_error(ctx, err, "timeout must be at most %g seconds (%s)",
					 longest,
					 narrowed ? "sandbox_settings" : "SANDBOX_MAX_TIMEOUT");
	*ret = (usec_t)(seconds * (double)USEC_PER_SEC);
	if (*ret == 0)
		*ret = 1;
	return 0;
}
