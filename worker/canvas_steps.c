/*
 * Plans (signature.h) become steps of a settlement.
 */
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "canvas.h"
#include "discard.h"
#include "json.h"
#include "mem.h"
#include "row.h"

struct follower canvas_follower(const struct request *r, struct settle_steps *steps)
{
	const struct settings *s = &r->worker->settings;
	const struct backend *b = r->worker->backend;

	return (struct follower){
		.worker = r->worker,
		.steps = steps,
		.context = {.task_id = r->id,
			    .root_id = r->message->root_id,
			    .default_queue = s->task_default_queue,
			    .reply_to = r->message->reply_to,
			    .traceparent = r->message->traceparent,
			    .tracestate = r->message->tracestate,
			    .priority = s->task_inherit_parent_priority ? r->message->priority : -1,
			    .errbacks_on_header = s->task_allow_error_cb_on_chord_header,
			    .polls_chords = backend_polls_chords(b)}};
}

void canvas_truncate(struct settle_steps *steps, size_t count)
{
	while (steps->count > count) {
		struct settle_step *last = &steps->items[--steps->count];

		steps->bytes -= last->len;
		free(last->key);
		free(last->data);
	}
}

/* A message of few bytes can be made to ask for many large ones. */
static int check_room(const struct follower *f, size_t len, struct err *err)
{
	if (len <= BOUND_FOLLOW_BYTES && f->steps->bytes <= BOUND_FOLLOW_BYTES - len)
		return 0;
	return err_set(err, ERR_TOOBIG, "more than %u bytes of messages and results follow",
		       BOUND_FOLLOW_BYTES);
}

/* A key of the backend (taken): in the same script where it can be, else now. */
static int add_write(const struct follower *f, struct backend_write *w, struct err *err)
{
	int rc = check_room(f, w->len, err);

	if (rc == 0 && !backend_shares_broker(f->worker->backend)) {
		f->steps->bytes += w->len;
		backend_store(f->worker->backend, w, NULL, NULL);
		return 0;
	}
	if (rc == 0) {
		settle_steps_add(f->steps, STEP_SET, w->key, w->value, w->len, w->ttl);
		w->value = NULL;
	}
	backend_write_done(w);
	return rc;
}

/* A chord that runs again under its id is a new one, and its body is known if all its parts run
 * elsewhere. */
static int add_size(const struct follower *f, const struct signature_chord *chord, struct err *err)
{
	const struct backend *b = f->worker->backend;
	_cleanup_buf_ struct buf body = BUF_INIT(BOUND_RESULT_BYTES);
	char *keys[CHORD_KEYS], *data;
	struct backend_write w;
	size_t len;
	int rc;

	backend_chord_size(b, chord->group_id, chord->size, &w);
	if (!backend_shares_broker(b))
		return add_write(f, &w, err);
	json_dump_python(chord->body, &body);
	rc = check_room(f, body.len, err);
	if (rc == 0)
		rc = buf_take(&body, &data, &len, err);
	backend_chord_keys(b, chord->group_id, keys);
	settle_steps_add(f->steps, STEP_DELETE, keys[CHORD_CLAIM], NULL, 0, 0);
	if (rc == 0)
		settle_steps_add(f->steps, STEP_BODY, keys[CHORD_OURS], data, len, w.ttl);
	backend_chord_keys_done(keys);
	if (rc == 0)
		return add_write(f, &w, err);
	backend_write_done(&w);
	return rc;
}

static int add_chord(const struct follower *f, const struct signature_chord *chord, struct err *err)
{
	struct backend_write w;
	int rc;

	if (!backend_counts_chords(f->worker->backend))
		return 0; /* celery.chord_unlock was sent, or the parts find it out */
	rc = chord->size > 0 ? add_size(f, chord, err) : 0;
	if (rc == 0 && chord->results != NULL) {
		rc = backend_group_encode(f->worker->backend, chord->group_id, chord->results, &w,
					  err);
		if (rc == 0)
			rc = add_write(f, &w, err);
	}
	return rc;
}

static int add_message(const struct follower *f, const struct message_out *m, struct err *err)
{
	_cleanup_buf_ struct buf envelope = BUF_INIT(BOUND_MESSAGE_BYTES);
	const struct broker *broker = f->worker->broker;
	struct message_out out = *m;
	char *data;
	size_t len;
	int rc;

	broker_address_message(broker, &out.queue, &out.exchange, &out.routing_key);
	rc = message_encode(&out, &envelope, err);
	if (rc == 0)
		rc = check_room(f, envelope.len, err);
	if (rc == 0)
		rc = buf_take(&envelope, &data, &len, err);
	if (rc < 0)
		return err_wrap(err, "follow-up %s", m->task);
	if (out.queue != NULL)
		broker_step_push(broker, f->steps, out.queue, out.priority, data, len);
	else
		broker_step_route(broker, f->steps, out.exchange, out.routing_key, out.priority,
				  data, len);
	return 0;
}

int canvas_add_plan(const struct follower *f, const struct signature_plan *plan, struct err *err)
{
	size_t chord = 0;

	for (size_t i = 0; i <= plan->message_count; i++) {
		int rc = 0;

		while (rc == 0 && chord < plan->chord_count && plan->chords[chord].before <= i) {
			rc = add_chord(f, &plan->chords[chord++], err);
		}
		if (rc == 0 && i < plan->message_count)
			rc = add_message(f, &plan->messages[i], err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* What an extended meta says of a task that is only a signature. */
static void describe(const struct follower *f, const json_t *signature, struct task_meta *meta,
		     json_t **ret_args, json_t **ret_kwargs)
{
	const json_t *options = json_object_get(signature, "options");
	const struct task *t;

	meta->name = json_member_str(signature, "task");
	meta->group_id = json_member_str(options, "group_id");
	meta->parent_id = json_member_str(options, "parent_id");
	meta->retries = json_integer_value(json_member(options, "retries"));
	if (meta->name == NULL)
		return;
	t = worker_find_task(f->worker, meta->name);
	*ret_args =
		row_shown_args(t ? t : &discard_unregistered, json_object_get(signature, "args"));
	*ret_kwargs = row_shown_kwargs(t ? t : &discard_unregistered,
				       json_object_get(signature, "kwargs"));
	meta->args = *ret_args;
	meta->kwargs = *ret_kwargs;
}

int canvas_add_failure(const struct follower *f, const char *task_id,
		       const struct canvas_failure *why, const json_t *signature,
		       const json_t *children, struct err *err)
{
	struct task_meta meta = {.task_id = task_id,
				 .state = why->state,
				 .result = why->exception,
				 .traceback = why->traceback,
				 .children = children,
				 .reply_to = f->context.reply_to};
	_cleanup_json_ json_t *args = NULL, *kwargs = NULL;
	struct backend_write w = {0};
	int rc;

	if (backend_is_disabled(f->worker->backend))
		return 0;
	if (signature != NULL)
		describe(f, signature, &meta, &args, &kwargs);
	rc = backend_encode(f->worker->backend, &meta, &w, err);
	return rc == 0 ? add_write(f, &w, err) : rc;
}

int canvas_add_errbacks(const struct follower *f, const char *failed_id, const json_t *errbacks,
			json_t **ret_children, struct err *err)
{
	struct signature_plan plan = {0};
	int rc = signature_on_failure(&f->context, failed_id, errbacks, &plan, err);

	if (rc == 0)
		rc = canvas_add_plan(f, &plan, err);
	if (rc == 0 && ret_children != NULL)
		*ret_children = json_incref(plan.children);
	signature_plan_done(&plan);
	return rc < 0 ? err_wrap(err, "errbacks of %.80s", failed_id) : 0;
}
