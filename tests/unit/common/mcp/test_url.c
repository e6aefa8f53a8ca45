/* Where a server is, and where the stream of an old one may send us. */
#include <string.h>

#include "common/mcp/http.h"
#include "tests/unit/suite.h"

static const struct {
	const char *url, *host;
	uint16_t port;
	bool tls;
} good[] = {
	{"http://example.org", "example.org", 80, false},
	{"https://Example.ORG/mcp?x=1", "example.org", 443, true},
	{"http://127.0.0.1:8080/sse", "127.0.0.1", 8080, false},
	{"http://[::1]:81/", "[::1]", 81, false},
	{"https://[fd00::2]", "[fd00::2]", 443, true},
};

START_TEST(test_origin)
{
	char host[288];
	uint16_t port;
	bool tls;
	struct err err;

	ck_assert_int_eq(mcp_url_origin(good[_i].url, host, &port, &tls, &err), 0);
	ck_assert_str_eq(host, good[_i].host);
	ck_assert_uint_eq(port, good[_i].port);
	ck_assert_int_eq(tls, good[_i].tls);
}
END_TEST

static const char *const bad[] = {
	"",
	"ftp://example.org",
	"//example.org/",
	"http://",
	"http:///path",
	"http://user@example.org",
	"http://a:b@example.org",
	"http://example.org:0",
	"http://example.org:65536",
	"http://example.org:",
	"http://example.org:8o",
	"http://exa mple.org",
	"http://example.org\\@evil",
	"http://example.org/a\r\nX: y",
	"http://ex\xc3\xa4mple.org",
};

START_TEST(test_bad)
{
	char host[288];
	uint16_t port;
	bool tls;
	struct err err;

	ck_assert_msg(mcp_url_origin(bad[_i], host, &port, &tls, &err) < 0, "%s", bad[_i]);
}
END_TEST

static const struct {
	const char *base, *reference, *url; /* NULL: refused */
} endpoints[] = {
	{"http://h:8080/sse", "/messages?id=1", "http://h:8080/messages?id=1"},
	{"http://h:8080/a/sse", "messages", "http://h:8080/a/messages"},
	{"http://h:8080", "messages", "http://h:8080/messages"},
	{"http://h:8080/sse?x=1", "?id=1", "http://h:8080/sse?id=1"},
	{"http://h:8080/sse", "http://h:8080/m", "http://h:8080/m"},
	{"http://h/sse", "http://H:80/m", "http://H:80/m"},
	{"http://h/sse", "//h/m", "http://h/m"},
	{"http://h:8080/sse", "http://h:8081/m", NULL},
	{"http://h:8080/sse", "http://other:8080/m", NULL},
	{"https://h/sse", "http://h:443/m", NULL},
	{"http://h/sse", "//169.254.169.254/latest", NULL},
	{"http://h/sse", "http://h@evil/m", NULL},
	{"http://h/sse", "file:///etc/passwd\n", NULL},
	{"http://h/sse", "", NULL},
	{"http://h/sse", "/a b", NULL},
};

START_TEST(test_endpoint)
{
	char *url = NULL;
	struct err err;
	int r = mcp_url_endpoint(endpoints[_i].base, endpoints[_i].reference,
				 strlen(endpoints[_i].reference), &url, &err);

	if (endpoints[_i].url) {
		ck_assert_int_eq(r, 0);
		ck_assert_str_eq(url, endpoints[_i].url);
	} else {
		ck_assert_msg(r < 0, "%s", endpoints[_i].reference);
	}
	free(url);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("url");

	tcase_add_loop_test(t, test_origin, 0, ARRAY_LEN(good));
	tcase_add_loop_test(t, test_bad, 0, ARRAY_LEN(bad));
	tcase_add_loop_test(t, test_endpoint, 0, ARRAY_LEN(endpoints));
	return suite_run("mcp_url", t);
}
