/* Plain data as Python pickles it: what was read is written and read again, and is the same. */
#include "common/backend/pickle.h"
#include "fuzz.h"

int fuzz_pickle(const uint8_t *data, size_t size)
{
	_cleanup_json_ json_t *value = NULL, *again = NULL;
	_cleanup_buf_ struct buf text = BUF_INIT(1u << 24);
	struct err err;
	int rc = pickle_read((struct slice){(const char *)data, size}, &value, &err);

	if (rc < 0) {
		fuzz_failed(rc, &err);
		return 0;
	}
	fuzz_made_json(value);
	if (pickle_write(value, &text, &err) < 0) {
		fuzz_failed(-err.code, &err);
		return 0;
	}
	fuzz_made(&text);
	FUZZ_WORKS(pickle_read((struct slice){text.data, text.len}, &again, &err), &err);
	FUZZ_CHECK(json_equal(value, again));
	return 0;
}
