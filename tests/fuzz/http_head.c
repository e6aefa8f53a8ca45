/* The head of an HTTP answer: whole and byte by byte it is the same; and header lines of rows. */
#include "common/client/http_head.h"
#include "fuzz.h"
#include "http_multi.h"

static int feed(const uint8_t *data, size_t size, size_t step, struct http_head *h, size_t *used)
{
	struct err err;
	int rc = 0;

	*used = 0;
	http_head_init(h);
	for (size_t at = 0; at < size && rc == 0; at += step) {
		size_t took = 0;

		rc = http_head_feed(h, (const char *)data + at, size - at < step ? size - at : step,
				    &took, &err);
		if (rc < 0)
			fuzz_failed(rc, &err);
		else
			*used += took;
	}
	return rc;
}

int fuzz_http_head(const uint8_t *data, size_t size)
{
	struct http_head *whole = xmalloc(sizeof(*whole)), *parts = xmalloc(sizeof(*parts));
	_cleanup_free_ char *line = xmemdup(data, size);
	size_t used, used_parts;
	struct err err;
	int rc = feed(data, size, size + 1, whole, &used);

	FUZZ_CHECK(feed(data, size, 1, parts, &used_parts) == rc);
	if (rc == 1) {
		FUZZ_CHECK(used == used_parts && used <= size);
		FUZZ_CHECK(whole->status == parts->status && whole->length == parts->length);
		FUZZ_CHECK(whole->status >= 101 && whole->status <= 999);
	}
	if (http_header_check(line, NULL, &err) == 0)
		FUZZ_CHECK(strpbrk(line, "\r\n") == NULL && strchr(line, ':') != NULL);
	free(whole);
	free(parts);
	return 0;
}
