/*
 * test_openapi.c: operations as tools, and documents that are none.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
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

int main(void)
{
	TCase *c = tcase_create("openapi");

	tcase_add_test(c, a_public_api);
	tcase_add_test(c, hostile_documents);
	return suite_run("openapi", c);
}
