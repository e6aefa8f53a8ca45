/* JSON as Python writes it: what was read is written and read again, and is the same. */
#include "common/base/json_private.h"
#include "fuzz.h"
#include "typed.h"

static void typed(const json_t *value)
{
	_cleanup_buf_ struct buf bytes = BUF_INIT(1u << 20);
	struct err err;
	usec_t wall;

	(void)typed_kind(value);
	(void)typed_text(value);
	(void)!typed_check(value, &err);
	(void)!typed_read_bytes(value, &bytes, &err);
	(void)!typed_read_time(value, &wall, &err);
}

/* What is read in one pass is what jansson reads. */
static void ordinary(const char *data, size_t size)
{
	bool found;
	_cleanup_json_ json_t *value = json_read_ordinary(data, size, TYPED_KEY, &found),
			      *same = NULL;

	if (value == NULL)
		return;
	same = json_loadb(data, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	FUZZ_CHECK(same != NULL && json_equal(value, same));
}

int fuzz_json(const uint8_t *data, size_t size)
{
	_cleanup_json_ json_t *value = NULL, *again = NULL, *strict = NULL;
	_cleanup_buf_ struct buf text = BUF_INIT(1u << 24), plain = BUF_INIT(1u << 24),
				 repr = BUF_INIT(1u << 20);
	struct err err;
	int rc = json_load_python((const char *)data, size, &value, &err);

	ordinary((const char *)data, size);
	if (rc < 0) {
		fuzz_failed(rc, &err);
		FUZZ_CHECK(json_load_strict((const char *)data, size, &strict, &err) < 0);
		return 0;
	}
	fuzz_made_json(value);
	json_dump_python(value, &text);
	fuzz_made(&text);
	FUZZ_WORKS(buf_status(&text, &err), &err);
	for (size_t i = 0; i < text.len; i++)
		FUZZ_CHECK((unsigned char)text.data[i] < 0x80);
	FUZZ_WORKS(json_load_python(text.data, text.len, &again, &err), &err);
	FUZZ_CHECK(json_equal(value, again));
	json_dump_strict(value, &plain);
	FUZZ_WORKS(buf_status(&plain, &err), &err);
	FUZZ_WORKS(json_load_strict(plain.data, plain.len, &strict, &err), &err);
	json_repr(value, 100, &repr);
	FUZZ_WORKS(buf_status(&repr, &err), &err);
	FUZZ_CHECK(repr.len <= 100 + 3);
	typed(value);
	return 0;
}
