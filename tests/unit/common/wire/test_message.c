/* Messages in: what Celery itself sent (tests/data/messages), and everything that must not be run.
 */
#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "codec.h"
#include "json.h"
#include "mem.h"
#include "message.h"

#define NAME_SIZE (BOUND_TASK_NAME_BYTES + 1)
#define HEADERS	  "{\"task\": \"celeriac.echo\", \"id\": \"i-1\"}"
#define EMBED	  "{\"callbacks\": null, \"errbacks\": null, \"chain\": null, \"chord\": null}"
#define BODY	  "[[1], {}, " EMBED "]"

static char g_name_json[] = "json", g_name_yaml[] = "yaml", g_name_msgpack[] = "msgpack",
	    g_name_pickle[] = "pickle", g_name_auth[] = "auth", g_mime_json[] = "application/json",
	    g_mime_pickle[] = "application/x-python-serialize";
static char *g_json[] = {g_name_json};
static const struct str_list accept_json = {.items = g_json, .count = 1};
static char *g_everything[] = {g_mime_json,   g_name_yaml, g_name_msgpack,
			       g_name_pickle, g_name_auth, g_mime_pickle};
static const struct str_list accept_everything = {.items = g_everything,
						  .count = ARRAY_LEN(g_everything)};

static char g_id[NAME_SIZE], g_task[NAME_SIZE];
static struct err g_err;

static enum message_verdict decode(const char *data, size_t len, struct message **ret)
{
	*ret = NULL;
	memset(g_id, '#', sizeof(g_id));
	memset(g_task, '#', sizeof(g_task));
	g_err = (struct err){0};
	return message_decode(data, len, &accept_json, ret, g_id, g_task, &g_err);
}

/* An envelope of parts; `properties` NULL: those of a body in base64. */
static void wrap(const char *headers, const char *properties, const char *type, const char *body,
		 size_t body_len, struct buf *out)
{
	buf_reset(out);
	buf_append_str(out, "{\"body\": \"");
	base64_encode(body, body_len, out);
	buf_appendf(out,
		    "\", \"content-encoding\": \"utf-8\", \"content-type\": \"%s\", \"headers\": "
		    "%s, \"properties\": %s}",
		    type, headers, properties ? properties : "{\"body_encoding\": \"base64\"}");
	ck_assert_int_eq(out->failed, 0);
}

static enum message_verdict decode_parts(const char *headers, const char *properties,
					 const char *type, const char *body, struct message **ret)
{
	_cleanup_buf_ struct buf b = BUF_INIT(BOUND_MESSAGE_BYTES * 2);

	wrap(headers, properties, type, body, strlen(body), &b);
	return decode(b.data, b.len, ret);
}

static void read_recording(const char *version, const char *name, struct buf *out)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "tests/data/messages/%s/%s.json", version, name);
	f = fopen(path, "r");
	ck_assert_msg(f != NULL, "no recording %s", path);
	buf_reset(out);
	buf_added(out, fread(buf_reserve(out, 65536), 1, 65536, f));
	fclose(f);
}

static void assert_json(const json_t *value, const char *text)
{
	_cleanup_buf_ struct buf b = BUF_INIT(65536);

	json_dump_python(value, &b);
	ck_assert_str_eq(b.data, text);
}

static void check_recording(const char *name, const struct message *m)
{
	ck_assert_str_eq(m->exchange, "");
	ck_assert_str_eq(m->routing_key, "celery");
	ck_assert_int_eq(m->retries, 0);
	ck_assert(!m->redelivered);
	ck_assert(m->parent_id == NULL && m->group == NULL);
	ck_assert_str_eq(m->root_id, m->id);
	ck_assert_str_eq(m->reply_to, "0a8f3f7e-2f4c-3a5e-8c7b-1d2e3f405162");
	ck_assert(json_object_get(m->root, "body") == NULL);
	if (strcmp(name, "plain") == 0) {
		ck_assert_str_eq(m->task, "celeriac.echo");
		ck_assert_str_eq(m->id, "3c9bd6a0-4a10-4f5b-9d3c-0f0a54d8b7a0");
		assert_json(m->args, "[\"hello\"]");
		assert_json(m->kwargs, "{}");
		assert_json(m->embed, EMBED);
	} else if (strcmp(name, "empty") == 0 || strcmp(name, "beat") == 0) {
		ck_assert_str_eq(m->task, "sandbox.cleanup");
		assert_json(m->args, "[]");
	} else if (strcmp(name, "kwargs") == 0) {
		assert_json(m->kwargs, "{\"conversation_id\": \"c-1\", \"code\": "
				       "\"print('a\\\\n')\\n\", \"timeout\": 2.5, "
				       "\"one_shot\": false, \"stdin\": null}");
	} else if (strcmp(name, "countdown") == 0) {
		usec_t eta = 0;
		ck_assert_int_eq(clock_parse_iso("2026-11-21T09:30:00.25Z", &eta, &g_err), 0);
		ck_assert_int_eq(m->eta, eta);
		ck_assert_int_eq(m->expires, eta + (usec_t)3650 * 86400 * USEC_PER_SEC);
		ck_assert_int_eq(m->priority, 6);
	} else if (strcmp(name, "limits") == 0) {
		ck_assert_int_eq(m->time_limit, 30 * USEC_PER_SEC);
		ck_assert_int_eq(m->soft_time_limit, 25500 * USEC_PER_MSEC);
		/* told since 5.1 */
		ck_assert_int_eq(m->ignore_result,
				 json_object_get(m->headers, "ignore_result") ? 1 : -1);
		ck_assert_str_eq(m->shadow, "nap");
	} else if (strcmp(name, "numbers") == 0) {
		assert_json(m->args, "[[1, 2.5, 1000000000000000000000000000000, NaN, -Infinity]]");
	} else if (strcmp(name, "text") == 0) {
		assert_json(
			m->args,
			"[\"gr\\u00fc\\u00df \\u4f60 \\ud83c\\udf31 \\u0000 \\ud800 \\\"'\\\\\"]");
		ck_assert_str_eq(json_member_str(m->headers, "tenant"), "t1");
	} else if (strcmp(name, "chain") == 0) {
		ck_assert_uint_eq(json_array_size(json_object_get(m->embed, "chain")), 1);
		ck_assert_uint_eq(json_array_size(json_object_get(m->embed, "errbacks")), 1);
	} else {
		ck_abort_msg("a recording nobody checks: %s", name);
	}
}

static const char *const g_recorded[] = {"beat",   "plain",   "empty", "kwargs", "countdown",
					 "limits", "numbers", "text",  "chain"};

START_TEST(test_recorded)
{
	_cleanup_buf_ struct buf b = BUF_INIT(1 << 20);
	DIR *dir = opendir("tests/data/messages");
	int versions = 0;

	ck_assert_msg(dir != NULL, "run from the top of the tree");
	for (struct dirent *d; (d = readdir(dir)) != NULL;) {
		struct message *m;

		if (d->d_name[0] == '.')
			continue;
		versions++;
		read_recording(d->d_name, g_recorded[_i], &b);
		ck_assert_msg(decode(b.data, b.len, &m) == MESSAGE_OK, "%s: %s", d->d_name,
			      g_err.msg);
		check_recording(g_recorded[_i], m);
		ck_assert_str_eq(g_id, m->id);
		ck_assert_str_eq(g_task, m->task);
		message_free(m);
	}
	closedir(dir);
	ck_assert_int_ge(versions, 2);
}
END_TEST

/* Envelopes that are none. */
static const char *const g_undecodable[] = {
	"",
	"not JSON",
	"\x80\x02}q\x01",
	"null",
	"[]",
	"\"text\"",
	"17",
	"NaN",
	"{",
	"{} {}",
	"{\"body\": \"W10=\", \"content-type\": \"application/json\", \"headers\": [], "
	"\"properties\": {}}",
	"{\"body\": \"W10=\", \"content-type\": \"application/json\", \"headers\": {}, "
	"\"properties\": 1}",
	"{\"content-type\": \"application/json\", \"headers\": " HEADERS ", \"properties\": {}}",
	"{\"body\": 1, \"content-type\": \"application/json\", \"headers\": " HEADERS
	", \"properties\": {}}",
	"{\"body\": null, \"content-type\": \"application/json\", \"headers\": " HEADERS
	", \"properties\": {}}",
	"{\"body\": NaN, \"content-type\": \"application/json\", \"headers\": " HEADERS
	", \"properties\": {}}",
	"{\"body\": \"%%%\", \"content-type\": \"application/json\", \"headers\": " HEADERS
	", \"properties\": {\"body_encoding\": \"base64\"}}",
	"{\"body\": \"W10\", \"content-type\": \"application/json\", \"headers\": " HEADERS
	", \"properties\": {\"body_encoding\": \"base64\"}}",
	"{\"body\": \"W10=\", \"content-type\": \"application/json\", \"headers\": " HEADERS
	", \"properties\": {\"body_encoding\": \"rot13\"}}",
	"{\"body\": \"W10=\", \"content-type\": \"application/json\", \"headers\": " HEADERS
	", \"properties\": {\"body_encoding\": 64}}",
	/* the body's JSON is none */
	"{\"body\": \"[[1], {}\", \"content-type\": \"application/json\", \"headers\": " HEADERS
	", \"properties\": {}}",
	"{\"body\": \"\", \"content-type\": \"application/json\", \"headers\": " HEADERS
	", \"properties\": {}}",
};

START_TEST(test_undecodable)
{
	struct message *m;

	ck_assert_int_eq(decode(g_undecodable[_i], strlen(g_undecodable[_i]), &m),
			 MESSAGE_UNDECODABLE);
	ck_assert(m == NULL);
	ck_assert_int_ne(g_err.code, 0);
	ck_assert_uint_gt(strlen(g_err.msg), 0);
	ck_assert_uint_lt(strlen(g_id), NAME_SIZE);
	ck_assert_uint_lt(strlen(g_task), NAME_SIZE);
}
END_TEST

static const struct {
	const char *headers, *body, *says;
} g_invalid[] = {
	{"{\"id\": \"i-1\"}", BODY, "`task`"},
	{"{\"task\": null, \"id\": \"i-1\"}", BODY, "`task`"},
	{"{\"task\": 7, \"id\": \"i-1\"}", BODY, "`task`"},
	{"{\"task\": NaN, \"id\": \"i-1\"}", BODY, "`task`"},
	{"{\"task\": \"\", \"id\": \"i-1\"}", BODY, "`task`"},
	{"{\"task\": \"a\\u0000b\", \"id\": \"i-1\"}", BODY, "`task`"},
	{"{\"task\": \"a\\nb\", \"id\": \"i-1\"}", BODY, "`task`"},
	{"{\"task\": \"\\ud800\", \"id\": \"i-1\"}", BODY, "`task`"},
	{"{\"task\": \"t\"}", BODY, "`id`"},
	{"{\"task\": \"t\", \"id\": {}}", BODY, "`id`"},
	{"{\"task\": \"t\", \"id\": 123456789012345678901234567890}", BODY, "`id`"},
	{"{\"task\": \"t\", \"id\": \"\\u0000\"}", BODY, "`id`"},
	{"{\"task\": \"t\", \"id\": \"i\", \"retries\": \"1\"}", BODY, "`retries`"},
	{"{\"task\": \"t\", \"id\": \"i\", \"retries\": -1}", BODY, "`retries`"},
	{"{\"task\": \"t\", \"id\": \"i\", \"retries\": 1e30}", BODY, "`retries`"},
	{"{\"task\": \"t\", \"id\": \"i\", \"retries\": 99999999999999999999}", BODY, "`retries`"},
	{"{\"task\": \"t\", \"id\": \"i\", \"eta\": \"tomorrow\"}", BODY, "eta"},
	{"{\"task\": \"t\", \"id\": \"i\", \"eta\": \"2026-02-30T00:00:00\"}", BODY, "eta"},
	{"{\"task\": \"t\", \"id\": \"i\", \"expires\": 3600}", BODY, "expires"},
	{"{\"task\": \"t\", \"id\": \"i\", \"timelimit\": 3}", BODY, "`timelimit`"},
	{"{\"task\": \"t\", \"id\": \"i\", \"timelimit\": [1]}", BODY, "`timelimit`"},
	{"{\"task\": \"t\", \"id\": \"i\", \"timelimit\": [\"1\", null]}", BODY, "`timelimit`"},
	{"{\"task\": \"t\", \"id\": \"i\", \"timelimit\": [null, -1]}", BODY, "`timelimit`"},
	{"{\"task\": \"t\", \"id\": \"i\", \"timelimit\": [NaN, null]}", BODY, "`timelimit`"},
	{HEADERS, "null", "body"},
	{HEADERS, "{\"kwargs\": {}}", "body"},
	{HEADERS, "[[], {}]", "body"},
	{HEADERS, "[[], {}, {}, {}]", "body"},
	{HEADERS, "[{}, {}, " EMBED "]", "args must be a list, not dict"},
	{HEADERS, "[\"ab\", {}, " EMBED "]", "args must be a list, not str"},
	{HEADERS, "[null, {}, " EMBED "]", "args must be a list, not NoneType"},
	{HEADERS, "[[], [], " EMBED "]", "keyword arguments must be a mapping, not list"},
	{HEADERS, "[[], {}, []]", "third element"},
	/* protocol 1, hybrid */
	{"{}", "{\"task\": \"t\", \"args\": [], \"kwargs\": {}}", "`id`"},
	{"{}", "{\"task\": \"t\", \"id\": \"i\", \"args\": 1}", "args must be a list, not int"},
	{"{}", "{\"task\": \"t\", \"id\": \"i\", \"args\": null}",
	 "args must be a list, not NoneType"},
	{"{}", "{\"task\": \"t\", \"id\": \"i\", \"kwargs\": []}",
	 "keyword arguments must be a mapping, not list"},
	{"{}", "{\"task\": \"t\", \"id\": \"i\", \"args\": [], \"retries\": \"x\"}", "`retries`"},
	{"{}", "{\"task\": \"t\", \"id\": \"i\", \"eta\": 5}", "eta"},
	{"{}", "{\"task\": 3, \"id\": \"i\", \"args\": []}", "`task`"},
	{HEADERS, "{\"args\": [], \"kwargs\": null}",
	 "keyword arguments must be a mapping, not NoneType"},
};

START_TEST(test_invalid)
{
	struct message *m;
	enum message_verdict v;

	v = decode_parts(g_invalid[_i].headers, NULL, "application/json", g_invalid[_i].body, &m);
	ck_assert_msg(v == MESSAGE_INVALID, "verdict %d: %s", (int)v, g_err.msg);
	ck_assert(m == NULL);
	ck_assert_msg(strstr(g_err.msg, g_invalid[_i].says) != NULL, "\"%s\" says nothing of %s",
		      g_err.msg, g_invalid[_i].says);
}
END_TEST

START_TEST(test_names_of_invalid)
{
	struct message *m;

	ck_assert_int_eq(decode_parts(HEADERS, NULL, "application/json", "[{}, {}, {}]", &m),
			 MESSAGE_INVALID);
	ck_assert_str_eq(g_id, "i-1");
	ck_assert_str_eq(g_task, "celeriac.echo");
	ck_assert_int_eq(decode_parts("{}", NULL, "application/json",
				      "{\"task\": \"t\", \"id\": \"i\", \"args\": {}}", &m),
			 MESSAGE_INVALID);
	ck_assert_str_eq(g_id, "i");
	ck_assert_str_eq(g_task, "t");
	ck_assert_int_eq(decode_parts("{\"task\": 3}", NULL, "application/json", BODY, &m),
			 MESSAGE_INVALID);
	ck_assert_str_eq(g_id, "");
	ck_assert_str_eq(g_task, "");
}
END_TEST

static const struct {
	const char *type;
	enum message_verdict by_default, when_accepted;
} g_types[] = {
	{"application/json", MESSAGE_OK, MESSAGE_OK},
	{"application/x-python-serialize", MESSAGE_DISALLOWED, MESSAGE_DISALLOWED},
	{"application/x-yaml", MESSAGE_DISALLOWED, MESSAGE_OK},
	{"application/x-msgpack", MESSAGE_DISALLOWED, MESSAGE_UNDECODABLE},
	{"application/data", MESSAGE_INVALID, MESSAGE_INVALID},
	{"application/text", MESSAGE_INVALID, MESSAGE_INVALID},
	{"text/plain", MESSAGE_DISALLOWED, MESSAGE_DISALLOWED},
	{"application/x-nonsense", MESSAGE_DISALLOWED, MESSAGE_DISALLOWED},
	{"json", MESSAGE_DISALLOWED, MESSAGE_DISALLOWED},
	{"", MESSAGE_INVALID, MESSAGE_INVALID},
};

START_TEST(test_content_types)
{
	_cleanup_buf_ struct buf b = BUF_INIT(65536);
	static const struct str_list none = {.items = NULL, .count = 0};
	struct message *m = NULL;

	/* Bytes that a reader of pickles would act upon: nothing may look at them. */
	wrap(HEADERS, NULL, g_types[_i].type, BODY, strlen(BODY), &b);
	ck_assert_int_eq(decode(b.data, b.len, &m), g_types[_i].by_default);
	ck_assert_str_eq(g_task, "celeriac.echo");
	message_free(m);
	m = NULL;
	ck_assert_int_eq(
		message_decode(b.data, b.len, &accept_everything, &m, g_id, g_task, &g_err),
		g_types[_i].when_accepted);
	message_free(m);
	m = NULL;
	/* Data is never refused, and never a task. */
	ck_assert_int_eq(message_decode(b.data, b.len, &none, &m, g_id, g_task, &g_err),
			 g_types[_i].by_default == MESSAGE_INVALID ? MESSAGE_INVALID
								   : MESSAGE_DISALLOWED);
	ck_assert_ptr_null(m);
}
END_TEST

START_TEST(test_literal_body)
{
	static const char *const good[] = {"{}", "{\"body_encoding\": \"utf-8\"}",
					   "{\"body_encoding\": null}"};
	_cleanup_buf_ struct buf b = BUF_INIT(65536);

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct message *m;

		buf_reset(&b);
		buf_appendf(&b,
			    "{\"body\": \"[[\\\"\xc3\xbc\\\"], {}, null]\", \"content-type\": "
			    "\"application/json\", "
			    "\"headers\": %s, \"properties\": %s}",
			    HEADERS, good[i]);
		ck_assert_msg(decode(b.data, b.len, &m) == MESSAGE_OK, "%s", g_err.msg);
		assert_json(m->args, "[\"\\u00fc\"]");
		ck_assert(json_is_object(m->embed));
		ck_assert_int_eq(m->ignore_result, -1);
		ck_assert_str_eq(m->routing_key, "");
		message_free(m);
	}
}
END_TEST

START_TEST(test_fields)
{
	struct message *m;

	ck_assert_int_eq(
		decode_parts(
			"{\"task\": \"t\", \"id\": \"i\", \"retries\": 2, \"redelivered\": true, "
			"\"group\": \"g\", "
			"\"root_id\": \"r\", \"parent_id\": \"p\", \"timelimit\": [null, 0.5], "
			"\"ignore_result\": false, "
			"\"shadow\": \"\", \"expires\": \"1960-01-01\", \"eta\": \"\"}",
			"{\"body_encoding\": \"base64\", \"priority\": 42, \"reply_to\": \"\", "
			"\"delivery_info\": {\"exchange\": \"e\", \"routing_key\": \"k\"}}",
			"application/json", BODY, &m),
		MESSAGE_OK);
	ck_assert_int_eq(m->retries, 2);
	ck_assert(m->redelivered);
	ck_assert_str_eq(m->group, "g");
	ck_assert_str_eq(m->root_id, "r");
	ck_assert_str_eq(m->parent_id, "p");
	ck_assert_int_eq(m->time_limit, 0);
	ck_assert_int_eq(m->soft_time_limit, USEC_PER_SEC / 2);
	ck_assert_int_eq(m->ignore_result, 0);
	ck_assert(m->shadow == NULL && m->reply_to == NULL);
	ck_assert_int_eq(m->priority, 9);
	ck_assert_str_eq(m->exchange, "e");
	ck_assert_str_eq(m->routing_key, "k");
	ck_assert_int_gt(m->expires, 0);
	ck_assert_int_eq(m->eta, 0);
	message_free(m);
	ck_assert_int_eq(decode_parts(HEADERS,
				      "{\"body_encoding\": \"base64\", \"delivery_info\": "
				      "{\"redelivered\": true}, "
				      "\"priority\": -3}",
				      "application/json", BODY, &m),
			 MESSAGE_OK);
	ck_assert(m->redelivered);
	ck_assert_int_eq(m->priority, 0);
	message_free(m);
}
END_TEST

/* Duplicate members: the last wins, as in Python. */
START_TEST(test_duplicates)
{
	struct message *m;

	ck_assert_int_eq(decode_parts("{\"task\": \"a\", \"id\": \"i\", \"task\": \"b\"}", NULL,
				      "application/json", BODY, &m),
			 MESSAGE_OK);
	ck_assert_str_eq(m->task, "b");
	message_free(m);
}
END_TEST

START_TEST(test_names_at_their_limits)
{
	_cleanup_buf_ struct buf b = BUF_INIT(65536);

	for (size_t over = 0; over <= 1; over++) {
		struct message *m = NULL;

		buf_reset(&b);
		buf_append_str(&b, "{\"task\": \"");
		for (size_t i = 0; i < BOUND_TASK_NAME_BYTES + over; i++)
			buf_append_char(&b, 'n');
		buf_append_str(&b, "\", \"id\": \"i\"}");
		ck_assert_int_eq(decode_parts(b.data, NULL, "application/json", BODY, &m),
				 over ? MESSAGE_INVALID : MESSAGE_OK);
		ck_assert_uint_eq(strlen(g_task), BOUND_TASK_NAME_BYTES);
		message_free(m);

		buf_reset(&b);
		m = NULL;
		buf_append_str(&b, "{\"task\": \"t\", \"id\": \"");
		for (size_t i = 0; i < BOUND_TASK_ID_BYTES + over; i++)
			buf_append_char(&b, 'n');
		buf_append_str(&b, "\"}");
		ck_assert_int_eq(decode_parts(b.data, NULL, "application/json", BODY, &m),
				 over ? MESSAGE_INVALID : MESSAGE_OK);
		message_free(m);

		buf_reset(&b);
		m = NULL;
		buf_append_str(&b, "{\"task\": \"t\", \"id\": \"i\"");
		for (size_t i = 2; i < BOUND_HEADERS + over; i++)
			buf_appendf(&b, ", \"h%zu\": null", i);
		buf_append_char(&b, '}');
		ck_assert_int_eq(decode_parts(b.data, NULL, "application/json", BODY, &m),
				 over ? MESSAGE_INVALID : MESSAGE_OK);
		message_free(m);
	}
}
END_TEST

/* 10 000 brackets, in the body, in a header and around everything. */
START_TEST(test_deep)
{
	enum { DEEP = 10000 };
	_cleanup_buf_ struct buf b = BUF_INIT(1 << 20), body = BUF_INIT(1 << 20);
	struct message *m;

	buf_append_str(&body, "[[");
	for (int i = 0; i < DEEP; i++)
		buf_append_char(&body, '[');
	for (int i = 0; i < DEEP; i++)
		buf_append_char(&body, ']');
	buf_append_str(&body, "], {}, null]");
	wrap(HEADERS, NULL, "application/json", body.data, body.len, &b);
	ck_assert_int_eq(decode(b.data, b.len, &m), MESSAGE_UNDECODABLE);
	ck_assert_int_eq(g_err.code, ERR_TOOBIG);
	ck_assert_str_eq(g_id, "i-1");

	wrap(body.data, NULL, "application/json", BODY, strlen(BODY), &b);
	ck_assert_int_eq(decode(b.data, b.len, &m), MESSAGE_UNDECODABLE);
	ck_assert_int_eq(g_err.code, ERR_TOOBIG);
	ck_assert_int_eq(decode(body.data, body.len, &m), MESSAGE_UNDECODABLE);
}
END_TEST

START_TEST(test_largest)
{
	_cleanup_buf_ struct buf b = BUF_INIT((size_t)BOUND_MESSAGE_BYTES + 1);
	struct message *m;
	size_t fill;
	char *room;

	buf_append_str(&b, "{\"content-type\": \"application/json\", \"headers\": " HEADERS
			   ", \"properties\": {}, \"body\": \"[[\\\"");
	fill = (size_t)BOUND_MESSAGE_BYTES - b.len - strlen("\\\"], {}, null]\"}");
	room = buf_reserve(&b, fill);
	ck_assert(room != NULL);
	memset(room, 'x', fill);
	buf_added(&b, fill);
	buf_append_str(&b, "\\\"], {}, null]\"}");
	ck_assert_uint_eq(b.len, BOUND_MESSAGE_BYTES);
	ck_assert_msg(decode(b.data, b.len, &m) == MESSAGE_OK, "%s", g_err.msg);
	ck_assert_uint_eq(json_string_length(json_array_get(m->args, 0)), fill);
	message_free(m);

	buf_append_char(&b, ' ');
	ck_assert_int_eq(decode(b.data, b.len, &m), MESSAGE_UNDECODABLE);
	ck_assert_int_eq(g_err.code, ERR_TOOBIG);
}
END_TEST

/* Every shortened and every bit-flipped form of a real message gets a verdict and nothing worse. */
START_TEST(test_damaged)
{
	_cleanup_buf_ struct buf b = BUF_INIT(1 << 20);
	struct message *m;

	read_recording("celery-5.7.0", "text", &b);
	for (size_t len = 0; len < b.len; len++) {
		ck_assert_int_ne(decode(b.data, len, &m), MESSAGE_OK);
		ck_assert(m == NULL);
	}
	for (size_t i = 0; i < b.len; i++) {
		b.data[i] = (char)(b.data[i] ^ (1 << (i % 8)));
		if (decode(b.data, b.len, &m) == MESSAGE_OK)
			message_free(m);
		b.data[i] = (char)(b.data[i] ^ (1 << (i % 8)));
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("message");
	TCase *t = tcase_create("decode");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, test_recorded, 0, ARRAY_LEN(g_recorded));
	tcase_add_loop_test(t, test_undecodable, 0, ARRAY_LEN(g_undecodable));
	tcase_add_loop_test(t, test_invalid, 0, ARRAY_LEN(g_invalid));
	tcase_add_test(t, test_names_of_invalid);
	tcase_add_loop_test(t, test_content_types, 0, ARRAY_LEN(g_types));
	tcase_add_test(t, test_literal_body);
	tcase_add_test(t, test_fields);
	tcase_add_test(t, test_duplicates);
	tcase_add_test(t, test_names_at_their_limits);
	tcase_add_test(t, test_deep);
	tcase_add_test(t, test_largest);
	tcase_add_test(t, test_damaged);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
