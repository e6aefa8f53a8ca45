/*
 * celery.chord_unlock: the chord of producers whose backend cannot count parts: it looks whether
 * all of the header are ready, again and again, and then calls the body.
 */
#include <string.h>

#include "bounds.h"
#include "chord.h"
#include "clock.h"
#include "json.h"
#include "mem.h"
#include "tasks.h"

#define READ_AT_ONCE 500 /* results in one look at the backend */
#define PATIENCE     (5 * USEC_PER_SEC)

enum unlock_param { UNLOCK_GROUP, UNLOCK_BODY, UNLOCK_INTERVAL, UNLOCK_RETRIES, UNLOCK_RESULT };

/* The ids of the tasks in result tuples, [[id, parent], children or null] or [id, children]. */
static int collect_ids(struct task_ctx *ctx, const json_t *tuples, size_t depth, json_t *ids,
		       struct err *err)
{
	const json_t *tuple;
	size_t i;

	if (depth > BOUND_CANVAS_DEPTH || json_array_size(ids) > BOUND_CANVAS_SIZE)
		return raise_value_error(ctx, err, "result: too deep or too many");
	json_array_foreach((json_t *)(uintptr_t)tuples, i, tuple)
	{
		const json_t *head = json_array_get(tuple, 0), *nodes = json_array_get(tuple, 1);
		json_t *id =
			json_is_array(head) ? json_array_get(head, 0) : (json_t *)(uintptr_t)head;
		int rc = 0;

		if (json_array_size(tuple) != 2 || !json_is_string(id))
			return raise_value_error(ctx, err, "result: a %s is no result",
						 json_type_name(tuple));
		if (json_is_array(nodes))
			rc = collect_ids(ctx, nodes, depth + 1, ids, err);
		else
			json_array_append(ids, id);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static bool is_ready(const char *status)
{
	static const char *const ready[] = {"SUCCESS", "FAILURE", "REVOKED"};

	for (size_t i = 0; status != NULL && i < ARRAY_LEN(ready); i++) {
		if (strcmp(status, ready[i]) == 0)
			return true;
	}
	return false;
}

/* Appends the results of ids from `first` on as parts of a chord; *ret_ready false when one is not
 * there yet. */
static int read_some(struct task_ctx *ctx, const json_t *ids, size_t first, json_t *parts,
		     bool *ret_ready, struct err *err)
{
	const char *some[READ_AT_ONCE];
	_cleanup_json_ json_t *metas = NULL;
	size_t count = 0;
	int rc;

	for (; count < READ_AT_ONCE && first + count < json_array_size(ids); count++)
		some[count] = json_string_value(json_array_get(ids, first + count));
	rc = backend_get_many(task_ctx_backend(ctx), some, count, clock_deadline(PATIENCE), &metas,
			      err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < count; i++) {
		const json_t *meta = json_array_get(metas, i);
		json_t *result = json_object_get(meta, "result");

		*ret_ready = is_ready(json_member_str(meta, "status"));
		if (!*ret_ready)
			return 0;
		if (result == NULL)
			return err_set(err, ERR_PROTOCOL, "the result of %.80s cannot be read",
				       some[i]);
		json_array_append_new(parts,
				      json_pack("[i, s, s, O, s]", 1, some[i],
						json_member_str(meta, "status"), result, ""));
	}
	return 0;
}

/* MaxRetriesExceededError, which the body hears of, too. */
static int give_up(struct task_ctx *ctx, json_t *const *values, struct err *err)
{
	_cleanup_free_ char *text =
		xasprintf("Can't retry celery.chord_unlock[%s]", task_ctx_id(ctx));
	_cleanup_free_ char *reason = xasprintf(
		"chord_unlock could not be retried: MaxRetriesExceededError(\"%s\")", text);
	int rc = task_fail_chord(ctx, values[UNLOCK_BODY], reason, NULL, err);

	return rc < 0 ? rc
		      : task_raise(ctx, err, "celery.exceptions", "MaxRetriesExceededError", "%s",
				   text);
}

static int look_again(struct task_ctx *ctx, json_t *const *values, struct err *err)
{
	const json_t *most = values[UNLOCK_RETRIES], *interval = values[UNLOCK_INTERVAL];
	double seconds = interval ? json_number_value(interval) : -1;

	if (json_is_integer(most) && task_ctx_retries(ctx) >= json_integer_value(most))
		return give_up(ctx, values, err);
	if (!(seconds >= 0 && seconds < 1e9))
		seconds = (double)task_ctx_settings(ctx)->result_chord_retry_interval /
			  (double)USEC_PER_SEC;
	return task_retry(ctx, (usec_t)(seconds * (double)USEC_PER_SEC), err);
}

/* All are there: the body, or its failure. */
static int unlock(struct task_ctx *ctx, json_t *const *values, json_t *parts, struct err *err)
{
	_cleanup_json_ json_t *args = NULL, *results = NULL,
			      *group = json_pack("[[O, n], O]", values[UNLOCK_GROUP],
						 values[UNLOCK_RESULT]);
	struct chord_set set = {.parts = parts, .group = group};
	_cleanup_free_ char *text = NULL, *repr = NULL;
	const json_t *failed = NULL;
	struct err why = {0};
	int rc = backend_chord_results(task_ctx_backend(ctx), &set, clock_deadline(PATIENCE),
				       &results, &failed, &why);

	if (rc == 0) {
		args = json_pack("[O]", results);
		rc = task_apply(ctx, values[UNLOCK_BODY], args, NULL, NULL, &why);
		if (rc == 0)
			return 0;
		text = xasprintf("Callback error: %s", why.msg);
	} else if (failed != NULL) {
		repr = backend_exception_repr(json_array_get(failed, 3));
		text = xasprintf("Dependency %s raised %s",
				 json_string_value(json_array_get(failed, 1)), repr);
	} else {
		text = xasprintf("%s", why.msg);
	}
	return task_fail_chord(ctx, values[UNLOCK_BODY], text,
			       failed ? json_array_get(failed, 3) : NULL, err);
}

static int run_unlock(struct task_ctx *ctx, json_t *const *values, json_t **ret_result,
		      struct err *err)
{
	_cleanup_json_ json_t *ids = json_array(), *parts = json_array();
	struct err why = {0};
	bool ready = true;
	int rc = collect_ids(ctx, values[UNLOCK_RESULT], 1, ids, err);

	if (rc < 0)
		return rc;
	for (size_t at = 0; rc == 0 && ready && at < json_array_size(ids); at += READ_AT_ONCE)
		rc = read_some(ctx, ids, at, parts, &ready, &why);
	if (!ready || (rc < 0 && err_is_transient(&why)))
		return look_again(ctx, values, err);
	rc = rc < 0 ? task_fail_chord(ctx, values[UNLOCK_BODY], why.msg, NULL, err)
		    : unlock(ctx, values, parts, err);
	if (rc == 0)
		*ret_result = json_null();
	return rc;
}

static const struct task_param params[] = {
	[UNLOCK_GROUP] = {"group_id", PARAM_STR, true},
	[UNLOCK_BODY] = {"callback", PARAM_DICT, true},
	[UNLOCK_INTERVAL] = {"interval", PARAM_NUMBER, false},
	[UNLOCK_RETRIES] = {"max_retries", PARAM_NUMBER, false},
	[UNLOCK_RESULT] = {"result", PARAM_LIST, true},
};

const struct task task_celery_chord_unlock = {
	.name = "celery.chord_unlock",
	.run = run_unlock,
	.params = params,
	.param_count = ARRAY_LEN(params),
	.flags = TASK_ACKS_LATE | TASK_ANY_ARGUMENTS,
	.options = {.max_retries = TASK_RETRIES_WITHOUT_END, .ignore_result = TASK_YES},
	.help = "waits for the header of a chord, then calls its body",
};
