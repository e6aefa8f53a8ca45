/* Messages in every serializer, compression and protocol, as Celery itself sent them
 * (tests/data/messages), read, and written again. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "codec.h"
#include "json.h"
#include "mem.h"
#include "message.h"
#include "serial.h"
#include "tests/unit/suite.h"

#define ARGS                                                                                       \
	"[\"gr\\u00fc\\u00df \\ud83c\\udf31\", [1, -1, 1099511627776, 2.5, 1e+100, true, null], "  \
	"{\"yes\": \"12\", \"k\": {\"n\": []}}"
/* PyYAML sorts. */
#define YAML_ARGS                                                                                  \
	"[\"gr\\u00fc\\u00df \\ud83c\\udf31\", [1, -1, 1099511627776, 2.5, 1e+100, true, null], "  \
	"{\"k\": {\"n\": []}, \"yes\": \"12\"}"
#define MSGPACK_ARGS                                                                               \
	ARGS ", {\"__type__\": \"base64\", \"__value__\": \"AP8=\"}, {\"__type__\": \"bytes\", "   \
	     "\"__value__\": \"text\"}, \"\\u0000\"]"
#define TYPED_ARGS                                                                                 \
	"[{\"__type__\": \"datetime\", \"__value__\": \"2026-11-21T09:30:00.250000+00:00\"}, "     \
	"{\"__type__\": \"date\", \"__value__\": \"2026-11-21\"}, {\"__type__\": \"time\", "       \
	"\"__value__\": \"09:30:00.250000\"}, {\"__type__\": \"decimal\", \"__value__\": "         \
	"\"3.140\"}, {\"__type__\": \"uuid\", \"__value__\": {\"hex\": "                           \
	"\"0a8f3f7e2f4c3a5e8c7b1d2e3f405162\"}}, {\"__type__\": \"bytes\", \"__value__\": "        \
	"\"text\"}, {\"__type__\": \"base64\", \"__value__\": \"/wA=\"}]"
#define PLAIN_ARGS                                                                                 \
	"[\"2026-11-21T09:30:00.250000Z\", \"2026-11-21T00:00:00\", \"09:30:00.250000\", "         \
	"\"3.140\", \"0a8f3f7e-2f4c-3a5e-8c7b-1d2e3f405162\"]"

static const struct {
	const char *name, *serializer, *compression, *args, *args_before_5_3;
} g_recordings[] = {
	{"yaml", "yaml", NULL, YAML_ARGS "]", NULL},
	{"msgpack", "msgpack", NULL, MSGPACK_ARGS, NULL},
	{"gzip", "json", "application/x-gzip", ARGS "]", NULL},
	{"bzip2", "json", "application/x-bz2", ARGS "]", NULL},
	{"xz", "json", "application/x-lzma", ARGS "]", NULL},
	{"zstd", "json", "application/zstd", ARGS "]", NULL},
	{"brotli", "json", "application/x-brotli", ARGS "]", NULL},
	{"yaml-gzip", "yaml", "application/x-gzip", YAML_ARGS "]", NULL},
	{"msgpack-zstd", "msgpack", "application/zstd", MSGPACK_ARGS, NULL},
	{"typed", "json", NULL, TYPED_ARGS, PLAIN_ARGS},
	{"v1", "json", NULL, "[1, 2]", NULL},
};

static char g_json[] = "json", g_yaml[] = "yaml", g_msgpack[] = "application/x-msgpack";
static char *g_accepted[] = {g_json, g_yaml, g_msgpack};
static const struct str_list g_accept = {g_accepted, ARRAY_LEN(g_accepted)};
static struct err g_err;

static enum message_verdict decode(const struct buf *b, struct message **ret)
{
	char id[BOUND_TASK_NAME_BYTES + 1], task[BOUND_TASK_NAME_BYTES + 1];

	*ret = NULL;
	return message_decode(b->data, b->len, &g_accept, ret, id, task, &g_err);
}

static bool read_recording(const char *version, const char *name, struct buf *out)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "tests/data/messages/%s/%s.json", version, name);
	f = fopen(path, "r");
	if (f == NULL)
		return false;
	buf_reset(out);
	buf_added(out, fread(buf_reserve(out, 65536), 1, 65536, f));
	fclose(f);
	return true;
}

static void assert_json(const json_t *value, const char *text)
{
	_cleanup_buf_ struct buf b = BUF_INIT(65536);

	json_dump_python(value, &b);
	ck_assert_str_eq(b.data, text);
}

static void check_v1(const struct message *m)
{
	usec_t eta = 0;

	ck_assert_str_eq(m->task, "celeriac.add");
	assert_json(m->kwargs, "{\"k\": null}");
	ck_assert_str_eq(m->group, "g-1");
	ck_assert_int_eq(m->group_index, 3);
	ck_assert_int_eq(m->retries, 2);
	ck_assert_int_eq(m->priority, 6);
	ck_assert_int_eq(m->time_limit, 30 * USEC_PER_SEC);
	ck_assert_int_eq(m->soft_time_limit, 25500 * USEC_PER_MSEC);
	ck_assert_int_eq(clock_parse_iso("2026-11-21T09:30:00.25Z", &eta, &g_err), 0);
	ck_assert_int_eq(m->eta, eta);
	ck_assert_uint_eq(json_array_size(json_object_get(m->embed, "callbacks")), 1);
	ck_assert_uint_eq(json_array_size(json_object_get(m->embed, "errbacks")), 1);
	ck_assert(json_is_null(json_object_get(m->embed, "chain")));
	ck_assert_str_eq(json_member_str(json_object_get(m->embed, "chord"), "task"),
			 "celeriac.xsum");
}

/* Written again, and read again: the same message. */
static void check_retry(const struct message *m)
{
	_cleanup_buf_ struct buf b = BUF_INIT(1 << 20);
	_cleanup_json_ json_t *headers = NULL;
	struct message *again = NULL;
	struct message_out out;

	ck_assert_int_eq(message_retry(m, m->retries + 1, 0, &headers, &out, &g_err), 0);
	ck_assert_msg(message_encode(&out, &b, &g_err) == 0, "%s", g_err.msg);
	ck_assert_msg(decode(&b, &again) == MESSAGE_OK, "%s", g_err.msg);
	ck_assert_str_eq(again->id, m->id);
	ck_assert_int_eq(again->retries, m->retries + 1);
	ck_assert_str_eq(again->serializer, m->serializer);
	ck_assert_pstr_eq(again->compression, m->compression);
	ck_assert_pstr_eq(again->group, m->group);
	ck_assert_int_eq(again->group_index, m->group_index);
	ck_assert_int_eq(again->time_limit, m->time_limit);
	ck_assert_int_eq(again->soft_time_limit, m->soft_time_limit);
	ck_assert_int_eq(again->expires, m->expires);
	ck_assert_int_eq(again->priority, m->priority);
	ck_assert_str_eq(again->routing_key, m->routing_key);
	ck_assert(json_equal(again->args, m->args));
	ck_assert(json_equal(again->kwargs, m->kwargs));
	ck_assert(json_equal(again->embed, m->embed));
	ck_assert_int_eq(again->eta, 0);
	message_free(again);
}

START_TEST(test_recorded)
{
	_cleanup_buf_ struct buf b = BUF_INIT(1 << 20);
	const char *name = g_recordings[_i].name;
	DIR *dir = opendir("tests/data/messages");
	int found = 0;

	ck_assert_msg(dir != NULL, "run from the top of the tree");
	for (struct dirent *d; (d = readdir(dir)) != NULL;) {
		bool old = strcmp(d->d_name, "celery-5.3") < 0;
		struct message *m;

		if (d->d_name[0] == '.' || !read_recording(d->d_name, name, &b))
			continue;
		found++;
		ck_assert_msg(decode(&b, &m) == MESSAGE_OK, "%s/%s: %s", d->d_name, name,
			      g_err.msg);
		ck_assert_str_eq(m->serializer, g_recordings[_i].serializer);
		ck_assert_pstr_eq(m->compression, g_recordings[_i].compression);
		assert_json(m->args, old && g_recordings[_i].args_before_5_3
					     ? g_recordings[_i].args_before_5_3
					     : g_recordings[_i].args);
		if (strcmp(name, "v1") == 0)
			check_v1(m);
		check_retry(m);
		message_free(m);
	}
	closedir(dir);
	ck_assert_int_ge(found, 1);
}
END_TEST

/* Every recording with one byte of its body changed: read, or a verdict. */
START_TEST(test_mutations)
{
	_cleanup_buf_ struct buf b = BUF_INIT(1 << 20), body = BUF_INIT(1 << 20);
	_cleanup_json_ json_t *root = NULL;
	const char *text;

	ck_assert(read_recording("celery-5.7.0", g_recordings[_i].name, &b));
	ck_assert_int_eq(json_load_python(b.data, b.len, &root, &g_err), 0);
	text = json_member_str(root, "body");
	ck_assert_int_eq(base64_decode(text, strlen(text), &body, &g_err), 0);
	for (size_t at = 0; at < body.len; at++) {
		char was = body.data[at];

		for (int bit = 0; bit < 8; bit++) {
			_cleanup_buf_ struct buf encoded = BUF_INIT(1 << 20);
			struct message *m;

			body.data[at] = (char)(was ^ 1 << bit);
			base64_encode(body.data, body.len, &encoded);
			json_object_set_new(root, "body", json_string(encoded.data));
			buf_reset(&b);
			json_dump_python(root, &b);
			if (decode(&b, &m) == MESSAGE_OK)
				check_retry(m);
			message_free(m);
		}
		body.data[at] = was;
	}
}
END_TEST

static void wrap(const char *headers, const char *body, struct buf *out)
{
	buf_reset(out);
	buf_append_str(out, "{\"body\": \"");
	base64_encode(body, strlen(body), out);
	buf_appendf(out,
		    "\", \"content-type\": \"application/json\", \"headers\": %s, \"properties\": "
		    "{\"body_encoding\": \"base64\", \"delivery_info\": {\"exchange\": \"e\", "
		    "\"routing_key\": \"k\"}}}",
		    headers);
}

/* Headers that are there win over the body, as in celery/worker/strategy.py. */
START_TEST(test_hybrid)
{
	_cleanup_buf_ struct buf b = BUF_INIT(1 << 20);
	struct message *m;

	wrap("{\"task\": \"t\", \"id\": \"i\", \"retries\": 5, \"tenant\": \"x\"}",
	     "{\"task\": \"other\", \"id\": \"other\", \"retries\": 1, \"args\": [1], \"taskset\": "
	     "\"g\", \"parent_id\": \"p\", \"callbacks\": null, \"chain\": [1]}",
	     &b);
	ck_assert_msg(decode(&b, &m) == MESSAGE_OK, "%s", g_err.msg);
	ck_assert_str_eq(m->task, "t");
	ck_assert_str_eq(m->id, "i");
	ck_assert_int_eq(m->retries, 5);
	ck_assert_str_eq(m->group, "g");
	ck_assert_str_eq(m->parent_id, "p");
	ck_assert_str_eq(json_member_str(m->headers, "tenant"), "x");
	assert_json(m->args, "[1]");
	assert_json(m->kwargs, "{}");
	assert_json(m->embed, "{\"callbacks\": null, \"errbacks\": null, \"chain\": null, "
			      "\"chord\": null}");
	message_free(m);
}
END_TEST

/* Everything kept but what the brokers on the way added. */
START_TEST(test_retry_keeps)
{
	_cleanup_buf_ struct buf b = BUF_INIT(1 << 20), again = BUF_INIT(1 << 20);
	_cleanup_json_ json_t *headers = NULL, *root = NULL;
	struct message_out out;
	struct message *m;
	const json_t *h, *p;

	wrap("{\"task\": \"t\", \"id\": \"i\", \"tenant\": \"x\", \"redelivered\": true, "
	     "\"x-death\": "
	     "[], \"stamped_headers\": [\"s\"], \"stamps\": {\"s\": 1}, \"eta\": "
	     "\"2026-01-01T00:00:00+02:00\", \"expires\": \"2099-01-01T00:00:00+02:00\", "
	     "\"replaced_task_nesting\": 2, \"ignore_result\": false, \"shadow\": \"n\", "
	     "\"timelimit\": [3, null], \"origin\": \"gen1@x\", \"lang\": \"py\"}",
	     "[[1], {}, {\"chord\": {\"task\": \"b\"}}]", &b);
	ck_assert_int_eq(decode(&b, &m), MESSAGE_OK);
	ck_assert_uint_eq(json_array_size(m->stamped_headers), 1);
	ck_assert_int_eq(json_integer_value(json_object_get(m->stamps, "s")), 1);
	ck_assert_int_eq(message_retry(m, 7, USEC_PER_SEC, &headers, &out, &g_err), 0);
	ck_assert_str_eq(out.exchange, "e");
	ck_assert_str_eq(out.routing_key, "k");
	ck_assert_int_eq(message_encode(&out, &again, &g_err), 0);
	ck_assert_int_eq(json_load_python(again.data, again.len, &root, &g_err), 0);
	h = json_object_get(root, "headers");
	p = json_object_get(root, "properties");
	ck_assert_ptr_null(json_object_get(h, "redelivered"));
	ck_assert_ptr_null(json_object_get(h, "x-death"));
	ck_assert_str_eq(json_member_str(h, "tenant"), "x");
	ck_assert_str_eq(json_member_str(h, "eta"), "1970-01-01T00:00:01+00:00");
	ck_assert_str_eq(json_member_str(h, "expires"), "2099-01-01T00:00:00+02:00");
	ck_assert_str_eq(json_member_str(h, "origin"), "gen1@x");
	ck_assert_str_eq(json_member_str(h, "shadow"), "n");
	ck_assert_int_eq(json_integer_value(json_object_get(h, "retries")), 7);
	ck_assert_int_eq(json_integer_value(json_object_get(h, "replaced_task_nesting")), 2);
	ck_assert(json_is_false(json_object_get(h, "ignore_result")));
	assert_json(json_object_get(h, "stamps"), "{\"s\": 1}");
	assert_json(json_object_get(h, "timelimit"), "[3, null]");
	assert_json(json_object_get(p, "delivery_info"),
		    "{\"exchange\": \"e\", \"routing_key\": \"k\"}");
	message_free(m);
}
END_TEST

/* The envelope's own typed values are looked at once, the body's once: neither inside the other. */
START_TEST(test_typed_once)
{
	_cleanup_buf_ struct buf b = BUF_INIT(1 << 20);
	struct message *m;

	wrap("{\"task\": \"t\", \"id\": \"i\", \"s\": {\"__type__\": \"datetime\", \"__value__\": "
	     "\"2026-01-01T00:00:00\"}}",
	     "[[\"{\\\"__type__\\\": \\\"odd\\\", \\\"__value__\\\": 1}\"], {}, null]", &b);
	ck_assert_int_eq(decode(&b, &m), MESSAGE_OK);
	assert_json(m->args, "[\"{\\\"__type__\\\": \\\"odd\\\", \\\"__value__\\\": 1}\"]");
	assert_json(json_object_get(m->headers, "s"),
		    "{\"__type__\": \"datetime\", \"__value__\": \"2026-01-01T00:00:00\"}");
	message_free(m);
	wrap("{\"task\": \"t\", \"id\": \"i\", \"s\": {\"__type__\": \"odd\", \"__value__\": 1}}",
	     "[[], {}, null]", &b);
	ck_assert_int_eq(decode(&b, &m), MESSAGE_UNDECODABLE);
	wrap("{\"task\": \"t\", \"id\": \"i\"}",
	     "[[{\"__type__\": \"odd\", \"__value__\": 1}], {}, null]", &b);
	ck_assert_int_eq(decode(&b, &m), MESSAGE_UNDECODABLE);
}
END_TEST

START_TEST(test_bad_compression)
{
	static const char *const names[] = {"snappy", "application/x-gzip", "gzip"};
	_cleanup_buf_ struct buf b = BUF_INIT(1 << 20);
	char headers[200];
	struct message *m;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(headers, sizeof(headers),
			 "{\"task\": \"t\", \"id\": \"i\", \"compression\": \"%s\"}", names[i]);
		wrap(headers, "[[], {}, null]", &b);
		ck_assert_int_eq(decode(&b, &m), MESSAGE_UNDECODABLE);
	}
	wrap("{\"task\": \"t\", \"id\": \"i\", \"compression\": 5}", "[[], {}, null]", &b);
	ck_assert_int_eq(decode(&b, &m), MESSAGE_UNDECODABLE);
	wrap("{\"task\": \"t\", \"id\": \"i\", \"compression\": \"\"}", "[[], {}, null]", &b);
	ck_assert_int_eq(decode(&b, &m), MESSAGE_OK);
	message_free(m);
}
END_TEST

START_TEST(test_unknown_ways_out)
{
	_cleanup_buf_ struct buf b = BUF_INIT(1 << 20);
	struct message_out m = {.task = "t", .id = "i", .queue = "q", .serializer = "pickle"};

	ck_assert_int_eq(message_encode(&m, &b, &g_err), -ERR_UNSUPPORTED);
	m.serializer = NULL;
	m.compression = "snappy";
	ck_assert_int_eq(message_encode(&m, &b, &g_err), -ERR_UNSUPPORTED);
	m.compression = "xz";
	m.serializer = "application/x-yaml";
	ck_assert_int_eq(message_encode(&m, &b, &g_err), 0);
}
END_TEST

/* The same of those who write no message. */
START_TEST(test_unknown_names)
{
	_cleanup_buf_ struct buf out = BUF_INIT(1 << 20), back = BUF_INIT(1 << 20);
	_cleanup_json_ json_t *value = json_pack("[i]", 1), *again = NULL;
	static const char *const unknown[] = {"pickle", "raw", "snappy", ""};

	for (size_t i = 0; i < ARRAY_LEN(unknown); i++) {
		const struct slice text = {"x", 1};

		ck_assert(!serial_known(unknown[i]));
		ck_assert_int_eq(serial_write(unknown[i], value, &out, &g_err), -ERR_UNSUPPORTED);
		ck_assert_int_eq(serial_read(unknown[i], text, &again, &g_err), -ERR_UNSUPPORTED);
		ck_assert_int_eq(serial_compress(unknown[i], text, &out, &g_err), -ERR_UNSUPPORTED);
		ck_assert_int_eq(serial_decompress(unknown[i], text, &out, &g_err),
				 -ERR_UNSUPPORTED);
		ck_assert_uint_eq(out.len, 0);
	}
	ck_assert_int_eq(serial_write("yaml", value, &out, &g_err), 0);
	ck_assert_int_eq(serial_read("yaml", (struct slice){out.data, out.len}, &again, &g_err), 0);
	ck_assert(json_equal(value, again));
}
END_TEST

/* Which content types a worker takes: what Celery knows and we refuse is told, anything else is a
 * mistake. */
START_TEST(test_accepted)
{
	static const struct {
		const char *accept, *said; /* of notes, or of the error */
		int rc;
	} rows[] = {
		{"json", "", 0},
		{"json,pickle", "CELERY_ACCEPT_CONTENT: pickle is refused", 0},
		{"json,application/x-python-serialize", "is refused", 0},
		{"json,soup", "CELERY_ACCEPT_CONTENT: soup is not one of json", -ERR_INVALID},
		{"pickle", "names nothing that is read here", -ERR_INVALID},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_free_ char *setting =
			xasprintf("CELERY_ACCEPT_CONTENT=%s", rows[i].accept);
		_cleanup_buf_ struct buf notes = BUF_INIT(4096);
		char *env[] = {setting, NULL};
		struct settings s;

		ck_assert_int_eq(settings_load(env, &s, &g_err), 0);
		ck_assert_int_eq(serial_check_accept(&s, &notes, &g_err), rows[i].rc);
		ck_assert_msg(strstr(rows[i].rc < 0 ? g_err.msg
				     : notes.data   ? notes.data
						    : "",
				     rows[i].said),
			      "%s: %s", rows[i].accept, rows[i].rc < 0 ? g_err.msg : notes.data);
		settings_done(&s);
	}
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("bodies");
	int count = (int)ARRAY_LEN(g_recordings);

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, test_recorded, 0, count);
	tcase_add_loop_test(t, test_mutations, 0, count);
	tcase_add_test(t, test_hybrid);
	tcase_add_test(t, test_retry_keeps);
	tcase_add_test(t, test_typed_once);
	tcase_add_test(t, test_bad_compression);
	tcase_add_test(t, test_unknown_ways_out);
	tcase_add_test(t, test_unknown_names);
	tcase_add_test(t, test_accepted);
	return suite_run("bodies", t);
}
