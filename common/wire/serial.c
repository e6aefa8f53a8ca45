/*
 * serial.c: the tables of content types and compressions, for callers who write no message.
 */
#include "serial.h"

#include <string.h>

#include "compression.h"
#include "content.h"
#include "security.h"

/* Set before the first thread: a row of the table. */
static const char *g_task_serializer = "json";

/* The rows that hold any value. */
static const struct content_type *find(const char *serializer)
{
	const struct content_type *t = content_find(serializer);

	return t != NULL && t->write != raw_write ? t : NULL;
}

bool serial_known(const char *serializer)
{
	return find(serializer) != NULL;
}

static int check_names(const char *setting, const struct str_list *names, size_t *ret_read,
		       struct buf *notes, struct err *err)
{
	*ret_read = 0;
	for (size_t i = 0; i < names->count; i++) {
		const char *name = names->items[i];

		if (serial_known(name))
			(*ret_read)++;
		else if (content_refused(name))
			buf_appendf(notes, "%s: %.40s is refused: such messages are not run\n",
				    setting, name);
		else if (content_find(name) == NULL)
			return err_set(err, ERR_INVALID,
				       "%s: %.40s is not one of json, yaml, msgpack, auth", setting,
				       name);
	}
	return 0;
}

static bool names_auth(const struct str_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		if (strcmp(list->items[i], "auth") == 0)
			return true;
	}
	return false;
}

static bool wants_auth(const struct settings *s)
{
	return names_auth(&s->accept_content) || names_auth(&s->result_accept_content) ||
	       strcmp(s->task_serializer, "auth") == 0 ||
	       strcmp(s->result_serializer, "auth") == 0 ||
	       strcmp(s->event_serializer, "auth") == 0;
}

int serial_open(const struct settings *s, struct buf *notes, struct err *err)
{
	const struct content_type *t;
	int rc = wants_auth(s) ? security_open(s, notes, err) : 0;

	if (rc < 0)
		return rc;
	t = find(s->task_serializer);
	if (t == NULL)
		return err_set(err, ERR_INVALID,
			       "CELERY_TASK_SERIALIZER: %.40s is not one of json, yaml, msgpack, "
			       "auth",
			       s->task_serializer);
	g_task_serializer = t->name;
	if (names_auth(&s->accept_content) && s->accept_content.count > 1)
		buf_appendf(notes, "CELERY_ACCEPT_CONTENT names more than auth: what nobody signed "
				   "runs, too\n");
	return serial_check_accept(s, notes, err);
}

const char *serial_of_tasks(void)
{
	return g_task_serializer;
}

int serial_check_accept(const struct settings *s, struct buf *notes, struct err *err)
{
	size_t read;
	int rc = check_names("CELERY_RESULT_ACCEPT_CONTENT", &s->result_accept_content, &read,
			     notes, err);

	if (rc == 0)
		rc = check_names("CELERY_ACCEPT_CONTENT", &s->accept_content, &read, notes, err);
	if (rc < 0)
		return rc;
	return read > 0 ? 0
			: err_set(err, ERR_INVALID,
				  "CELERY_ACCEPT_CONTENT names nothing that is read here: json, "
				  "yaml, msgpack or auth");
}

int serial_write(const char *serializer, const json_t *value, struct buf *out, struct err *err)
{
	const struct content_type *t = find(serializer);

	if (t == NULL)
		return err_set(err, ERR_UNSUPPORTED, "no serializer is called %.40s", serializer);
	return t->write(value, out, err);
}

int serial_read(const char *serializer, struct slice text, json_t **ret, struct err *err)
{
	const struct content_type *t = find(serializer);

	if (t == NULL)
		return err_set(err, ERR_UNSUPPORTED, "no serializer is called %.40s", serializer);
	return t->read(text.data, text.len, ret, err);
}

const char *serial_compression(const char *name)
{
	const struct compression *c = compression_find(name);

	return c ? c->mime : NULL;
}

int serial_compress(const char *mime, struct slice in, struct buf *out, struct err *err)
{
	const struct compression *c = compression_find(mime);

	if (c == NULL)
		return err_set(err, ERR_UNSUPPORTED, "no compression is called %.40s", mime);
	return c->write(in, out, err);
}

int serial_decompress(const char *mime, struct slice in, struct buf *out, struct err *err)
{
	const struct compression *c = compression_find(mime);

	if (c == NULL)
		return err_set(err, ERR_UNSUPPORTED, "no compression is called %.40s", mime);
	return c->read(in, out, err);
}
