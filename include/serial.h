/*
 * serial.h: values as bytes and back, by the names that Celery's settings use for serializers
 * (json, yaml, msgpack: kombu/serialization.py) and compressions (gzip, bzip2, lzma, zstd, brotli:
 * kombu/compression.py). The tables are in common/wire/. All [any].
 */
#ifndef CELERIAC_SERIAL_H
#define CELERIAC_SERIAL_H

#include <jansson.h>

#include "buf.h"
#include "err.h"
#include "settings.h"

/* Something that any value can be written by: pickle is not, and raw knows only strings. auth is
 * once serial_open has read the keys. */
bool serial_known(const char *serializer);
/* Once, before anything is read or written: what task_serializer says, and the keys and
 * certificates of signed messages where any setting names auth (security.h). Then
 * serial_check_accept. ERR_INVALID names the setting. [init] */
int serial_open(const struct settings *s, struct buf *notes, struct err *err) must_check;
/* What messages are written by that name no serializer. */
const char *serial_of_tasks(void);
/* Whether accept_content and result_accept_content name what there is. Appends a line to `notes`
 * for each name that is known and refused all the same. ERR_INVALID for one that nobody knows, and
 * for an accept_content of which nothing is left. Pure. */
int serial_check_accept(const struct settings *s, struct buf *notes, struct err *err) must_check;
/* Appends. ERR_TOOBIG, ERR_UNSUPPORTED. */
int serial_write(const char *serializer, const json_t *value, struct buf *out,
		 struct err *err) must_check;
/* Given. ERR_INVALID, ERR_TOOBIG, ERR_UNSUPPORTED. */
int serial_read(const char *serializer, struct slice text, json_t **ret,
		struct err *err) must_check;

/* The MIME type of a compression, by that or any of its names; NULL when there is none. */
const char *serial_compression(const char *name);
/* Append. `mime`: as serial_compression gives it. ERR_INVALID, ERR_TOOBIG, ERR_UNSUPPORTED. */
int serial_compress(const char *mime, struct slice in, struct buf *out, struct err *err) must_check;
int serial_decompress(const char *mime, struct slice in, struct buf *out,
		      struct err *err) must_check;

#endif
