/*
 * Memory that is asked for by input may not be there (mem.h: try_alloc, buf.h): each time that it
 * is asked for is made to fail once, in turn, over readers and writers of what comes from outside.
 * Each then says that there was no memory, or does as it would have without; under ASan, without a
 * leak.
 */
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "common/backend/pickle.h"
#include "common/mcp/sse.h"
#include "common/sandbox/egress_head.h"
#include "common/sandbox/outcome.h"
#include "common/wire/content.h"
#include "control.h"
#include "json.h"
#include "message.h"
#include "seal.h"
#include "serial.h"
#include "signature.h"
#include "typed.h"
#include "tests/unit/memory_fixture.h"
#include "tests/unit/suite.h"

/* ---- what is called: 0 or an error; what came out is appended to `out` ---- */
static const char g_message[] =
	"{\"body\": "
	"\"W1sxLCAiYSJdLCB7ImsiOiBbMl19LCB7ImNhbGxiYWNrcyI6IG51bGwsICJlcnJiYWNrcyI6IG51bGwsIC"
	"JjaGFpbiI6IG51bGwsICJjaG9yZCI6IG51bGx9XQ==\", \"content-encoding\": \"utf-8\", "
	"\"content-type\": \"application/json\", \"headers\": {\"lang\": \"py\", \"task\": \"t\", "
	"\"id\": \"0a8f3f7e-2f4c-4a5e-8c7b-1d2e3f405162\", \"retries\": 0}, \"properties\": "
	"{\"body_encoding\": \"base64\", \"priority\": 0, \"delivery_tag\": \"x\", "
	"\"delivery_info\": {\"exchange\": \"\", \"routing_key\": \"celery\"}}}";
static char g_json[] = "json", g_yaml[] = "yaml";
static char *g_accepted[] = {g_json, g_yaml};
static const struct str_list g_accept = {.items = g_accepted, .count = ARRAY_LEN(g_accepted)};

static int call_message(struct buf *out, struct err *err)
{
	char id[BOUND_TASK_NAME_BYTES + 1], task[BOUND_TASK_NAME_BYTES + 1];
	_cleanup_message_ struct message *m = NULL;

	if (message_decode(g_message, strlen(g_message), &g_accept, &m, id, task, err) !=
	    MESSAGE_OK)
		return -err->code;
	buf_append_str(out, m->task);
	json_dump_python(m->kwargs, out);
	return 0;
}

static int call_encode(struct buf *out, struct err *err)
{
	static const char *const ways[] = {"gzip", "bzip2", "lzma", "zstd", "brotli", NULL};
	struct message_out m = {.task = "t", .id = "i", .queue = "celery", .origin = "o@h"};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(ways); i++) {
		_cleanup_buf_ struct buf one = BUF_INIT(1 << 20);

		m.compression = ways[i];
		rc = message_encode(&m, &one, err);
		buf_append_char(out, one.len > 0 ? '+' : '-');
	}
	return rc;
}

static int call_content(struct buf *out, struct err *err)
{
	static const struct {
		content_read_fn *read;
		content_write_fn *write;
	} ways[] = {{yaml_read, yaml_write},
		    {msgpack_read, msgpack_write},
		    {json_body_read, json_body_write},
		    {raw_read, raw_write}};
	_cleanup_json_ json_t *value = json_pack(
		"{s:[i,f,s,n],s:{s:s,s:s},s:o}", "list", 1, 1.5, "\xc3\xa9", "bytes", "__type__",
		"base64", "__value__", "//4=", "date", typed_time(TYPED_DATE, "2026-11-28"));
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(ways); i++) {
		_cleanup_buf_ struct buf text = BUF_INIT(1 << 20);
		_cleanup_json_ json_t *back = NULL;
		const json_t *given =
			ways[i].write == raw_write ? json_object_get(value, "bytes") : value;

		rc = ways[i].write(given, &text, err);
		if (rc == 0)
			rc = ways[i].read(text.data, text.len, &back, err);
		if (rc == 0)
			json_dump_python(back, out);
	}
	return rc;
}

static int call_compression(struct buf *out, struct err *err)
{
	static const char *const names[] = {"gzip", "bzip2", "lzma", "zstd", "brotli"};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(names); i++) {
		_cleanup_buf_ struct buf packed = BUF_INIT(1 << 20), plain = BUF_INIT(1 << 20);
		const char *mime = serial_compression(names[i]);
		char text[5000];

		memset(text, 'x', sizeof(text));
		rc = serial_compress(mime, (struct slice){text, sizeof(text)}, &packed, err);
		if (rc == 0)
			rc = serial_decompress(mime, (struct slice){packed.data, packed.len},
					       &plain, err);
		buf_appendf(out, "%zu ", plain.len);
	}
	return rc;
}

static int call_pickle(struct buf *out, struct err *err)
{
	_cleanup_json_ json_t *value = json_pack("{s:[i,s,n,b],s:f}", "a", 70000, "text", 1, "b",
						 1.5),
			      *back = NULL;
	_cleanup_buf_ struct buf text = BUF_INIT(1 << 20);
	int rc = pickle_write(value, &text, err);

	if (rc == 0)
		rc = pickle_read((struct slice){text.data, text.len}, &back, err);
	if (rc == 0)
		json_dump_python(back, out);
	return rc;
}

static int call_json(struct buf *out, struct err *err)
{
	static const char text[] =
		"{\"a\": [NaN, 123456789012345678901234567890, \"\\ud800\\u0000\", "
		"1.5], \"b\": \"\\u0001x\"}";
	_cleanup_json_ json_t *value = NULL;
	int rc = json_load_python(text, strlen(text), &value, err);

	if (rc == 0)
		json_dump_python(value, out);
	return rc;
}

static int call_canvas(struct buf *out, struct err *err)
{
	static const char text[] =
		"{\"task\": \"celery.chain\", \"subtask_type\": \"chain\", \"args\": [], "
		"\"options\": {}, "
		"\"immutable\": false, \"kwargs\": {\"tasks\": [{\"task\": \"a\", \"args\": [1], "
		"\"kwargs\": "
		"{}, \"options\": {}, \"subtask_type\": null, \"immutable\": false}, {\"task\": "
		"\"celery.group\", \"subtask_type\": \"group\", \"args\": [], \"options\": {}, "
		"\"immutable\": "
		"false, \"kwargs\": {\"tasks\": [{\"task\": \"b\", \"args\": [], \"kwargs\": {}, "
		"\"options\": "
		"{}, \"subtask_type\": null, \"immutable\": true}]}}]}}";
	struct signature_context c = {
		.task_id = "i", .default_queue = "celery", .origin = "o@h", .priority = -1};
	struct signature_plan plan = {0};
	_cleanup_json_ json_t *signature = NULL;
	int rc = json_load_python(text, strlen(text), &signature, err);

	if (rc == 0)
		rc = signature_apply(&c, signature, NULL, NULL, NULL, &plan, err);
	for (size_t i = 0; rc == 0 && i < plan.message_count; i++) {
		_cleanup_buf_ struct buf one = BUF_INIT(1 << 20);

		rc = message_encode(&plan.messages[i], &one, err);
		buf_append_str(out, plan.messages[i].id);
	}
	signature_plan_done(&plan);
	return rc;
}

static int call_control(struct buf *out, struct err *err)
{
	static const char text[] =
		"{\"body\": \"{\\\"method\\\": \\\"ping\\\", \\\"reply_to\\\": {\\\"exchange\\\": "
		"\\\"reply.celery.pidbox\\\", \\\"routing_key\\\": \\\"k\\\"}}\", "
		"\"content-type\": "
		"\"application/json\", \"content-encoding\": \"utf-8\", \"headers\": {}, "
		"\"properties\": {}}";
	_cleanup_buf_ struct buf reply = BUF_INIT(1 << 20);
	struct control_request r = {0};
	int rc = control_decode(text, strlen(text), &g_accept, "celery@h", "reply.celery.pidbox",
				&r, err);

	if (rc < 0)
		return rc;
	rc = control_encode_reply(&r, "celery@h", NULL, 1, &reply, err);
	buf_append_str(out, r.method);
	control_request_done(&r);
	return rc;
}

static int event(void *arg, const char *type, const char *data, size_t len, struct err *err)
{
	(void)err;
	buf_append_str(arg, type);
	buf_append(arg, data, len);
	return 0;
}

static int call_sse(struct buf *out, struct err *err)
{
	static const char text[] = "event: a\nid: 1\ndata: one\ndata: two\n\ndata: three\n\n";
	struct sse s;
	int rc;

	sse_init(&s, 1000);
	rc = sse_feed(&s, text, strlen(text), event, out, err);
	sse_done(&s);
	return rc;
}

static int call_egress(struct buf *out, struct err *err)
{
	static const char text[] = "GET http://a.example/p HTTP/1.1\r\nAccept: x\r\nX-Y: z\r\n\r\n";
	struct egress_request r = {0};
	int rc = egress_request_parse(text, strlen(text), &r, err);

	if (rc < 0)
		return rc;
	buf_append(out, r.head.data, r.head.len);
	egress_request_done(&r);
	return 0;
}

static int call_outcome(struct buf *out, struct err *err)
{
	struct sandbox_outcome o = {0};
	struct outcome_stream s;
	char *text = NULL;
	size_t len = 0;
	int rc = sandbox_outcome_add_file(&o, "a.txt", 5, 10000, 20000, err);

	sandbox_outcome_stream_init(&s, 1000);
	if (rc == 0)
		rc = sandbox_outcome_stream_add(&s, "head\xff", 5, false, err);
	if (rc == 0)
		rc = sandbox_outcome_stream_add(&s, "tail", 4, true, err);
	if (rc == 0)
		rc = sandbox_outcome_stream_text(&s, 7, &text, &len, err);
	if (rc == 0)
		buf_append(out, text, len);
	free(text);
	sandbox_outcome_stream_done(&s);
	sandbox_outcome_done(&o);
	return rc;
}

static int call_seal(struct buf *out, struct err *err)
{
	_cleanup_buf_ struct buf sealed = BUF_INIT(1000), opened = BUF_INIT(1000);
	struct seal_keys keys;
	int rc = seal_keys_parse("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", &keys, err);

	if (rc == 0)
		rc = seal(&keys, "t.c.1", "secret", 6, &sealed, err);
	if (rc == 0)
		rc = seal_open(&keys, "t.c.1", sealed.data, &opened, err);
	buf_append(out, opened.data, opened.len);
	return rc;
}

static const struct {
	const char *name;
	int (*call)(struct buf *out, struct err *err);
} g_calls[] = {
	{"a message is read", call_message},  {"messages are written", call_encode},
	{"contents both ways", call_content}, {"compressions both ways", call_compression},
	{"pickle both ways", call_pickle},    {"JSON both ways", call_json},
	{"a canvas is applied", call_canvas}, {"remote control", call_control},
	{"server-sent events", call_sse},     {"a request of a sandbox", call_egress},
	{"what a run leaves", call_outcome},  {"a secret is sealed and opened", call_seal},
};

START_TEST(test_each_request_fails_once)
{
	struct buf whole = BUF_INIT(1 << 20);
	struct err err = {0};
	size_t fails = 0;
	bool hit;

	ck_assert_msg(g_calls[_i].call(&whole, &err) == 0, "%s: %s", g_calls[_i].name, err.msg);
	do {
		/* The builder for what comes out has its memory already. */
		struct buf out = BUF_INIT(1 << 20);
		int rc;

		ck_assert_ptr_nonnull(buf_reserve(&out, 1 << 16));
		err = (struct err){0};
		memory_fail(++fails);
		rc = g_calls[_i].call(&out, &err);
		hit = memory_failed();
		if (rc < 0)
			ck_assert_msg(err.code == ERR_NOMEM && err.msg[0], "%s: request %zu: %s",
				      g_calls[_i].name, fails, err.msg);
		else
			ck_assert_msg(out.len == whole.len &&
					      memcmp(out.data, whole.data, whole.len) == 0,
				      "%s: without request %zu: %s, not %s", g_calls[_i].name,
				      fails, out.data, whole.data);
		buf_done(&out);
	} while (hit);
	ck_assert_msg(fails > 1, "%s asks for no memory", g_calls[_i].name);
	buf_done(&whole);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("no memory");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, test_each_request_fails_once, 0, ARRAY_LEN(g_calls));
	return suite_run("no memory", t);
}
