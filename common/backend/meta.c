/*
 * The bytes of results: a meta as Celery's backends build it, serialized (result_serializer) and
 * compressed (result_compression).
 */
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "json.h"
#include "mem.h"
#include "driver.h"
#include "serial.h"

/* What Celery 5.7 puts before a compressed payload; the MIME type and a NUL follow. */
static const char g_magic[] = "\0celery-compressed";
#define MAGIC_SIZE sizeof(g_magic) /* with its NUL */
#define MIME_MAX   64

static const char *const state_names[] = {[TASK_STARTED] = "STARTED",
					  [TASK_SUCCESS] = "SUCCESS",
					  [TASK_FAILURE] = "FAILURE",
					  [TASK_RETRY] = "RETRY",
					  [TASK_REVOKED] = "REVOKED"};

const char *task_state_name(enum task_state state)
{
	return state_names[state];
}

int backend_pack(const struct backend *b, const json_t *value, char **ret, size_t *ret_len,
		 struct err *err)
{
	_cleanup_buf_ struct buf plain = BUF_INIT(BOUND_RESULT_BYTES),
				 packed = BUF_INIT(BOUND_RESULT_BYTES);
	int rc = serial_write(b->serializer, value, &plain, err);

	if (rc < 0)
		return rc;
	rc = buf_status(&plain, err);
	if (rc < 0)
		return rc;
	if (b->compression == NULL)
		return buf_take(&plain, ret, ret_len, err);
	buf_append(&packed, g_magic, MAGIC_SIZE);
	buf_append(&packed, b->compression, strlen(b->compression) + 1);
	rc = serial_compress(b->compression, (struct slice){plain.data, plain.len}, &packed, err);
	return rc < 0 ? rc : buf_take(&packed, ret, ret_len, err);
}

/* As with Celery, the payload says whether it is compressed, not the setting. */
static int decompress(struct slice text, struct buf *out, struct err *err)
{
	const char *mime = text.data + MAGIC_SIZE;
	size_t left = text.len - MAGIC_SIZE;
	size_t len = strnlen(mime, left);
	const char *known;

	if (len == left || len > MIME_MAX)
		return err_set(err, ERR_PROTOCOL, "a compressed result without a type");
	known = serial_compression(mime);
	if (known == NULL)
		return err_set(err, ERR_UNSUPPORTED, "a result compressed as %.64s", mime);
	return serial_decompress(known, (struct slice){mime + len + 1, left - len - 1}, out, err);
}

static bool accepted(const struct backend *b)
{
	const struct str_list *list = b->accept;

	for (size_t i = 0; list != NULL && i < list->count; i++) {
		if (strcmp(list->items[i], b->serializer) == 0 ||
		    strstr(list->items[i], b->serializer) != NULL)
			return true;
	}
	return list == NULL || list->count == 0;
}

int backend_unpack(const struct backend *b, struct slice text, json_t **ret, struct err *err)
{
	_cleanup_buf_ struct buf plain = BUF_INIT(BOUND_RESULT_BYTES);

	if (!accepted(b))
		return err_set(err, ERR_DENIED,
			       "Refusing to deserialize disabled content of type %s "
			       "(result_accept_content)",
			       b->serializer);
	if (text.len > MAGIC_SIZE && memcmp(text.data, g_magic, MAGIC_SIZE) == 0) {
		int rc = decompress(text, &plain, err);

		if (rc < 0)
			return rc;
		text = (struct slice){plain.data, plain.len};
	}
	return serial_read(b->serializer, text, ret, err);
}

/* ---- metas ---- */

static json_t *text_or_null(const char *s)
{
	return s ? json_text(s, strlen(s), false) : json_null();
}

static json_t *shared(const json_t *value, json_t *fallback)
{
	if (value == NULL)
		return fallback;
	json_decref(fallback);
	return json_incref((json_t *)(uintptr_t)value);
}

/* Celery's request_meta: of the stamps those that stamped_headers names. */
static void add_stamps(json_t *meta, const struct task_meta *m)
{
	if (json_object_size(m->stamps) == 0)
		return;
	json_object_set_new(meta, "stamped_headers", shared(m->stamped_headers, json_null()));
	for (size_t i = 0; i < json_array_size(m->stamped_headers); i++) {
		const char *name = json_string_value(json_array_get(m->stamped_headers, i));
		json_t *value = name ? json_object_get(m->stamps, name) : NULL;

		if (value != NULL)
			json_object_set_nocheck(meta, name, value);
	}
}

static void add_extended(json_t *meta, const struct task_meta *m)
{
	json_object_set_new(meta, "name", text_or_null(m->name));
	json_object_set_new(meta, "args", shared(m->args, json_array()));
	json_object_set_new(meta, "kwargs", shared(m->kwargs, json_object()));
	json_object_set_new(meta, "worker", text_or_null(m->worker));
	json_object_set_new(meta, "retries", json_integer(m->retries));
	json_object_set_new(meta, "queue", text_or_null(m->queue));
	add_stamps(meta, m);
}

bool backend_is_ready_state(const char *state)
{
	static const enum task_state ready[] = {TASK_SUCCESS, TASK_FAILURE, TASK_REVOKED};

	for (size_t i = 0; i < ARRAY_LEN(ready); i++) {
		if (strcmp(state, task_state_name(ready[i])) == 0)
			return true;
	}
	return false;
}

json_t *backend_meta(const struct backend *b, const struct task_meta *m)
{
	json_t *meta = json_object();
	char date[CLOCK_ISO_SIZE];
	const char *state = m->own_state ? m->own_state : task_state_name(m->state);

	timezone_iso(b->zone, clock_wall(), date);
	json_object_set_new(meta, "status", text_or_null(state));
	json_object_set_new(meta, "result", shared(m->result, json_null()));
	json_object_set_new(meta, "traceback", text_or_null(m->traceback));
	json_object_set_new(meta, "children", shared(m->children, json_array()));
	json_object_set_new(meta, "date_done",
			    backend_is_ready_state(state) ? json_string(date) : json_null());
	if (m->group_id != NULL)
		json_object_set_new(meta, "group_id", text_or_null(m->group_id));
	if (m->parent_id != NULL)
		json_object_set_new(meta, "parent_id", text_or_null(m->parent_id));
	if (b->extended && m->name != NULL)
		add_extended(meta, m);
	json_object_set_new(meta, "task_id", text_or_null(m->task_id));
	return meta;
}
