/*
 * canvas_apply.c: what each kind of signature publishes when it is called (apply_async in
 * celery/canvas.py).
 */
#include <string.h>

#include "bounds.h"
#include "canvas.h"
#include "json.h"
#include "mem.h"

/* Options that are null count as not said. */
static json_t *without_nulls(const json_t *options)
{
	json_t *copy = json_object(), *value;
	const char *key;

	json_object_foreach((json_t *)(uintptr_t)options, key, value)
	{
		if (!json_is_null(value))
			json_object_set_nocheck(copy, key, value);
	}
	return copy;
}

static int apply_plain(struct canvas *v, const json_t *sig, const json_t *args,
		       const json_t *kwargs, const json_t *options, struct err *err)
{
	_cleanup_json_ json_t *said = without_nulls(options), *all_args = NULL, *all_kwargs = NULL,
			      *all_options = NULL;

	canvas_merge(v, sig, args, kwargs, said, &all_args, &all_kwargs, &all_options);
	return canvas_publish(v, sig, all_args, all_kwargs, all_options, err);
}

/* Options that a chain's run takes for itself; the rest goes to its first task. */
static const char *const g_run_options[] = {"group_id",	  "chord",     "task_id",    "link",
					    "link_error", "publisher", "producer",   "root_id",
					    "parent_id",  "app",       "group_index"};

/* _prepare_chain_from_options: what is left of the chain, after what was to come after it. */
static json_t *with_rest(struct canvas *v, const json_t *options, json_t *tasks)
{
	const json_t *after = json_member(options, "chain");
	json_t *all = json_copy((json_t *)(uintptr_t)options);

	canvas_set_new(v, all, "chain", canvas_concat(v, after, tasks));
	for (size_t i = 0; i < ARRAY_LEN(g_run_options); i++)
		json_object_del(all, g_run_options[i]);
	return all;
}

static int apply_chain(struct canvas *v, json_t *chain, const json_t *args, const json_t *kwargs,
		       const json_t *call_options, struct err *err)
{
	_cleanup_json_ json_t *options = json_copy(canvas_options(chain)), *tasks = NULL,
			      *results = NULL, *first = NULL, *links = NULL, *own_args = NULL,
			      *rest = NULL;
	struct canvas_steps s = {.clone = true, .kwargs = kwargs};
	size_t count;

	canvas_update(v, options, call_options);
	own_args = canvas_immutable(chain) ? json_incref(json_object_get(chain, "args"))
					   : canvas_concat(v, args, json_object_get(chain, "args"));
	s.args = own_args;
	s.link_error = json_member(options, "link_error");
	s.last = (struct canvas_freeze){.id = json_member(options, "task_id"),
					.group_id = json_member(options, "group_id"),
					.chord = json_member(options, "chord"),
					.root_id = json_member(options, "root_id"),
					.group_index = json_member(options, "group_index")};
	canvas_prepare_steps(v, canvas_tasks(chain), &s, &tasks, &results);
	count = json_array_size(tasks);
	if (count == 0)
		return 0;
	links = canvas_list(v, json_member(options, "link"));
	for (size_t i = 0; i < json_array_size(links); i++)
		canvas_append_option(v, json_array_get(tasks, 0), "link", json_array_get(links, i));
	first = json_incref(json_array_get(tasks, count - 1));
	json_array_remove(tasks, count - 1);
	rest = with_rest(v, options, tasks);
	return canvas_apply(v, first, NULL, NULL, rest, err);
}

/* ---- groups ---- */

struct members {
	json_t *tasks, *results;
	struct canvas_freeze freeze;
};

/* group._prepared: groups in the group are opened, each with indexes of its own. */
static void prepare_members(struct canvas *v, const json_t *tasks, struct members *m)
{
	for (size_t i = 0; i < json_array_size(tasks); i++) {
		_cleanup_json_ json_t *task = canvas_copy(v, json_array_get(tasks, i));
		_cleanup_json_ json_t *index = json_integer((json_int_t)i), *result = NULL;

		if (canvas_type(task) == CANVAS_GROUP) {
			prepare_members(v, canvas_tasks(task), m);
			continue;
		}
		if (canvas_type(task) == CANVAS_CHAIN && json_array_size(canvas_tasks(task)) == 0)
			continue;
		m->freeze.group_index = index;
		result = canvas_freeze(v, task, &m->freeze);
		canvas_append(v, m->tasks, task);
		canvas_append(v, m->results, result);
	}
}

/* The last one is preceded by the size of the chord, if it is the header of one. */
static int apply_members(struct canvas *v, const struct members *m, const json_t *args,
			 const json_t *kwargs, const json_t *given, struct err *err)
{
	_cleanup_json_ json_t *options = json_pack("{s:b, s:n}", "add_to_parent", 0, "chord");
	json_t *chord = json_member(given, "chord");
	size_t count = json_array_size(m->tasks);
	int64_t size = 0;
	int rc = 0;

	canvas_update(v, options, given);
	canvas_set_new(v, options, "add_to_parent", json_false());
	json_object_del(options, "group_index");
	for (size_t i = 0; rc == 0 && i < count; i++) {
		json_t *task = json_array_get(m->tasks, i);
		json_t *own = chord ? chord : json_member(canvas_options(task), "chord");

		size += signature_size(task);
		if (own != NULL && i + 1 == count)
			rc = canvas_tell(v, m->freeze.group_id, size, own, NULL, err);
		canvas_set_new(v, options, "chord", own ? json_incref(own) : json_null());
		if (rc == 0)
			rc = canvas_apply(v, task, args, kwargs, options, err);
	}
	return rc;
}

static void add_child(struct canvas *v, json_t *group_id, json_t *results)
{
	_cleanup_json_ json_t *result = canvas_result(v, group_id, json_incref(results));
	json_t *only = json_array_size(results) == 1 ? json_array_get(results, 0) : NULL;

	/* A group of one chain that ends in a group is that group. */
	if (only != NULL && !json_is_null(json_array_get(only, 1)))
		canvas_append(v, v->plan->children, only);
	else
		canvas_append(v, v->plan->children, result);
}

int canvas_apply_group(struct canvas *v, json_t *group, const json_t *args, const json_t *kwargs,
		       const json_t *call_options, struct err *err)
{
	_cleanup_json_ json_t *options = NULL, *all_args = NULL, *all_kwargs = NULL;
	_cleanup_json_ json_t *tasks = json_array(), *results = json_array(), *id = NULL;
	struct members m = {.tasks = tasks, .results = results};
	int rc;

	if (json_member(call_options, "link") != NULL ||
	    json_member(call_options, "link_error") != NULL)
		return err_set(err, ERR_INVALID,
			       "Cannot add link to group: do that on individual "
			       "tasks");
	if (json_array_size(canvas_tasks(group)) == 0)
		return 0;
	canvas_merge(v, group, NULL, NULL, call_options, &all_args, &all_kwargs, &options);
	id = json_incref(json_member(options, "task_id"));
	if (id == NULL)
		id = canvas_id(v);
	json_object_del(options, "task_id");
	canvas_set(v, options, "group_id", id);
	m.freeze.group_id = id;
	m.freeze.root_id = json_member(options, "root_id");
	prepare_members(v, canvas_tasks(group), &m);
	if (canvas_add_to_parent(options))
		add_child(v, id, results);
	rc = apply_members(v, &m, args, kwargs, options, err);
	return rc;
}

/* ---- maps ---- */

/* One task that calls another for each of a list. */
static int apply_map(struct canvas *v, const json_t *sig, const json_t *options, struct err *err)
{
	_cleanup_json_ json_t *said = without_nulls(options), *args = NULL, *kwargs = NULL,
			      *merged = NULL, *none = json_array();

	canvas_merge(v, sig, NULL, NULL, said, &args, &kwargs, &merged);
	return canvas_publish(v, sig, none, kwargs, merged, err);
}

/* A group of starmaps, each with its part of the list. */
static int apply_chunks(struct canvas *v, const json_t *sig, const json_t *args,
			const json_t *kwargs, const json_t *options, struct err *err)
{
	json_t *it = canvas_kwarg(sig, "it"), *task = canvas_kwarg(sig, "task");
	size_t n = (size_t)json_integer_value(canvas_kwarg(sig, "n")), count = json_array_size(it);
	_cleanup_json_ json_t *parts = json_array(), *group = NULL;

	for (size_t at = 0; at < count;) {
		json_t *part = json_array();
		_cleanup_json_ json_t *map = NULL;

		for (size_t i = 0; i < n && at < count; i++)
			canvas_append(v, part, json_array_get(it, at++));
		map = canvas_new(v, NULL, CANVAS_XSTARMAP,
				 json_pack("{s:O, s:o}", "task", task, "it", part), json_object());
		canvas_set_new(v, map, "immutable", json_true());
		canvas_append(v, parts, map);
	}
	group = canvas_new_group(v, json_incref(parts));
	return canvas_apply_group(v, group, args, kwargs, options, err);
}

int canvas_apply(struct canvas *v, json_t *sig, const json_t *args, const json_t *kwargs,
		 const json_t *options, struct err *err)
{
	if (v->failed)
		return err_set(err, ERR_NOMEM, "no memory for a canvas");
	switch (canvas_type(sig)) {
	case CANVAS_CHAIN:
		return apply_chain(v, sig, args, kwargs, options, err);
	case CANVAS_GROUP:
		return canvas_apply_group(v, sig, args, kwargs, options, err);
	case CANVAS_CHORD:
		return canvas_apply_chord(v, sig, args, kwargs, options, err);
	case CANVAS_XMAP:
	case CANVAS_XSTARMAP:
		return apply_map(v, sig, options, err);
	case CANVAS_CHUNKS:
		return apply_chunks(v, sig, args, kwargs, options, err);
	case CANVAS_PLAIN:
	case CANVAS_UNKNOWN:
	default:
		return apply_plain(v, sig, args, kwargs, options, err);
	}
}
