/* OpenAPI documents: each tool that comes out is one that http_tools may hold. */
#include "fuzz.h"
#include "openapi.h"

int fuzz_openapi(const uint8_t *data, size_t size)
{
	_cleanup_json_ json_t *document = NULL, *tools = NULL, *skipped = NULL, *before = NULL;
	struct err err;
	json_t *tool;
	size_t i;
	int rc;

	if (json_load_python((const char *)data, size, &document, &err) < 0)
		return 0;
	before = json_deep_copy(document);
	rc = openapi_tools(document, "https://api.example/openapi.json", &tools, &skipped, &err);
	FUZZ_CHECK(json_equal(document, before));
	if (rc < 0) {
		fuzz_failed(rc, &err);
		return 0;
	}
	fuzz_made_json(tools);
	fuzz_made_json(skipped);
	json_array_foreach(tools, i, tool)
	{
		FUZZ_CHECK(json_member_str(tool, "name") && json_member_str(tool, "url"));
		FUZZ_CHECK(json_member_str(tool, "method") != NULL);
	}
	FUZZ_CHECK(json_is_array(skipped));
	return 0;
}
