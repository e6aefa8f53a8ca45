/* A catalogue page by page: what is left out, where it goes on, and where it ends. */
#include <stdio.h>
#include <string.h>

#include "bounds.h"
#include "common/mcp/tools.h"
#include "json.h"
#include "tests/unit/suite.h"

static char said[4096];
static void left_out(void *arg, const char *level, const char *text)
{
	(void)arg, (void)level;
	strncat(said, text, sizeof(said) - strlen(said) - 1);
}

static int page(struct mcp_catalogue *c, const char *text, bool headers, const char **ret_cursor)
{
	static json_t *last;
	const json_t *cursor = NULL;
	struct err err;

	json_decref(last);
	last = json_loads(text, 0, NULL);
	ck_assert_ptr_nonnull(last);
	int r = mcp_catalogue_page(c, last, headers, left_out, NULL, &cursor, &err);
	*ret_cursor = json_string_value(cursor);
	return r;
}

START_TEST(test_pages)
{
	struct mcp_catalogue c;
	const char *cursor;

	mcp_catalogue_init(&c);
	ck_assert_int_eq(
		page(&c,
		     "{\"tools\":[{\"name\":\"a\",\"inputSchema\":{},\"icons\":[1],\"title\":null},"
		     "{\"name\":\"a\",\"description\":\"again\",\"inputSchema\":{}}],"
		     "\"nextCursor\":\"\"}",
		     false, &cursor),
		0);
	ck_assert_str_eq(cursor, ""); /* an empty cursor is one */
	ck_assert_int_eq(page(&c,
			      "{\"tools\":[{\"name\":\"b\",\"inputSchema\":{\"$schema\":\"x\"}}],"
			      "\"nextCursor\":\"2\"}",
			      false, &cursor),
			 0);
	ck_assert_str_eq(cursor, "2");
	ck_assert_int_eq(page(&c, "{\"tools\":[],\"nextCursor\":null}", false, &cursor), 0);
	ck_assert_ptr_null(cursor);
	_cleanup_buf_ struct buf text = BUF_INIT(1000);
	json_dump_strict(c.tools, &text);
	ck_assert_str_eq(text.data, "[{\"name\": \"a\", \"inputSchema\": {}}, "
				    "{\"name\": \"b\", \"inputSchema\": {\"$schema\": \"x\"}}]");
	mcp_catalogue_done(&c);
}
END_TEST

START_TEST(test_left_out)
{
	struct mcp_catalogue c;
	const char *cursor;

	mcp_catalogue_init(&c);
	ck_assert_int_eq(page(&c,
			      "{\"tools\":[5,{\"name\":\"\",\"inputSchema\":{}},{\"name\":\"n\"},{"
			      "\"name\":\"x\\u0007\",\"inputSchema\":{}},"
			      "{\"name\":\"h\",\"inputSchema\":{\"properties\":{\"p\":{\"type\":"
			      "\"number\",\"x-mcp-header\":\"P\"}}}},"
			      "{\"name\":\"good\",\"inputSchema\":{}}]}",
			      true, &cursor),
			 0);
	ck_assert_uint_eq(json_array_size(c.tools), 1);
	ck_assert_ptr_nonnull(strstr(said, "tool h left out: x-mcp-header P"));
	ck_assert_ptr_nonnull(strstr(said, "tool n left out: it has no inputSchema"));
	mcp_catalogue_done(&c);
	/* without HTTP, annotations mean nothing */
	mcp_catalogue_init(&c);
	ck_assert_int_eq(page(&c,
			      "{\"tools\":[{\"name\":\"h\",\"inputSchema\":{\"properties\":{\"p\":{"
			      "\"x-mcp-header\":\"P\"}}}}]}",
			      false, &cursor),
			 0);
	ck_assert_uint_eq(json_array_size(c.tools), 1);
	mcp_catalogue_done(&c);
}
END_TEST

START_TEST(test_hostile)
{
	struct mcp_catalogue c;
	const char *cursor;
	char text[128];
	int r = 0, pages = 0;

	mcp_catalogue_init(&c);
	ck_assert_int_eq(page(&c, "{}", false, &cursor), -ERR_PROTOCOL);
	ck_assert_int_eq(page(&c, "{\"tools\":{}}", false, &cursor), -ERR_PROTOCOL);
	ck_assert_int_eq(page(&c, "{\"tools\":[],\"nextCursor\":5}", false, &cursor),
			 -ERR_PROTOCOL);
	ck_assert_int_eq(page(&c, "{\"tools\":[],\"nextCursor\":\"1\"}", false, &cursor), 0);
	ck_assert_int_eq(page(&c, "{\"tools\":[],\"nextCursor\":\"1\"}", false, &cursor),
			 -ERR_PROTOCOL);
	mcp_catalogue_done(&c);
	/* pages without end */
	mcp_catalogue_init(&c);
	for (; r == 0 && pages < 1000; pages++) {
		snprintf(text, sizeof(text), "{\"tools\":[],\"nextCursor\":\"c%d\"}", pages);
		r = page(&c, text, false, &cursor);
	}
	ck_assert_int_eq(r, -ERR_TOOBIG);
	ck_assert_int_eq(pages, BOUND_MCP_PAGES);
	mcp_catalogue_done(&c);
}
END_TEST

START_TEST(test_too_many)
{
	struct mcp_catalogue c;
	_cleanup_buf_ struct buf b = BUF_INIT(32u << 20);
	const char *cursor;

	mcp_catalogue_init(&c);
	buf_append_str(&b, "{\"tools\":[");
	for (int i = 0; i <= BOUND_MCP_TOOLS; i++)
		buf_appendf(&b, "%s{\"name\":\"t%d\",\"inputSchema\":{}}", i ? "," : "", i);
	buf_append_str(&b, "]}");
	ck_assert_int_eq(page(&c, b.data, false, &cursor), -ERR_TOOBIG);
	mcp_catalogue_done(&c);
	mcp_catalogue_init(&c);
	buf_reset(&b);
	buf_append_str(&b, "{\"tools\":[{\"name\":\"t\",\"inputSchema\":{},\"description\":\"");
	for (unsigned i = 0; i < BOUND_MCP_CATALOGUE / 64; i++)
		buf_append_str(&b,
			       "0123456789012345678901234567890123456789012345678901234567890123");
	buf_append_str(&b, "\"}]}");
	ck_assert_int_eq(page(&c, b.data, false, &cursor), -ERR_TOOBIG);
	mcp_catalogue_done(&c);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("catalogue");

	tcase_add_test(t, test_pages);
	tcase_add_test(t, test_left_out);
	tcase_add_test(t, test_hostile);
	tcase_add_test(t, test_too_many);
	return suite_run("mcp_catalogue", t);
}
