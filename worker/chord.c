/*
 * Parts of chords, and what follows when all are in (on_chord_part_return in
 * celery/backends/redis.py, chord_error_from_stack in celery/backends/base.py).
 *
 * Where broker and backend are one Redis, the body goes out in the settlement of the last part, in
 * a section that is skipped when the set is gone or somebody else claims it. Elsewhere it goes out
 * at once, under a claim of ours.
 */
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "canvas.h"
#include "clock.h"
#include "json.h"
#include "log.h"
#include "mem.h"

#define PATIENCE     (5 * USEC_PER_SEC)
#define DONE_SECONDS 300 /* how long Celery 5.7 remembers the end of a chord */

static json_t *chord_error(const char *text)
{
	return json_pack("{s:s, s:[o], s:s}", "exc_type", "ChordError", "exc_message",
			 json_text(text, strlen(text), false), "exc_module", "celery.exceptions");
}

/* ---- the body cannot run ---- */

/* What becomes of a body: which results fail, and as what. */
struct failing {
	json_t *results, *exception;
	char *traceback;
};

static void failing_done(struct failing *f)
{
	json_decref(f->results);
	json_decref(f->exception);
	free(f->traceback);
}

static struct canvas_failure failure_of(const struct failing *f)
{
	return (struct canvas_failure){TASK_FAILURE, f->exception, f->traceback};
}

/* The failed results and their errbacks; ids that errbacks need are made from the result's. */
static int fail_results(const struct follower *f, const struct failing *failing, struct err *err)
{
	struct canvas_failure why = failure_of(failing);

	for (size_t i = 0; i < json_array_size(failing->results); i++) {
		const json_t *result = json_array_get(failing->results, i);
		const char *id = json_member_str(result, "id");
		_cleanup_json_ json_t *children = NULL;
		struct follower own = *f;
		int rc;

		if (id == NULL)
			continue;
		own.context.task_id = own.context.root_id = own.context.seed = id;
		rc = canvas_add_errbacks(&own, id, json_member(result, "errbacks"), &children, err);
		if (rc == 0)
			rc = canvas_add_failure(&own, id, &why, NULL, children, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* What waits for those results: the rest of their chains, the chords that they are parts of. */
static int fail_dependents(const struct follower *f, const struct failing *failing, struct err *err)
{
	struct canvas_failure why = failure_of(failing);

	for (size_t i = 0; i < json_array_size(failing->results); i++) {
		const json_t *result = json_array_get(failing->results, i);
		const json_t *body = json_member(result, "chord");
		struct chord_part part = {.group_id = json_member_str(result, "group_id"),
					  .task_id = json_member_str(result, "id"),
					  .group_index = json_member(result, "group_index"),
					  .state = TASK_FAILURE,
					  .result = failing->exception};
		int rc = canvas_fail_chain(f, json_member(result, "chain"), &why, err);

		if (rc == 0 && body != NULL && part.group_id != NULL && part.task_id != NULL)
			rc = chord_return_part(f, &part, body, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int find_failing(const json_t *body, const char *text, const json_t *cause,
			struct failing *ret, struct err *err)
{
	int rc = signature_chord_results(body, &ret->results, err);

	if (rc < 0)
		return err_wrap(err, "chord body");
	/* Of a group each task fails as the part did. */
	ret->exception = cause != NULL && json_array_size(ret->results) > 1
				 ? json_incref((json_t *)(uintptr_t)cause)
				 : chord_error(text);
	ret->traceback = xasprintf("Traceback (most recent call last):\n  Chord, in celeriac\n"
				   "celery.exceptions.ChordError: %s\n",
				   text);
	return 0;
}

int chord_fail(const struct follower *f, const json_t *body, const char *text, const json_t *cause,
	       struct err *err)
{
	_cleanup_(failing_done) struct failing failing = {0};
	const json_t *first;
	_cleanup_free_ char *key = NULL;
	int rc = find_failing(body, text, cause, &failing, err);

	if (rc < 0)
		return rc;
	first = json_array_get(failing.results, 0);
	log_error("Chord of %.80s: %s",
		  json_member_str(first, "id") ? json_member_str(first, "id") : "?", text);
	/* Once, however many of its parts find that out. */
	if (backend_shares_broker(f->worker->backend) && json_member_str(first, "id") != NULL) {
		key = backend_meta_key(f->worker->backend, json_member_str(first, "id"));
		settle_steps_add(f->steps, STEP_ABSENT, key, NULL, 0, 0);
	}
	rc = fail_results(f, &failing, err);
	settle_steps_add(f->steps, STEP_END, "", NULL, 0, 0);
	return rc < 0 ? rc : fail_dependents(f, &failing, err);
}

/* ---- all parts are in ---- */

static int add_body(const struct follower *f, const char *group_id, const json_t *body,
		    const json_t *results, struct err *err)
{
	struct follower own = *f;
	struct signature_plan plan = {0};
	size_t before = f->steps->count;
	int rc;

	own.context.seed = group_id; /* whoever publishes it */
	rc = signature_on_chord(&own.context, body, results, &plan, err);
	if (rc == 0)
		rc = canvas_add_plan(&own, &plan, err);
	if (rc < 0)
		canvas_truncate(f->steps, before);
	signature_plan_done(&plan);
	return rc;
}

/* Why the results of the parts cannot be had, as Celery says it. */
static char *join_text(const struct chord_set *set, const json_t *failed, const struct err *why)
{
	_cleanup_free_ char *repr = failed ? backend_exception_repr(json_array_get(failed, 3))
					   : xasprintf("%s", why->msg);

	if (failed == NULL || json_is_array(json_array_get(set->group, 1)))
		return xasprintf("Join error: %s", repr);
	return xasprintf("Dependency %s raised %s", json_string_value(json_array_get(failed, 1)),
			 repr);
}

/* The body, or else what fails: to be handled when the set is gone. */
static int add_ending(const struct follower *f, const char *group_id, const json_t *body,
		      const struct chord_set *set, struct failing *ret, struct err *err)
{
	struct backend *b = f->worker->backend;
	_cleanup_json_ json_t *results = NULL;
	_cleanup_free_ char *text = NULL;
	const json_t *failed = NULL;
	struct err why = {0};
	int rc = backend_chord_results(b, set, clock_deadline(PATIENCE), &results, &failed, &why);

	if (rc < 0 && err_is_transient(&why)) {
		*err = why;
		return rc;
	}
	if (rc < 0) {
		text = join_text(set, failed, &why);
	} else if (add_body(f, group_id, body, results, &why) < 0) {
		text = xasprintf("Callback error: %s", why.msg);
	} else {
		return 0;
	}
	rc = find_failing(body, text, failed ? json_array_get(failed, 3) : NULL, ret, err);
	if (rc < 0)
		return rc;
	log_error("Chord %.80s raised: %s", group_id, text);
	return fail_results(f, ret, err);
}

static void begin_section(const struct follower *f, char *keys[CHORD_KEYS])
{
	settle_steps_add(f->steps, STEP_GUARD, keys[CHORD_PARTS], NULL, 0, 0);
	settle_steps_add(f->steps, STEP_ABSENT, keys[CHORD_CLAIM], NULL, 0, 0);
}

/* The set goes, and is remembered to be gone. */
static void end_section(const struct follower *f, const char *group_id, char *keys[CHORD_KEYS])
{
	static const enum chord_key gone[] = {CHORD_PARTS, CHORD_EXTRA, CHORD_SIZE, CHORD_IN,
					      CHORD_OURS};

	for (size_t i = 0; i < ARRAY_LEN(gone); i++)
		settle_steps_add(f->steps, STEP_DELETE, keys[gone[i]], NULL, 0, 0);
	settle_steps_add(f->steps, STEP_ZREM, keys[CHORD_OPEN], xstrdup(group_id), strlen(group_id),
			 0);
	settle_steps_add(f->steps, STEP_SET, keys[CHORD_CLAIM], xstrdup("done"), 4, DONE_SECONDS);
	settle_steps_add(f->steps, STEP_END, "", NULL, 0, 0);
}

static int trigger_shared(const struct follower *f, const char *group_id, const json_t *body,
			  const struct chord_set *set, struct failing *failing, struct err *err)
{
	char *keys[CHORD_KEYS];
	int rc;

	backend_chord_keys(f->worker->backend, group_id, keys);
	begin_section(f, keys);
	rc = add_ending(f, group_id, body, set, failing, err);
	end_section(f, group_id, keys);
	backend_chord_keys_done(keys);
	return rc;
}

/* What was claimed is published now. */
static int trigger_claimed(const struct follower *f, const char *group_id, const json_t *body,
			   const struct chord_set *set, struct failing *failing, struct err *err)
{
	struct settle_steps steps = {0};
	struct follower now = *f;
	int rc;

	now.steps = &steps;
	rc = add_ending(&now, group_id, body, set, failing, err);
	if (rc == 0 && steps.count > 0)
		rc = broker_perform(f->worker->broker, &steps, clock_deadline(PATIENCE), err);
	if (rc == 0)
		backend_chord_published(f->worker->backend, group_id);
	settle_steps_done(&steps);
	return rc;
}

int chord_trigger(const struct follower *f, const char *group_id, const json_t *body,
		  const struct chord_set *set, struct err *err)
{
	_cleanup_(failing_done) struct failing failing = {0};
	int rc = backend_shares_broker(f->worker->backend)
			 ? trigger_shared(f, group_id, body, set, &failing, err)
			 : trigger_claimed(f, group_id, body, set, &failing, err);

	if (rc < 0)
		return err_wrap(err, "chord %.80s", group_id);
	return fail_dependents(f, &failing, err);
}

int chord_return_part(const struct follower *f, const struct chord_part *part, const json_t *body,
		      struct err *err)
{
	_cleanup_(chord_set_done) struct chord_set set = {0};
	_cleanup_free_ char *text = NULL;
	int rc = backend_chord_part(f->worker->backend, part, body, clock_deadline(PATIENCE), &set,
				    err);

	if (rc > 0)
		return chord_trigger(f, part->group_id, body, &set, err);
	if (rc == 0 || err_is_transient(err))
		return rc;
	text = xasprintf("Part %.80s could not be counted: %s", part->task_id, err->msg);
	return chord_fail(f, body, text, NULL, err);
}
