/*
 * compression_write.c: five ways to pack a body, each in one call into room for the worst case, at
 * the level that Python takes by itself (brotli's is far too slow for a body).
 */
#include <brotli/encode.h>
#include <bzlib.h>
#include <limits.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include "compression.h"

#define BZIP2_LEVEL    9
#define BROTLI_QUALITY 5
#define ZSTD_LEVEL     ZSTD_CLEVEL_DEFAULT

static int failed(const char *what, struct err *err)
{
	return err_set(err, ERR_NOMEM, "%s could not pack the data", what);
}

int compression_write_zlib(struct slice in, struct buf *out, struct err *err)
{
	uLongf len = compressBound(in.len);
	char *to = buf_reserve(out, len);

	if (to == NULL)
		return buf_status(out, err);
	if (compress2((Bytef *)to, &len, (const Bytef *)in.data, in.len, Z_DEFAULT_COMPRESSION) !=
	    Z_OK)
		return failed("zlib", err);
	buf_added(out, len);
	return 0;
}

int compression_write_bzip2(struct slice in, struct buf *out, struct err *err)
{
	size_t room = in.len + in.len / 100 + 600; /* as its manual says */
	unsigned len = (unsigned)room;
	char *to;

	if (room > UINT_MAX)
		return err_set(err, ERR_TOOBIG, "%zu bytes for bzip2", in.len);
	to = buf_reserve(out, room);
	if (to == NULL)
		return buf_status(out, err);
	if (BZ2_bzBuffToBuffCompress(to, &len, (char *)(uintptr_t)in.data, (unsigned)in.len,
				     BZIP2_LEVEL, 0, 0) != BZ_OK)
		return failed("bzip2", err);
	buf_added(out, len);
	return 0;
}

int compression_write_xz(struct slice in, struct buf *out, struct err *err)
{
	size_t room = lzma_stream_buffer_bound(in.len), len = 0;
	char *to = buf_reserve(out, room);

	if (to == NULL)
		return buf_status(out, err);
	if (lzma_easy_buffer_encode(LZMA_PRESET_DEFAULT, LZMA_CHECK_CRC64, NULL,
				    (const uint8_t *)in.data, in.len, (uint8_t *)to, &len,
				    room) != LZMA_OK)
		return failed("xz", err);
	buf_added(out, len);
	return 0;
}

int compression_write_zstd(struct slice in, struct buf *out, struct err *err)
{
	size_t room = ZSTD_compressBound(in.len), len;
	char *to = buf_reserve(out, room);

	if (to == NULL)
		return buf_status(out, err);
	len = ZSTD_compress(to, room, in.data, in.len, ZSTD_LEVEL);
	if (ZSTD_isError(len))
		return failed("zstd", err);
	buf_added(out, len);
	return 0;
}

int compression_write_brotli(struct slice in, struct buf *out, struct err *err)
{
	size_t len = BrotliEncoderMaxCompressedSize(in.len);
	char *to = buf_reserve(out, len);

	if (to == NULL)
		return buf_status(out, err);
	if (!BrotliEncoderCompress(BROTLI_QUALITY, BROTLI_DEFAULT_WINDOW, BROTLI_DEFAULT_MODE,
				   in.len, (const uint8_t *)in.data, &len, (uint8_t *)to))
		return failed("brotli", err);
	buf_added(out, len);
	return 0;
}
