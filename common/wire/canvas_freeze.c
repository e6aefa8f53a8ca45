/*
 * canvas_freeze.c: every task gets the id it will have, before anything is sent, so that each can
 * be told what follows it (freeze in celery/canvas.py). Results come as the tuples that backends
 * store:
 * [[id, parent], children or null].
 */
#include "canvas.h"
#include "json.h"
#include "mem.h"

json_t *canvas_result(struct canvas *v, json_t *id, json_t *children)
{
	json_t *result = json_pack("[[O, n], o?]", id, children);

	if (result == NULL)
		v->failed = true;
	return result;
}

json_t *canvas_result_parent(const json_t *result)
{
	json_t *parent = json_array_get(json_array_get(result, 0), 1);

	return json_is_null(parent) ? NULL : parent;
}

void canvas_result_set_parent(struct canvas *v, json_t *result, json_t *parent)
{
	if (json_array_set_new(json_array_get(result, 0), 1,
			       parent ? json_incref(parent) : json_null()) < 0)
		v->failed = true;
}

/* The id of a signature: its own, or the one given, or a new one. Borrowed from the options. */
static json_t *settle_id(struct canvas *v, json_t *options, json_t *id)
{
	json_t *own = json_member(options, "task_id");

	if (own == NULL) {
		canvas_set_new(v, options, "task_id", id ? json_incref(id) : canvas_id(v));
		own = json_object_get(options, "task_id");
	}
	return own;
}

static json_t *freeze_plain(struct canvas *v, json_t *sig, const struct canvas_freeze *f)
{
	json_t *options = canvas_options(sig);
	json_t *id = settle_id(v, options, f->id);

	if (f->root_id != NULL)
		canvas_set(v, options, "root_id", f->root_id);
	if (f->parent_id != NULL)
		canvas_set(v, options, "parent_id", f->parent_id);
	if (json_object_get(options, "reply_to") == NULL && v->context->reply_to != NULL)
		canvas_set_new(v, options, "reply_to", json_string(v->context->reply_to));
	if (f->group_id != NULL && json_object_get(options, "group_id") == NULL)
		canvas_set(v, options, "group_id", f->group_id);
	if (f->chord != NULL)
		canvas_set(v, options, "chord", f->chord);
	if (f->group_index != NULL)
		canvas_set(v, options, "group_index", f->group_index);
	return canvas_result(v, id, NULL);
}

/* Group.setdefault: what is absent is said to be none. */
static json_t *set_default(struct canvas *v, json_t *options, const char *key, json_t *value)
{
	if (json_object_get(options, key) == NULL)
		canvas_set_new(v, options, key, value ? json_incref(value) : json_null());
	return json_member(options, key);
}

/* group._freeze_unroll: groups in the group are opened, empty chains dropped. */
static json_t *freeze_tasks(struct canvas *v, json_t *group, const struct canvas_freeze *f)
{
	_cleanup_json_ json_t *stack = json_array(), *tasks = json_array();
	const json_t *members = canvas_tasks(group);
	struct canvas_freeze each = *f;
	json_t *results = json_array();
	json_int_t index = 0;

	/* The next one is last. */
	for (size_t i = json_array_size(members); i-- > 0;)
		canvas_append(v, stack, json_array_get(members, i));
	while (json_array_size(stack) > 0) {
		size_t top = json_array_size(stack) - 1;
		_cleanup_json_ json_t *task = canvas_copy(v, json_array_get(stack, top));
		_cleanup_json_ json_t *number = json_integer(index), *result = NULL;

		json_array_remove(stack, top);
		if (canvas_type(task) == CANVAS_GROUP) {
			/* Python's extendleft turns them around. */
			for (size_t i = 0; i < json_array_size(canvas_tasks(task)); i++)
				canvas_append(v, stack, json_array_get(canvas_tasks(task), i));
			continue;
		}
		if (canvas_type(task) == CANVAS_CHAIN && json_array_size(canvas_tasks(task)) == 0)
			continue;
		each.group_index = number;
		each.id = NULL;
		result = canvas_freeze(v, task, &each);
		canvas_append(v, tasks, task);
		canvas_append(v, results, result);
		index++;
	}
	canvas_set(v, json_object_get(group, "kwargs"), "tasks", tasks);
	return results;
}

json_t *canvas_freeze_group(struct canvas *v, json_t *group, const struct canvas_freeze *f)
{
	json_t *options = canvas_options(group);
	json_t *id = settle_id(v, options, NULL);
	struct canvas_freeze each = *f;

	if (f->group_id != NULL)
		canvas_set(v, options, "group_id", f->group_id);
	if (f->chord != NULL)
		canvas_set(v, options, "chord", f->chord);
	if (f->group_index != NULL)
		canvas_set(v, options, "group_index", f->group_index);
	each.root_id = set_default(v, options, "root_id", f->root_id);
	each.parent_id = set_default(v, options, "parent_id", f->parent_id);
	return canvas_result(v, id, freeze_tasks(v, group, &each));
}

static json_t *freeze_chain(struct canvas *v, json_t *chain, const struct canvas_freeze *f)
{
	struct canvas_steps s = {.args = json_object_get(chain, "args"), .last = *f};
	_cleanup_json_ json_t *tasks = NULL, *results = NULL;
	json_t *result;

	canvas_prepare_steps(v, canvas_tasks(chain), &s, &tasks, &results);
	result = json_incref(json_array_get(results, 0));
	if (result == NULL)
		return json_null();
	canvas_set(v, canvas_options(chain), "task_id",
		   json_array_get(json_array_get(result, 0), 0));
	return result;
}

/* The header first, then the body, whose first ancestor is the header. */
static json_t *freeze_chord(struct canvas *v, json_t *chord, const struct canvas_freeze *f)
{
	json_t *kwargs = json_object_get(chord, "kwargs");
	json_t *header = json_object_get(kwargs, "header"), *body = canvas_body(chord);
	struct canvas_freeze of_header = {
		.parent_id = f->parent_id, .root_id = f->root_id, .chord = body};
	struct canvas_freeze of_body = *f;
	_cleanup_json_ json_t *header_result = NULL;
	json_t *result, *node, *parent;

	if (!json_is_object(header)) {
		canvas_set_new(v, kwargs, "header", canvas_new_group(v, json_incref(header)));
		header = json_object_get(kwargs, "header");
	}
	header_result = canvas_freeze_group(v, header, &of_header);
	canvas_set(v, canvas_options(chord), "task_id", canvas_option(header, "task_id"));
	of_body.parent_id = NULL;
	result = canvas_freeze(v, body, &of_body);
	for (node = result; (parent = canvas_result_parent(node)) != NULL;)
		node = parent;
	canvas_result_set_parent(v, node, header_result);
	return result;
}

json_t *canvas_freeze(struct canvas *v, json_t *sig, const struct canvas_freeze *f)
{
	switch (canvas_type(sig)) {
	case CANVAS_CHAIN:
		return freeze_chain(v, sig, f);
	case CANVAS_GROUP:
		return canvas_freeze_group(v, sig, f);
	case CANVAS_CHORD:
		return freeze_chord(v, sig, f);
	case CANVAS_PLAIN:
	case CANVAS_XMAP:
	case CANVAS_XSTARMAP:
	case CANVAS_CHUNKS:
	case CANVAS_UNKNOWN:
	default:
		return freeze_plain(v, sig, f);
	}
}
