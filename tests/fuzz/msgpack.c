/* Bodies in MessagePack: what was read can be written, and read again. */
#include "common/wire/content.h"
#include "fuzz.h"

int fuzz_msgpack(const uint8_t *data, size_t size)
{
	_cleanup_json_ json_t *value = NULL, *again = NULL;
	_cleanup_buf_ struct buf text = BUF_INIT(1u << 24);
	struct err err;
	int rc = msgpack_read((const char *)data, size, &value, &err);

	if (rc < 0) {
		fuzz_failed(rc, &err);
		return 0;
	}
	fuzz_made_json(value);
	FUZZ_WORKS(msgpack_write(value, &text, &err), &err);
	fuzz_made(&text);
	FUZZ_WORKS(msgpack_read(text.data, text.len, &again, &err), &err);
	FUZZ_CHECK(json_equal(value, again));
	return 0;
}
