/* Messages of JSON-RPC: which kind one is, what numbers they carry, and those that we write. */
#include <string.h>

#include "common/mcp/rpc.h"
#include "json.h"
#include "tests/unit/suite.h"

static json_t *parse(const char *text)
{
	json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);

	ck_assert_msg(value != NULL, "%s", text);
	return value;
}

static const struct {
	const char *text;
	enum rpc_kind kind;
} kinds[] = {
	{"{\"jsonrpc\": \"2.0\", \"id\": 1, \"result\": {}}", RPC_RESULT},
	{"{\"jsonrpc\": \"2.0\", \"id\": 1.0, \"result\": null}", RPC_RESULT},
	{"{\"jsonrpc\": \"2.0\", \"id\": 1.5, \"result\": {}}", RPC_NOTHING},
	{"{\"jsonrpc\": \"2.0\", \"id\": null, \"result\": {}}", RPC_NOTHING},
	{"{\"jsonrpc\": \"2.0\", \"result\": {}}", RPC_NOTHING},
	{"{\"jsonrpc\": \"2.0\", \"id\": null, \"error\": {}}", RPC_ERROR},
	{"{\"jsonrpc\": \"2.0\", \"error\": {}}", RPC_ERROR},
	{"{\"jsonrpc\": \"2.0\", \"id\": [], \"error\": {}}", RPC_NOTHING},
	{"{\"jsonrpc\": \"2.0\", \"id\": 1, \"error\": \"x\"}", RPC_NOTHING},
	{"{\"jsonrpc\": \"2.0\", \"id\": 1, \"error\": {}, \"result\": {}}", RPC_NOTHING},
	{"{\"jsonrpc\": \"2.0\", \"id\": \"a\", \"method\": \"ping\"}", RPC_REQUEST},
	{"{\"jsonrpc\": \"2.0\", \"id\": null, \"method\": \"ping\"}", RPC_NOTHING},
	{"{\"jsonrpc\": \"2.0\", \"method\": \"ping\"}", RPC_NOTIFICATION},
	{"{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"ping\", \"result\": 1}", RPC_NOTHING},
	{"{\"jsonrpc\": \"2.0\", \"id\": 1}", RPC_NOTHING},
	{"{\"jsonrpc\": \"1.0\", \"id\": 1, \"result\": {}}", RPC_NOTHING},
	{"{\"jsonrpc\": 2.0, \"id\": 1, \"result\": {}}", RPC_NOTHING},
	{"{\"id\": 1, \"result\": {}}", RPC_NOTHING},
	{"[]", RPC_NOTHING},
	{"1", RPC_NOTHING},
};

START_TEST(test_kind)
{
	_cleanup_json_ json_t *value = parse(kinds[_i].text);

	ck_assert_msg(rpc_classify(value) == kinds[_i].kind, "%s", kinds[_i].text);
}
END_TEST

/* Ours count from 1; others write an integer as a real as well. */
START_TEST(test_ids)
{
	static const struct {
		const char *id;
		int64_t value;
	} rows[] = {{"7", 7},	 {"7.0", 7},   {"0", 0},     {"-1", 0},	  {"0.5", 0},
		    {"9e15", 0}, {"1e300", 0}, {"\"7\"", 0}, {"null", 0}, {"[7]", 0}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_json_ json_t *id = parse(rows[i].id),
				      *message = json_pack("{s:O}", "id", id);

		ck_assert_msg(rpc_answer_id(message) == rows[i].value, "%s", rows[i].id);
	}
}
END_TEST

START_TEST(test_errors)
{
	static const struct {
		const char *error, *words;
		int64_t code;
	} rows[] = {
		{"{\"code\": -32601, \"message\": \"no such\"}", "tools/call: no such (-32601)",
		 -32601},
		{"{\"code\": -5.0, \"message\": \"m\"}", "tools/call: m (-5)", -5},
		{"{\"code\": 1e300}", "tools/call: no reason given (0)", 0},
		{"{\"code\": \"x\", \"message\": 1}", "tools/call: no reason given (0)", 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_json_ json_t *error = parse(rows[i].error),
				      *message = json_pack("{s:O}", "error", error);
		struct err err;

		ck_assert_int_eq(rpc_error_code(message), rows[i].code);
		ck_assert_int_eq(rpc_error(message, "tools/call", &err), -ERR_FAILED);
		ck_assert_str_eq(err.msg, rows[i].words);
	}
}
END_TEST

static void assert_is(json_t *made, const char *text)
{
	_cleanup_json_ json_t *value = made;
	_cleanup_free_ char *dumped = json_dumps(value, JSON_COMPACT);

	ck_assert_str_eq(dumped, text);
}

START_TEST(test_written)
{
	_cleanup_json_ json_t *params = parse("{\"a\": 1}"), *id = parse("\"x\"");

	assert_is(rpc_request(3, "ping", params),
		  "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"ping\",\"params\":{\"a\":1}}");
	assert_is(rpc_request(0, "notifications/initialized", NULL),
		  "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
	assert_is(rpc_answer(id, json_object(), 0, NULL),
		  "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"result\":{}}");
	assert_is(rpc_answer(id, NULL, -32601, "no"), "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"error\":"
						      "{\"code\":-32601,\"message\":\"no\"}}");
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("rpc");

	tcase_add_loop_test(t, test_kind, 0, ARRAY_LEN(kinds));
	tcase_add_test(t, test_ids);
	tcase_add_test(t, test_errors);
	tcase_add_test(t, test_written);
	return suite_run("mcp_rpc", t);
}
