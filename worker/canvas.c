/*
 * Follow-ups of a task. Plans come from signature.h; canvas_steps.c makes them steps of the
 * settlement.
 */
#include "canvas.h"

#include "json.h"
#include "log.h"
#include "mem.h"

void canvas_done(struct canvas *c)
{
	settle_steps_done(&c->steps);
	json_decref(c->children);
	*c = (struct canvas){0};
}

int canvas_fail_chain(const struct follower *f, const json_t *chain,
		      const struct canvas_failure *why, struct err *err)
{
	_cleanup_json_ json_t *unreached = NULL;
	const json_t *signature;
	size_t i;
	int rc = signature_unreached(chain, &unreached, err);

	if (rc < 0)
		return rc;
	json_array_foreach(unreached, i, signature)
	{
		const json_t *options = json_object_get(signature, "options");
		const json_t *body = json_member(options, "chord");
		struct chord_part part = {.group_id = json_member_str(options, "group_id"),
					  .task_id = json_member_str(options, "task_id"),
					  .group_index = json_member(options, "group_index"),
					  .state = why->state,
					  .result = why->exception};

		if (part.task_id == NULL)
			continue;
		rc = canvas_add_failure(f, part.task_id, why, signature, NULL, err);
		if (rc == 0 && body != NULL && part.group_id != NULL)
			rc = chord_return_part(f, &part, body, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static bool is_empty(const json_t *list)
{
	return list == NULL || (json_is_array(list) && json_array_size(list) == 0);
}

static int follow_success(const struct follower *f, const json_t *embed, const json_t *result,
			  json_t **ret_children, struct err *err)
{
	struct signature_plan plan = {0};
	int rc;

	if (is_empty(json_member(embed, "callbacks")) && is_empty(json_member(embed, "chain")))
		return 0;
	rc = signature_on_success(&f->context, embed, result, &plan, err);
	if (rc == 0)
		rc = canvas_add_plan(f, &plan, err);
	if (rc == 0)
		*ret_children = json_incref(plan.children);
	signature_plan_done(&plan);
	return rc;
}

/* What cannot be followed of a failure is said: the failure itself stays what it is. Transient
 * errors only. */
static int tolerate(const struct follower *f, size_t before, int rc, struct err *err)
{
	if (rc == 0 || err_is_transient(err))
		return rc;
	log_error("Task %s: not all that follows from its failure: %s", f->context.task_id,
		  err->msg);
	canvas_truncate(f->steps, before);
	*err = (struct err){0};
	return 0;
}

static int follow_failure(const struct follower *f, const json_t *embed,
			  const struct canvas_failure *why, struct err *err)
{
	size_t before = f->steps->count;
	int rc = canvas_add_errbacks(f, f->context.task_id, json_member(embed, "errbacks"), NULL,
				     err);

	rc = tolerate(f, before, rc, err);
	if (rc < 0)
		return rc;
	before = f->steps->count;
	rc = canvas_fail_chain(f, json_member(embed, "chain"), why, err);
	return tolerate(f, before, rc, err);
}

/* Its part of a chord. */
static int follow_part(const struct follower *f, const struct request *r, enum task_state state,
		       const json_t *result, struct err *err)
{
	const struct message *m = r->message;
	const json_t *body = json_member(m->embed, "chord");
	struct chord_part part = {.group_id = m->group,
				  .task_id = r->id,
				  .group_index = json_member(m->headers, "group_index"),
				  .state = state,
				  .result = result};
	size_t before = f->steps->count;
	int rc;

	if (body == NULL || m->group == NULL)
		return 0;
	rc = chord_return_part(f, &part, body, err);
	return state == TASK_SUCCESS ? rc : tolerate(f, before, rc, err);
}

/* What the task published itself comes first. */
static void add_own_children(const struct request *r, struct canvas *c)
{
	json_t *all = json_copy(r->children);

	if (c->children != NULL)
		json_array_extend(all, c->children);
	json_decref(c->children);
	c->children = all;
}

int canvas_continue(struct request *r, enum task_state state, const json_t *result,
		    const char *traceback, struct canvas *ret, struct err *err)
{
	const struct canvas_failure why = {state, result, traceback};
	const json_t *embed = r->message->embed;
	struct canvas c = {0};
	struct follower f = canvas_follower(r, &c.steps);
	int rc = state == TASK_SUCCESS ? follow_success(&f, embed, result, &c.children, err)
				       : follow_failure(&f, embed, &why, err);

	if (rc == 0 && r->children != NULL)
		add_own_children(r, &c);
	if (rc == 0)
		rc = follow_part(&f, r, state, result, err);
	if (rc < 0) {
		canvas_done(&c);
		return rc;
	}
	*ret = c;
	return 0;
}

int canvas_send(const struct request *r, const json_t *signature, const json_t *options,
		const char *seed, struct canvas *ret, struct err *err)
{
	struct signature_plan plan = {0};
	struct canvas c = {0};
	struct follower f = canvas_follower(r, &c.steps);
	int rc;

	f.context.seed = seed;
	rc = signature_apply(&f.context, signature, NULL, NULL, options, &plan, err);
	if (rc == 0)
		rc = canvas_add_plan(&f, &plan, err);
	if (rc == 0)
		c.children = json_incref(plan.children);
	signature_plan_done(&plan);
	if (rc < 0)
		canvas_done(&c);
	else
		*ret = c;
	return rc;
}
