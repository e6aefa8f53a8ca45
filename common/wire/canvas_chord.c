/*
 * canvas_chord.c: a chord: its header is published as a group of which every task carries the body;
 * whoever returns the last part publishes that (_chord.apply_async and run in celery/canvas.py).
 */
#include "canvas.h"
#include "json.h"
#include "mem.h"

/* Parameters of run that concern only those who poll for the parts, and Python's own. */
static const char *const g_run_options[] = {"interval", "max_retries", "eager",
					    "app",	"producer",    "publisher",
					    "router",	"connection",  "result_cls"};

static void drop(json_t *options, const char *const *keys, size_t count)
{
	for (size_t i = 0; i < count; i++)
		json_object_del(options, keys[i]);
}

/* Moves `key` to `to`, unless it is there already or null. */
static void move_delay(struct canvas *v, json_t *options, const char *key, json_t *to)
{
	json_t *value = json_member(options, key);

	if (value != NULL && json_object_get(to, key) == NULL)
		canvas_set(v, to, key, value);
	json_object_del(options, key);
}

/* A part of the header that is a group must be known to whoever puts the results together. */
static int save_results(struct canvas *v, json_t *result, struct err *err)
{
	const json_t *parts = json_array_get(result, 1);

	for (size_t i = 0; i < json_array_size(parts); i++) {
		if (!json_is_null(json_array_get(json_array_get(parts, i), 1)))
			return canvas_tell(v, json_array_get(json_array_get(result, 0), 0), 0, NULL,
					   result, err);
	}
	return 0;
}

/* fallback_chord_unlock in celery/backends/base.py: who looks for the parts of `result`, and when
 * again, goes to the body's queue. */
static int send_unlock(struct canvas *v, json_t *body, json_t *result, const json_t *said,
		       struct err *err)
{
	static const char *const as_the_body[] = {"queue", "priority", "exchange", "routing_key"};
	const json_t *interval = json_object_get(said, "interval"),
		     *retries = json_object_get(said, "max_retries");
	_cleanup_json_ json_t *sig = json_pack("{s:s}", "task", "celery.chord_unlock");
	_cleanup_json_ json_t *args =
		json_pack("[O, O]", json_array_get(json_array_get(result, 0), 0), body);
	_cleanup_json_ json_t *kwargs =
		json_pack("{s:O?, s:O?, s:O}", "interval", interval, "max_retries", retries,
			  "result", json_array_get(result, 1));
	_cleanup_json_ json_t *options = json_pack("{s:i}", "countdown", 1);

	for (size_t i = 0; i < ARRAY_LEN(as_the_body); i++) {
		json_t *value = json_member(canvas_options(body), as_the_body[i]);

		if (value != NULL)
			canvas_set(v, options, as_the_body[i], value);
	}
	return canvas_publish(v, sig, args, kwargs, options, err);
}

struct run {
	json_t *header; /* group */
	json_t *body;
	json_t *options; /* for header and body; changed */
	json_t *delay;	 /* countdown and eta of the header */
	json_t *task_id; /* of the body, or NULL */
	json_t *said;	 /* options as they were given: interval, max_retries */
};

/* The result of the chord that was applied first, which the others are in: its body's, with the
 * header as its first ancestor. */
static void give_result(struct canvas *v, const json_t *body_result, json_t *header_result)
{
	json_t *node, *parent;

	if (v->plan->result != NULL)
		return;
	v->plan->result = json_deep_copy(body_result);
	for (node = v->plan->result; (parent = canvas_result_parent(node)) != NULL;)
		node = parent;
	if (json_array_size(json_array_get(header_result, 1)) > 0)
		canvas_result_set_parent(v, node, header_result);
}

static json_t *freeze_run(struct canvas *v, struct run *r)
{
	static const char *const never_to_the_header[] = {"chain", "chord", "task_id"};
	_cleanup_json_ json_t *group_id = json_incref(canvas_option(r->header, "task_id"));
	_cleanup_json_ json_t *root_id = json_incref(canvas_option(r->body, "root_id"));
	_cleanup_json_ json_t *body_id = r->task_id ? json_incref(r->task_id) : canvas_id(v);
	_cleanup_json_ json_t *of_body = NULL, *body_result = NULL;
	json_t *header_result;

	json_object_del(r->options, "task_id");
	canvas_body_callbacks(v, r->body, r->options);
	of_body = json_copy(r->options);
	json_object_del(of_body, "parent_id");
	canvas_update(v, canvas_options(r->body), of_body);
	if (canvas_type(r->body) == CANVAS_CHAIN)
		canvas_unroll_chords(v, r->body);
	body_result = canvas_freeze(
		v, r->body,
		&(struct canvas_freeze){.id = body_id, .group_id = group_id, .root_id = root_id});
	canvas_strip_chords(v, r->body);
	drop(r->options, never_to_the_header, ARRAY_LEN(never_to_the_header));
	header_result = canvas_freeze_group(v, r->header,
					    &(struct canvas_freeze){.group_id = group_id,
								    .chord = r->body,
								    .root_id = root_id});
	give_result(v, body_result, header_result);
	return header_result;
}

static int run(struct canvas *v, struct run *r, const json_t *args, const json_t *kwargs,
	       struct err *err)
{
	_cleanup_json_ json_t *result = freeze_run(v, r), *no_results = NULL;
	int rc;

	if (json_array_size(canvas_tasks(r->header)) == 0) {
		no_results = json_pack("[[]]");
		return canvas_apply(v, r->body, no_results, NULL, NULL, err);
	}
	rc = v->context->polls_chords ? send_unlock(v, r->body, result, r->said, err)
				      : save_results(v, result, err);
	if (rc < 0)
		return rc;
	canvas_update(v, r->options, r->delay);
	canvas_set(v, r->options, "task_id", canvas_option(r->header, "task_id"));
	return canvas_apply_group(v, r->header, args, kwargs, r->options, err);
}

/* The header as a group with the chord's own id. */
static json_t *make_header(struct canvas *v, const json_t *chord)
{
	json_t *tasks = canvas_tasks(chord), *header, *id;

	if (json_is_object(tasks)) {
		header = canvas_copy(v, tasks);
	} else {
		header = canvas_new_group(v, json_copy(tasks));
		id = canvas_option(chord, "task_id");
		if (id != NULL)
			canvas_set(v, canvas_options(header), "task_id", id);
	}
	if (canvas_option(header, "task_id") == NULL)
		canvas_set_new(v, canvas_options(header), "task_id", canvas_id(v));
	return header;
}

/* What the body gets of the call's options: all but callbacks, delays and the parent. */
static json_t *options_of_body(const json_t *options)
{
	static const char *const others[] = {"link", "link_error", "countdown",
					     "eta",  "parent_id",  "task_id"};
	json_t *copy = json_copy((json_t *)(uintptr_t)options);

	drop(copy, others, ARRAY_LEN(others));
	drop(copy, g_run_options, ARRAY_LEN(g_run_options));
	return copy;
}

int canvas_apply_chord(struct canvas *v, json_t *chord, const json_t *args, const json_t *kwargs,
		       const json_t *call_options, struct err *err)
{
	_cleanup_json_ json_t *said =
		call_options ? json_copy((json_t *)(uintptr_t)call_options) : json_object();
	_cleanup_json_ json_t *for_body = options_of_body(said), *delay = json_object();
	_cleanup_json_ json_t *header = NULL, *body = NULL, *all_args = NULL, *task_id = NULL;
	_cleanup_json_ json_t *all_kwargs = json_object(), *options = NULL, *as_given = NULL;
	struct run r;

	all_args = canvas_immutable(chord) ? json_incref(json_object_get(chord, "args"))
					   : canvas_concat(v, args, json_object_get(chord, "args"));
	canvas_update(v, all_kwargs, canvas_kwarg(chord, "kwargs"));
	canvas_update(v, all_kwargs, kwargs);
	move_delay(v, said, "countdown", delay);
	move_delay(v, said, "eta", delay);
	body = canvas_clone(v, canvas_body(chord), NULL, NULL, for_body);
	header = make_header(v, chord);
	/* Said at the call, or by the chord itself. */
	options = json_copy(canvas_options(chord));
	canvas_update(v, options, said);
	move_delay(v, options, "countdown", delay);
	move_delay(v, options, "eta", delay);
	as_given = json_copy(options);
	drop(options, g_run_options, ARRAY_LEN(g_run_options));
	task_id = json_incref(json_member(options, "task_id"));
	r = (struct run){header, body, options, delay, task_id, as_given};
	return run(v, &r, all_args, all_kwargs, err);
}
