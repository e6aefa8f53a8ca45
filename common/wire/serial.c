/*
 * serial.c: the tables of content types and compressions, for callers who write no message.
 */
#include "serial.h"

#include <string.h>

#include "compression.h"
#include "content.h"

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
				       "%s: %.40s is not one of json, yaml, msgpack", setting,
				       name);
	}
	return 0;
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
				  "yaml or msgpack");
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
