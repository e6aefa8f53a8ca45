/*
 * Requests as others may see them. See info.h.
 */
#include "info.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bounds.h"
#include "clock.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "row.h"
#include "worker.h"

#define VALUE_BYTES                                                                                \
	(64u << 10) /* of one request's args or kwargs; longer ones are shown as repr              \
		     */
#define FETCH_PATIENCE (2 * USEC_PER_SEC)

/* ---- without the secrets ---- */

static bool has_secrets(const struct task *t)
{
	return t != NULL && t->secret_params != NULL && t->secret_params[0] != NULL;
}

static json_t *redacted_args(const struct task *t, const json_t *args)
{
	return has_secrets(t) ? row_shown_args(t, args) : json_incref((json_t *)(uintptr_t)args);
}

static json_t *redacted_kwargs(const struct task *t, const json_t *kwargs)
{
	return has_secrets(t) ? row_shown_kwargs(t, kwargs)
			      : json_incref((json_t *)(uintptr_t)kwargs);
}

/* The sender's own repr where the task names no secrets: it may say less than the arguments. */
static void repr(const struct task *t, const json_t *headers, const char *header, json_t *value,
		 struct buf *out)
{
	const json_t *sent = has_secrets(t) ? NULL : json_member(headers, header);

	if (json_is_string(sent) && json_string_length(sent) <= BOUND_REPR_BYTES * 2)
		json_text_append(sent, out);
	else
		json_repr(value, BOUND_REPR_BYTES, out);
}

void info_args_repr(const struct request *r, struct buf *out)
{
	_cleanup_json_ json_t *args = redacted_args(r->task, r->message->args);

	repr(r->task, r->message->headers, "argsrepr", args, out);
}

void info_kwargs_repr(const struct request *r, struct buf *out)
{
	_cleanup_json_ json_t *kwargs = redacted_kwargs(r->task, r->message->kwargs);

	repr(r->task, r->message->headers, "kwargsrepr", kwargs, out);
}

/* ---- lists ---- */

static const char *state_word(const struct request *r)
{
	switch (atomic_load(&r->state)) {
	case REQUEST_ACTIVE:
		return "active";
	case REQUEST_RECEIVED:
	case REQUEST_ASIDE:
	case REQUEST_WAITING:
	case REQUEST_RESERVED:
		return "reserved";
	case REQUEST_SETTLING:
		break;
	}
	return "ready";
}

/* What is needed of `r` once the lock is gone. */
struct seen {
	struct info info;
	const struct task *task;
	json_t *headers, *args, *kwargs; /* references of our own */
};

static void look_at(const struct message *m, const char *queue, const char *state,
		    const struct task *task, struct seen *out)
{
	*out = (struct seen){
		.info = {.id = xstrdup(m->id),
			 .name = xstrdup(message_shown_name(m)),
			 .type = xstrdup(m->task),
			 .queue = xstrdup(queue),
			 .exchange = xstrdup(m->exchange),
			 .state = state,
			 .eta = m->eta,
			 .priority = m->priority,
			 .redelivered = m->redelivered},
		.task = task,
		.headers = json_incref(m->headers),
		.args = json_incref(m->args),
		.kwargs = json_incref(m->kwargs),
	};
}

static void look_at_locked(const struct request *r, struct seen *out)
{
	look_at(r->message, r->delivery.queue, state_word(r), r->task, out);
	out->info.time_start = atomic_load(&r->time_start);
	out->info.acknowledged = atomic_load(&r->acknowledged);
}

static bool is_wanted(const struct request *r, const char *state, const json_t *ids)
{
	const char *word = state_word(r);

	if (ids != NULL && json_object_get(ids, r->id) == NULL)
		return false;
	return state != NULL ? strcmp(word, state) == 0 : strcmp(word, "ready") != 0;
}

/* A list that grows. */
struct infos {
	struct info *items;
	size_t count, size;
	bool safe;
};

/* `value` itself when it is small enough to be shown, else its repr. Given. */
static json_t *shown(const struct seen *s, const char *header, json_t *value, bool safe)
{
	_cleanup_buf_ struct buf text = BUF_INIT(VALUE_BYTES);
	_cleanup_buf_ struct buf short_text = BUF_INIT(BOUND_REPR_BYTES * 4);
	struct err err;

	if (!safe) {
		json_dump_python(value, &text);
		if (buf_status(&text, &err) == 0)
			return json_incref(value);
	}
	repr(s->task, s->headers, header, value, &short_text);
	return json_text(short_text.data, short_text.len, false);
}

/* Takes what `s` refers to. */
static void add(struct infos *list, struct seen *s)
{
	_cleanup_json_ json_t *args = redacted_args(s->task, s->args);
	_cleanup_json_ json_t *kwargs = redacted_kwargs(s->task, s->kwargs);

	if (list->count == list->size) {
		list->size = list->size ? 2 * list->size : 16;
		list->items = xrealloc(list->items, list->size * sizeof(*list->items));
	}
	s->info.args = shown(s, "argsrepr", args, list->safe);
	s->info.kwargs = shown(s, "kwargsrepr", kwargs, list->safe);
	list->items[list->count++] = s->info;
	json_decref(s->headers);
	json_decref(s->args);
	json_decref(s->kwargs);
}

/* ---- those whose payload is in the broker ---- */

static unsigned holds_of(const char *state)
{
	unsigned reserved = 1u << HOLD_TURN | 1u << HOLD_HURRY;

	if (state == NULL)
		return reserved | 1u << HOLD_ETA;
	if (strcmp(state, "scheduled") == 0)
		return 1u << HOLD_ETA;
	return strcmp(state, "reserved") == 0 ? reserved : 0;
}

static void add_fetched(struct worker *w, struct infos *list, const struct held_look *look,
			struct delivery *d)
{
	char id[BOUND_TASK_NAME_BYTES + 1], name[BOUND_TASK_NAME_BYTES + 1];
	struct message *m = NULL;
	struct seen seen;
	struct err err;

	if (d->data == NULL)
		return; /* meanwhile somebody else's */
	if (message_decode(d->data, d->len, &w->settings.accept_content, &m, id, name, &err) ==
	    MESSAGE_OK) {
		look_at(m, d->queue, look->hold == HOLD_ETA ? "scheduled" : "reserved", look->task,
			&seen);
		add(list, &seen);
	}
	message_free(m);
	free(d->data);
}

/* How many of `looks` are read at once. */
static size_t chunk_of(const struct held_look *looks, size_t count)
{
	size_t n = 0, bytes = 0;

	while (n < count && n < BOUND_CLAIM_BATCH) {
		bytes += looks[n].bytes;
		if (n > 0 && bytes > BOUND_FETCH_BYTES)
			break;
		n++;
	}
	return n;
}

static void collect_scheduled(struct worker *w, const char *state, const json_t *ids,
			      struct infos *list)
{
	_cleanup_free_ struct held_look *looks = xcalloc(BOUND_CONTROL_FETCH, sizeof(*looks));
	_cleanup_free_ struct delivery *batch = xcalloc(BOUND_CLAIM_BATCH, sizeof(*batch));
	struct delivery_ref refs[BOUND_CLAIM_BATCH];
	usec_t deadline = clock_deadline(FETCH_PATIENCE);
	size_t count =
		schedule_look(&w->schedule, ids, holds_of(state), looks, BOUND_CONTROL_FETCH);
	struct err err = {0};

	for (size_t done = 0, n; done < count; done += n) {
		n = chunk_of(looks + done, count - done);
		for (size_t i = 0; i < n; i++) {
			refs[i] = looks[done + i].ref;
		}
		if (broker_fetch(w->broker, refs, n, deadline, batch, &err) < 0) {
			log_warning("%zu request(s) are not listed: %s", count - done, err.msg);
			return;
		}
		for (size_t i = 0; i < n; i++) {
			add_fetched(w, list, &looks[done + i], &batch[i]);
		}
	}
}

/* ---- those held as requests ---- */

static void collect_requests(struct worker *w, const char *state, const json_t *ids,
			     struct infos *list)
{
	size_t size = atomic_load(&w->state.held_count) + 64, count = 0;
	_cleanup_free_ struct seen *seen = NULL;

	if (size > BOUND_CONTROL_ROWS)
		size = BOUND_CONTROL_ROWS;
	seen = xcalloc(size, sizeof(*seen));
	mutex_lock(&w->state.lock);
	for (const struct request *r = w->state.held; r != NULL && count < size; r = r->held_next) {
		if (is_wanted(r, state, ids))
			look_at_locked(r, &seen[count++]);
	}
	mutex_unlock(&w->state.lock);
	while (count > 0) {
		add(list, &seen[--count]); /* held is newest first */
	}
}

struct info *info_collect(struct worker *w, const char *state, const json_t *ids, bool safe,
			  size_t *ret_count)
{
	struct infos list = {.safe = safe};

	if (schedule_count(&w->schedule) > 0)
		collect_scheduled(w, state, ids, &list);
	collect_requests(w, state, ids, &list);
	*ret_count = list.count;
	return list.items;
}

void info_free(struct info *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(list[i].id);
		free(list[i].name);
		free(list[i].type);
		free(list[i].queue);
		free(list[i].exchange);
		json_decref(list[i].args);
		json_decref(list[i].kwargs);
	}
	free(list);
}

json_t *info_json(const struct worker *w, const struct info *i)
{
	json_t *start = i->time_start != 0 ? json_real((double)i->time_start / (double)USEC_PER_SEC)
					   : json_null();
	bool active = strcmp(i->state, "active") == 0;

	return json_pack("{s:s, s:s, s:O, s:O, s:s, s:s, s:o, s:b, s:{s:s, s:s, s:i, s:b}, s:o}",
			 "id", i->id, "name", i->name, "args", i->args, "kwargs", i->kwargs, "type",
			 i->type, "hostname", w->settings.worker_hostname, "time_start", start,
			 "acknowledged", i->acknowledged, "delivery_info", "exchange", i->exchange,
			 "routing_key", i->queue, "priority", i->priority, "redelivered",
			 i->redelivered, "worker_pid",
			 active ? json_integer(getpid()) : json_null());
}
