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
