/*
 * compression_read.c: five ways to unpack a body. Each loop ends at the end of the data, at the
 * first error, when nothing more can come, or when `out` has had enough.
 */
#include <brotli/decode.h>
#include <bzlib.h>
#include <limits.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include "compression.h"
#include "mem.h"

#define STEP_BYTES 16384

/* What a reader may hold by itself: the window of the largest preset of xz, and zstd's for a body
 * of the largest size. */
#define XZ_MEMORY_BYTES (80u << 20)
#define ZSTD_WINDOW_LOG 26

static int too_short(const char *what, struct err *err)
{
	return err_set(err, ERR_INVALID, "the %s data ends too early", what);
}

static int no_memory(const char *what, struct err *err)
{
	return err_set(err, ERR_NOMEM, "no memory to unpack %s data", what);
}

/* Appends one step's output. */
static int keep(struct buf *out, const void *step, size_t len, struct err *err)
{
	int rc;

	buf_append(out, step, len);
	rc = buf_status(out, err);
	return rc < 0 ? err_wrap(err, "unpacked") : 0;
}

static int zlib_loop(z_stream *z, struct buf *out, struct err *err)
{
	unsigned char step[STEP_BYTES];
	int rc, state;

	do {
		z->next_out = step;
		z->avail_out = sizeof(step);
		state = inflate(z, Z_NO_FLUSH);
		if (state == Z_MEM_ERROR)
			return no_memory("zlib", err);
		if (state != Z_OK && state != Z_STREAM_END && state != Z_BUF_ERROR)
			return err_set(err, ERR_INVALID, "zlib data: %s",
				       z->msg ? z->msg : "damaged");
		rc = keep(out, step, sizeof(step) - z->avail_out, err);
		if (rc < 0)
			return rc;
		if (state != Z_STREAM_END && z->avail_in == 0 && z->avail_out > 0)
			return too_short("zlib", err);
	} while (state != Z_STREAM_END);
	return 0;
}

int compression_read_zlib(struct slice in, struct buf *out, struct err *err)
{
	z_stream z = {0};
	int rc;

	if (in.len > UINT_MAX)
		return err_set(err, ERR_TOOBIG, "%zu bytes of zlib data", in.len);
	/* zlib does not write through next_in; not all of its headers say so. */
	z.next_in = (Bytef *)(uintptr_t)in.data;
	z.avail_in = (uInt)in.len;
	/* 32: told by the first bytes whether it is zlib's format or gzip's. */
	if (inflateInit2(&z, MAX_WBITS + 32) != Z_OK)
		return no_memory("zlib", err);
	rc = zlib_loop(&z, out, err);
	inflateEnd(&z);
	return rc;
}

static int bzip2_loop(bz_stream *z, struct buf *out, struct err *err)
{
	char step[STEP_BYTES];
	int rc, state;

	do {
		z->next_out = step;
		z->avail_out = sizeof(step);
		state = BZ2_bzDecompress(z);
		if (state == BZ_MEM_ERROR)
			return no_memory("bzip2", err);
		if (state != BZ_OK && state != BZ_STREAM_END)
			return err_set(err, ERR_INVALID, "bzip2 data is damaged");
		rc = keep(out, step, sizeof(step) - z->avail_out, err);
		if (rc < 0)
			return rc;
		if (state != BZ_STREAM_END && z->avail_in == 0 && z->avail_out > 0)
			return too_short("bzip2", err);
	} while (state != BZ_STREAM_END);
	return 0;
}

int compression_read_bzip2(struct slice in, struct buf *out, struct err *err)
{
	bz_stream z = {0};
	int rc;

	if (in.len > UINT_MAX)
		return err_set(err, ERR_TOOBIG, "%zu bytes of bzip2 data", in.len);
	z.next_in = (char *)(uintptr_t)in.data;
	z.avail_in = (unsigned)in.len;
	if (BZ2_bzDecompressInit(&z, 0, 0) != BZ_OK)
		return no_memory("bzip2", err);
	rc = bzip2_loop(&z, out, err);
	BZ2_bzDecompressEnd(&z);
	return rc;
}

static int xz_loop(lzma_stream *z, struct buf *out, struct err *err)
{
	uint8_t step[STEP_BYTES];
	lzma_ret state;
	int rc;

	do {
		z->next_out = step;
		z->avail_out = sizeof(step);
		state = lzma_code(z, LZMA_FINISH);
		if (state == LZMA_MEM_ERROR || state == LZMA_MEMLIMIT_ERROR)
			return no_memory("xz", err);
		if (state == LZMA_BUF_ERROR)
			return too_short("xz", err);
		if (state != LZMA_OK && state != LZMA_STREAM_END)
			return err_set(err, ERR_INVALID, "xz data is damaged");
		rc = keep(out, step, sizeof(step) - z->avail_out, err);
		if (rc < 0)
			return rc;
	} while (state != LZMA_STREAM_END);
	return 0;
}

int compression_read_xz(struct slice in, struct buf *out, struct err *err)
{
	lzma_stream z = LZMA_STREAM_INIT;
	int rc;

	z.next_in = (const uint8_t *)in.data;
	z.avail_in = in.len;
	/* Either of xz' two formats, as Python's lzma.decompress. */
	if (lzma_auto_decoder(&z, XZ_MEMORY_BYTES, 0) != LZMA_OK)
		return no_memory("xz", err);
	rc = xz_loop(&z, out, err);
	lzma_end(&z);
	return rc;
}

int compression_read_zstd(struct slice in, struct buf *out, struct err *err)
{
	ZSTD_inBuffer from = {in.data, in.len, 0};
	ZSTD_DCtx *z = ZSTD_createDCtx();
	char step[STEP_BYTES];
	size_t left = 0;
	int rc = 0;

	if (z == NULL ||
	    ZSTD_isError(ZSTD_DCtx_setParameter(z, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG))) {
		ZSTD_freeDCtx(z);
		return no_memory("zstd", err);
	}
	do {
		ZSTD_outBuffer to = {step, sizeof(step), 0};

		left = ZSTD_decompressStream(z, &to, &from);
		if (ZSTD_isError(left))
			rc = err_set(err, ERR_INVALID, "zstd data: %s", ZSTD_getErrorName(left));
		else
			rc = keep(out, step, to.pos, err);
		if (rc == 0 && left != 0 && from.pos == from.size && to.pos < to.size)
			rc = too_short("zstd", err);
	} while (rc == 0 && left != 0);
	ZSTD_freeDCtx(z);
	return rc;
}

int compression_read_brotli(struct slice in, struct buf *out, struct err *err)
{
	BrotliDecoderState *z = BrotliDecoderCreateInstance(NULL, NULL, NULL);
	const uint8_t *next_in = (const uint8_t *)in.data;
	BrotliDecoderResult state = BROTLI_DECODER_RESULT_ERROR;
	uint8_t step[STEP_BYTES];
	int rc = 0;

	if (z == NULL)
		return no_memory("brotli", err);
	do {
		uint8_t *next_out = step;
		size_t room = sizeof(step);

		state = BrotliDecoderDecompressStream(z, &in.len, &next_in, &room, &next_out, NULL);
		if (state == BROTLI_DECODER_RESULT_ERROR)
			rc = err_set(err, ERR_INVALID, "brotli data is damaged");
		else
			rc = keep(out, step, sizeof(step) - room, err);
		if (rc == 0 && state == BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT)
			rc = too_short("brotli", err);
	} while (rc == 0 && state != BROTLI_DECODER_RESULT_SUCCESS);
	BrotliDecoderDestroyInstance(z);
	return rc;
}
