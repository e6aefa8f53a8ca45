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
#define META_BYTES 384 /* of most results: reserved at once */

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

/* Where members go, one after the other: an object, or at once the text of one in JSON. */
struct members {
	json_t *object; /* NULL: `text` */
	struct buf *text;
};

static void add_key(struct members *m, const char *key)
{
	buf_append_str(m->text, m->text->len == 0 ? "{\"" : ", \"");
	buf_append_str(m->text, key);
	buf_append_str(m->text, "\": ");
}

/* NULL is `otherwise`, which is taken and may be NULL, too: then it is null. */
static void add_value(struct members *m, const char *key, const json_t *value, json_t *otherwise)
{
	_cleanup_json_ json_t *shared =
		value ? json_incref((json_t *)(uintptr_t)value) : json_incref(otherwise);

	json_decref(otherwise);
	if (m->object != NULL) {
		json_object_set_new(m->object, key, shared ? TAKE(shared) : json_null());
		return;
	}
	add_key(m, key);
	if (shared != NULL)
		json_dump_python(shared, m->text);
	else
		buf_append_str(m->text, "null");
}

static void add_text(struct members *m, const char *key, const char *text)
{
	if (m->object != NULL || text == NULL) {
		add_value(m, key, NULL, text ? json_text(text, strlen(text), false) : NULL);
		return;
	}
	add_key(m, key);
	json_dump_python_text(text, strlen(text), m->text);
}

/* Celery's request_meta: of the stamps those that stamped_headers names. */
static void add_stamps(json_t *meta, const struct task_meta *m)
{
	if (json_object_size(m->stamps) == 0)
		return;
	json_object_set_new(meta, "stamped_headers",
			    m->stamped_headers
				    ? json_incref((json_t *)(uintptr_t)m->stamped_headers)
				    : json_null());
	for (size_t i = 0; i < json_array_size(m->stamped_headers); i++) {
		const char *name = json_string_value(json_array_get(m->stamped_headers, i));
		json_t *value = name ? json_object_get(m->stamps, name) : NULL;

		if (value != NULL)
			json_object_set_nocheck(meta, name, value);
	}
}

static void add_extended(struct members *to, const struct task_meta *m)
{
	add_text(to, "name", m->name);
	add_value(to, "args", m->args, json_array());
	add_value(to, "kwargs", m->kwargs, json_object());
	add_text(to, "worker", m->worker);
	add_value(to, "retries", NULL, json_integer(m->retries));
	add_text(to, "queue", m->queue);
	add_stamps(to->object, m);
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

/* `to` is an object when stamps may be among them, which have any names. */
static void add_meta(const struct backend *b, const struct task_meta *m, struct members *to)
{
	char date[CLOCK_ISO_SIZE];
	const char *state = m->own_state ? m->own_state : task_state_name(m->state);
	bool ready = backend_is_ready_state(state);

	if (ready)
		timezone_iso(b->zone, clock_wall(), date);
	add_text(to, "status", state);
	add_value(to, "result", m->result, NULL);
	add_text(to, "traceback", m->traceback);
	add_value(to, "children", m->children, json_array());
	add_text(to, "date_done", ready ? date : NULL);
	if (m->group_id != NULL)
		add_text(to, "group_id", m->group_id);
	if (m->parent_id != NULL)
		add_text(to, "parent_id", m->parent_id);
	if (b->extended && m->name != NULL)
		add_extended(to, m);
	add_text(to, "task_id", m->task_id);
}

json_t *backend_meta(const struct backend *b, const struct task_meta *m)
{
	struct members to = {.object = json_object()};

	add_meta(b, m, &to);
	return to.object;
}

int backend_pack_meta(const struct backend *b, const struct task_meta *m, char **ret,
		      size_t *ret_len, struct err *err)
{
	_cleanup_json_ json_t *meta = NULL;
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_RESULT_BYTES);
	struct members to = {.text = &text};

	if (b->extended || b->compression != NULL || strcmp(b->serializer, "json") != 0) {
		meta = backend_meta(b, m);
		return backend_pack(b, meta, ret, ret_len, err);
	}
	(void)buf_reserve(&text, META_BYTES);
	add_meta(b, m, &to);
	buf_append_char(&text, '}');
	return buf_take(&text, ret, ret_len, err);
}
