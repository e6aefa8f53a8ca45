/* Server-sent events: every split, every end of line, and what is no event. */
#include <stdlib.h>
#include <string.h>

#include "common/mcp/sse.h"
#include "tests/unit/suite.h"

/* "type:data|" for each event; "\n" in data stays. */
static int note(void *arg, const char *type, const char *data, size_t len, struct err *err)
{
	(void)err;
	buf_appendf(arg, "%s:%.*s|", type, (int)len, data);
	return 0;
}

static const struct {
	const char *in, *events, *id;
	int64_t retry;
} rows[] = {
	{"data: a\n\n", "message:a|", "", -1},
	{"data:a\n\n", "message:a|", "", -1},
	{"data:  a\n\n", "message: a|", "", -1},
	{"\xEF\xBB\xBF"
	 "data: a\n\n",
	 "message:a|", "", -1},
	{"event: endpoint\ndata: /x\n\n", "endpoint:/x|", "", -1},
	{"data: a\r\n\r\ndata: b\r\rdata: c\n\n", "message:a|message:b|message:c|", "", -1},
	{"data: a\ndata: b\n\n", "message:a\nb|", "", -1},
	{"data\ndata: b\n\n", "message:\nb|", "", -1},
	{": comment\ndata: a\n: more\n\n", "message:a|", "", -1},
	{"id: 1\nretry: 500\ndata: \n\n", "", "1", 500},
	{"id: 1\ndata: a\n\nid: 2\ndata: b\n", "message:a|", "1", -1},
	{"id: 1\ndata: a\n\nid\ndata: b\n\n", "message:a|message:b|", "", -1},
	{"retry: x5\ndata: a\n\n", "message:a|", "", -1},
	{"retry: 12345678901\ndata: a\n\n", "message:a|", "", -1},
	{"unknown: x\ndata: a\nnot even a field\n\n", "message:a|", "", -1},
	{"event: e\n\ndata: a\n\n", "message:a|", "", -1},
	{"data: lost at the end", "", "", -1},
};

START_TEST(test_every_split)
{
	size_t len = strlen(rows[_i].in);

	for (size_t step = 1; step <= len; step++) {
		_cleanup_buf_ struct buf out = BUF_INIT(1000);
		struct sse s;
		struct err err;
		sse_init(&s, 1000);
		for (size_t at = 0; at < len; at += step)
			ck_assert_int_eq(sse_feed(&s, rows[_i].in + at,
						  len - at < step ? len - at : step, note, &out,
						  &err),
					 0);
		ck_assert_str_eq(out.data, rows[_i].events);
		ck_assert_str_eq(s.id, rows[_i].id);
		ck_assert_int_eq(s.retry_ms, rows[_i].retry);
		sse_done(&s);
	}
}
END_TEST

/* An id with a NUL, and one that is too long, are not remembered. */
START_TEST(test_ids)
{
	static const char nul[] = "id: a\0b\ndata: x\n\n";
	_cleanup_buf_ struct buf out = BUF_INIT(8000);
	_cleanup_buf_ struct buf in = BUF_INIT(8000);
	struct sse s;
	struct err err;

	sse_init(&s, 4000);
	ck_assert_int_eq(sse_feed(&s, nul, sizeof(nul) - 1, note, &out, &err), 0);
	ck_assert_str_eq(s.id, "");
	buf_append_str(&in, "id: ");
	for (int i = 0; i <= SSE_ID_BYTES; i++)
		buf_append_char(&in, 'i');
	buf_append_str(&in, "\ndata: y\n\n");
	ck_assert_int_eq(sse_feed(&s, in.data, in.len, note, &out, &err), 0);
	ck_assert_str_eq(s.id, "");
	ck_assert_str_eq(out.data, "message:x|message:y|");
	sse_done(&s);
}
END_TEST

/* A type of more bytes than any has is cut, and the event is one all the same. */
START_TEST(test_long_type)
{
	_cleanup_buf_ struct buf out = BUF_INIT(8000), in = BUF_INIT(8000);
	struct sse s;
	struct err err;

	sse_init(&s, 4000);
	buf_append_str(&in, "event: ");
	for (int i = 0; i < SSE_TYPE_BYTES + 9; i++)
		buf_append_char(&in, 't');
	buf_append_str(&in, "\ndata: x\n\n");
	ck_assert_int_eq(sse_feed(&s, in.data, in.len, note, &out, &err), 0);
	ck_assert_uint_eq(strspn(out.data, "t"), SSE_TYPE_BYTES);
	ck_assert_str_eq(out.data + SSE_TYPE_BYTES, ":x|");
	sse_done(&s);
}
END_TEST

static int refuse(void *arg, const char *type, const char *data, size_t len, struct err *err)
{
	(void)arg, (void)type, (void)data, (void)len;
	return err_set(err, ERR_PROTOCOL, "no");
}

START_TEST(test_bounds)
{
	_cleanup_buf_ struct buf out = BUF_INIT(100);
	struct sse s;
	struct err err;
	char long_line[200];

	memset(long_line, 'x', sizeof(long_line));
	sse_init(&s, 100);
	ck_assert_int_eq(sse_feed(&s, long_line, sizeof(long_line), note, &out, &err), -ERR_TOOBIG);
	sse_done(&s);
	/* many lines of one event */
	sse_init(&s, 100);
	int r = 0;
	for (int i = 0; i < 50 && r == 0; i++)
		r = sse_feed(&s, "data: 12345\n", 12, note, &out, &err);
	ck_assert_int_eq(r, -ERR_TOOBIG);
	sse_done(&s);
	sse_init(&s, 100);
	ck_assert_int_eq(sse_feed(&s, "data: a\n\n", 9, refuse, NULL, &err), -ERR_PROTOCOL);
	sse_done(&s);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("events");

	tcase_add_loop_test(t, test_every_split, 0, ARRAY_LEN(rows));
	tcase_add_test(t, test_ids);
	tcase_add_test(t, test_long_type);
	tcase_add_test(t, test_bounds);
	return suite_run("sse", t);
}
