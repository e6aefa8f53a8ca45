/*
 * canvas_unreached.c: results of what will never run: they fail with what made it so (_fail_chain
 * and chord_error_from_stack in celery/backends/base.py).
 */
#include "bounds.h"
#include "canvas.h"
#include "json.h"
#include "mem.h"
#include "signature.h"

int signature_unreached(const json_t *chain, json_t **ret, struct err *err)
{
	_cleanup_json_ json_t *all = json_array();
	int failed = 0;

	for (size_t i = 0; i < json_array_size(chain); i++)
		failed |= json_array_append(all, json_array_get(chain, i));
	/* A chord is done when its body is; bodies join the end of the list. */
	for (size_t i = 0; i < json_array_size(all) && i < BOUND_CANVAS_SIZE; i++) {
		const json_t *sig = json_array_get(all, i);
		json_t *body = canvas_type(sig) == CANVAS_CHORD ? canvas_body(sig) : NULL;

		if (!json_is_object(sig))
			return err_set(err, ERR_INVALID, "a chain with a %s in it",
				       json_type_name(sig));
		failed |= body != NULL ? json_array_append(all, body) : 0;
	}
	if (failed)
		return err_set(err, ERR_NOMEM, "no memory for a chain");
	*ret = TAKE(all);
	return 0;
}

/* What ends last in a signature: its options say whose part of which chord it is. */
static const json_t *last_of(const json_t *sig)
{
	for (;;) {
		const json_t *tasks = canvas_tasks(sig), *next = NULL;
		enum canvas_type type = canvas_type(sig);

		if (type == CANVAS_CHORD)
			next = canvas_body(sig);
		else if (type == CANVAS_CHAIN)
			next = json_array_get(tasks, json_array_size(tasks) - 1);
		if (next == NULL)
			return sig;
		sig = next;
	}
}

static void add_errbacks(json_t *errbacks, const json_t *more)
{
	size_t count = json_is_array(more) ? json_array_size(more) : more != NULL;

	for (size_t i = 0; i < count; i++) {
		json_t *errback =
			json_is_array(more) ? json_array_get(more, i) : (json_t *)(uintptr_t)more;
		bool there = false;

		for (size_t j = 0; !there && j < json_array_size(errbacks); j++)
			there = json_equal(json_array_get(errbacks, j), errback);
		if (!there)
			json_array_append(errbacks, errback);
	}
}

/* _result_errbacks: a chord's are its body's, too; a group's those of its tasks. */
static void collect_errbacks(const json_t *sig, json_t *errbacks)
{
	const json_t *tasks;

	for (; canvas_type(sig) == CANVAS_CHORD; sig = canvas_body(sig))
		add_errbacks(errbacks, json_member(canvas_options(sig), "link_error"));
	add_errbacks(errbacks, json_member(canvas_options(sig), "link_error"));
	tasks = canvas_type(sig) == CANVAS_GROUP ? canvas_tasks(sig) : NULL;
	for (size_t i = 0; i < json_array_size(tasks); i++)
		collect_errbacks(json_array_get(tasks, i), errbacks);
}

static void add_result(json_t *results, const json_t *sig, const json_t *more_errbacks)
{
	static const char *const of_chord[] = {"chord", "group_id", "group_index"};
	json_t *result = json_object(), *errbacks = json_array(), *id;
	const json_t *last = last_of(sig);

	collect_errbacks(sig, errbacks);
	add_errbacks(errbacks, more_errbacks);
	json_object_set_new(result, "errbacks", errbacks);
	while (canvas_type(sig) == CANVAS_CHORD)
		sig = canvas_body(sig);
	id = canvas_option(sig, "task_id");
	if (id == NULL)
		id = canvas_option(last, "task_id");
	json_object_set(result, "id", id);
	json_object_set(result, "chain", json_member(canvas_options(sig), "chain"));
	for (size_t i = 0; i < ARRAY_LEN(of_chord); i++)
		json_object_set(result, of_chord[i],
				json_member(canvas_options(last), of_chord[i]));
	json_array_append_new(results, result);
}

/* The tasks of a group; groups in it are opened. */
static void add_members(json_t *results, const json_t *group, const json_t *errbacks)
{
	const json_t *tasks = canvas_tasks(group);

	for (size_t i = 0; i < json_array_size(tasks); i++) {
		const json_t *task = json_array_get(tasks, i);

		if (canvas_type(task) == CANVAS_GROUP)
			add_members(results, task, errbacks);
		else
			add_result(results, task, errbacks);
	}
}

int signature_chord_results(const json_t *body, json_t **ret, struct err *err)
{
	_cleanup_json_ json_t *results = NULL, *whole = NULL;
	int rc = signature_check(body, err);

	if (rc < 0)
		return rc;
	results = json_array();
	if (canvas_type(body) != CANVAS_GROUP) {
		add_result(results, body, NULL);
	} else {
		add_members(results, body, json_member(canvas_options(body), "link_error"));
		whole = json_pack("{s:[]}", "errbacks");
		json_object_set(whole, "id", canvas_option(body, "task_id"));
		json_object_set(whole, "chain", json_member(canvas_options(body), "chain"));
		json_array_append(results, whole);
	}
	*ret = TAKE(results);
	return 0;
}
