/*
 * Follow-ups. Plans come from signature.h; here they become steps of the settlement.
 */
#include "canvas.h"

#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "signature.h"

#define CHORD_PATIENCE (5 * USEC_PER_SEC)

void canvas_done(struct canvas *c)
{
	settle_steps_done(&c->steps);
	json_decref(c->children);
	*c = (struct canvas){0};
}

static struct signature_context context_of(const struct request *r)
{
	return (struct signature_context){.task_id = r->id,
					  .root_id = r->message->root_id,
					  .default_queue = r->worker->settings.task_default_queue,
					  .reply_to = r->message->reply_to,
					  .priority = -1};
}

/* ---- plans to steps ---- */

/* A key of the backend: in the same script where it can be, else now. */
static void add_write(const struct request *r, struct backend_write *w, struct settle_steps *steps)
{
	if (!backend_shares_broker(r->worker->backend)) {
		backend_store(r->worker->backend, w, NULL, NULL);
		return;
	}
	settle_steps_add(steps, STEP_SET, w->key, w->value, w->len, w->ttl);
	w->value = NULL;
	backend_write_done(w);
}

static int add_chord(const struct request *r, const struct signature_chord *chord,
		     struct settle_steps *steps, struct err *err)
{
	const struct backend *b = r->worker->backend;
	struct backend_write w;

	if (chord->size > 0) {
		backend_chord_size(b, chord->group_id, chord->size, &w);
		add_write(r, &w, steps);
	}
	if (chord->results != NULL) {
		int rc = backend_group_encode(b, chord->group_id, chord->results, &w, err);

		if (rc < 0)
			return rc;
		add_write(r, &w, steps);
	}
	return 0;
}

/* A named exchange is taken for a direct one whose queue has the name of the routing key, as Celery
 * declares them. */
static const char *queue_of(const struct request *r, const struct message_out *m)
{
	if (m->queue != NULL)
		return m->queue;
	return m->routing_key != NULL && m->routing_key[0] != '\0'
		       ? m->routing_key
		       : r->worker->settings.task_default_queue;
}

static int add_message(const struct request *r, const struct message_out *m,
		       struct settle_steps *steps, struct err *err)
{
	_cleanup_buf_ struct buf envelope = BUF_INIT(BOUND_MESSAGE_BYTES);
	char *data;
	size_t len;
	int rc = message_encode(m, &envelope, err);

	if (rc == 0)
		rc = buf_take(&envelope, &data, &len, err);
	if (rc < 0)
		return err_wrap(err, "follow-up %s", m->task);
	broker_step_push(r->worker->broker, steps, queue_of(r, m), m->priority, data, len);
	return 0;
}

static int add_plan(const struct request *r, const struct signature_plan *plan,
		    struct settle_steps *steps, struct err *err)
{
	size_t chord = 0;

	for (size_t i = 0; i <= plan->message_count; i++) {
		int rc = 0;

		while (rc == 0 && chord < plan->chord_count && plan->chords[chord].before <= i) {
			rc = add_chord(r, &plan->chords[chord++], steps, err);
		}
		if (rc == 0 && i < plan->message_count)
			rc = add_message(r, &plan->messages[i], steps, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* ---- failure ---- */

/* Marks the result of a task that will never run. */
static int add_failure(const struct request *r, const char *task_id, const json_t *exception,
		       struct settle_steps *steps, struct err *err)
{
	struct task_meta meta = {.task_id = task_id, .state = TASK_FAILURE, .result = exception};
	struct backend_write w = {0};
	int rc;

	if (backend_is_disabled(r->worker->backend))
		return 0;
	rc = backend_encode(r->worker->backend, &meta, &w, err);
	if (rc == 0)
		add_write(r, &w, steps);
	return rc;
}

static int add_errbacks(const struct request *r, const char *failed_id, const json_t *errbacks,
			struct settle_steps *steps, struct err *err)
{
	struct signature_context context = context_of(r);
	struct signature_plan plan = {0};
	int rc = signature_on_failure(&context, failed_id, errbacks, &plan, err);

	if (rc == 0)
		rc = add_plan(r, &plan, steps, err);
	signature_plan_done(&plan);
	return rc < 0 ? err_wrap(err, "errbacks of %s", failed_id) : 0;
}

/* ---- chords ---- */

/* Python's repr of a stored exception: "RuntimeError('boo')". */
static char *exception_repr(const json_t *exception)
{
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_ERROR_TEXT * 4);
	const char *type = json_member_str(exception, "exc_type");
	const json_t *args = json_object_get(exception, "exc_message");
	const json_t *arg;
	struct err err;
	char *ret;
	size_t i;

	buf_append_str(&text, type ? type : "Exception");
	buf_append_char(&text, '(');
	json_array_foreach((json_t *)(uintptr_t)args, i, arg)
	{
		if (i > 0)
			buf_append_str(&text, ", ");
		json_repr(arg, BOUND_REPR_BYTES, &text);
	}
	buf_append_char(&text, ')');
	return buf_take(&text, &ret, NULL, &err) < 0 ? xstrdup("Exception()") : ret;
}

/* The first part that failed, or NULL. */
static const json_t *failed_part(const json_t *parts)
{
	const json_t *part;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)parts, i, part)
	{
		const char *state = json_string_value(json_array_get(part, 2));

		if (state != NULL &&
		    (strcmp(state, "FAILURE") == 0 || strcmp(state, "REVOKED") == 0))
			return part;
	}
	return NULL;
}

static int add_chord_error(const struct request *r, const json_t *body, const json_t *part,
			   struct settle_steps *steps, struct err *err)
{
	const json_t *options = json_object_get(body, "options");
	const char *body_id = json_member_str(options, "task_id");
	const char *task_id = json_string_value(json_array_get(part, 1));
	_cleanup_free_ char *repr = exception_repr(json_array_get(part, 3));
	_cleanup_free_ char *text =
		xasprintf("Dependency %s raised %s", task_id ? task_id : "?", repr);
	_cleanup_json_ json_t *exception =
		json_pack("{s:s, s:[o], s:s}", "exc_type", "ChordError", "exc_message",
			  json_text(text, strlen(text), false), "exc_module", "celery.exceptions");
	int rc;

	log_error("Chord of %s: %s", body_id ? body_id : "?", text);
	if (body_id == NULL)
		return 0;
	rc = add_failure(r, body_id, exception, steps, err);
	return rc < 0 ? rc
		      : add_errbacks(r, body_id, json_object_get(options, "link_error"), steps,
				     err);
}

static int add_body(const struct request *r, const json_t *body, const json_t *parts,
		    struct settle_steps *steps, struct err *err)
{
	struct signature_context context = context_of(r);
	struct signature_plan plan = {0};
	_cleanup_json_ json_t *results = json_array();
	const json_t *part;
	size_t i;
	int rc;

	json_array_foreach((json_t *)(uintptr_t)parts, i, part)
		json_array_append(results, json_array_get(part, 3));
	rc = signature_on_chord(&context, body, results, &plan, err);
	if (rc == 0)
		rc = add_plan(r, &plan, steps, err);
	signature_plan_done(&plan);
	return rc;
}

/* All parts are in: the body goes out once, guarded by the set of parts, which goes with it. */
static int trigger(const struct request *r, const char *group_id, const json_t *body,
		   const json_t *parts, struct settle_steps *steps, struct err *err)
{
	bool shared = backend_shares_broker(r->worker->backend);
	const json_t *failed = failed_part(parts);
	char *keys[CHORD_KEYS];
	int rc;

	backend_chord_keys(r->worker->backend, group_id, keys);
	if (shared)
		settle_steps_add(steps, STEP_GUARD, keys[0], NULL, 0, 0);
	rc = failed ? add_chord_error(r, body, failed, steps, err)
		    : add_body(r, body, parts, steps, err);
	for (int i = 0; i < CHORD_KEYS; i++) {
		if (shared)
			settle_steps_add(steps, STEP_DELETE, keys[i], NULL, 0, 0);
		free(keys[i]);
	}
	return rc < 0 ? err_wrap(err, "chord %s", group_id) : 0;
}

static int return_part(const struct request *r, const char *group_id, const char *task_id,
		       int64_t index, const json_t *body, enum task_state state,
		       const json_t *result, struct settle_steps *steps, struct err *err)
{
	struct chord_part part = {.group_id = group_id,
				  .task_id = task_id,
				  .group_index = index,
				  .state = state,
				  .result = result};
	_cleanup_json_ json_t *parts = NULL;
	int rc = backend_chord_part(r->worker->backend, &part, clock_deadline(CHORD_PATIENCE),
				    &parts, err);

	if (rc < 0 || parts == NULL)
		return rc;
	return trigger(r, group_id, body, parts, steps, err);
}

static int64_t index_of(const json_t *object)
{
	const json_t *index = json_object_get(object, "group_index");

	return json_is_integer(index) ? json_integer_value(index) : -1;
}

/* The rest of a chain that can no more be reached fails with what made it so, and so does its part
 * of a chord. */
static int fail_unreached(const struct request *r, enum task_state state, const json_t *exception,
			  struct settle_steps *steps, struct err *err)
{
	_cleanup_json_ json_t *unreached = NULL;
	const json_t *signature;
	size_t i;
	int rc = signature_unreached(json_member(r->message->embed, "chain"), &unreached, err);

	if (rc < 0)
		return rc;
	json_array_foreach(unreached, i, signature)
	{
		const json_t *options = json_object_get(signature, "options");
		const json_t *body = json_member(options, "chord");
		const char *id = json_member_str(options, "task_id");
		const char *group = json_member_str(options, "group_id");

		if (id == NULL)
			continue;
		rc = add_failure(r, id, exception, steps, err);
		if (rc == 0 && body != NULL && group != NULL)
			rc = return_part(r, group, id, index_of(options), body, state, exception,
					 steps, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* ---- the whole ---- */

static int follow_success(const struct request *r, const json_t *result, struct canvas *c,
			  struct err *err)
{
	struct signature_context context = context_of(r);
	struct signature_plan plan = {0};
	int rc = signature_on_success(&context, r->message->embed, result, &plan, err);

	if (rc == 0)
		rc = add_plan(r, &plan, &c->steps, err);
	if (rc == 0)
		c->children = json_incref(plan.children);
	signature_plan_done(&plan);
	return rc;
}

int canvas_continue(struct request *r, enum task_state state, const json_t *result,
		    struct canvas *ret, struct err *err)
{
	const struct message *m = r->message;
	const json_t *body = json_member(m->embed, "chord");
	struct canvas c = {0};
	int rc;

	if (state == TASK_SUCCESS) {
		rc = follow_success(r, result, &c, err);
	} else {
		rc = add_errbacks(r, r->id, json_member(m->embed, "errbacks"), &c.steps, err);
		if (rc == 0)
			rc = fail_unreached(r, state, result, &c.steps, err);
	}
	/* last: its guard ends the steps */
	if (rc == 0 && body != NULL && m->group != NULL)
		rc = return_part(r, m->group, r->id, index_of(m->headers), body, state, result,
				 &c.steps, err);
	if (rc < 0) {
		canvas_done(&c);
		return rc;
	}
	*ret = c;
	return 0;
}
