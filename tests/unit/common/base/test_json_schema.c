/* Values against schemas. */
#include <string.h>

#include "json.h"
#include "tests/unit/suite.h"

static const struct {
	const char *schema, *value, *wrong; /* NULL: it fits */
} rows[] = {
	{"{}", "5", NULL},
	{"true", "5", NULL},
	{"false", "5", "p may not be there"},
	{"{\"type\":\"object\"}", "{}", NULL},
	{"{\"type\":\"object\"}", "[]", "p must be object"},
	{"{\"type\":\"integer\"}", "5.0", NULL},
	{"{\"type\":\"integer\"}", "5.5", "p must be integer"},
	{"{\"type\":\"integer\"}", "true", "p must be integer"},
	{"{\"type\":\"integer\"}", "123456789012345678901234567890", NULL},
	{"{\"type\":\"string\"}", "123456789012345678901234567890", "p must be string"},
	{"{\"type\":\"number\"}", "1e3", NULL},
	{"{\"type\":\"array\"}", "[]", NULL},
	{"{\"type\":\"array\"}", "{}", "p must be array"},
	{"{\"type\":\"boolean\"}", "false", NULL},
	{"{\"type\":\"boolean\"}", "0", "p must be boolean"},
	{"{\"type\":\"null\"}", "null", NULL},
	{"{\"type\":\"null\"}", "0", "p must be null"},
	{"{\"type\":[\"string\",\"null\"]}", "null", NULL},
	{"{\"type\":[\"string\",\"null\"]}", "1", "p is of none of the types it may have"},
	{"{\"type\":\"hologram\"}", "1", NULL},
	{"{\"enum\":[\"a\",1]}", "1", NULL},
	{"{\"enum\":[\"a\",1]}", "\"b\"", "p is none of the values it may have"},
	{"{\"const\":1}", "2", "p is not the one value it may have"},
	{"{\"minimum\":1}", "0", "p must be at least 1"},
	{"{\"minimum\":1}", "1", NULL},
	{"{\"exclusiveMinimum\":1}", "1", "p must be more than 1"},
	{"{\"maximum\":1.5}", "2", "p must be at most 1.5"},
	{"{\"exclusiveMaximum\":1}", "0.5", NULL},
	{"{\"minLength\":2}", "\"\\u00e9\"", "p must have at least 2 characters"},
	{"{\"maxLength\":1}", "\"\\u00e9\"", NULL},
	{"{\"maxItems\":1}", "[1,2]", "p must have at most 1 items"},
	{"{\"items\":{\"type\":\"string\"}}", "[\"a\",1]", "p[1] must be string"},
	{"{\"required\":[\"a\"]}", "{}", "p.a is required"},
	{"{\"required\":[\"a\"]}", "{\"a\":null}", NULL},
	{"{\"properties\":{\"a\":{\"type\":\"object\",\"required\":[\"b\"]}}}", "{\"a\":{}}",
	 "p.a.b is required"},
	{"{\"properties\":{\"a\":{}},\"additionalProperties\":false}", "{\"b\":1}",
	 "p.b is not known"},
	{"{\"additionalProperties\":{\"type\":\"string\"}}", "{\"b\":1}", "p.b must be string"},
	{"{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"integer\"}]}", "1", NULL},
	{"{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"integer\"}]}", "[]", "p must be string"},
	{"{\"allOf\":[{\"minimum\":1},{\"maximum\":2}]}", "3", "p must be at most 2"},
	/* of the wrong form: asks for nothing */
	{"{\"type\":5,\"enum\":5,\"required\":5,\"properties\":5,\"items\":5,\"minimum\":\"x\","
	 "\"anyOf\":{}}",
	 "{}", NULL},
	{"{\"$ref\":\"http://example.org/x\"}", "5", NULL},
};

START_TEST(test_row)
{
	_cleanup_json_ json_t *schema = NULL, *value = NULL;
	struct err err = {0};

	ck_assert_int_eq(json_load_python(rows[_i].schema, strlen(rows[_i].schema), &schema, &err),
			 0);
	ck_assert_int_eq(json_load_python(rows[_i].value, strlen(rows[_i].value), &value, &err), 0);
	int r = json_schema_check(schema, value, "p", &err);
	ck_assert_int_eq(r, rows[_i].wrong ? -ERR_INVALID : 0);
	if (rows[_i].wrong)
		ck_assert_str_eq(err.msg, rows[_i].wrong);
}
END_TEST

/* A schema that is nested without end, and one that branches. */
START_TEST(test_deep)
{
	_cleanup_json_ json_t *schema = json_object(), *value = json_object();
	struct err err;

	for (int i = 0; i < 300; i++) {
		schema = json_pack("{s:{s:o}}", "properties", "a", schema);
		value = json_pack("{s:o}", "a", value);
	}
	ck_assert_int_eq(json_schema_check(schema, value, "p", &err), 0);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("schemas");

	tcase_add_loop_test(t, test_row, 0, ARRAY_LEN(rows));
	tcase_add_test(t, test_deep);
	return suite_run("json_schema", t);
}
