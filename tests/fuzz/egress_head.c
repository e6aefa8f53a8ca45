/*
 * What a sandbox says to the proxy: a head, what goes to the origin instead of it, and the body
 * behind it, whole and byte by byte.
 */
#include <strings.h>

#include "common/sandbox/egress_head.h"
#include "fuzz.h"

/* One request for one host, with nothing of the proxy's in it. */
static void sent(const struct egress_request *r)
{
	static const char *const never[] = {
		"proxy-connection:", "proxy-authorization:", "keep-alive:", "upgrade:", "te:",
		"celeriac-run:"};
	const char *text = r->head.data;
	size_t hosts = 0;

	if (r->connect) {
		FUZZ_CHECK(r->head.len == 0 && r->path == NULL);
		return;
	}
	FUZZ_CHECK(r->path && r->path[0] == '/' && strlen(text) == r->head.len);
	FUZZ_CHECK(r->head.len >= 4 && strstr(text, "\r\n\r\n") == text + r->head.len - 4);
	for (const char *line = strstr(text, "\r\n") + 2; line[0] != '\r';
	     line = strstr(line, "\r\n") + 2) {
		hosts += strncasecmp(line, "host:", 5) == 0;
		for (size_t i = 0; i < ARRAY_LEN(never); i++)
			FUZZ_CHECK(strncasecmp(line, never[i], strlen(never[i])) != 0);
	}
	FUZZ_CHECK(hosts == 1);
}

static size_t feed(struct egress_body b, const char *data, size_t len, size_t step, bool *ret_bad)
{
	size_t took = 0;

	while (took < len && !egress_body_is_over(&b) && !b.bad) {
		size_t n = len - took < step ? len - took : step;
		size_t got = egress_body_feed(&b, data + took, n);

		FUZZ_CHECK(got <= n);
		took += got;
		if (got < n)
			break;
	}
	*ret_bad = b.bad;
	return took;
}

int fuzz_egress_head(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct egress_request r = {0};
	struct err err;
	size_t len = egress_head_length(text, size), took, again;
	bool bad, bad_again;
	int rc;

	FUZZ_CHECK(len <= size);
	if (len == 0)
		return 0;
	rc = egress_request_parse(text, len, &r, &err);
	if (rc < 0) {
		fuzz_failed(rc, &err);
		return 0;
	}
	sent(&r);
	fuzz_made(&r.head);
	took = feed(r.body, text + len, size - len, size, &bad);
	again = feed(r.body, text + len, size - len, 1, &bad_again);
	FUZZ_CHECK(bad == bad_again && (bad || took == again));
	egress_request_done(&r);
	return 0;
}
