/*
 * test_openapi.c: operations as tools, and documents that are none.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "json.h"
#include "mem.h"
#include "openapi.h"
#include "tests/unit/suite.h"

static json_t *g_tools, *g_skipped;

static int import(const char *text, const char *base, struct err *err)
{
	_cleanup_json_ json_t *document = json_loads(text, 0, NULL);

	ck_assert_ptr_nonnull(document);
	return openapi_tools(document, base, &g_tools, &g_skipped, err);
}

static void done(void)
{
	json_decref(g_tools);
	json_decref(g_skipped);
	g_tools = g_skipped = NULL;
}

static const json_t *tool(const char *name)
{
	json_t *one;
	size_t i;

	json_array_foreach(g_tools, i,
			   one) if (strcmp(json_member_str(one, "name"), name) == 0) return one;
	ck_abort_msg("there is no %s", name);
	return NULL;
}

START_TEST(a_public_api)
{
	json_error_t wrong;
	_cleanup_json_ json_t *document =
		json_load_file("tests/data/openapi/open-meteo.json", 0, &wrong);
	struct err err;

	ck_assert_msg(document != NULL, "%s", wrong.text);
	ck_assert_int_eq(openapi_tools(document, NULL, &g_tools, &g_skipped, &err), 0);
	ck_assert_uint_eq(json_array_size(g_tools), 2);
	const json_t *get = tool("get_forecast");
	ck_assert_str_eq(json_member_str(get, "url"), "https://api.open-meteo.com/v1/forecast");
	ck_assert_str_eq(json_member_str(get, "method"), "GET");
	ck_assert(json_is_true(json_object_get(get, "enabled")));
	_cleanup_free_ char *schema =
		json_dumps(json_object_get(get, "input_schema"), JSON_COMPACT | JSON_SORT_KEYS);
	ck_assert_str_eq(schema, "{\"properties\":{\"current_weather\":{\"type\":\"boolean\"},"
				 "\"latitude\":{\"minimum\":-90,\"type\":\"number\"},"
				 "\"longitude\":{\"type\":\"number\"}},"
				 "\"required\":[\"latitude\",\"longitude\"],\"type\":\"object\"}");
	const json_t *post = tool("post_places_place_id_notes");
	ck_assert_str_eq(json_member_str(post, "url"),
			 "https://api.open-meteo.com/v1/places/{place_id}/notes?lang={lang}");
	ck_assert_str_eq(json_member_str(json_object_get(post, "auth"), "type"), "bearer");
	ck_assert(json_is_false(json_object_get(post, "enabled")));
	_cleanup_free_ char *skipped = json_dumps(g_skipped, JSON_COMPACT);
	ck_assert_str_eq(skipped, "[{\"operation\":\"PUT /places/{place-id}/notes\",\"reason\":"
				  "\"its body is of a type that tools do not send\"},"
				  "{\"operation\":\"DELETE /places/{place-id}/notes\",\"reason\":"
				  "\"tools cannot authenticate in its way\"}]");
	done();
}
END_TEST

START_TEST(hostile_documents)
{
	struct err err = {0};

	ck_assert_int_eq(import("{}", NULL, &err), -ERR_INVALID);
	ck_assert_int_eq(import("{\"swagger\": \"2.0\"}", NULL, &err), -ERR_INVALID);
	ck_assert_int_eq(import("{\"openapi\": \"3.1.0\", \"paths\": {}}", NULL, &err),
			 -ERR_INVALID);
	ck_assert_int_eq(import("{\"openapi\": \"3.1.0\", \"servers\": [{\"url\": "
				"\"file:///etc\"}]}",
				NULL, &err),
			 -ERR_INVALID);
	/* references that go round, or lead nowhere */
	ck_assert_int_eq(
		import("{\"openapi\": \"3.1.0\", \"paths\": {\"/a\": {\"get\": {\"parameters\": "
		       "[{\"$ref\": \"#/x\"}, {\"$ref\": \"#/none/at/all\"}, {\"$ref\": "
		       "\"other.json\"}, 7]}}, \"/b\": {\"$ref\": \"#/paths/~1b\"}, \"/c\": "
		       "null, \"/d\": {\"post\": {\"requestBody\": {\"content\": "
		       "{\"application/json\": {\"schema\": {\"$ref\": \"#/s\"}}}}}}}, \"x\": "
		       "{\"$ref\": \"#/x\"}, \"s\": {\"properties\": {\"a\": {\"anyOf\": "
		       "[{\"$ref\": \"#/s\"}, {\"$ref\": \"#/s\"}]}}}}",
		       "https://example.org:8443/docs/openapi.json", &err),
		0);
	ck_assert_uint_eq(json_array_size(g_tools), 1);
	ck_assert_str_eq(json_member_str(tool("post_d"), "url"), "https://example.org:8443/d");
	ck_assert_uint_eq(json_array_size(g_skipped), 1);
	done();
}
END_TEST

/* An operation of its own document: `node` at GET /pets/{id}, or at POST there. */
static void import_operation(const char *method, const char *node)
{
	_cleanup_free_ char *text = xasprintf(
		"{\"openapi\": \"3.0.0\", \"servers\": [{\"url\": \"https://h\"}], \"components\": "
		"{\"securitySchemes\": {\"basic\": {\"type\": \"http\", \"scheme\": \"Basic\"}, "
		"\"key\": "
		"{\"type\": \"apiKey\", \"in\": \"header\", \"name\": \"X-Key\"}, \"query\": "
		"{\"type\": "
		"\"apiKey\", \"in\": \"query\", \"name\": \"k\"}, \"bad\": {}}}, \"paths\": "
		"{\"/pets/{id}\": {\"parameters\": [{\"name\": \"id\", \"in\": \"path\"}], \"%s\": "
		"%s}}}",
		method, node);
	struct err err;

	ck_assert_int_eq(import(text, NULL, &err), 0);
	ck_assert_uint_eq(json_array_size(g_tools) + json_array_size(g_skipped), 1);
}

static const struct {
	const char *method, *node, *reason;
} skipped_rows[] = {
	{"get", "{\"parameters\": [{\"in\": \"query\"}]}", "a parameter without a name"},
	{"get", "{\"parameters\": [{\"name\": \"x\", \"in\": \"path\"}]}",
	 "a parameter of its path is not in it"},
	{"get",
	 "{\"parameters\": [{\"name\": \"id\", \"in\": \"query\", \"schema\": {\"type\": "
	 "\"string\"}}]}",
	 "two of its parameters have one name"},
	{"get", "{\"parameters\": [{\"name\": \"x\", \"in\": \"header\", \"required\": true}]}",
	 "it needs a parameter in a header or a cookie"},
	{"get", "{\"requestBody\": {\"content\": {\"application/json\": {}}}}",
	 "a body with a method that has none"},
	{"get", "{\"security\": [{\"bad\": []}]}", "tools cannot authenticate in its way"},
	{"get", "{\"security\": [{\"none\": []}]}", "tools cannot authenticate in its way"},
	{"get", "{\"security\": [{\"query\": []}]}", "tools cannot authenticate in its way"},
	{"get", "{\"security\": [{\"basic\": [], \"key\": []}]}",
	 "tools cannot authenticate in its way"},
};

START_TEST(what_no_tool_does)
{
	import_operation(skipped_rows[_i].method, skipped_rows[_i].node);
	ck_assert_uint_eq(json_array_size(g_skipped), 1);
	ck_assert_str_eq(json_member_str(json_array_get(g_skipped, 0), "reason"),
			 skipped_rows[_i].reason);
	done();
}
END_TEST

/* A member of the tool, "member.of.it", is this JSON. */
static const struct {
	const char *method, *node, *member, *value;
} made_rows[] = {
	{"get", "{\"operationId\": \"2ndPet--\"}", "name", "\"x2nd_pet\""},
	{"get", "{\"operationId\": \"--\"}", "name", "\"x\""},
	{"get", "{\"operationId\": \"\"}", "name", "\"get_pets_id\""},
	{"get", "{\"security\": [{\"basic\": []}]}", "auth", "{\"type\":\"basic\"}"},
	{"get", "{\"security\": [{\"key\": []}]}", "auth",
	 "{\"type\":\"api_key\",\"header\":\"X-Key\"}"},
	{"get", "{\"security\": [{}]}", "auth", "{\"type\":\"none\"}"},
	/* the operation's own takes the place of the path's */
	{"get",
	 "{\"parameters\": [{\"name\": \"id\", \"in\": \"path\", \"description\": \"which\", "
	 "\"schema\": {\"type\": \"integer\"}}]}",
	 "input_schema",
	 "{\"type\":\"object\",\"properties\":{\"id\":{\"type\":\"integer\","
	 "\"description\":\"which\"}},\"required\":[\"id\"]}"},
	/* where there is a body, a query goes into the URL, and only if it must */
	{"post",
	 "{\"parameters\": [{\"name\": \"sort by\", \"in\": \"query\", \"required\": true}, "
	 "{\"name\": \"9\", \"in\": \"query\", \"required\": true}, {\"name\": \"x\", \"in\": "
	 "\"query\"}]}",
	 "url", "\"https://h/pets/{id}?sort%20by={sort_by}&9={_}\""},
	{"post", "{\"requestBody\": {\"description\": \"d\", \"content\": {\"text/plain\": {}}}}",
	 "body", "\"{body}\""},
	{"post",
	 "{\"requestBody\": {\"content\": {\"application/json\": {\"schema\": {\"type\": "
	 "\"array\"}}}}}",
	 "body", "\"{body}\""},
	{"post",
	 "{\"requestBody\": {\"content\": {\"application/x-www-form-urlencoded\": {\"schema\": "
	 "{\"properties\": {\"a\": {}}}}}}}",
	 "content_type", "\"application/x-www-form-urlencoded\""},
};

START_TEST(what_tools_are_made_of)
{
	import_operation(made_rows[_i].method, made_rows[_i].node);
	ck_assert_uint_eq(json_array_size(g_tools), 1);
	_cleanup_free_ char *value =
		json_dumps(json_object_get(json_array_get(g_tools, 0), made_rows[_i].member),
			   JSON_COMPACT | JSON_ENCODE_ANY);
	ck_assert_str_eq(value, made_rows[_i].value);
	done();
}
END_TEST

/* Of two operations with one name the first is the tool; a URL that no tool could ask is none. */
START_TEST(names_and_lengths)
{
	_cleanup_buf_ struct buf text = BUF_INIT(1 << 20);
	struct err err;

	buf_append_str(&text,
		       "{\"openapi\": \"3.0.0\", \"servers\": [{\"url\": \"http://h/\"}], "
		       "\"paths\": {\"/a\": {\"get\": {\"operationId\": \"do-it\"}}, \"/b\": "
		       "{\"get\": {\"operationId\": \"doIt\"}}, \"/");
	for (int i = 0; i < BOUND_URL_BYTES; i++)
		buf_append_char(&text, 'u');
	buf_append_str(&text, "\": {\"get\": {}}}}");
	ck_assert_int_eq(import(text.data, NULL, &err), 0);
	ck_assert_uint_eq(json_array_size(g_tools), 1);
	ck_assert_str_eq(json_member_str(tool("do_it"), "url"), "http://h/a");
	ck_assert_uint_eq(json_array_size(g_skipped), 2);
	ck_assert_str_eq(json_member_str(json_array_get(g_skipped, 0), "reason"),
			 "another operation has its name");
	ck_assert_str_eq(json_member_str(json_array_get(g_skipped, 1), "reason"),
			 "its URL is too long");
	done();
	/* nor does a path parameter bring it back */
	buf_reset(&text);
	buf_append_str(&text, "{\"openapi\": \"3.0.0\", \"servers\": [{\"url\": \"http://h\"}], "
			      "\"paths\": {\"/{a}");
	for (int i = 0; i < BOUND_URL_BYTES; i++)
		buf_append_char(&text, 'u');
	buf_append_str(&text, "\": {\"get\": {\"parameters\": [{\"name\": \"a\", \"in\": "
			      "\"path\"}]}}}}");
	ck_assert_int_eq(import(text.data, NULL, &err), 0);
	ck_assert_str_eq(json_member_str(json_array_get(g_skipped, 0), "reason"),
			 "its URL is too long");
	done();
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("openapi");

	tcase_add_test(c, a_public_api);
	tcase_add_test(c, hostile_documents);
	tcase_add_loop_test(c, what_no_tool_does, 0, ARRAY_LEN(skipped_rows));
	tcase_add_loop_test(c, what_tools_are_made_of, 0, ARRAY_LEN(made_rows));
	tcase_add_test(c, names_and_lengths);
	return suite_run("openapi", c);
}
