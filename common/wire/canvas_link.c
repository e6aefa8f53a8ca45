/*
 * canvas_link.c: callbacks and errbacks put onto signatures, and chords taken apart so that the
 * rest of a chain is not in the message of every part of every header.
 */
#include "bounds.h"
#include "canvas.h"
#include "json.h"
#include "mem.h"

/* Options are shared between copies, lists in them too: a changed list is a new one. */
static void extend_option(struct canvas *v, json_t *sig, const char *key, const json_t *values,
			  bool once)
{
	json_t *options = canvas_options(sig);
	_cleanup_json_ json_t *list = canvas_list(v, json_object_get(options, key));

	for (size_t i = 0; i < json_array_size(values); i++) {
		json_t *value = json_array_get(values, i);
		bool there = false;

		for (size_t j = 0; once && !there && j < json_array_size(list); j++)
			there = json_equal(json_array_get(list, j), value);
		if (!there)
			canvas_append(v, list, value);
	}
	canvas_set(v, options, key, list);
}

void canvas_append_option(struct canvas *v, json_t *sig, const char *key, json_t *value)
{
	_cleanup_json_ json_t *one = json_pack("[O]", value);

	extend_option(v, sig, key, one, true);
}

void canvas_link(struct canvas *v, json_t *sig, const json_t *callback)
{
	_cleanup_json_ json_t *copy = NULL;

	while (canvas_type(sig) == CANVAS_CHORD || canvas_type(sig) == CANVAS_GROUP) {
		if (canvas_type(sig) == CANVAS_CHORD) {
			sig = canvas_body(sig);
			continue;
		}
		/* The first of a group calls it, and cannot say what the others returned. */
		if (json_array_size(canvas_tasks(sig)) == 0)
			break;
		if (copy == NULL)
			copy = canvas_copy(v, callback);
		canvas_set_new(v, copy, "immutable", json_true());
		sig = json_array_get(canvas_tasks(sig), 0);
	}
	canvas_append_option(v, sig, "link", copy ? copy : (json_t *)(uintptr_t)callback);
}

/* Depth as of the checked tree. */
void canvas_link_error(struct canvas *v, json_t *sig, const json_t *errback)
{
	const json_t *tasks = canvas_tasks(sig);
	enum canvas_type type = canvas_type(sig);
	_cleanup_json_ json_t *of_header = NULL;

	if (type != CANVAS_GROUP && type != CANVAS_CHORD) {
		canvas_append_option(v, sig, "link_error", (json_t *)(uintptr_t)errback);
		return;
	}
	if (type == CANVAS_CHORD && v->context->errbacks_on_header) {
		of_header = canvas_copy(v, errback);
		canvas_set_new(v, of_header, "immutable", json_true());
	}
	/* A header is a list, or, once it was frozen, a group. */
	if (of_header != NULL && json_is_object(tasks))
		canvas_link_error(v, (json_t *)(uintptr_t)tasks, of_header);
	for (size_t i = 0; i < json_array_size(tasks); i++) {
		json_t *task = json_array_get(tasks, i);

		if (of_header != NULL)
			canvas_link_error(v, task, of_header);
		if (type == CANVAS_GROUP || canvas_type(task) == CANVAS_CHORD)
			canvas_link_error(v, task, errback);
	}
	if (type == CANVAS_CHORD)
		canvas_link_error(v, canvas_body(sig), errback);
}

/* _link_error_to_body_tasks: a group with errbacks of its own has one more. */
static void link_error_to_body(struct canvas *v, json_t *sig, json_t *errback, bool runs_as_group)
{
	enum canvas_type type = canvas_type(sig);
	const json_t *tasks = canvas_tasks(sig);

	if (type == CANVAS_CHORD) {
		link_error_to_body(v, canvas_body(sig), errback, true);
	} else if (type != CANVAS_GROUP) {
		canvas_link_error(v, sig, errback);
	} else if (runs_as_group && json_member(canvas_options(sig), "link_error") != NULL) {
		canvas_append_option(v, sig, "link_error", errback);
	} else {
		for (size_t i = 0; i < json_array_size(tasks); i++)
			link_error_to_body(v, json_array_get(tasks, i), errback, false);
	}
}

void canvas_body_callbacks(struct canvas *v, json_t *body, json_t *options)
{
	_cleanup_json_ json_t *links = canvas_list(v, json_object_get(options, "link"));
	_cleanup_json_ json_t *errbacks = canvas_list(v, json_object_get(options, "link_error"));

	json_object_del(options, "link");
	json_object_del(options, "link_error");
	for (size_t i = 0; i < json_array_size(links); i++)
		canvas_link(v, body, json_array_get(links, i));
	for (size_t i = 0; i < json_array_size(errbacks); i++) {
		json_t *errback = json_array_get(errbacks, i);

		if (canvas_type(body) == CANVAS_GROUP)
			link_error_to_body(v, body, errback, true);
		else
			canvas_append_option(v, body, "link_error", errback);
	}
}

/* _clear_chord_option: of what ends last in a signature. */
static void clear_chord_option(json_t *sig)
{
	enum canvas_type type = canvas_type(sig);
	const json_t *tasks = canvas_tasks(sig);
	size_t count = json_array_size(tasks);

	json_object_del(canvas_options(sig), "chord");
	if (type == CANVAS_GROUP) {
		for (size_t i = 0; i < count; i++)
			clear_chord_option(json_array_get(tasks, i));
	} else if (type == CANVAS_CHAIN && count > 0) {
		clear_chord_option(json_array_get(tasks, count - 1));
	} else if (type == CANVAS_CHORD) {
		clear_chord_option(canvas_body(sig));
	}
}

void canvas_strip_chords(struct canvas *v, json_t *sig)
{
	enum canvas_type type = canvas_type(sig);
	json_t *tasks = canvas_tasks(sig);

	/* A header is a list, or, once it was frozen, a group. */
	if (type == CANVAS_CHORD && json_is_object(tasks)) {
		clear_chord_option(tasks);
		canvas_strip_chords(v, tasks);
	} else if (type == CANVAS_CHORD || type == CANVAS_GROUP || type == CANVAS_CHAIN) {
		for (size_t i = 0; i < json_array_size(tasks); i++) {
			if (type == CANVAS_CHORD)
				clear_chord_option(json_array_get(tasks, i));
			canvas_strip_chords(v, json_array_get(tasks, i));
		}
	}
	if (type == CANVAS_CHORD)
		canvas_strip_chords(v, canvas_body(sig));
}

bool canvas_can_unroll(const json_t *sig)
{
	const json_t *body = canvas_body(sig), *first;

	if (canvas_type(sig) != CANVAS_CHORD || canvas_type(body) != CANVAS_CHAIN)
		return false;
	first = json_array_get(canvas_tasks(body), 0);
	return first != NULL && canvas_type(first) != CANVAS_GROUP;
}

/* chain.unchain_tasks: its own callbacks go to the last, its errbacks to all. */
static json_t *unchain(struct canvas *v, const json_t *chain)
{
	_cleanup_json_ json_t *copy = canvas_copy(v, chain);
	const json_t *options = canvas_options(copy);
	_cleanup_json_ json_t *links = canvas_list(v, json_object_get(options, "link"));
	_cleanup_json_ json_t *errbacks = canvas_list(v, json_object_get(options, "link_error"));
	json_t *tasks = json_incref(canvas_tasks(copy));
	size_t count = json_array_size(tasks);

	for (size_t i = 0; i < json_array_size(links); i++)
		canvas_link(v, json_array_get(tasks, count - 1), json_array_get(links, i));
	for (size_t i = 0; i < json_array_size(errbacks); i++) {
		for (size_t j = 0; j < count; j++)
			canvas_link_error(v, json_array_get(tasks, j), json_array_get(errbacks, i));
	}
	return tasks;
}

json_t *canvas_unroll_body(struct canvas *v, const json_t *chord)
{
	/* What a chain keeps for itself when it runs. */
	static const char *const kept[] = {"chord",	 "group_id",  "group_index", "link",
					   "link_error", "parent_id", "root_id",     "task_id"};
	_cleanup_json_ json_t *copy = canvas_copy(v, chord), *options = NULL, *first = NULL;
	json_t *steps = unchain(v, canvas_body(copy));

	options = json_copy(canvas_options(canvas_body(copy)));
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		json_object_del(options, kept[i]);
	first = canvas_clone(v, json_array_get(steps, 0), NULL, NULL, options);
	canvas_set(v, json_object_get(copy, "kwargs"), "body", first);
	if (json_array_set(steps, 0, copy) < 0)
		v->failed = true;
	return steps;
}

void canvas_unroll_chords(struct canvas *v, json_t *chain)
{
	_cleanup_json_ json_t *pending = json_copy(canvas_tasks(chain)), *tasks = json_array();

	while (json_array_size(pending) > 0) {
		_cleanup_json_ json_t *task = json_incref(json_array_get(pending, 0));

		json_array_remove(pending, 0);
		if (canvas_type(task) == CANVAS_CHAIN)
			canvas_unroll_chords(v, task);
		if (canvas_can_unroll(task)) {
			_cleanup_json_ json_t *steps = canvas_unroll_body(v, task);
			_cleanup_json_ json_t *all = canvas_concat(v, steps, pending);

			json_decref(pending);
			pending = TAKE(all);
		} else {
			canvas_append(v, tasks, task);
		}
	}
	canvas_set(v, json_object_get(chain, "kwargs"), "tasks", tasks);
}
