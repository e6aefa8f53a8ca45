/* Header lines from rows and documents: what is one, and what is not. */
#include <string.h>

#include "http_multi.h"
#include "tests/unit/suite.h"

static const struct {
	const char *line, *wrong; /* NULL: it is one */
} lines[] = {
	{"X-Own: yes", NULL},
	{"X-Own:", NULL},
	{"X-Own: tab\there, \xc3\xa9", NULL},
	{"!#$%&'*+-.^_`|~09az: x", NULL},
	{"nonsense", "a line is not of the form Name: value"},
	{": x", "a line is not of the form"},
	{"", "a line is not of the form"},
	{"X Own: x", "a name that is none"},
	{"X-Own : x", "a name that is none"},
	{" X-Own: x", "a name that is none"},
	{"X/Own: x", "a name that is none"},
	{"\xc3\xa9: x", "a name that is none"},
	{"X-Own: s3cret\r\nX-Evil: 1", "X-Own: a control character"},
	{"X-Own: s3cret\nX-Evil: 1", "X-Own: a control character"},
	{"X-Own: s3cret\x7f", "X-Own: a control character"},
	{"hOST: evil", "hOST is not yours to say"},
	{"Content-Length: 1", "Content-Length is not yours"},
	{"Transfer-Encoding: chunked", "Transfer-Encoding is not yours"},
	{"Proxy-Authorization: Basic s3cret", "Proxy-Authorization is not yours"},
	{"Keep-Alive: 5", "Keep-Alive is not yours"},
	{"mcp-method: x", "mcp-method is not yours"},
	{"Mcp-Methods: x", NULL},
};

START_TEST(test_lines)
{
	static const char *const reserved[] = {"Mcp-Method", NULL};
	struct err err = {0};
	int rc = http_header_check(lines[_i].line, reserved, &err);

	ck_assert_int_eq(rc, lines[_i].wrong ? -ERR_INVALID : 0);
	if (!lines[_i].wrong)
		return;
	ck_assert_msg(strncmp(err.msg, lines[_i].wrong, strlen(lines[_i].wrong)) == 0, "%s",
		      err.msg);
	ck_assert_ptr_null(strstr(err.msg, "s3cret"));
}
END_TEST

START_TEST(test_names_are_bounded)
{
	char line[200];
	struct err err;

	memset(line, 'x', sizeof(line));
	memcpy(line + 128, ": y", 4);
	ck_assert_int_eq(http_header_check(line, NULL, &err), 0);
	memcpy(line + 128, "x: y", 5);
	ck_assert_int_eq(http_header_check(line, NULL, &err), -ERR_INVALID);
	ck_assert_int_eq(http_header_check("Mcp-Method: x", NULL, &err), 0);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("http_header");

	tcase_add_loop_test(t, test_lines, 0, ARRAY_LEN(lines));
	tcase_add_test(t, test_names_are_bounded);
	return suite_run("http_header", t);
}
