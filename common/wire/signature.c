/*
 * signature.c: what follows a task that is done: plans made with the canvas
 * (_dispatch_callbacks_and_chain in celery/app/trace.py, _call_task_errbacks and _fail_chain in
 * celery/backends/base.py, on_chord_part_return in celery/backends/redis.py).
 */
#include "signature.h"

#include <stdlib.h>

#include "canvas.h"
#include "json.h"
#include "mem.h"

void signature_plan_done(struct signature_plan *p)
{
	if (p == NULL)
		return;
	free(p->messages);
	free(p->chords);
	json_decref(p->children);
	json_decref(p->result);
	json_decref(p->owned);
	*p = (struct signature_plan){0};
}

static void begin(struct canvas *v, const struct signature_context *c, struct signature_plan *plan,
		  const char *purpose)
{
	*plan = (struct signature_plan){.children = json_array(), .owned = json_array()};
	*v = (struct canvas){.context = c, .plan = plan, .purpose = purpose};
}

/* Hands the plan over, or drops it. */
static int finish(struct canvas *v, int rc, struct signature_plan *ret, struct err *err)
{
	if (rc == 0 && v->failed)
		rc = err_set(err, ERR_NOMEM, "no memory for a canvas, or no signature in it");
	if (rc == 0)
		*ret = *v->plan;
	else
		signature_plan_done(v->plan);
	return rc;
}

static int apply_checked(struct canvas *v, const json_t *signature, const json_t *args,
			 const json_t *kwargs, const json_t *options, struct err *err)
{
	_cleanup_json_ json_t *copy = NULL;
	int rc = signature_check(signature, err);

	if (rc < 0)
		return rc;
	copy = canvas_copy(v, signature);
	v->top = copy;
	return canvas_apply(v, copy, args, kwargs, options, err);
}

/* What a finished task gives to all that follows it. */
static json_t *inherited(struct canvas *v, bool priority)
{
	const struct signature_context *c = v->context;
	json_t *options = json_pack("{s:s, s:s}", "parent_id", c->task_id, "root_id",
				    c->root_id ? c->root_id : c->task_id);

	if (priority)
		canvas_set_new(v, options, "priority",
			       c->priority >= 0 ? json_integer(c->priority) : json_null());
	return options;
}

/* Several callbacks: each group by itself, all others as one. */
static int apply_callbacks(struct canvas *v, const json_t *callbacks, const json_t *args,
			   const json_t *options, struct err *err)
{
	_cleanup_json_ json_t *others = json_array(), *group = NULL;
	size_t count = json_array_size(callbacks);
	int rc = 0;

	if (count == 1)
		return apply_checked(v, json_array_get(callbacks, 0), args, NULL, options, err);
	for (size_t i = 0; rc == 0 && i < count; i++) {
		json_t *callback = json_array_get(callbacks, i);

		if (canvas_type(callback) == CANVAS_GROUP)
			rc = apply_checked(v, callback, args, NULL, options, err);
		else
			canvas_append(v, others, callback);
	}
	if (rc < 0 || json_array_size(others) == 0)
		return rc;
	group = canvas_new_group(v, json_incref(others));
	return apply_checked(v, group, args, NULL, options, err);
}

/* The next of a chain is its last; the rest goes with it. */
static int apply_next(struct canvas *v, const json_t *chain, const json_t *args,
		      const json_t *inherits, struct err *err)
{
	_cleanup_json_ json_t *rest = json_copy((json_t *)(uintptr_t)chain);
	_cleanup_json_ json_t *options = json_object();
	size_t count = json_array_size(chain);

	if (count == 0)
		return 0;
	json_array_remove(rest, count - 1);
	canvas_set(v, options, "chain", rest);
	canvas_update(v, options, inherits);
	return apply_checked(v, json_array_get(chain, count - 1), args, NULL, options, err);
}

/* null, a list, or one. ERR_INVALID. */
static int list_member(struct canvas *v, const json_t *embed, const char *key, json_t **ret,
		       struct err *err)
{
	const json_t *value = json_member(embed, key);

	if (value != NULL && !json_is_array(value) && !json_is_object(value))
		return err_set(err, ERR_INVALID, "%s are a %s", key, json_type_name(value));
	*ret = canvas_list(v, value);
	return 0;
}

int signature_on_success(const struct signature_context *c, const json_t *embed,
			 const json_t *value, struct signature_plan *ret, struct err *err)
{
	_cleanup_json_ json_t *args = json_pack("[O]", value), *callbacks = NULL, *chain = NULL,
			      *options = NULL;
	struct signature_plan plan;
	struct canvas v;
	int rc;

	begin(&v, c, &plan, "success");
	options = inherited(&v, true);
	rc = list_member(&v, embed, "callbacks", &callbacks, err);
	if (rc == 0)
		rc = list_member(&v, embed, "chain", &chain, err);
	if (rc == 0 && json_array_size(callbacks) > 0)
		rc = apply_callbacks(&v, callbacks, args, options, err);
	if (rc == 0)
		rc = apply_next(&v, chain, args, options, err);
	return finish(&v, rc, ret, err);
}

int signature_on_failure(const struct signature_context *c, const char *failed_id,
			 const json_t *errbacks, struct signature_plan *ret, struct err *err)
{
	_cleanup_json_ json_t *args = json_pack("[s]", failed_id), *list = NULL, *group = NULL,
			      *options = NULL;
	struct signature_plan plan;
	struct canvas v;
	int rc = 0;

	begin(&v, c, &plan, "failure");
	options = inherited(&v, false);
	canvas_set_new(&v, options, "parent_id", json_string(failed_id));
	list = canvas_list(&v, errbacks);
	if (json_array_size(list) > 0) {
		group = canvas_new_group(&v, json_incref(list));
		rc = apply_checked(&v, group, args, NULL, options, err);
	}
	return finish(&v, rc, ret, err);
}

int signature_on_chord(const struct signature_context *c, const json_t *body, const json_t *results,
		       struct signature_plan *ret, struct err *err)
{
	_cleanup_json_ json_t *args = json_pack("[O]", results), *none = json_object();
	struct signature_plan plan;
	struct canvas v;

	begin(&v, c, &plan, "chord");
	return finish(&v, apply_checked(&v, body, args, NULL, none, err), ret, err);
}

int signature_apply(const struct signature_context *c, const json_t *signature, const json_t *args,
		    const json_t *kwargs, const json_t *options, struct signature_plan *ret,
		    struct err *err)
{
	struct signature_plan plan;
	struct canvas v;
	int rc;

	begin(&v, c, &plan, "apply");
	rc = apply_checked(&v, signature, args, kwargs, options, err);
	if (rc == 0 && plan.result == NULL)
		plan.result = json_incref(
			json_array_get(plan.children, json_array_size(plan.children) - 1));
	return finish(&v, rc, ret, err);
}
