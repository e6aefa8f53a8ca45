/* Where the stream of an old server may send us. */
#include <string.h>

#include "common/mcp/http.h"
#include "tests/unit/suite.h"

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
	{"nowhere", "/a", NULL},
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

	tcase_add_loop_test(t, test_endpoint, 0, ARRAY_LEN(endpoints));
	return suite_run("mcp_url", t);
}
