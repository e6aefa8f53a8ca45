/*
 * compression.c: the table of compressions. To add one: a row, its reader and its writer.
 */
#include "compression.h"

#include <string.h>

static const struct compression g_compressions[] = {
	/* The payload is zlib's format, whatever the name says. */
	{"application/x-gzip", {"gzip", "zlib"}, compression_read_zlib, compression_write_zlib},
	{"application/x-bz2", {"bzip2", "bzip"}, compression_read_bzip2, compression_write_bzip2},
	{"application/x-lzma", {"lzma", "xz"}, compression_read_xz, compression_write_xz},
	{"application/zstd", {"zstd", "zstandard"}, compression_read_zstd, compression_write_zstd},
	{"application/x-brotli", {"brotli"}, compression_read_brotli, compression_write_brotli},
};

const struct compression *compression_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(g_compressions); i++) {
		const struct compression *c = &g_compressions[i];

		if (strcmp(c->mime, name) == 0)
			return c;
		for (size_t a = 0; c->aliases[a] != NULL; a++) {
			if (strcmp(c->aliases[a], name) == 0)
				return c;
		}
	}
	return NULL;
}
