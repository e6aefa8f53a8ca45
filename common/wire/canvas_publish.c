/*
 * canvas_publish.c: a task with its arguments and options joins the plan as a message, and its id
 * the children (send_task in celery/app/base.py).
 */
#include <stdlib.h>

#include "bounds.h"
#include "canvas.h"
#include "json.h"
#include "mem.h"

void canvas_keep(struct canvas *v, json_t *value)
{
	canvas_append(v, v->plan->owned, value);
}

bool canvas_add_to_parent(const json_t *options)
{
	return !json_is_false(json_object_get(options, "add_to_parent"));
}

/* Makes room for one more. */
static void grow(void **items, size_t count, size_t *size, size_t each)
{
	if (count < *size)
		return;
	*size = *size ? *size * 2 : 8;
	*items = xrealloc(*items, *size * each);
}

int canvas_tell(struct canvas *v, const json_t *group_id, int64_t size, json_t *body,
		json_t *results, struct err *err)
{
	struct signature_plan *p = v->plan;
	void *chords = p->chords;

	if (group_id == NULL || !json_is_string(group_id))
		return err_set(err, ERR_INVALID, "a group whose id is no text");
	if (p->chord_count >= BOUND_CANVAS_SIZE)
		return err_set(err, ERR_TOOBIG, "more than %d chords", BOUND_CANVAS_SIZE);
	grow(&chords, p->chord_count, &v->chord_size, sizeof(*p->chords));
	p->chords = chords;
	canvas_keep(v, (json_t *)(uintptr_t)group_id);
	if (results != NULL)
		canvas_keep(v, results);
	if (body != NULL)
		canvas_keep(v, body);
	p->chords[p->chord_count++] =
		(struct signature_chord){.group_id = json_string_value(group_id),
					 .size = size,
					 .results = results,
					 .body = body,
					 .before = p->message_count};
	return 0;
}

static json_t *list_or_null(struct canvas *v, const json_t *value)
{
	return value != NULL ? canvas_list(v, value) : json_null();
}

static json_t *shared_or_null(json_t *value)
{
	return value != NULL ? json_incref(value) : json_null();
}

static void embed(struct canvas *v, const json_t *options, struct message_out *m)
{
	_cleanup_json_ json_t *all = json_pack(
		"{s:o, s:o, s:o, s:o}", "callbacks", list_or_null(v, json_member(options, "link")),
		"errbacks", list_or_null(v, json_member(options, "link_error")), "chain",
		shared_or_null(json_member(options, "chain")), "chord",
		shared_or_null(json_member(options, "chord")));

	if (all == NULL)
		v->failed = true;
	m->embed = all;
	canvas_keep(v, all);
}

/* The headers, with the trace that the task belongs to unless they name one. */
static const json_t *with_trace(struct canvas *v, const json_t *headers)
{
	const struct signature_context *c = v->context;
	_cleanup_json_ json_t *all = NULL;

	if (c->traceparent == NULL || json_object_get(headers, "traceparent") != NULL)
		return headers;
	all = headers ? json_copy((json_t *)(uintptr_t)headers) : json_object();
	if (json_object_set_new(all, "traceparent", json_string(c->traceparent)) < 0 ||
	    (c->tracestate != NULL &&
	     json_object_set_new(all, "tracestate", json_string(c->tracestate)) < 0)) {
		v->failed = true;
		return headers;
	}
	canvas_keep(v, all);
	return all;
}

static int fill(struct canvas *v, const json_t *options, struct message_out *m, struct err *err)
{
	const struct signature_context *c = v->context;
	const json_t *headers = json_member(options, "headers");
	int rc = canvas_read_options(v, options, m, err);

	if (rc < 0)
		return rc;
	if (headers != NULL && !json_is_object(headers))
		return err_set(err, ERR_INVALID, "a signature whose headers are a %s",
			       json_type_name(headers));
	m->headers = with_trace(v, headers);
	if (m->root_id == NULL || m->root_id[0] == '\0')
		m->root_id = c->root_id ? c->root_id : c->task_id;
	if (m->parent_id == NULL || m->parent_id[0] == '\0')
		m->parent_id = c->task_id;
	if (m->reply_to == NULL)
		m->reply_to = c->reply_to;
	if (m->queue == NULL && (m->exchange == NULL || m->routing_key == NULL))
		m->queue = c->default_queue;
	if (m->queue != NULL)
		m->exchange = m->routing_key = NULL;
	embed(v, options, m);
	return 0;
}

int canvas_publish(struct canvas *v, const json_t *sig, const json_t *args, const json_t *kwargs,
		   const json_t *options, struct err *err)
{
	const struct signature_context *c = v->context;
	struct message_out m = {.task = json_member_str(sig, "task"),
				.args = args,
				.kwargs = kwargs,
				.args_tuple = sig != v->top || args != json_object_get(sig, "args"),
				.origin = c->origin,
				.serializer = c->serializer,
				.compression = c->compression};
	void *messages = v->plan->messages;
	int rc;

	canvas_keep(v, (json_t *)(uintptr_t)sig);
	canvas_keep(v, (json_t *)(uintptr_t)args);
	canvas_keep(v, (json_t *)(uintptr_t)kwargs);
	canvas_keep(v, (json_t *)(uintptr_t)options);
	rc = fill(v, options, &m, err);
	if (rc < 0)
		return err_wrap(err, "%.80s", m.task);
	if (v->plan->message_count >= BOUND_CANVAS_SIZE)
		return err_set(err, ERR_TOOBIG, "more than %d messages", BOUND_CANVAS_SIZE);
	if (m.id == NULL) {
		_cleanup_json_ json_t *id = canvas_id(v);

		canvas_keep(v, id);
		m.id = json_string_value(id);
	}
	if (canvas_add_to_parent(options)) {
		_cleanup_json_ json_t *result = json_pack("[[s, n], n]", m.id);

		canvas_append(v, v->plan->children, result);
	}
	grow(&messages, v->plan->message_count, &v->message_size, sizeof(m));
	v->plan->messages = messages;
	v->plan->messages[v->plan->message_count++] = m;
	return 0;
}
