/* The one hole towards the application: what its setting says and what passes. */
#include <stdlib.h>
#include <string.h>

#include "callback.h"
#include "tests/unit/suite.h"

#define SECRET "0123456789abcdef"

static const struct {
	const char *text, *host, *prefix;
	uint16_t port;
	bool tls;
} good[] = {
	{"http://web:5000/mcp", "web", "/mcp", 5000, false},
	{"GET https://Web/", "web", "", 443, true},
	{"GET,POST,DELETE http://[fd00::2]:81/a/b/", "fd00::2", "/a/b", 81, false},
	{"PUT http://10.0.0.1", "10.0.0.1", "", 80, false},
};

START_TEST(test_good)
{
	struct callback c;
	struct err err;

	ck_assert_int_eq(callback_parse(good[_i].text, SECRET, &c, &err), 0);
	ck_assert_str_eq(c.host.name, good[_i].host);
	ck_assert_str_eq(c.prefix, good[_i].prefix);
	_cleanup_free_ char *url = callback_url(&c);
	ck_assert_ptr_nonnull(strstr(url, good[_i].prefix));
	ck_assert_int_eq(strncmp(url, "http://", 7), 0);
	ck_assert_ptr_null(strstr(url, good[_i].host)); /* sandboxes know it by another name */
	ck_assert_uint_eq(c.port, good[_i].port);
	ck_assert_int_eq(c.tls, good[_i].tls);
	callback_done(&c);
}
END_TEST

static const char *const bad[] = {
	"",
	"web:5000",
	"ftp://web/",
	"http://web:0/",
	"http://web:80x/",
	"http://user@web/",
	"http://web/?a=1",
	"http://web?a=1",
	"http://web/#a",
	"http://web/a/../b",
	"http://web/%2e%2e/b",
	"http://web/a;b",
	"http://web/a//",
	"get http://web/",
	"GET POST http://web/",
	"GET;POST http://web/",
	"http://web/ ",
};

START_TEST(test_bad)
{
	struct callback c;
	struct err err;

	ck_assert_msg(callback_parse(bad[_i], SECRET, &c, &err) == -ERR_INVALID, "%s", bad[_i]);
	ck_assert_ptr_eq(strstr(err.msg, "SANDBOX_CALLBACK_URL: "), err.msg);
}
END_TEST

START_TEST(test_secret)
{
	struct callback c;
	struct err err;

	ck_assert_int_eq(callback_parse("http://web/", "0123456789abcde", &c, &err), -ERR_INVALID);
	ck_assert_ptr_nonnull(strstr(err.msg, "SANDBOX_CALLBACK_SECRET"));
}
END_TEST

static const struct {
	const char *method, *path;
	bool passes;
} requests[] = {
	{"GET", "/mcp", true},
	{"POST", "/mcp/tools?x=1", true},
	{"GET", "/mcp?q=../..", true},
	{"GET", "/mcp/a%20b", true},
	{"DELETE", "/mcp", false},
	{"GE", "/mcp", false},
	{"GET", "/", false},
	{"GET", "/mcpx", false},
	{"GET", "/MCP", false},
	{"GET", "/mcp/../admin", false},
	{"GET", "/mcp/./a", false},
	{"GET", "/mcp/..", false},
	{"GET", "/mcp//a", false},
	{"GET", "/mcp/%2e%2e/admin", false},
	{"GET", "/mcp/%2E./admin", false},
	{"GET", "/mcp/%2fadmin", false},
	{"GET", "/mcp/%5c..", false},
	{"GET", "/mcp/%00", false},
	{"GET", "/mcp/%252e", false},
	{"GET", "/mcp/a;b", false},
	{"GET", "/mcp/a\\b", false},
	{"GET", "/mcp/a b", false},
};

START_TEST(test_requests)
{
	struct callback c;
	struct err err;

	ck_assert_int_eq(callback_parse("http://web:5000/mcp/", SECRET, &c, &err), 0);
	int rc = callback_allows(&c, requests[_i].method, requests[_i].path, &err);
	ck_assert_msg(rc == (requests[_i].passes ? 0 : -ERR_DENIED), "%s %s", requests[_i].method,
		      requests[_i].path);
	callback_done(&c);
}
END_TEST

START_TEST(test_sign)
{
	_cleanup_buf_ struct buf first = BUF_INIT(4096), other = BUF_INIT(4096);
	struct callback c;
	struct err err;

	ck_assert_int_eq(callback_parse("http://web/", SECRET, &c, &err), 0);
	callback_sign(&c, "t", "c", NULL, 1000 * USEC_PER_SEC, &first);
	callback_sign(&c, "u", "c", NULL, 1000 * USEC_PER_SEC, &other);
	ck_assert_int_eq(strncmp(first.data, "v1.", 3), 0);
	ck_assert_str_ne(strrchr(first.data, '.'), strrchr(other.data, '.'));
	/* base64 for URLs, whatever the bytes of the digest are */
	for (usec_t now = 0; now < 200 * USEC_PER_SEC; now += USEC_PER_SEC) {
		buf_reset(&first);
		callback_sign(&c, "t", "\xc3\xbf?\xc3\xbe~", NULL, now, &first);
		ck_assert_ptr_null(strpbrk(first.data, "+/="));
	}
	callback_done(&c);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("callback");

	tcase_add_loop_test(t, test_good, 0, ARRAY_LEN(good));
	tcase_add_loop_test(t, test_bad, 0, ARRAY_LEN(bad));
	tcase_add_test(t, test_secret);
	tcase_add_loop_test(t, test_requests, 0, ARRAY_LEN(requests));
	tcase_add_test(t, test_sign);
	return suite_run("callback", t);
}
