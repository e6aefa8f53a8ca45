/*
 * Station 7: the store. See row.h.
 */
#include "row.h"

#include <poll.h>
#include <string.h>

#include "clock.h"
#include "json.h"
#include "log.h"
#include "mem.h"

#define RETRY_MS       250 /* between two tries during an outage: it is over within 5 s of the return */
#define LONG_TEXT      16384 /* bytes; longer parameters are told by their length */
#define LONG_TEXT_KEPT 1024

static json_t *shortened(const json_t *value)
{
	const char *text = json_string_value(value);
	size_t len = json_string_length(value);
	_cleanup_free_ char *note = NULL;

	if (!json_is_string(value) || len <= LONG_TEXT)
		return json_incref((json_t *)(uintptr_t)value);
	note = xasprintf("%.*s… (%zu bytes)", LONG_TEXT_KEPT, text, len);
	return json_text(note, strlen(note), true);
}

/* One level of list and object is looked into: input files are [{name, content}]. */
static json_t *shortened_deep(const json_t *value, int depth)
{
	const char *key;
	json_t *member, *copy;
	size_t i;

	if (depth > 0 && json_is_array(value)) {
		copy = json_array();
		json_array_foreach((json_t *)(uintptr_t)value, i, member)
			json_array_append_new(copy, shortened_deep(member, depth - 1));
		return copy;
	}
	if (depth > 0 && json_is_object(value)) {
		copy = json_object();
		json_object_foreach((json_t *)(uintptr_t)value, key, member)
			json_object_set_new(copy, key, shortened_deep(member, depth - 1));
		return copy;
	}
	return shortened(value);
}

bool row_is_secret(const struct task *t, const char *name)
{
	for (const char *const *p = t->secret_params; p != NULL && *p != NULL; p++) {
		if (strcmp(*p, name) == 0)
			return true;
	}
	return false;
}

/* `value` (taken) without the members that "name.member" says nobody may see. */
static json_t *without_members(const struct task *t, const char *name, json_t *value)
{
	size_t len = strlen(name);
	json_t *copy = NULL;

	for (const char *const *p = t->secret_params; p != NULL && *p != NULL; p++) {
		if (strncmp(*p, name, len) != 0 || (*p)[len] != '.' ||
		    json_object_get(value, *p + len + 1) == NULL)
			continue;
		if (copy == NULL)
			copy = json_copy(value);
		json_object_set_new(copy, *p + len + 1, json_string(ROW_HIDDEN));
	}
	if (copy == NULL)
		return value;
	json_decref(value);
	return copy;
}

json_t *row_shown_value(const struct task *t, const char *name, json_t *value)
{
	if (row_is_secret(t, name))
		return json_string(ROW_HIDDEN);
	return without_members(t, name, json_incref(value));
}

json_t *row_params(const struct task *t, json_t *const *values)
{
	json_t *params = json_object();

	for (size_t i = 0; i < t->param_count; i++) {
		const char *name = t->params[i].name;

		if (values[i] == NULL)
			continue;
		_cleanup_json_ json_t *shown = row_shown_value(t, name, values[i]);
		json_object_set_new(params, name, shortened_deep(shown, 3));
	}
	return params;
}

json_t *row_shown_args(const struct task *t, const json_t *args)
{
	json_t *sent = (json_t *)(uintptr_t)args, *value;
	size_t i;

	if (t->secret_params == NULL)
		return json_incref(sent);
	json_t *shown = json_array();
	json_array_foreach(sent, i, value)
	{
		const char *name = i < t->param_count ? t->params[i].name : "";
		json_array_append_new(shown, row_shown_value(t, name, value));
	}
	return shown;
}

json_t *row_shown_kwargs(const struct task *t, const json_t *kwargs)
{
	json_t *sent = (json_t *)(uintptr_t)kwargs, *value;
	const char *name;

	if (t->secret_params == NULL)
		return json_incref(sent);
	json_t *shown = json_object();
	json_object_foreach(sent, name, value)
		json_object_set_new(shown, name, row_shown_value(t, name, value));
	return shown;
}

static const char *param_text(const struct task *t, json_t *const *values, const char *name)
{
	for (size_t i = 0; i < t->param_count; i++) {
		if (strcmp(t->params[i].name, name) == 0)
			return json_string_value(values[i]);
	}
	return NULL;
}

static void describe(struct task_ctx *ctx, json_t *const *values)
{
	const struct request *r = ctx->request;
	struct store_task *row = &ctx->row;

	row->task_id = r->id;
	row->kind = ctx->task->kind;
	row->tool = ctx->task->name;
	row->conversation = param_text(ctx->task, values, "conversation_id");
	row->project = param_text(ctx->task, values, "project_id");
	row->params = row_params(ctx->task, values);
	row->retries = (int)r->message->retries;
	row->worker = presence_node(ctx->worker->presence);
	row->epoch = presence_epoch(ctx->worker->presence);
	row->delivery = r->delivery.tag;
	row->traceparent = r->message->traceparent;
}

/* Waits before the next try; false when the worker stops and the message should go back. */
static bool wait_out(struct task_ctx *ctx, const struct err *err, bool *said)
{
	struct worker *w = ctx->worker;

	if (!*said)
		log_warning("Task %s[%s]: the database is away, waiting: %s", ctx->request->name,
			    ctx->request->id, err->msg);
	*said = true;
	poll(NULL, 0, RETRY_MS);
	return !atomic_load(&w->releasing);
}

/* Is the owner of a running row still at work? */
static int owner_alive(struct task_ctx *ctx, const struct store_begin *begin, bool *ret,
		       struct err *err)
{
	const struct worker *w = ctx->worker;
	char owner[PRESENCE_OWNER_SIZE];

	snprintf(owner, sizeof(owner), "%s@%lld", begin->worker, (long long)begin->epoch);
	if (strcmp(owner, presence_owner(w->presence)) == 0) {
		*ret = state_is_active(&ctx->worker->state, ctx->request, ctx->request->id);
		return 0;
	}
	return presence_alive(w->presence, shared_state_link(w->shared), owner, ret, err);
}

/* One try. 0 with *ret, or an error. */
static int begin_once(struct task_ctx *ctx, enum row_begin *ret, json_t **ret_result,
		      bool *ret_failed, struct err *err)
{
	struct store_begin begin = {0};
	bool alive = false;
	int rc = store_begin_task(ctx->worker->store, &ctx->row, &begin, err);

	if (rc < 0)
		return rc;
	switch (begin.verdict) {
	case STORE_BEGUN:
		ctx->attempt = begin.attempt;
		*ret = ROW_RUN;
		return 0;
	case STORE_FINISHED:
		*ret = ROW_FINISHED;
		*ret_result = begin.result;
		*ret_failed = begin.failed;
		return 0;
	case STORE_RUNNING:
		break;
	}
	rc = owner_alive(ctx, &begin, &alive, err);
	if (rc < 0)
		return rc;
	if (alive) {
		*ret = ROW_ASIDE;
		return 0;
	}
	rc = store_take_over(ctx->worker->store, &ctx->row, begin.worker, begin.epoch,
			     &ctx->attempt, err);
	if (rc == -ERR_CONFLICT && !err_is_transient(err)) {
		*ret = ROW_ASIDE; /* somebody else was faster */
		return 0;
	}
	if (rc == 0) {
		log_warning("Task %s[%s]: its worker %s died in attempt %d, taken over",
			    ctx->request->name, ctx->request->id, begin.worker, ctx->attempt);
		ctx->begun = true;
		*ret = ROW_RUN;
	}
	return rc;
}

/* Is it this row that the database will not take? A missing right or table is mended by an
 * operator, and meanwhile nothing is thrown away. */
bool row_is_refused(const struct err *err)
{
	return !err_is_transient(err) &&
	       (err->code == ERR_INVALID || err->code == ERR_TOOBIG || err->code == ERR_CONFLICT);
}

enum row_begin row_begin(struct task_ctx *ctx, json_t *const *values, json_t **ret_result,
			 bool *ret_failed, struct err *err)
{
	bool said = false;

	describe(ctx, values);
	for (;;) {
		enum row_begin verdict;

		if (begin_once(ctx, &verdict, ret_result, ret_failed, err) == 0)
			return verdict;
		if (row_is_refused(err))
			return ROW_REFUSED;
		if (!wait_out(ctx, err, &said))
			return ROW_ABANDONED;
	}
}

int row_note_run(struct task_ctx *ctx, const char *container, bool again, struct err *err)
{
	int attempt = ctx->attempt + (again ? 1 : 0), rc;
	bool said = false;

	if ((ctx->task->flags & TASK_STORED) == 0)
		return 0;
	ctx->begun = true;
	do {
		rc = store_note_run(ctx->worker->store, &ctx->row, attempt, container, err);
	} while (again && rc < 0 && err_is_transient(err) && wait_out(ctx, err, &said));
	if (rc == 0)
		ctx->attempt = attempt;
	if (rc == 0 && again)
		log_warning("Task %s[%s]: its run is nowhere any more, attempt %d",
			    ctx->request->name, ctx->request->id, attempt);
	return rc;
}

enum row_finish row_finish(struct task_ctx *ctx, const json_t *result, bool failed, struct err *err)
{
	bool said = false;

	ctx->record.finish.failed = failed;
	ctx->record.finish.detail = ctx->record.detail;
	for (;;) {
		int rc = store_finish_task(ctx->worker->store, &ctx->row, &ctx->record.finish,
					   result, err);

		if (rc == 0 && ctx->record.stored)
			ctx->record.stored(ctx->record.cleanup_arg);
		if (rc == 0)
			return ROW_WRITTEN;
		if (rc == -ERR_CONFLICT && !err_is_transient(err))
			return ROW_LOST;
		if (row_is_refused(err) || !wait_out(ctx, err, &said))
			return ROW_UNKEPT;
	}
}
