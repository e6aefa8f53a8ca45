/* Where a URL leads. */
#include <string.h>

#include "bounds.h"
#include "mem.h"
#include "outbound.h"
#include "tests/unit/suite.h"

static const struct {
	const char *url, *host;
	uint16_t port;
	bool tls;
	const char *rest;
} good[] = {
	{"http://example.org", "example.org", 80, false, ""},
	{"https://Example.ORG/mcp?x=1", "example.org", 443, true, "/mcp?x=1"},
	{"HTTP://example.org?x=a@b", "example.org", 80, false, "?x=a@b"},
	{"http://example.org#http://evil", "example.org", 80, false, "#http://evil"},
	{"http://127.0.0.1:8080/sse", "127.0.0.1", 8080, false, "/sse"},
	{"http://[::1]:81/", "::1", 81, false, "/"},
	{"https://[FD00:0::2]", "fd00::2", 443, true, ""},
	{"https://example.org:65535/a:1", "example.org", 65535, true, "/a:1"},
};

START_TEST(test_good)
{
	struct outbound_origin o;
	struct err err;

	ck_assert_int_eq(outbound_origin_parse(good[_i].url, &o, &err), 0);
	ck_assert_str_eq(o.host.name, good[_i].host);
	ck_assert_uint_eq(o.port, good[_i].port);
	ck_assert_int_eq(o.tls, good[_i].tls);
	ck_assert_str_eq(good[_i].url + o.length, good[_i].rest);
}
END_TEST

static const char *const bad[] = {
	"",
	"http:",
	"ftp://example.org",
	"//example.org/",
	"http://",
	"http:///path",
	"http://:80/",
	"http://user@example.org",
	"http://a:b@example.org",
	"http://[::1]@example.org",
	"http://example.org:0",
	"http://example.org:65536",
	"http://example.org:000080",
	"http://example.org:4294967376",
	"http://example.org:",
	"http://example.org:8o",
	"http://example.org:+80",
	"http://example.org:80:81",
	"http://[::1]81/",
	"http://[::1/",
	"http://::1/",
	"http://exa mple.org",
	"http://example.org\\@evil",
	"http://example.org/a\r\nX: y",
	"http://example.org/\x7f",
	"http://ex\xc3\xa4mple.org",
	"http://ex%61mple.org",
	"http://example.org./",
	"http://2130706433/",
	"http://0x7f.1/",
};

START_TEST(test_bad)
{
	struct outbound_origin o;
	struct err err;

	ck_assert_msg(outbound_origin_parse(bad[_i], &o, &err) == -ERR_INVALID, "%s", bad[_i]);
}
END_TEST

START_TEST(test_length)
{
	char url[BOUND_URL_BYTES + 2] = "http://h/";
	struct outbound_origin o;
	struct err err;

	memset(url + 9, 'a', sizeof(url) - 10);
	ck_assert_int_eq(outbound_origin_parse(url, &o, &err), -ERR_TOOBIG);
	url[BOUND_URL_BYTES] = '\0';
	ck_assert_int_eq(outbound_origin_parse(url, &o, &err), 0);
}
END_TEST

static const struct {
	const char *a, *b;
	bool same;
} pairs[] = {
	{"http://h/a", "HTTP://H:80/b", true},	   {"https://h", "https://h:443", true},
	{"http://[::1]", "http://[0:0::1]", true}, {"http://h", "https://h", false},
	{"http://h:443", "https://h", false},	   {"http://h", "http://h:81", false},
	{"http://h", "http://i", false},
};

START_TEST(test_equal)
{
	struct outbound_origin a, b;
	struct err err;

	ck_assert_int_eq(outbound_origin_parse(pairs[_i].a, &a, &err), 0);
	ck_assert_int_eq(outbound_origin_parse(pairs[_i].b, &b, &err), 0);
	ck_assert_int_eq(outbound_origin_equal(&a, &b), pairs[_i].same);
}
END_TEST

static const struct {
	const char *base, *reference, *url;
} joins[] = {
	{"http://h/a/b?c#d", "e", "http://h/a/e"},
	{"http://h/a/b?c#d", "/e?f", "http://h/e?f"},
	{"http://h/a/b?c#d", "?e", "http://h/a/b?e"},
	{"http://h/a/b?c#d", "#e", "http://h/a/b?c#e"},
	{"http://h/a/b?c#d", "", "http://h/a/b?c"},
	{"https://h:1/a/b", "//i/c", "https://i/c"},
	{"http://h", "e", "http://h/e"},
	{"http://h?q=/x/", "e", "http://h/e"},
	{"http://h", "?e", "http://h?e"},
	{"http://h/a", "https://i/b", "https://i/b"},
	{"http://h/a", "file:///etc/passwd", "file:///etc/passwd"},
	{"http://h/a", "javascript:x", "javascript:x"},
	{"http://h/a/", "../b", "http://h/a/../b"},
	{"http://h/a/", "1:2", "http://h/a/1:2"},
	{"http://h/a/", "b/c:d", "http://h/a/b/c:d"},
	{"http://h/a/", "b_c:d", "http://h/a/b_c:d"},
};

START_TEST(test_join)
{
	_cleanup_free_ char *url = outbound_url_join(joins[_i].base, joins[_i].reference);

	ck_assert_str_eq(url, joins[_i].url);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("origin");

	tcase_add_loop_test(t, test_good, 0, ARRAY_LEN(good));
	tcase_add_loop_test(t, test_bad, 0, ARRAY_LEN(bad));
	tcase_add_test(t, test_length);
	tcase_add_loop_test(t, test_equal, 0, ARRAY_LEN(pairs));
	tcase_add_loop_test(t, test_join, 0, ARRAY_LEN(joins));
	return suite_run("outbound_origin", t);
}
