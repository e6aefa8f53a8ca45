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
#include "mem.h"
#include "row.h"
#include "worker.h"

#define VALUE_BYTES                                                                                \
	(64u << 10) /* of one request's args or kwargs; longer ones are shown as repr              \
		     */
#define HIDDEN "**"

/* ---- without the secrets ---- */

static bool has_secrets(const struct task *t)
{
	return t != NULL && t->secret_params != NULL && t->secret_params[0] != NULL;
}

/* Given; shares what is not secret. */
static json_t *redacted_args(const struct task *t, const json_t *args)
{
	json_t *copy;
	size_t i;
	json_t *value;

	if (!has_secrets(t))
		return json_incref((json_t *)(uintptr_t)args);
	copy = json_array();
	json_array_foreach((json_t *)(uintptr_t)args, i, value)
	{
		bool secret = i < t->param_count && row_is_secret(t, t->params[i].name);

		json_array_append_new(copy, secret ? json_string(HIDDEN) : json_incref(value));
	}
	return copy;
}

static json_t *redacted_kwargs(const struct task *t, const json_t *kwargs)
{
	json_t *copy;
	const char *key;
	json_t *value;

	if (!has_secrets(t))
		return json_incref((json_t *)(uintptr_t)kwargs);
	copy = json_object();
	json_object_foreach((json_t *)(uintptr_t)kwargs, key, value)
	{
		bool secret = row_is_secret(t, key);

		json_object_set_new(copy, key, secret ? json_string(HIDDEN) : json_incref(value));
	}
	return copy;
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
	case REQUEST_ASIDE:
		return r->message->eta > clock_wall() ? "scheduled" : "reserved";
	case REQUEST_RECEIVED:
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

static void look_locked(const struct request *r, struct seen *out)
{
	*out = (struct seen){
		.info = {.id = xstrdup(r->id),
			 .name = xstrdup(r->name),
			 .queue = xstrdup(r->delivery.queue),
			 .exchange = xstrdup(r->message->exchange),
			 .state = state_word(r),
			 .eta = r->message->eta,
			 .time_start = atomic_load(&r->time_start),
			 .priority = r->message->priority,
			 .redelivered = r->message->redelivered},
		.task = r->task,
		.headers = json_incref(r->message->headers),
		.args = json_incref(r->message->args),
		.kwargs = json_incref(r->message->kwargs),
	};
}

static bool is_wanted(const struct request *r, const char *state, const char *id)
{
	const char *word = state_word(r);

	if (id != NULL && strcmp(r->id, id) != 0)
		return false;
	return state != NULL ? strcmp(word, state) == 0 : strcmp(word, "ready") != 0;
}

static struct seen *look(struct worker *w, const char *state, const char *id, size_t *ret_count)
{
	size_t size = atomic_load(&w->state.held_count) + 64, count = 0;
	struct seen *seen;

	if (size > BOUND_CONTROL_ROWS)
		size = BOUND_CONTROL_ROWS;
	seen = xcalloc(size, sizeof(*seen));
	mutex_lock(&w->state.lock);
	for (const struct request *r = w->state.held; r != NULL && count < size; r = r->held_next) {
		if (is_wanted(r, state, id))
			look_locked(r, &seen[count++]);
	}
	mutex_unlock(&w->state.lock);
	*ret_count = count;
	return seen;
}

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

struct info *info_collect(struct worker *w, const char *state, const char *id, bool safe,
			  size_t *ret_count)
{
	size_t count;
	_cleanup_free_ struct seen *seen = look(w, state, id, &count);
	struct info *list = xcalloc(count + 1, sizeof(*list));

	for (size_t i = 0; i < count; i++) {
		struct seen *s = &seen[count - 1 - i]; /* held is newest first */
		_cleanup_json_ json_t *args = redacted_args(s->task, s->args);
		_cleanup_json_ json_t *kwargs = redacted_kwargs(s->task, s->kwargs);

		list[i] = s->info;
		list[i].args = shown(s, "argsrepr", args, safe);
		list[i].kwargs = shown(s, "kwargsrepr", kwargs, safe);
		json_decref(s->headers);
		json_decref(s->args);
		json_decref(s->kwargs);
	}
	*ret_count = count;
	return list;
}

void info_free(struct info *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(list[i].id);
		free(list[i].name);
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
			 i->name, "hostname", w->settings.worker_hostname, "time_start", start,
			 "acknowledged", 0, "delivery_info", "exchange", i->exchange, "routing_key",
			 i->queue, "priority", i->priority, "redelivered", i->redelivered,
			 "worker_pid", active ? json_integer(getpid()) : json_null());
}
