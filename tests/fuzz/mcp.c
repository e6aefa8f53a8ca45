/*
 * What an MCP server says: a line of JSON that is a message, a catalogue or a schema, and one that
 * is a value for it.
 */
#include "common/mcp/header.h"
#include "common/mcp/rpc.h"
#include "common/mcp/tools.h"
#include "bounds.h"
#include "fuzz.h"

static void message(const json_t *value)
{
	struct err err;

	switch (rpc_classify(value)) {
	case RPC_ERROR:
		(void)rpc_error_code(value);
		fuzz_failed(rpc_error(value, "tools/call", &err), &err);
		break;
	case RPC_RESULT:
		FUZZ_CHECK(json_object_get(value, "result") != NULL);
		break;
	case RPC_REQUEST:
	case RPC_NOTIFICATION:
		FUZZ_CHECK(json_member_str(value, "method") != NULL);
		break;
	case RPC_NOTHING:
		break;
	}
	FUZZ_CHECK(rpc_answer_id(value) >= 0);
}

static void catalogue(const json_t *value, bool headers)
{
	struct mcp_catalogue c;
	const json_t *cursor = NULL;
	struct err err;
	int rc;

	mcp_catalogue_init(&c);
	rc = mcp_catalogue_page(&c, value, headers, NULL, NULL, &cursor, &err);
	if (rc < 0)
		fuzz_failed(rc, &err);
	else {
		size_t i;
		json_t *tool;

		fuzz_made_json(c.tools);
		fuzz_made_json(cursor);
		FUZZ_CHECK(json_array_size(c.tools) <= BOUND_MCP_TOOLS);
		json_array_foreach(c.tools, i, tool)
			FUZZ_CHECK(json_member_str(tool, "name") != NULL);
	}
	mcp_catalogue_done(&c);
}

static void headers(const json_t *schema, const json_t *arguments)
{
	char **lines = NULL;
	struct err err;

	if (mcp_header_check(schema, &err) < 0)
		fuzz_failed(-err.code, &err);
	if (mcp_header_params(schema, arguments, &lines, &err) < 0)
		fuzz_failed(-err.code, &err);
	else
		for (char **l = lines; l && *l; l++, fuzz_made_text(l[-1]))
			FUZZ_CHECK(strpbrk(*l, "\r\n") == NULL);
	free(lines);
}

int fuzz_mcp(const uint8_t *data, size_t size)
{
	struct slice in = {(const char *)data, size};
	_cleanup_json_ json_t *first = fuzz_json_line(&in), *second = fuzz_json_line(&in);
	_cleanup_buf_ struct buf value = BUF_INIT(1u << 20);
	struct err err = {0};

	mcp_header_value((const char *)data, size, &value);
	FUZZ_WORKS(buf_status(&value, &err), &err);
	FUZZ_CHECK(strpbrk(value.data, "\r\n") == NULL);
	if (first == NULL)
		return 0;
	message(first);
	catalogue(first, true);
	catalogue(first, false);
	headers(first, second);
	if (second && json_schema_check(first, second, "arguments", &err) < 0)
		fuzz_failed(-err.code, &err);
	return 0;
}
