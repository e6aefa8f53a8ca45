/*
 * test_control.c: requests of remote control as kombu sends them, replies, node patterns, and the
 * logical clock.
 */
#include <check.h>
#include <string.h>
#include <time.h>

#include "bounds.h"
#include "codec.h"
#include "control.h"
#include "event.h"
#include "json.h"
#include "mem.h"
#include "tests/unit/suite.h"

#define NODE  "celery@a"
#define REPLY "reply.celery.pidbox"

static char g_json[] = "json";
static char *g_accepted[] = {g_json};
static const struct str_list g_accept = {g_accepted, 1};
static struct err g_err;

/* The envelope of `body`, as kombu 5 writes it. */
static void wrap(const char *body, const char *type, struct buf *out)
{
	buf_reset(out);
	buf_append_str(out, "{\"body\": \"");
	base64_encode(body, strlen(body), out);
	buf_appendf(out,
		    "\", \"content-encoding\": \"utf-8\", \"content-type\": \"%s\", \"headers\": "
		    "{\"clock\": 41, \"expires\": 0}, \"properties\": {\"delivery_mode\": 2, "
		    "\"delivery_info\": {\"exchange\": \"celery.pidbox\", \"routing_key\": \"\"}, "
		    "\"priority\": 0, \"body_encoding\": \"base64\", \"delivery_tag\": \"t\"}}",
		    type);
}

static int decode(const char *body, struct control_request *ret)
{
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_MESSAGE_BYTES);

	wrap(body, "application/json", &text);
	g_err = (struct err){0};
	return control_decode(text.data, text.len, &g_accept, NODE, REPLY, ret, &g_err);
}

START_TEST(test_request)
{
	struct control_request r;

	ck_assert_int_eq(
		decode("{\"method\": \"ping\", \"arguments\": {\"a\": 1}, \"destination\": null, "
		       "\"pattern\": null, \"matcher\": null, \"ticket\": \"t\", "
		       "\"reply_to\": {\"exchange\": \"" REPLY "\", \"routing_key\": \"oid\"}}",
		       &r),
		0);
	ck_assert(r.for_us);
	ck_assert_str_eq(r.method, "ping");
	ck_assert_str_eq(r.reply_key, "oid");
	ck_assert_str_eq(json_string_value(r.ticket), "t");
	ck_assert_int_eq(r.clock, 41);
	ck_assert_int_eq(json_integer_value(json_object_get(r.arguments, "a")), 1);
	control_request_done(&r);
}
END_TEST

START_TEST(test_who_is_asked)
{
	static const struct {
		const char *body;
		bool for_us;
	} rows[] = {
		{"{\"method\": \"m\"}", true},
		{"{\"method\": \"m\", \"destination\": []}", true},
		{"{\"method\": \"m\", \"destination\": [\"celery@a\"]}", true},
		{"{\"method\": \"m\", \"destination\": [\"celery@b\", 7]}", false},
		{"{\"method\": \"m\", \"destination\": \"celery@b\"}", false},
		{"{\"method\": \"m\", \"pattern\": \"*@a\", \"matcher\": \"glob\"}", true},
		{"{\"method\": \"m\", \"pattern\": \"*@b\", \"matcher\": \"glob\"}", false},
		{"{\"method\": \"m\", \"pattern\": \"*@b\", \"matcher\": null}", true},
		{"{\"method\": \"m\", \"destination\": [\"celery@a\"], \"pattern\": \"x\", "
		 "\"matcher\": "
		 "\"glob\"}",
		 true},
	};
	struct control_request r;

	ck_assert_msg(decode(rows[_i].body, &r) == 0, "%s", g_err.msg);
	ck_assert_int_eq(r.for_us, rows[_i].for_us);
	ck_assert_int_eq(r.clock, 41);
	control_request_done(&r);
}
END_TEST

START_TEST(test_refused)
{
	static const char *const bodies[] = {
		"[]",
		"7",
		"{\"method\"",
		"{}",
		"{\"method\": 7}",
		"{\"method\": \"\"}",
		"{\"method\": \"a\\u0000b\"}",
		"{\"method\": \"m\", \"destination\": 7}",
		"{\"method\": \"m\", \"destination\": {\"celery@a\": 1}}",
		"{\"method\": \"m\", \"pattern\": 7, \"matcher\": \"glob\"}",
		"{\"method\": \"m\", \"pattern\": \"a\", \"matcher\": \"soundex\"}",
		"{\"method\": \"m\", \"reply_to\": 7}",
		"{\"method\": \"m\", \"reply_to\": {}}",
		"{\"method\": \"m\", \"reply_to\": {\"exchange\": \"celery\", \"routing_key\": "
		"\"x\"}}",
		"{\"method\": \"m\", \"reply_to\": {\"exchange\": \"" REPLY
		"\", \"routing_key\": 7}}",
		"{\"method\": \"m\", \"reply_to\": {\"exchange\": \"" REPLY
		"\", \"routing_key\": \"a\\nb\"}}",
	};
	struct control_request r;

	ck_assert_int_lt(decode(bodies[_i], &r), 0);
	ck_assert_str_ne(g_err.msg, "");
}
END_TEST

START_TEST(test_only_json_and_not_too_big)
{
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_MESSAGE_BYTES);
	_cleanup_buf_ struct buf body = BUF_INIT(BOUND_MESSAGE_BYTES);
	struct control_request r;

	wrap("{\"method\": \"ping\"}", "application/x-python-serialize", &text);
	ck_assert_int_eq(control_decode(text.data, text.len, &g_accept, NODE, REPLY, &r, &g_err),
			 -ERR_DENIED);
	for (int i = 0; i < 3000; i++) {
		buf_append_char(&body, '[');
	}
	ck_assert_int_lt(decode(body.data, &r), 0);
	buf_reset(&body);
	buf_append_str(&body, "{\"method\": \"");
	for (unsigned i = 0; i < BOUND_CONTROL_BYTES; i++) {
		buf_append_char(&body, 'm');
	}
	buf_append_str(&body, "\"}");
	ck_assert_int_eq(decode(body.data, &r), -ERR_TOOBIG);
	buf_reset(&body);
	base64_encode("{\"method\": \"ping\"}", 18, &body);
	buf_reset(&text);
	buf_appendf(&text,
		    "{\"body\": \"%s\", \"content-type\": \"application/json\", "
		    "\"content-encoding\": \"utf-8\", \"headers\": {\"compression\": "
		    "\"application/x-gzip\"}, \"properties\": {\"body_encoding\": \"base64\"}}",
		    body.data);
	ck_assert_int_eq(control_decode(text.data, text.len, &g_accept, NODE, REPLY, &r, &g_err),
			 -ERR_UNSUPPORTED);
	for (size_t len = 0; len < text.len; len++) {
		ck_assert_int_lt(control_decode(text.data, len, &g_accept, NODE, REPLY, &r, &g_err),
				 0);
	}
}
END_TEST

START_TEST(test_reply)
{
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_MESSAGE_BYTES);
	_cleanup_buf_ struct buf body = BUF_INIT(BOUND_MESSAGE_BYTES);
	_cleanup_json_ json_t *envelope = NULL;
	const json_t *headers, *properties;
	struct control_request r;
	const char *sent;

	ck_assert_int_eq(
		decode("{\"method\": \"m\", \"ticket\": \"t\", \"reply_to\": {\"exchange\": "
		       "\"" REPLY "\", \"routing_key\": \"oid\"}}",
		       &r),
		0);
	ck_assert_int_eq(control_encode_reply(&r, NODE, NULL, 7, &text, &g_err), 0);
	ck_assert_int_eq(json_load_strict(text.data, text.len, &envelope, &g_err), 0);
	headers = json_object_get(envelope, "headers");
	properties = json_object_get(envelope, "properties");
	ck_assert_str_eq(json_member_str(headers, "ticket"), "t");
	ck_assert_int_eq(json_integer_value(json_member(headers, "clock")), 7);
	ck_assert_str_eq(json_member_str(json_member(properties, "delivery_info"), "routing_key"),
			 "oid");
	ck_assert_str_eq(json_member_str(properties, "body_encoding"), "base64");
	sent = json_member_str(envelope, "body");
	ck_assert_int_eq(base64_decode(sent, strlen(sent), &body, &g_err), 0);
	ck_assert_str_eq(body.data, "{\"" NODE "\": null}");
	buf_reset(&text);
	ck_assert_int_eq(control_encode_reply(&r, "celery@\xff", NULL, 7, &text, &g_err),
			 -ERR_INVALID);
	ck_assert_uint_eq(text.len, 0);
	control_request_done(&r);
}
END_TEST

START_TEST(test_match)
{
	static const struct {
		const char *text, *pattern, *matcher;
		bool matches;
	} rows[] = {
		{"celery@a", "celery@a", "glob", true},
		{"celery@a", "celery@?", "glob", true},
		{"celery@ab", "celery@?", "glob", false},
		{"celery@a", "*", "glob", true},
		{"", "*", "glob", true},
		{"", "", "glob", true},
		{"a", "", "glob", false},
		{"celery@web1", "*@web[0-9]", "glob", true},
		{"celery@web1", "*@web[!0-9]", "glob", false},
		{"celery@webx", "*@web[!0-9]", "glob", true},
		{"a]b", "a[]]b", "glob", true},
		{"a[b", "a[b", "glob", true},
		{"a\\b", "a\\b", "glob", true},
		{"abcabcabd", "*abd", "glob", true},
		{"abcabcab", "*abc", "glob", false},
		{"celery@a", "celery", "pcre", true}, /* as re.match: from the beginning only */
		{"celery@a", "@a", "pcre", false},
		{"celery@a12", ".*@a\\d+$", "pcre", true},
		{"celery@ax", ".*@a\\d+$", "pcre", false},
		{"celery@a", "flower|celery", "pcre", true},
		{"celery@web[1]{2}", "celery@web[[]1[]][{]2", "pcre", true},
		{"celery@web+", "celery@(web|db)[*+]+$", "pcre", true},
		{"celery@aab", "celery@((a+)+b?)+?$", "pcre", true},
		{"celery@a", ".*?@(a|b)*$", "pcre", true},
	};
	bool matches = false;

	ck_assert_msg(control_match(rows[_i].text, rows[_i].pattern, rows[_i].matcher, &matches,
				    &g_err) == 0,
		      "%s", g_err.msg);
	ck_assert_msg(matches == rows[_i].matches, "%s %s %s", rows[_i].text, rows[_i].pattern,
		      rows[_i].matcher);
}
END_TEST

START_TEST(test_patterns_that_are_refused)
{
	static const char *const patterns[] = {"(a+)\\1",
					       "(((a{1,100}){1,100}){1,100})",
					       "(?:a)",
					       "a\\",
					       "(",
					       "\\ba",
					       "a++",
					       "a*+",
					       "a?*",
					       "(((((a+)+)+)+)+)+",
					       "((((((((((((((((a))))))))))))))))",
					       "[\\d]",
					       "[a",
					       "a)"};
	char many[BOUND_PATTERN_BYTES + 2];
	bool matches;

	ck_assert_int_lt(control_match("a", patterns[_i], "pcre", &matches, &g_err), 0);
	memset(many, '*', sizeof(many) - 1);
	many[sizeof(many) - 1] = '\0';
	ck_assert_int_eq(control_match("a", many, "glob", &matches, &g_err), -ERR_TOOBIG);
}
END_TEST

START_TEST(test_no_pattern_takes_long)
{
	char text[BOUND_PATTERN_BYTES + 1], pattern[BOUND_PATTERN_BYTES + 1];
	const char *multiplier = getenv("CK_TIMEOUT_MULTIPLIER");
	clock_t began = clock();
	bool matches = true;

	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (size_t i = 0; i + 2 < sizeof(pattern); i += 2) {
		memcpy(pattern + i, "*a", 2);
	}
	strcpy(pattern + sizeof(pattern) - 3, "*b");
	ck_assert_int_eq(control_match(text, pattern, "glob", &matches, &g_err), 0);
	ck_assert(!matches);
	ck_assert_int_eq(control_match(text, "(a*)*(a*)*(a*)*b", "pcre", &matches, &g_err), 0);
	ck_assert(!matches);
	memset(pattern, '+', sizeof(pattern) - 1);
	pattern[0] = 'a';
	ck_assert_int_eq(control_match(text, pattern, "pcre", &matches, &g_err), -ERR_UNSUPPORTED);
	for (size_t i = 0; i < sizeof(pattern) - 1; i++) {
		pattern[i] = i < 100 ? '(' : i == 100 ? 'a' : (i & 1) != 0 ? ')' : '+';
	}
	ck_assert_int_eq(control_match(text, pattern, "pcre", &matches, &g_err), -ERR_UNSUPPORTED);
	/* of the processor's time; of as much more as Check itself gives tests */
	ck_assert_double_lt((double)(clock() - began) / CLOCKS_PER_SEC,
			    4 * (multiplier ? strtod(multiplier, NULL) : 1));
}
END_TEST

START_TEST(test_clock)
{
	struct lamport c = {0};

	ck_assert_int_eq(lamport_forward(&c), 1);
	ck_assert_int_eq(lamport_adjust(&c, 10), 11);
	ck_assert_int_eq(lamport_adjust(&c, 3), 12);
	ck_assert_int_eq(lamport_adjust(&c, -5), 13);
	ck_assert_int_eq(lamport_adjust(&c, INT64_MAX), 14);
	ck_assert_int_eq(lamport_value(&c), 14);
}
END_TEST

START_TEST(test_event)
{
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_EVENT_BYTES);
	_cleanup_buf_ struct buf envelope = BUF_INIT(BOUND_EVENT_BYTES * 2);
	_cleanup_json_ json_t *event = NULL, *outer = NULL;

	event_begin(&text, "task-received", NODE, 5);
	event_add_str(&text, "uuid", "i\"d\n");
	event_add_null(&text, "eta");
	event_add_str(&text, "parent_id", NULL);
	event_add_text(&text, "args", (struct slice){"(1, \xff)x", 6});
	event_add_raw(&text, "pool", "{\"a\": [1]}");
	event_add_bool(&text, "terminated", true);
	event_add_double(&text, "runtime", 0.5);
	event_end(&text);
	ck_assert_int_eq(json_load_strict(text.data, text.len, &event, &g_err), 0);
	ck_assert_str_eq(json_member_str(event, "type"), "task-received");
	ck_assert_str_eq(json_member_str(event, "hostname"), NODE);
	ck_assert_str_eq(json_member_str(event, "uuid"), "i\"d\n");
	ck_assert(json_is_real(json_member(event, "timestamp")));
	ck_assert(json_is_null(json_object_get(event, "parent_id")));
	ck_assert_str_eq(json_member_str(event, "args"), "(1, \xef\xbf\xbd)");
	ck_assert_uint_eq(json_object_size(json_member(event, "pool")), 1);
	ck_assert_int_eq(json_integer_value(json_member(event, "clock")), 5);
	ck_assert_int_eq(event_envelope("json", (struct slice){text.data, text.len}, "celeryev",
					"task.received", NODE, &envelope, &g_err),
			 0);
	ck_assert_int_eq(json_load_strict(envelope.data, envelope.len, &outer, &g_err), 0);
	ck_assert_str_eq(json_member_str(json_member(outer, "headers"), "hostname"), NODE);
	ck_assert_int_eq(event_envelope("json", (struct slice){text.data, text.len}, "celeryev",
					"task.received", "w@\xff", &envelope, &g_err),
			 -ERR_INVALID);
}
END_TEST

/* Hours west of Greenwich, rounded down: time.timezone // 3600. */
START_TEST(test_utcoffset)
{
	static const struct {
		const char *zone;
		int offset;
	} rows[] = {{"UTC", 0}, {"XXX-2", -2}, {"XXX5", 5}, {"XXX-5:30", -6}, {"XXX3:30", 3}};
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_EVENT_BYTES);
	_cleanup_json_ json_t *event = NULL;

	setenv("TZ", rows[_i].zone, 1);
	tzset();
	event_begin(&text, "x", NODE, 1);
	event_end(&text);
	ck_assert_int_eq(json_load_strict(text.data, text.len, &event, &g_err), 0);
	ck_assert_int_eq(json_integer_value(json_member(event, "utcoffset")), rows[_i].offset);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("control");

	tcase_add_test(c, test_request);
	tcase_add_loop_test(c, test_who_is_asked, 0, 9);
	tcase_add_loop_test(c, test_refused, 0, 16);
	tcase_add_test(c, test_only_json_and_not_too_big);
	tcase_add_test(c, test_reply);
	tcase_add_loop_test(c, test_match, 0, 24);
	tcase_add_loop_test(c, test_patterns_that_are_refused, 0, 14);
	tcase_add_test(c, test_no_pattern_takes_long);
	tcase_add_test(c, test_clock);
	tcase_add_test(c, test_event);
	tcase_add_loop_test(c, test_utcoffset, 0, 5);
	return suite_run("control", c);
}
