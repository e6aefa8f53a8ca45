/* Server-sent events: whole and byte by byte they are the same. */
#include "common/mcp/sse.h"
#include "fuzz.h"

static int event(void *arg, const char *type, const char *data, size_t len, struct err *err)
{
	struct buf *told = arg;

	(void)err;
	FUZZ_CHECK(strlen(type) <= SSE_TYPE_BYTES && data[len] == '\0');
	buf_append_str(told, type);
	buf_append_char(told, '\n');
	buf_append(told, data, len);
	buf_append_char(told, '\n');
	return 0;
}

static int feed(const uint8_t *data, size_t size, size_t step, struct buf *told)
{
	struct sse s;
	struct err err;
	int rc = 0;

	sse_init(&s, 1000);
	for (size_t at = 0; at < size && rc == 0; at += step)
		rc = sse_feed(&s, (const char *)data + at, size - at < step ? size - at : step,
			      event, told, &err);
	if (rc < 0)
		fuzz_failed(rc, &err);
	buf_append_str(told, s.id);
	buf_appendf(told, "%" PRId64, s.retry_ms);
	sse_done(&s);
	return rc;
}

int fuzz_sse(const uint8_t *data, size_t size)
{
	_cleanup_buf_ struct buf whole = BUF_INIT(1u << 22), parts = BUF_INIT(1u << 22);

	FUZZ_CHECK(feed(data, size, size + 1, &whole) == feed(data, size, 1, &parts));
	fuzz_made(&whole);
	FUZZ_CHECK(whole.len == parts.len && memcmp(whole.data, parts.data, whole.len) == 0);
	return 0;
}
