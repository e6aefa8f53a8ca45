/* Compressed bodies: the first byte says how. A bomb ends at the ceiling; what was written is read.
 */
#include "fuzz.h"
#include "serial.h"

#define CEILING (1u << 20)

int fuzz_compression(const uint8_t *data, size_t size)
{
	static const char *const names[] = {"gzip", "bzip2", "lzma", "zstd", "brotli"};
	_cleanup_buf_ struct buf out = BUF_INIT(CEILING), packed = BUF_INIT(CEILING + 4096),
				 again = BUF_INIT(CEILING);
	const char *mime;
	struct err err;
	int rc;

	if (size == 0)
		return 0;
	mime = serial_compression(names[data[0] % ARRAY_LEN(names)]);
	FUZZ_CHECK(mime != NULL);
	rc = serial_decompress(mime, (struct slice){(const char *)data + 1, size - 1}, &out, &err);
	if (rc < 0) {
		fuzz_failed(rc, &err);
		return 0;
	}
	fuzz_made(&out);
	FUZZ_CHECK(out.len <= CEILING);
	FUZZ_CHECK(serial_compress(mime, (struct slice){out.data, out.len}, &packed, &err) == 0);
	FUZZ_CHECK(serial_decompress(mime, (struct slice){packed.data, packed.len}, &again, &err) ==
		   0);
	FUZZ_CHECK(again.len == out.len && memcmp(again.data, out.data, out.len) == 0);
	return 0;
}
