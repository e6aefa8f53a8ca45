/*
 * canvas.c: signatures as objects: reading, copying, merging (Signature in celery/canvas.py).
 */
#include "canvas.h"

#include <string.h>

#include "bounds.h"
#include "codec.h"
#include "json.h"
#include "mem.h"

/* A plain signature has no type; the tasks are those that Celery's own producers name. */
static const struct {
	const char *type, *task;
} g_types[] = {
	[CANVAS_PLAIN] = {NULL, NULL},
	[CANVAS_CHAIN] = {"chain", "celery.chain"},
	[CANVAS_GROUP] = {"group", "celery.group"},
	[CANVAS_CHORD] = {"chord", "celery.chord"},
	[CANVAS_XMAP] = {"xmap", "celery.map"},
	[CANVAS_XSTARMAP] = {"xstarmap", "celery.starmap"},
	[CANVAS_CHUNKS] = {"chunks", "celery.chunks"},
};

enum canvas_type canvas_type(const json_t *sig)
{
	const json_t *type = json_member(sig, "subtask_type");
	const char *name = json_string_value(type);

	if (type == NULL || (name != NULL && name[0] == '\0'))
		return CANVAS_PLAIN;
	for (size_t i = CANVAS_CHAIN; name != NULL && i < ARRAY_LEN(g_types); i++) {
		if (strcmp(g_types[i].type, name) == 0)
			return (enum canvas_type)i;
	}
	return CANVAS_UNKNOWN;
}

void canvas_set_new(struct canvas *v, json_t *object, const char *key, json_t *value)
{
	if (json_object_set_new_nocheck(object, key, value) < 0)
		v->failed = true;
}

void canvas_set(struct canvas *v, json_t *object, const char *key, json_t *value)
{
	canvas_set_new(v, object, key, json_incref(value));
}

void canvas_append(struct canvas *v, json_t *array, json_t *value)
{
	if (json_array_append(array, value) < 0)
		v->failed = true;
}

void canvas_update(struct canvas *v, json_t *object, const json_t *more)
{
	if (more != NULL && json_object_update(object, (json_t *)(uintptr_t)more) < 0)
		v->failed = true;
}

json_t *canvas_list(struct canvas *v, const json_t *value)
{
	json_t *list;

	if (json_is_array(value))
		return json_copy((json_t *)(uintptr_t)value);
	list = json_array();
	if (value != NULL && !json_is_null(value))
		canvas_append(v, list, (json_t *)(uintptr_t)value);
	return list;
}

json_t *canvas_concat(struct canvas *v, const json_t *a, const json_t *b)
{
	json_t *list = canvas_list(v, a);

	for (size_t i = 0; i < json_array_size(b); i++)
		canvas_append(v, list, json_array_get(b, i));
	return list;
}

json_t *canvas_options(const json_t *sig)
{
	return json_object_get(sig, "options");
}

json_t *canvas_kwarg(const json_t *sig, const char *key)
{
	return json_member(json_object_get(sig, "kwargs"), key);
}

json_t *canvas_tasks(const json_t *sig)
{
	return canvas_kwarg(sig, canvas_type(sig) == CANVAS_CHORD ? "header" : "tasks");
}

json_t *canvas_body(const json_t *sig)
{
	return canvas_kwarg(sig, "body");
}

bool canvas_immutable(const json_t *sig)
{
	return json_is_true(json_object_get(sig, "immutable"));
}

json_t *canvas_option(const json_t *sig, const char *key)
{
	json_t *value = json_member(canvas_options(sig), key);

	return json_is_string(value) ? value : NULL;
}

json_t *canvas_id(struct canvas *v)
{
	const struct signature_context *c = v->context;
	_cleanup_free_ char *name =
		xasprintf("%s %s %u", c->seed ? c->seed : c->task_id, v->purpose, v->invented++);
	char text[UUID_SIZE];
	json_t *id;

	uuid8(name, text);
	id = json_string(text);
	if (id == NULL)
		v->failed = true;
	return id;
}

json_t *canvas_new(struct canvas *v, const char *task, enum canvas_type type, json_t *kwargs,
		   json_t *options)
{
	const char *name = g_types[type].type;
	json_t *sig = json_pack("{s:s, s:[], s:o, s:o, s:s?, s:b}", "task",
				task ? task : g_types[type].task, "args", "kwargs", kwargs,
				"options", options, "subtask_type", name, "immutable", 0);

	if (sig == NULL)
		v->failed = true;
	return sig;
}

json_t *canvas_new_group(struct canvas *v, json_t *tasks)
{
	return canvas_new(v, NULL, CANVAS_GROUP, json_pack("{s:o}", "tasks", tasks), json_object());
}

static json_t *copy_list(struct canvas *v, const json_t *list)
{
	json_t *copies = json_array();

	for (size_t i = 0; i < json_array_size(list); i++) {
		_cleanup_json_ json_t *copy = canvas_copy(v, json_array_get(list, i));

		canvas_append(v, copies, copy);
	}
	return copies;
}

/* A header may be a group or chain, too: its tasks are meant. */
static json_t *copy_header(struct canvas *v, const json_t *header)
{
	enum canvas_type type;

	if (!json_is_object(header))
		return copy_list(v, header);
	type = canvas_type(header);
	if (type == CANVAS_GROUP || type == CANVAS_CHAIN)
		return copy_list(v, canvas_tasks(header));
	return json_pack("[o]", canvas_copy(v, header));
}

static json_t *copy_kwargs(struct canvas *v, const json_t *sig, enum canvas_type type)
{
	const json_t *kwargs = json_member(sig, "kwargs");
	json_t *copy = NULL;

	if (type == CANVAS_CHAIN || type == CANVAS_GROUP)
		return json_pack("{s:o}", "tasks", copy_list(v, canvas_tasks(sig)));
	copy = kwargs ? json_copy((json_t *)(uintptr_t)kwargs) : json_object();
	if (type == CANVAS_CHORD) {
		canvas_set_new(v, copy, "header", copy_header(v, canvas_tasks(sig)));
		canvas_set_new(v, copy, "body", canvas_copy(v, canvas_body(sig)));
	}
	return copy;
}

/* Trees were checked, but callbacks and errbacks in their options were not: those go as deep as
 * JSON may, and may be anything: what is none fails the whole. */
json_t *canvas_copy(struct canvas *v, const json_t *sig)
{
	enum canvas_type type = canvas_type(sig);
	const json_t *options = json_member(sig, "options");
	/* Python forgets these for chains and groups, and has its own for maps. */
	bool whole = type == CANVAS_PLAIN || type == CANVAS_CHORD;
	bool map = type == CANVAS_XMAP || type == CANVAS_XSTARMAP || type == CANVAS_CHUNKS;
	json_t *args = json_member(sig, "args"), *copy;

	if (!json_is_object(sig) || type == CANVAS_UNKNOWN) {
		v->failed = true;
		return json_object();
	}
	copy = canvas_new(v, whole ? json_member_str(sig, "task") : NULL, type,
			  copy_kwargs(v, sig, type),
			  options ? json_copy((json_t *)(uintptr_t)options) : json_object());

	if (whole && args != NULL)
		canvas_set(v, copy, "args", args);
	if (map || (whole && canvas_immutable(sig)))
		canvas_set_new(v, copy, "immutable", json_true());
	return copy;
}

static bool is_listed(const json_t *names, const char *key)
{
	for (size_t i = 0; i < json_array_size(names); i++) {
		const char *name = json_string_value(json_array_get(names, i));

		if (name != NULL && strcmp(name, key) == 0)
			return true;
	}
	return false;
}

/* Options win over the signature's, but for what would keep its parents from completing, and for
 * its stamps. */
static json_t *merge_options(struct canvas *v, const json_t *own, const json_t *options)
{
	json_t *merged = json_copy((json_t *)(uintptr_t)own), *value;
	const json_t *stamped = json_member(own, "stamped_headers");
	const char *key;

	json_object_foreach((json_t *)(uintptr_t)options, key, value)
	{
		bool kept = strcmp(key, "group_id") == 0 || strcmp(key, "stamped_headers") == 0 ||
			    is_listed(stamped, key);

		if (!kept || json_object_get(own, key) == NULL)
			canvas_set(v, merged, key, value);
	}
	return merged;
}

void canvas_merge(struct canvas *v, const json_t *sig, const json_t *args, const json_t *kwargs,
		  const json_t *options, json_t **ret_args, json_t **ret_kwargs,
		  json_t **ret_options)
{
	json_t *own_args = json_object_get(sig, "args"),
	       *own_kwargs = json_object_get(sig, "kwargs");

	*ret_options = merge_options(v, canvas_options(sig), options);
	if (canvas_immutable(sig) || json_array_size(args) == 0)
		*ret_args = json_incref(own_args);
	else
		*ret_args = canvas_concat(v, args, own_args);
	if (canvas_immutable(sig) || json_object_size(kwargs) == 0) {
		*ret_kwargs = json_incref(own_kwargs);
	} else {
		*ret_kwargs = json_copy(own_kwargs);
		canvas_update(v, *ret_kwargs, kwargs);
	}
}

json_t *canvas_clone(struct canvas *v, const json_t *sig, const json_t *args, const json_t *kwargs,
		     const json_t *options)
{
	_cleanup_json_ json_t *merged_args = NULL, *merged_kwargs = NULL, *merged_options = NULL;
	_cleanup_json_ json_t *merged = json_copy((json_t *)(uintptr_t)sig);

	canvas_merge(v, sig, args, kwargs, options, &merged_args, &merged_kwargs, &merged_options);
	canvas_set(v, merged, "args", merged_args);
	canvas_set(v, merged, "kwargs", merged_kwargs);
	canvas_set(v, merged, "options", merged_options);
	return canvas_copy(v, merged);
}
