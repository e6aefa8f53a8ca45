/*
 * compression.h: the header `compression` (kombu/compression.py): its names, and a reader and a
 * writer for each.
 *
 * Readers work in small steps into a builder with a ceiling, so that a bomb ends where the ceiling
 * is. All [any].
 */
#ifndef CELERIAC_WIRE_COMPRESSION_H
#define CELERIAC_WIRE_COMPRESSION_H

#include "buf.h"
#include "err.h"

typedef int compression_fn(struct slice in, struct buf *out, struct err *err);

struct compression {
	const char *mime;	/* what the header says */
	const char *aliases[3]; /* what task_compression may say; NULL-terminated */
	compression_fn *read;	/* appends to `out`; ERR_INVALID, ERR_TOOBIG */
	compression_fn *write;
};

/* By MIME type or alias; NULL when kombu knows none of that name either. */
const struct compression *compression_find(const char *name);

/* ---- compression_read.c ---- What follows the end of the compressed data is not looked at. */
compression_fn compression_read_zlib; /* zlib's own format, gzip's too */
compression_fn compression_read_bzip2, compression_read_xz, compression_read_zstd,
	compression_read_brotli;

/* ---- compression_write.c ---- */
compression_fn compression_write_zlib, compression_write_bzip2, compression_write_xz,
	compression_write_zstd, compression_write_brotli;

#endif
