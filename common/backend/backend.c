/*
 * Results in Redis as Celery writes them: SETEX and PUBLISH of one JSON meta under
 * celery-task-meta-<id>.
 */
#include "redis_backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "transport.h"

extern const char script_store[], script_unbegun[], script_chord_part[];

#define META_PREFIX "celery-task-meta-"

static const char *const state_names[] = {[TASK_STARTED] = "STARTED",
					  [TASK_SUCCESS] = "SUCCESS",
					  [TASK_FAILURE] = "FAILURE",
					  [TASK_RETRY] = "RETRY",
					  [TASK_REVOKED] = "REVOKED"};

const char *task_state_name(enum task_state state)
{
	return state_names[state];
}

void backend_write_done(struct backend_write *w)
{
	free(w->key);
	free(w->value);
	*w = (struct backend_write){0};
}

static int open_redis(struct backend *b, const char *url, const struct redis_tuning *tuning,
		      const struct redis_address *broker, struct redis_link *broker_link,
		      struct err *err)
{
	struct redis_address address = {0};
	int rc = redis_address_parse_tuned(url, tuning, &address, err);

	if (rc < 0)
		return err_wrap(err, "result_backend");
	if (redis_address_warning(&address) != NULL)
		log_warning("%s: %s", address.safe, redis_address_warning(&address));
	b->shares_broker = broker != NULL && redis_address_equal(&address, broker);
	if (b->shares_broker)
		b->link = broker_link;
	else
		rc = redis_link_new(&address, "celeriac-backend", &b->link, err);
	if (rc == 0) {
		redis_link_add_script(b->link, &b->store);
		redis_link_add_script(b->link, &b->unbegun);
		redis_link_add_script(b->link, &b->chord_part);
	}
	redis_address_done(&address);
	return rc;
}

static bool is_redis(const char *url)
{
	static const char *const schemes[] = {"redis://", "rediss://", "redis+socket://",
					      "socket://", "sentinel://"};

	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		if (strncmp(url, schemes[i], strlen(schemes[i])) == 0)
			return true;
	}
	return false;
}

int backend_open(const struct settings *s, const struct redis_address *broker,
		 struct redis_link *broker_link, struct backend **ret, struct err *err)
{
	struct backend *b = xcalloc(1, sizeof(*b));
	const char *url = s->result_backend ? s->result_backend : "";
	_cleanup_buf_ struct buf notes = BUF_INIT(BOUND_ERROR_TEXT * 4);
	struct transport_options options = {0};
	int rc = transport_options_read(s, TRANSPORT_BACKEND, &options, &notes, err);

	if (rc == 0) {
		b->key_prefix = xstrdup(options.global_keyprefix);
		b->chord_ordered = options.chord_ordered;
	}
	transport_options_tell(TRANSPORT_BACKEND, &notes);
	b->ttl = s->result_expires / USEC_PER_SEC;
	b->extended = s->result_extended;
	redis_script_init(&b->store, script_store);
	redis_script_init(&b->unbegun, script_unbegun);
	redis_script_init(&b->chord_part, script_chord_part);
	if (rc < 0)
		goto fail;
	if (url[0] == '\0' || strncmp(url, "disabled", 8) == 0)
		b->disabled = true;
	else if (is_redis(url))
		rc = open_redis(b, url, &options.connection, broker, broker_link, err);
	else
		rc = err_set(err, ERR_UNSUPPORTED,
			     "result_backend: %.*s is not built in; redis:// is",
			     (int)strcspn(url, ":"), url);
	if (rc < 0)
		goto fail;
	transport_options_done(&options);
	*ret = b;
	return 0;
fail:
	transport_options_done(&options);
	backend_close(b, 0);
	return rc;
}

void backend_close(struct backend *b, usec_t deadline)
{
	if (b == NULL)
		return;
	if (b->link != NULL && !b->shares_broker)
		redis_link_free(b->link, deadline);
	free(b->key_prefix);
	free(b);
}

bool backend_ready(const struct backend *b)
{
	return b->disabled || redis_link_up(b->link);
}

bool backend_shares_broker(const struct backend *b)
{
	return b->shares_broker;
}

bool backend_is_disabled(const struct backend *b)
{
	return b->disabled;
}

static json_t *text_or_null(const char *text)
{
	return text ? json_text(text, strlen(text), false) : json_null();
}

static json_t *shared(const json_t *value, json_t *otherwise)
{
	if (value == NULL)
		return otherwise;
	json_decref(otherwise);
	return json_incref((json_t *)(uintptr_t)value);
}

/* A repr for display, as Celery stores args and kwargs of an extended meta when they are not JSON
 * themselves. */
static void add_extended(json_t *meta, const struct task_meta *m)
{
	json_object_set_new(meta, "name", text_or_null(m->name));
	json_object_set_new(meta, "args", shared(m->args, json_array()));
	json_object_set_new(meta, "kwargs", shared(m->kwargs, json_object()));
	json_object_set_new(meta, "worker", text_or_null(m->worker));
	json_object_set_new(meta, "retries", json_integer(m->retries));
	json_object_set_new(meta, "queue", text_or_null(m->queue));
}

int backend_encode(const struct backend *b, const struct task_meta *m, struct backend_write *ret,
		   struct err *err)
{
	_cleanup_buf_ struct buf out = BUF_INIT(BOUND_RESULT_BYTES);
	_cleanup_json_ json_t *meta = json_object();
	char date[CLOCK_ISO_SIZE];
	bool ready =
		m->state == TASK_SUCCESS || m->state == TASK_FAILURE || m->state == TASK_REVOKED;
	int rc;

	clock_iso(clock_wall(), date);
	json_object_set_new(meta, "status", json_string(task_state_name(m->state)));
	json_object_set_new(meta, "result", shared(m->result, json_null()));
	json_object_set_new(meta, "traceback", text_or_null(m->traceback));
	json_object_set_new(meta, "children", shared(m->children, json_array()));
	json_object_set_new(meta, "date_done", ready ? json_string(date) : json_null());
	if (m->group_id != NULL)
		json_object_set_new(meta, "group_id", text_or_null(m->group_id));
	if (m->parent_id != NULL)
		json_object_set_new(meta, "parent_id", text_or_null(m->parent_id));
	if (b->extended && m->name != NULL)
		add_extended(meta, m);
	json_object_set_new(meta, "task_id", text_or_null(m->task_id));
	json_dump_python(meta, &out);
	rc = buf_take(&out, &ret->value, &ret->len, err);
	if (rc < 0)
		return err_wrap(err, "result of %s", m->task_id);
	ret->key = xasprintf("%s" META_PREFIX "%s", b->key_prefix, m->task_id);
	ret->ttl = b->ttl;
	return 0;
}

struct storing {
	void (*done)(void *arg, const struct err *err);
	void *arg;
};

static void stored(void *arg, struct redis_reply *const *replies, size_t count,
		   const struct err *err)
{
	struct storing *storing = arg;
	struct err failed = {0};

	if (count == 1 && redis_reply_type(replies[0]) == REDIS_ERROR) {
		struct slice text = redis_reply_str(replies[0]);

		err_set(&failed, ERR_FAILED, "Redis: %.*s", (int)text.len, text.data);
		err = &failed;
	}
	if (storing->done != NULL)
		storing->done(storing->arg, err);
	free(storing);
}

static void submit(struct backend *b, const struct redis_script *script, struct backend_write *w,
		   void (*done)(void *arg, const struct err *err), void *arg)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	struct storing *storing;

	if (b->disabled) {
		backend_write_done(w);
		if (done != NULL)
			done(arg, NULL);
		return;
	}
	storing = xcalloc(1, sizeof(*storing));
	storing->done = done;
	storing->arg = arg;
	redis_command(&commands, "EVALSHA %s 1 %s %b %lld", script->sha, w->key, w->value, w->len,
		      (long long)w->ttl);
	redis_link_submit(b->link, &commands, 1, REDIS_LINK_KEEP, stored, storing);
	backend_write_done(w);
}

void backend_store(struct backend *b, struct backend_write *w,
		   void (*done)(void *arg, const struct err *err), void *arg)
{
	submit(b, &b->store, w, done, arg);
}

void backend_store_unbegun(struct backend *b, struct backend_write *w)
{
	submit(b, &b->unbegun, w, NULL, NULL);
}

int backend_load(struct backend *b, const char *task_id, usec_t deadline, json_t **ret,
		 struct err *err)
{
	_cleanup_free_ char *key = xasprintf("%s" META_PREFIX "%s", b->key_prefix, task_id);
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct err unreadable = {0};
	json_t *meta = NULL;
	struct slice text;
	int rc;

	*ret = NULL;
	if (b->disabled)
		return 0;
	rc = redis_link_do(b->link, deadline, &reply, err, "GET %s", key);
	if (rc < 0)
		return err_wrap(err, "result of %s", task_id);
	text = redis_reply_str(reply);
	if (redis_reply_type(reply) == REDIS_STRING && text.len <= BOUND_RESULT_BYTES &&
	    json_load_python(text.data, text.len, &meta, &unreadable) == 0 && json_is_object(meta))
		*ret = TAKE(meta);
	json_decref(meta);
	return 0;
}
