/* Trace context in messages: read where it is one, carried on to what follows. */
#include <string.h>

#include "bounds.h"
#include "codec.h"
#include "json.h"
#include "message.h"
#include "signature.h"
#include "tests/unit/suite.h"

#define PARENT "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

static char g_name[] = "json";
static char *g_names[] = {g_name};
static const struct str_list g_accept = {g_names, 1};
static struct err g_err;

static struct message *decode(const char *headers)
{
	static const char body[] = "[[], {}, {}]";
	_cleanup_buf_ struct buf b = BUF_INIT(65536);
	char id[BOUND_TASK_NAME_BYTES + 1], task[BOUND_TASK_NAME_BYTES + 1];
	struct message *m = NULL;

	buf_append_str(&b, "{\"body\": \"");
	base64_encode(body, strlen(body), &b);
	buf_appendf(&b,
		    "\", \"content-type\": \"application/json\", \"headers\": {\"task\": \"t\", "
		    "\"id\": \"i\", %s}, \"properties\": {\"body_encoding\": \"base64\"}}",
		    headers);
	ck_assert_int_eq(message_decode(b.data, b.len, &g_accept, &m, id, task, &g_err),
			 MESSAGE_OK);
	return m;
}

START_TEST(test_read)
{
	static const struct {
		const char *headers, *parent, *state;
	} rows[] = {
		{"\"traceparent\": \"" PARENT "\"", PARENT, NULL},
		{"\"traceparent\": \"" PARENT "\", \"tracestate\": \"a=b,c=d\"", PARENT, "a=b,c=d"},
		{"\"tracestate\": \"a=b\"", NULL, NULL},
		{"\"traceparent\": null", NULL, NULL},
		{"\"traceparent\": 5", NULL, NULL},
		{"\"traceparent\": \"\"", NULL, NULL},
		{"\"traceparent\": \"" PARENT "-more\"", NULL, NULL},
		{"\"traceparent\": \"FF-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\"",
		 NULL, NULL},
		{"\"traceparent\": \"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\"",
		 NULL, NULL},
		{"\"traceparent\": \"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\"",
		 "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", NULL},
		{"\"traceparent\": \"00-00000000000000000000000000000000-b7ad6b7169203331-01\"",
		 NULL, NULL},
		{"\"traceparent\": \"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01\"",
		 NULL, NULL},
		{"\"traceparent\": \"00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\"",
		 NULL, NULL},
		{"\"traceparent\": \"00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01\"",
		 NULL, NULL},
		{"\"traceparent\": \"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0\\n\"",
		 NULL, NULL},
		{"\"traceparent\": \"" PARENT "\", \"tracestate\": \"a=\\u001b[2J\"", PARENT, NULL},
	};
	struct message *m = decode(rows[_i].headers);

	ck_assert_pstr_eq(m->traceparent, rows[_i].parent);
	ck_assert_pstr_eq(m->tracestate, rows[_i].state);
	message_free(m);
}
END_TEST

/* Whoever follows belongs to the same trace, unless it says another. */
START_TEST(test_carried_on)
{
	static const char *const says[] = {"{}", "{\"headers\": {\"tenant\": \"x\"}}",
					   "{\"headers\": {\"traceparent\": \"theirs\"}}",
					   "{\"headers\": null}"};
	static const char *const expected[] = {PARENT, PARENT, "theirs", PARENT};
	const struct signature_context context = {.task_id = "i",
						  .default_queue = "q",
						  .priority = -1,
						  .traceparent = PARENT,
						  .tracestate = "a=b"};
	_cleanup_json_ json_t *options = json_loads(says[_i], 0, NULL);
	_cleanup_json_ json_t *link =
		json_pack("{s:s, s:[], s:{}, s:O, s:n, s:b}", "task", "n", "args", "kwargs",
			  "options", options, "subtask_type", "immutable", 0);
	_cleanup_json_ json_t *embed = json_pack("{s:[O]}", "callbacks", link);
	_cleanup_json_ json_t *value = json_true(), *before = json_deep_copy(link);
	_cleanup_buf_ struct buf b = BUF_INIT(65536);
	_cleanup_json_ json_t *envelope = NULL;
	struct signature_plan plan = {0};
	const json_t *headers;

	ck_assert_int_eq(signature_on_success(&context, embed, value, &plan, &g_err), 0);
	ck_assert_uint_eq(plan.message_count, 1);
	ck_assert_int_eq(message_encode(&plan.messages[0], &b, &g_err), 0);
	ck_assert_int_eq(json_load_python(b.data, b.len, &envelope, &g_err), 0);
	headers = json_object_get(envelope, "headers");
	ck_assert_str_eq(json_member_str(headers, "traceparent"), expected[_i]);
	ck_assert_pstr_eq(json_member_str(headers, "tracestate"), _i == 2 ? NULL : "a=b");
	ck_assert_pstr_eq(json_member_str(headers, "tenant"), _i == 1 ? "x" : NULL);
	ck_assert_msg(json_equal(link, before), "what was passed in is changed");
	signature_plan_done(&plan);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("trace");

	tcase_add_loop_test(t, test_read, 0, 16);
	tcase_add_loop_test(t, test_carried_on, 0, 4);
	return suite_run("trace", t);
}
