/* Bytes and text: base64, UTF-8, strings of JSON, sealed secrets, units. */
#include "codec.h"
#include "common/conf.h"
#include "fuzz.h"
#include "seal.h"

static void numbers(const char *text)
{
	int64_t n;
	double d;
	bool b;

	if (conf_parse_duration(text, &n) || conf_parse_size(text, &n))
		FUZZ_CHECK(n >= 0);
	(void)conf_parse_int(text, &n);
	(void)conf_parse_double(text, &d);
	(void)conf_parse_bool(text, &b);
}

static void secrets(const char *text)
{
	_cleanup_buf_ struct buf out = BUF_INIT(1u << 20);
	struct seal_keys keys = {0};
	struct err err;

	if (seal_keys_parse("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", &keys, &err) < 0) {
		FUZZ_CHECK(!"a key");
		return;
	}
	(void)seal_is_sealed(text);
	/* Nobody seals without the key. */
	FUZZ_CHECK(seal_open(&keys, "table.column.1", text, &out, &err) < 0);
	seal_keys_wipe(&keys);
	if (seal_keys_parse(text, &keys, &err) == 0)
		seal_keys_wipe(&keys);
}

int fuzz_text(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = xmemdup(data, size);
	_cleanup_buf_ struct buf bytes = BUF_INIT(1u << 20), again = BUF_INIT(1u << 20),
				 clean = BUF_INIT(1u << 20), said = BUF_INIT(1u << 20);
	_cleanup_json_ json_t *string = json_text((const char *)data, size, true);
	struct err err;

	base64_encode(data, size, &bytes);
	fuzz_made(&bytes);
	FUZZ_CHECK(base64_decode(bytes.data, bytes.len, &again, &err) == 0);
	FUZZ_CHECK(again.len == size && (size == 0 || memcmp(again.data, data, size) == 0));
	buf_reset(&again);
	if (base64_decode((const char *)data, size, &again, &err) < 0) {
		fuzz_failed(-err.code, &err);
		FUZZ_CHECK(base64_check((const char *)data, size, &err) < 0);
	} else {
		FUZZ_CHECK(base64_check((const char *)data, size, &err) == 0);
	}
	utf8_clean((const char *)data, size, true, &clean);
	fuzz_made(&clean);
	FUZZ_WORKS(buf_status(&clean, &err), &err);
	FUZZ_CHECK(strlen(clean.data) == clean.len);
	for (size_t at = 0, n; at < clean.len; at += n)
		FUZZ_CHECK((n = utf8_valid(clean.data + at, clean.len - at)) > 0);
	FUZZ_CHECK(string != NULL);
	json_text_append(string, &said);
	FUZZ_CHECK(said.len == clean.len && memcmp(said.data, clean.data, said.len) == 0);
	numbers(text);
	secrets(text);
	return 0;
}
