/* What the stateless generation repeats in headers: values, annotations, and the forms they may not
 * have. */
#include <string.h>

#include "common/mcp/header.h"
#include "json.h"
#include "tests/unit/suite.h"

static json_t *parse(const char *text)
{
	json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);

	ck_assert_ptr_nonnull(value);
	return value;
}

static const struct {
	const char *value, *header;
} values[] = {
	{"us-west1", "us-west1"},
	{"us west 1", "us west 1"},
	{"", ""},
	{"Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="},
	{" padded ", "=?base64?IHBhZGRlZCA=?="},
	{"end ", "=?base64?ZW5kIA==?="},
	{"line1\nline2", "=?base64?bGluZTEKbGluZTI=?="},
	{"a\rX: y", "=?base64?YQ1YOiB5?="},
	{"\tindented", "=?base64?CWluZGVudGVk?="},
	{"a\tb", "=?base64?YQli?="},
	{"\x7f", "=?base64?fw==?="},
	{"=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="},
	{"=?base64?literal", "=?base64?literal"},
	{"=?base64?=", "=?base64?PT9iYXNlNjQ/PQ==?="},
};

START_TEST(test_value)
{
	_cleanup_buf_ struct buf out = BUF_INIT(1000);

	mcp_header_value(values[_i].value, strlen(values[_i].value), &out);
	ck_assert_str_eq(out.data, values[_i].header);
}
END_TEST

static const struct {
	const char *schema, *arguments, *lines; /* lines joined by "|", "" for none */
} calls[] = {
	{"{'type':'object'}", "{'a':'x'}", ""},
	{"{'properties':{'a':{'type':'string','x-mcp-header':'A'}}}", "{'a':'x'}",
	 "Mcp-Param-A: x"},
	{"{'properties':{'a':{'type':'string','x-mcp-header':'A'}}}", "{'a':''}", "Mcp-Param-A: "},
	{"{'properties':{'a':{'type':'string','x-mcp-header':'A'}}}", "{'a':null}", ""},
	{"{'properties':{'a':{'type':'string','x-mcp-header':'A'}}}", "{}", ""},
	{"{'properties':{'a':{'type':'integer','x-mcp-header':'N'},'b':{'type':'boolean','x-mcp-"
	 "header':'B'}}}",
	 "{'a':-42,'b':false}", "Mcp-Param-N: -42|Mcp-Param-B: false"},
	{"{'properties':{'a':{'type':'object','properties':{'b':{'type':'string','x-mcp-header':'B'"
	 "}}}}}",
	 "{'a':{'b':'\\n'}}", "Mcp-Param-B: =?base64?Cg==?="},
	{"{'properties':{'a':{'type':'object','properties':{'b':{'type':'string','x-mcp-header':'B'"
	 "}}}}}",
	 "{'a':5}", ""},
	/* a property of that name, and data that looks like one, are no annotations */
	{"{'properties':{'x-mcp-header':{'type':'string'}}}", "{'x-mcp-header':'v'}", ""},
	{"{'properties':{'a':{'type':'object','default':{'x-mcp-header':'A'}}}}", "{}", ""},
	/* beyond what JavaScript holds: not repeated */
	{"{'properties':{'a':{'type':'integer','x-mcp-header':'N'}}}", "{'a':9007199254740992}",
	 ""},
};

static json_t *parse_quoted(const char *text)
{
	_cleanup_buf_ struct buf b = BUF_INIT(10000);

	for (; *text; text++)
		buf_append_char(&b, *text == '\'' ? '"' : *text);
	return parse(b.data);
}

START_TEST(test_call)
{
	_cleanup_json_ json_t *schema = parse_quoted(calls[_i].schema);
	_cleanup_json_ json_t *arguments = parse_quoted(calls[_i].arguments);
	_cleanup_buf_ struct buf out = BUF_INIT(1000);
	char **lines = NULL;
	struct err err;

	ck_assert_int_eq(mcp_header_check(schema, &err), 0);
	ck_assert_int_eq(mcp_header_params(schema, arguments, &lines, &err), 0);
	for (char **line = lines; line && *line; line++)
		buf_appendf(&out, "%s%s", line == lines ? "" : "|", *line);
	ck_assert_str_eq(out.data, calls[_i].lines);
	free(lines);
}
END_TEST

#define STRING(name) "{'properties':{'a':{'type':'string','x-mcp-header':" name "}}}"
static const char *const invalid[] = {
	STRING("''"),
	STRING("'a b'"),
	STRING("'a:b'"),
	STRING("'ä'"),
	STRING("'a\\u0001'"),
	STRING("'a\\r\\nX-Evil'"),
	STRING("5"),
	STRING("null"),
	STRING("{}"),
	"{'properties':{'a':{'type':'number','x-mcp-header':'A'}}}",
	"{'properties':{'a':{'type':'object','x-mcp-header':'A'}}}",
	"{'properties':{'a':{'type':['string','null'],'x-mcp-header':'A'}}}",
	"{'properties':{'a':{'x-mcp-header':'A'}}}",
	"{'properties':{'a':{'type':'string','x-mcp-header':'A'},'b':{'type':'string','x-mcp-"
	"header':'a'}}}",
	"{'x-mcp-header':'A','type':'string'}",
	"{'properties':{'a':{'type':'array','items':{'type':'string','x-mcp-header':'A'}}}}",
	"{'anyOf':[{'properties':{'a':{'type':'string','x-mcp-header':'A'}}}]}",
	"{'$defs':{'d':{'type':'string','x-mcp-header':'A'}}}",
	"{'properties':{'a':{'type':'object','additionalProperties':{'type':'string','x-mcp-header'"
	":'A'}}}}",
};

START_TEST(test_invalid)
{
	_cleanup_json_ json_t *schema = parse_quoted(invalid[_i]);
	struct err err;

	ck_assert_msg(mcp_header_check(schema, &err) == -ERR_INVALID, "%s", invalid[_i]);
	ck_assert_ptr_nonnull(strstr(err.msg, "x-mcp-header"));
}
END_TEST

START_TEST(test_bounds)
{
	_cleanup_json_ json_t *many = json_object();
	_cleanup_json_ json_t *schema = json_pack("{s:O}", "properties", many);
	_cleanup_buf_ struct buf deep = BUF_INIT(100000);
	struct err err;

	for (int i = 0; i < 65; i++) {
		char name[16];
		snprintf(name, sizeof(name), "h%d", i);
		json_object_set_new(many, name,
				    json_pack("{s:s,s:s}", "type", "string", "x-mcp-header", name));
	}
	ck_assert_int_eq(mcp_header_check(schema, &err), -ERR_TOOBIG);
	for (int i = 0; i < 40; i++)
		buf_append_str(&deep, "{\"properties\":{\"a\":");
	buf_append_str(&deep, "{\"type\":\"string\",\"x-mcp-header\":\"A\"}");
	for (int i = 0; i < 40; i++)
		buf_append_str(&deep, "}}");
	_cleanup_json_ json_t *far = parse(deep.data);
	ck_assert_int_eq(mcp_header_check(far, &err), -ERR_TOOBIG);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("headers");

	tcase_add_loop_test(t, test_value, 0, ARRAY_LEN(values));
	tcase_add_loop_test(t, test_call, 0, ARRAY_LEN(calls));
	tcase_add_loop_test(t, test_invalid, 0, ARRAY_LEN(invalid));
	tcase_add_test(t, test_bounds);
	return suite_run("mcp_header", t);
}
