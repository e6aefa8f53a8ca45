/*
 * canvas_chain.c: the steps of a chain, made flat: chains in it are spliced, a group before a task
 * becomes a chord with that task as its body (_chain.prepare_steps in celery/canvas.py). The list
 * is worked from its end, and given reversed: a worker takes the next task from the end.
 */
#include "bounds.h"
#include "canvas.h"
#include "json.h"
#include "mem.h"

struct walk {
	struct canvas *v;
	const struct canvas_steps *s;
	json_t *steps;		 /* still to come; the next is last */
	json_t *tasks, *results; /* done */
	json_t *task;		 /* before this one (to be run after it), or NULL; owned */
	json_t *result;		 /* what this one is the parent of, or NULL; owned */
	size_t count;
};

static bool is_empty_group(const json_t *sig)
{
	return canvas_type(sig) == CANVAS_GROUP && json_array_size(canvas_tasks(sig)) == 0;
}

/* A group of one is that one. Borrowed. */
static json_t *unroll_group(json_t *sig)
{
	return canvas_type(sig) == CANVAS_GROUP && json_array_size(canvas_tasks(sig)) == 1
		       ? json_array_get(canvas_tasks(sig), 0)
		       : sig;
}

static void replace(json_t **slot, json_t *value)
{
	json_decref(*slot);
	*slot = value;
}

/* Puts list `more` in the place of the first or last step. */
static void splice(struct walk *w, bool first, const json_t *more)
{
	json_t *all;

	json_array_remove(w->steps, first ? 0 : json_array_size(w->steps) - 1);
	all = first ? canvas_concat(w->v, more, w->steps) : canvas_concat(w->v, w->steps, more);
	replace(&w->steps, all);
}

/*
 * The first real task is what gets the partial arguments, so what has none of its own is cleared
 * away from the front: chains are spliced, empty groups dropped, unless there is nothing else.
 */
static void normalise_head(struct walk *w)
{
	_cleanup_json_ json_t *dropped = NULL;

	while (json_array_size(w->steps) > 0) {
		json_t *head = json_array_get(w->steps, 0);

		if (canvas_type(head) == CANVAS_CHAIN) {
			_cleanup_json_ json_t *kept = json_incref(head);

			splice(w, true, canvas_tasks(kept));
			continue;
		}
		head = unroll_group(head);
		if (json_array_set(w->steps, 0, head) < 0)
			w->v->failed = true;
		if (json_array_size(w->steps) == 1 || !is_empty_group(head))
			break;
		replace(&dropped, json_incref(head));
		json_array_remove(w->steps, 0);
	}
	if (dropped != NULL && json_array_size(w->steps) == 0)
		canvas_append(w->v, w->steps, dropped);
}

/* A group and the task after it: the task leaves the list and becomes the body. */
static json_t *make_chord(struct walk *w, json_t *group)
{
	size_t count = json_array_size(w->results);
	_cleanup_json_ json_t *body_result = json_incref(json_array_get(w->results, count - 1));
	json_t *options = json_object(), *chord, *node;

	json_array_remove(w->tasks, count - 1);
	json_array_remove(w->results, count - 1);
	/* The result of a group has no task's id. */
	if (json_is_null(json_array_get(w->result, 1)))
		canvas_set(w->v, options, "task_id",
			   json_array_get(json_array_get(w->result, 0), 0));
	canvas_set_new(w->v, options, "root_id",
		       w->s->last.root_id ? json_incref(w->s->last.root_id) : json_null());
	chord = canvas_new(w->v, NULL, CANVAS_CHORD,
			   json_pack("{s:{}, s:O, s:O}", "kwargs", "header", canvas_tasks(group),
				     "body", w->task),
			   options);
	replace(&w->task, json_incref(json_array_get(w->tasks, count - 2)));
	/* What follows has the body as its ancestor; that will be the chord. */
	node = json_array_get(w->results, count - 2);
	while (count > 1 && node != NULL && canvas_result_parent(node) != body_result)
		node = canvas_result_parent(node);
	if (count > 1 && node != NULL) {
		canvas_result_set_parent(w->v, node, NULL);
		replace(&w->result, json_incref(node));
	}
	return chord;
}

static void add_errbacks(struct walk *w, json_t *task)
{
	_cleanup_json_ json_t *errbacks = canvas_list(w->v, w->s->link_error);

	for (size_t i = 0; i < json_array_size(errbacks); i++)
		canvas_link_error(w->v, task, json_array_get(errbacks, i));
}

static void freeze_step(struct walk *w, json_t *task, bool is_last)
{
	struct canvas_freeze f = {.root_id = w->s->last.root_id};
	json_t *result, *node, *parent;

	if (is_last) {
		f = w->s->last;
		f.parent_id = NULL;
	}
	result = canvas_freeze(w->v, task, &f);
	w->count++;
	if (w->task != NULL && w->result != NULL && canvas_result_parent(w->result) == NULL)
		canvas_result_set_parent(w->v, w->result, result);
	add_errbacks(w, task);
	canvas_append(w->v, w->tasks, task);
	canvas_append(w->v, w->results, result);
	replace(&w->task, json_incref(task));
	node = result;
	while (canvas_type(task) == CANVAS_CHORD && (parent = canvas_result_parent(node)) != NULL)
		node = parent;
	replace(&w->result, json_incref(node));
	json_decref(result);
}

/* The step itself, or a copy to be changed; the first with the partial arguments. */
static json_t *take_step(struct walk *w, json_t *task, bool is_first)
{
	if (w->s->clone)
		return canvas_clone(w->v, task, is_first ? w->s->args : NULL,
				    is_first ? w->s->kwargs : NULL, NULL);
	if (is_first && json_array_size(w->s->args) > 0)
		canvas_set_new(w->v, task, "args",
			       canvas_concat(w->v, w->s->args, json_object_get(task, "args")));
	return json_incref(task);
}

/* Handles the last of the steps that are left. */
static void walk_step(struct walk *w)
{
	size_t left = json_array_size(w->steps) - 1;
	_cleanup_json_ json_t *popped = json_incref(json_array_get(w->steps, left)), *task = NULL;
	bool is_last = w->count == 0;
	json_t *step = unroll_group(popped);

	if (is_empty_group(step) && (left > 0 || w->task != NULL)) {
		json_array_remove(w->steps, left);
		return;
	}
	if (w->s->clone && canvas_can_unroll(step)) {
		_cleanup_json_ json_t *more = canvas_unroll_body(w->v, step);

		splice(w, false, more);
		return;
	}
	task = take_step(w, step, left == 0);
	if (canvas_type(task) == CANVAS_CHAIN) {
		splice(w, false, canvas_tasks(task));
		return;
	}
	json_array_remove(w->steps, left);
	if (canvas_type(task) == CANVAS_GROUP && w->task != NULL)
		replace(&task, make_chord(w, task));
	freeze_step(w, task, is_last);
}

void canvas_prepare_steps(struct canvas *v, json_t *tasks, const struct canvas_steps *s,
			  json_t **ret_tasks, json_t **ret_results)
{
	struct walk w = {.v = v,
			 .s = s,
			 .steps = json_copy(tasks),
			 .tasks = json_array(),
			 .results = json_array()};

	normalise_head(&w);
	while (json_array_size(w.steps) > 0 && !v->failed)
		walk_step(&w);
	for (size_t i = 0; s->clone && i < json_array_size(w.tasks); i++)
		canvas_strip_chords(v, json_array_get(w.tasks, i));
	json_decref(w.steps);
	json_decref(w.task);
	json_decref(w.result);
	*ret_tasks = w.tasks;
	*ret_results = w.results;
}
