/* Values out of YAML and MessagePack, and back; typed values in JSON. What is expected of YAML is
 * what PyYAML 6 says, but for what is refused: merge keys, keys with a NUL, ints beyond 64 bit that
 * are not decimal, lone surrogates. */
#include <stdio.h>
#include <string.h>

#include "bounds.h"
#include "common/wire/content.h"
#include "json.h"
#include "mem.h"
#include "tests/unit/suite.h"
#include "typed.h"

static struct err g_err;

static void assert_json(const json_t *value, const char *text, const char *from)
{
	_cleanup_buf_ struct buf b = BUF_INIT(1 << 20);

	json_dump_python(value, &b);
	ck_assert_msg(strcmp(b.data, text) == 0, "%s became %s, not %s", from, b.data, text);
}

static const struct {
	const char *yaml, *json; /* json NULL: an error */
} g_yaml[] = {
	{"", "null"},
	{"~", "null"},
	{"null", "null"},
	{"nULL", "\"nULL\""},
	{"yes", "true"},
	{"No", "false"},
	{"oFF", "\"oFF\""},
	{"on", "true"},
	{"y", "\"y\""},
	{"'yes'", "\"yes\""},
	{"\"12\"", "\"12\""},
	{"12", "12"},
	{"+12", "12"},
	{"-0", "0"},
	{"017", "15"},
	{"-017", "-15"},
	{"08", "\"08\""},
	{"0o17", "\"0o17\""},
	{"0x1F", "31"},
	{"-0x1f", "-31"},
	{"0b101", "5"},
	{"0b_", NULL},
	{"0x_", NULL},
	{"1_000", "1000"},
	{"_1", "\"_1\""},
	{"1:30", "90"},
	{"-1:30:00", "-5400"},
	{"1:60", "\"1:60\""},
	{"99999999999999:59", "5999999999999999"},
	{"999999999999999:59", NULL}, /* past what a double counts one by one */
	{"123456789012345678901234567890", "123456789012345678901234567890"},
	{"0xffffffffffffffffff", NULL},
	{"1.5", "1.5"},
	{"1.", "1.0"},
	{".5", "0.5"},
	{"-.5", "\"-.5\""},
	{".", "\".\""},
	{"1e5", "\"1e5\""},
	{"1.0e5", "\"1.0e5\""},
	{"1.0e+5", "100000.0"},
	{"1_0.2_5", "10.25"},
	{"1:30.5", "90.5"},
	{".inf", "Infinity"},
	{"-.INF", "-Infinity"},
	{".nan", "NaN"},
	{"-.nan", "\"-.nan\""},
	{"2026-11-21", "{\"__type__\": \"date\", \"__value__\": \"2026-11-21\"}"},
	{"2026-11-21 09:30:00",
	 "{\"__type__\": \"datetime\", \"__value__\": \"2026-11-21T09:30:00\"}"},
	{"2026-1-2t9:30:00.25 +1:30",
	 "{\"__type__\": \"datetime\", \"__value__\": \"2026-01-02T09:30:00.250000+01:30\"}"},
	{"2026-11-21T09:30:00Z",
	 "{\"__type__\": \"datetime\", \"__value__\": \"2026-11-21T09:30:00+00:00\"}"},
	{"2026-13-21", NULL},
	{"2026-1-2", "\"2026-1-2\""},
	{"2026-11-21x", "\"2026-11-21x\""},
	{"2026-11-21 09:30:00 x", "\"2026-11-21 09:30:00 x\""},
	{"2026-11-21 09:30:00 +x", "\"2026-11-21 09:30:00 +x\""},
	{"2026-11-21 09:30:00 +1:3", "\"2026-11-21 09:30:00 +1:3\""},
	{"!!timestamp 2026-11-21", "{\"__type__\": \"date\", \"__value__\": \"2026-11-21\"}"},
	{"!!timestamp today", NULL},
	{"!!str 12", "\"12\""},
	{"! 12", "12"},
	{"!!int '12'", "12"},
	{"!!float 3", "3.0"},
	{"!!bool x", NULL},
	{"!!bool 'yes'", "true"},
	{"!!bool No", "false"},
	{"! '12'", "\"12\""},
	{"!!null x", "null"},
	{"!!binary aGVsbG8=", "{\"__type__\": \"bytes\", \"__value__\": \"hello\"}"},
	{"!!binary /w==", "{\"__type__\": \"base64\", \"__value__\": \"/w==\"}"},
	{"!!binary '%'", NULL},
	{"!!python/name:os.system x", NULL},
	{"!!python/tuple [1]", NULL},
	{"!!python/object/apply:os.system [id]", NULL},
	{"!!set {a}", NULL},
	{"!mine x", NULL},
	{"[a, 1, [2], {}]", "[\"a\", 1, [2], {}]"},
	{"{a: 1, b: [x]}", "{\"a\": 1, \"b\": [\"x\"]}"},
	{"a: 1\na: 2\n", "{\"a\": 2}"},
	{"1: x\nyes: y\n~: z\n1.5: w\n",
	 "{\"1\": \"x\", \"true\": \"y\", \"null\": \"z\", \"1.5\": \"w\"}"},
	{"[1]: x", NULL},
	{"{a: 1}: x", NULL},
	{"\"\\0\": x", NULL},
	{"- &a [1]\n- *a\n- *a\n", "[[1], [1], [1]]"},
	{"&k key: *k", "{\"key\": \"key\"}"},
	{"&a [*a]", NULL},
	{"*b", NULL},
	{"<<: {a: 1}", NULL},
	{"a: &x {b: 1}\nc:\n  <<: *x\n", NULL},
	{"=", NULL},
	{"--- 1\n--- 2\n", NULL},
	{"[1", NULL},
	{"{a", NULL},
	{"\t- x", NULL},
	{"\"\\ud800\"", NULL},
	{"gr\xc3\xbc\xc3\x9f", "\"gr\\u00fc\\u00df\""},
	{"\xff", NULL},
	{"|\n  two\n  lines\n", "\"two\\nlines\\n\""},
};

START_TEST(test_yaml)
{
	json_t *value = NULL;
	int rc = yaml_read(g_yaml[_i].yaml, strlen(g_yaml[_i].yaml), &value, &g_err);

	if (g_yaml[_i].json == NULL) {
		ck_assert_msg(rc < 0, "%s was read", g_yaml[_i].yaml);
		return;
	}
	ck_assert_msg(rc == 0, "%s: %s", g_yaml[_i].yaml, g_err.msg);
	assert_json(value, g_yaml[_i].json, g_yaml[_i].yaml);
	json_decref(value);
}
END_TEST

static int read_yaml_text(const struct buf *b)
{
	json_t *value = NULL;
	int rc = yaml_read(b->data, b->len, &value, &g_err);

	json_decref(value);
	return rc;
}

/* A billion laughs, in depth, in number and in length. */
START_TEST(test_yaml_aliases)
{
	_cleanup_buf_ struct buf b = BUF_INIT(1 << 20);

	buf_append_str(&b, "- &a0 x\n");
	for (int i = 1; i < 30; i++) {
		buf_appendf(&b, "- &a%d [", i);
		for (int j = 0; j < 10; j++)
			buf_appendf(&b, "*a%d,", i - 1);
		buf_append_str(&b, "]\n");
	}
	ck_assert_int_eq(read_yaml_text(&b), -ERR_TOOBIG);

	buf_reset(&b);
	buf_append_str(&b, "- &a0 [x]\n");
	for (int i = 1; i <= BOUND_JSON_DEPTH; i++)
		buf_appendf(&b, "- &a%d [*a%d]\n", i, i - 1);
	ck_assert_int_eq(read_yaml_text(&b), -ERR_TOOBIG);

	buf_reset(&b);
	buf_append_str(&b, "- &a ");
	for (int i = 0; i < 100000; i++)
		buf_append_char(&b, 'x');
	buf_append_str(&b, "\n");
	for (int i = 0; i < 1000; i++)
		buf_append_str(&b, "- *a\n");
	ck_assert_int_eq(read_yaml_text(&b), -ERR_TOOBIG);
}
END_TEST

/* Without an alias likewise: a value has a weight of its own. */
START_TEST(test_many_scalars)
{
	_cleanup_buf_ struct buf b = BUF_INIT(8 << 20);

	for (uint32_t i = 0; i <= BOUND_JSON_VALUES; i++)
		buf_append_str(&b, "- a\n");
	ck_assert_int_eq(read_yaml_text(&b), -ERR_TOOBIG);
}
END_TEST

/* As in JSON: what is next to nothing in the message is a hundred times as much in memory. */
START_TEST(test_many_values)
{
	_cleanup_buf_ struct buf pack = BUF_INIT(8 << 20), yaml = BUF_INIT(8 << 20);
	uint32_t count = BOUND_JSON_VALUES;
	json_t *value = NULL;

	buf_append(&pack,
		   (char[]){'\xdd', (char)(count >> 24), (char)(count >> 16), (char)(count >> 8),
			    (char)count},
		   5);
	for (uint32_t i = 0; i < count; i++)
		buf_append_char(&pack, '\x80');
	ck_assert_int_eq(msgpack_read(pack.data, pack.len, &value, &g_err), -ERR_TOOBIG);

	buf_append_str(&yaml, "- &a [");
	for (int i = 0; i < 1000; i++)
		buf_append_str(&yaml, "[],");
	buf_append_str(&yaml, "]\n");
	for (uint32_t i = 0; i < BOUND_JSON_VALUES / 1000; i++)
		buf_append_str(&yaml, "- *a\n");
	ck_assert_int_eq(read_yaml_text(&yaml), -ERR_TOOBIG);
	ck_assert_ptr_null(value);
}
END_TEST

START_TEST(test_depth)
{
	for (size_t depth = BOUND_JSON_DEPTH - 1; depth <= BOUND_JSON_DEPTH + 1; depth++) {
		_cleanup_buf_ struct buf yaml = BUF_INIT(1 << 20), pack = BUF_INIT(1 << 20);
		json_t *value = NULL;
		int wanted = depth <= BOUND_JSON_DEPTH ? 0 : -ERR_TOOBIG;

		for (size_t i = 0; i < depth; i++) {
			buf_append_char(&yaml, '[');
			buf_append_char(&pack, i + 1 < depth ? '\x91' : '\x90');
		}
		for (size_t i = 0; i < depth; i++)
			buf_append_char(&yaml, ']');
		ck_assert_int_eq(yaml_read(yaml.data, yaml.len, &value, &g_err), wanted);
		json_decref(value);
		value = NULL;
		ck_assert_int_eq(msgpack_read(pack.data, pack.len, &value, &g_err), wanted);
		json_decref(value);
	}
}
END_TEST

/* Values that both ways of writing give back. */
static const char *const g_values[] = {
	"null",
	"[true, false, null, 0, -1, 127, 128, 255, 256, 65535, 65536, 4294967295, 4294967296]",
	"[-32, -33, -128, -129, -32768, -32769, -2147483648, -2147483649]",
	"[9223372036854775807, -9223372036854775808, 18446744073709551615]",
	"[1.5, -0.25, 1e+30, 1e-07, 1.7976931348623157e+308, 5e-324]",
	"[NaN, Infinity, -Infinity]",
	"[\"\", \"yes\", \"12\", \"~\", \"a: b\", \"# no\", "
	"\"\\u0000\\u0001\\u0007\\b\\t\\n\\u000b\\f\\r\\u007f\\u0085\\u2028\\ufeff\"]",
	"[\"gr\\u00fc\\u00df \\u4f60 \\ud83c\\udf31\", \"\\\\ \\\" /\", \"\\u0001n12\", "
	"\"\\\\ud800\"]",
	"{\"\": {}, \"yes\": [], \"1\": [[]], \"a b\": {\"c\": {\"d\": 1}}, \"<<\": 1, \"=\": 2, "
	"\"\\u0001s\": 3}",
	"{\"__type__\": \"bytes\", \"__value__\": \"hell\\u00f6\"}",
	"[{\"__type__\": \"base64\", \"__value__\": \"/w==\"}]",
	"{\"k\": {\"__type__\": \"uuid\", \"__value__\": {\"hex\": "
	"\"0a8f3f7e2f4c3a5e8c7b1d2e3f405162\"}}}",
	"{\"__type__\": \"bytes\", \"__value__\": \"x\", \"more\": 1}",
};

START_TEST(test_both_ways)
{
	static const struct {
		content_read_fn *read;
		content_write_fn *write;
	} ways[] = {{yaml_read, yaml_write},
		    {msgpack_read, msgpack_write},
		    {json_body_read, json_body_write}};
	const char *text = g_values[_i];
	_cleanup_json_ json_t *value = NULL;

	ck_assert_int_eq(json_load_python(text, strlen(text), &value, &g_err), 0);
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		_cleanup_buf_ struct buf b = BUF_INIT(1 << 20);
		_cleanup_json_ json_t *back = NULL;

		ck_assert_int_eq(ways[i].write(value, &b, &g_err), 0);
		ck_assert_msg(ways[i].read(b.data, b.len, &back, &g_err) == 0, "%s: %s", b.data,
			      g_err.msg);
		assert_json(back, text, b.data);
	}
}
END_TEST

/* What looks like a date, or like bytes, and is none: kombu's reader of JSON refuses it, in YAML
 * and MessagePack it is an object like any other. */
START_TEST(test_typed_in_vain)
{
	static const char *const values[] = {
		"[{\"__type__\": \"datetime\", \"__value__\": 5}]",
		"{\"__type__\": \"date\", \"__value__\": \"soon\"}",
		"{\"__type__\": \"base64\", \"__value__\": \"/w\"}",
		"{\"__type__\": \"bytes\", \"__value__\": null}",
		"{\"__type__\": \"what\", \"__value__\": {}}",
	};
	static const struct {
		content_read_fn *read;
		content_write_fn *write;
	} ways[] = {{yaml_read, yaml_write}, {msgpack_read, msgpack_write}};

	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		_cleanup_buf_ struct buf b = BUF_INIT(1 << 20);
		_cleanup_json_ json_t *value = NULL, *back = NULL;
		const char *text = values[_i];

		ck_assert_int_eq(json_load_python(text, strlen(text), &value, &g_err), 0);
		ck_assert_msg(ways[i].write(value, &b, &g_err) == 0, "%s: %s", text, g_err.msg);
		ck_assert_msg(ways[i].read(b.data, b.len, &back, &g_err) == 0, "%s: %s", b.data,
			      g_err.msg);
		ck_assert(json_equal(value, back));
	}
}
END_TEST

/* Forms of dates that kombu reads and YAML does not. */
START_TEST(test_dates_that_yaml_cannot_say)
{
	static const struct {
		const char *text, *said;
	} dates[] = {
		{"2026-11-28T17:00:00+0100", "2026-11-28T16:00:00+00:00"},
		{"2026-11-28T17:00:00.25+000030", "2026-11-28T16:59:30.250000+00:00"},
		{"2026-11-28T17:00:00+01:00:30", "2026-11-28T15:59:30+00:00"},
		{"2026-11-28T17:00:00+01:00", "2026-11-28T17:00:00+01:00"},
		{"2026-11-28T17:00", "2026-11-28T17:00:00+00:00"},
	};

	for (size_t i = 0; i < ARRAY_LEN(dates); i++) {
		_cleanup_buf_ struct buf b = BUF_INIT(1 << 20);
		_cleanup_json_ json_t *value = typed_time(TYPED_DATETIME, dates[i].text),
				      *back = NULL;

		ck_assert_int_eq(yaml_write(value, &b, &g_err), 0);
		ck_assert_msg(yaml_read(b.data, b.len, &back, &g_err) == 0, "%s: %s", b.data,
			      g_err.msg);
		ck_assert_str_eq(json_member_str(back, "__value__"), dates[i].said);
	}
}
END_TEST

START_TEST(test_long_text)
{
	static const size_t sizes[] = {15, 16, 31, 32, 255, 256, 65535, 65536};

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		_cleanup_buf_ struct buf b = BUF_INIT(1 << 20);
		_cleanup_free_ char *text = xcalloc(1, sizes[i] + 1);
		_cleanup_json_ json_t *value = NULL, *list = json_array(), *back = NULL;

		memset(text, 'k', sizes[i]);
		for (size_t n = 0; n < sizes[i]; n++)
			json_array_append_new(list, json_integer(1));
		value = json_pack("{s:s, s:O, s:o}", text, text, "list", list, "bytes",
				  typed_bytes(text, sizes[i]));
		ck_assert_int_eq(msgpack_write(value, &b, &g_err), 0);
		ck_assert_int_eq(msgpack_read(b.data, b.len, &back, &g_err), 0);
		ck_assert(json_equal(value, back));
		json_decref(back);
		back = NULL;
		buf_reset(&b);
		ck_assert_int_eq(yaml_write(value, &b, &g_err), 0);
		ck_assert_msg(yaml_read(b.data, b.len, &back, &g_err) == 0, "%s", g_err.msg);
		ck_assert(json_equal(value, back));
	}
}
END_TEST

static const struct {
	const char *bytes;
	size_t len;
} g_bad_msgpack[] = {
	{"", 0},
	{"\x91", 1},
	{"\x81\xa1k", 3},
	{"\xc1", 1},
	{"\xd4\x01x", 3},	 /* extension */
	{"\xd6\xff\0\0\0\0", 6}, /* timestamp */
	{"\xc7\x01\x05x", 4},
	{"\xa2\xc3\x28", 3},	     /* not UTF-8 */
	{"\x81\x01\x01", 3},	     /* key 1 */
	{"\x81\xc4\x01k\x01", 5},    /* key of bytes */
	{"\x81\x90\x01", 3},	     /* key of a list */
	{"\x81\xa1\0\x01", 4},	     /* key with a NUL */
	{"\xdd\xff\xff\xff\xff", 5}, /* four billion elements */
	{"\xdf\xff\xff\xff\xff", 5},
	{"\xdb\xff\xff\xff\xff", 5},
	{"\xc6\xff\xff\xff\xff", 5},
	{"\xcb\0", 2},
	{"\x01\x01", 2}, /* two values */
};

START_TEST(test_bad_msgpack)
{
	json_t *value = NULL;

	ck_assert_int_lt(
		msgpack_read(g_bad_msgpack[_i].bytes, g_bad_msgpack[_i].len, &value, &g_err), 0);
	ck_assert_ptr_null(value);
}
END_TEST

START_TEST(test_unwritable)
{
	static const char *const surrogates[] = {"[\"a\\ud800\"]", "{\"\\udfff\": 1}"};
	_cleanup_buf_ struct buf b = BUF_INIT(1 << 20);
	_cleanup_json_ json_t *big = NULL, *deep = json_array();

	for (size_t i = 0; i < ARRAY_LEN(surrogates); i++) {
		_cleanup_json_ json_t *value = NULL;

		ck_assert_int_eq(
			json_load_python(surrogates[i], strlen(surrogates[i]), &value, &g_err), 0);
		ck_assert_int_eq(msgpack_write(value, &b, &g_err), -ERR_UNSUPPORTED);
	}

	ck_assert_int_eq(json_make_number("18446744073709551616", &big, &g_err), 0);
	ck_assert_int_eq(msgpack_write(big, &b, &g_err), -ERR_UNSUPPORTED);
	for (int i = 0; i < BOUND_JSON_DEPTH; i++)
		deep = json_pack("[o]", deep);
	ck_assert_int_eq(msgpack_write(deep, &b, &g_err), -ERR_TOOBIG);
	ck_assert_int_eq(yaml_write(deep, &b, &g_err), -ERR_TOOBIG);
}
END_TEST

static const struct {
	const char *json;
	bool good;
} g_typed[] = {
	{"{\"__type__\": \"datetime\", \"__value__\": \"2026-11-21T09:30:00+00:00\"}", true},
	{"{\"__type__\": \"date\", \"__value__\": \"2026-11-21\"}", true},
	{"{\"__type__\": \"time\", \"__value__\": \"09:30:00\"}", true},
	{"{\"__type__\": \"decimal\", \"__value__\": \"3.14\"}", true},
	{"{\"__type__\": \"uuid\", \"__value__\": {\"hex\": \"0a8f3f7e2f4c3a5e8c7b1d2e3f405162\"}}",
	 true},
	{"{\"__type__\": \"bytes\", \"__value__\": \"x\"}", true},
	{"{\"__type__\": \"base64\", \"__value__\": \"/w==\"}", true},
	{"{\"__type__\": \"complex\", \"__value__\": 1}", false},
	{"{\"\\u005f_type__\": \"complex\", \"__value__\": 1}", false},
	{"{\"__type__\": null, \"__value__\": 1}", false},
	{"{\"__type__\": [], \"__value__\": 1}", false},
	{"{\"__type__\": \"complex\", \"__value__\": 1, \"x\": 1}", true},
	{"{\"__type__\": \"complex\"}", true},
	{"{\"__type__\": \"datetime\", \"__value__\": \"soon\"}", false},
	{"{\"__type__\": \"datetime\", \"__value__\": 5}", false},
	{"{\"__type__\": \"uuid\", \"__value__\": \"0a8f3f7e2f4c3a5e8c7b1d2e3f405162\"}", false},
	{"{\"__type__\": \"uuid\", \"__value__\": {\"hex\": \"0a\"}}", false},
	{"{\"__type__\": \"base64\", \"__value__\": \"%\"}", false},
	{"{\"__type__\": \"bytes\", \"__value__\": {}}", false},
	{"[{\"a\": [{\"__type__\": \"x\", \"__value__\": 1}]}]", false},
	{"\"{\\\"__type__\\\": \\\"x\\\", \\\"__value__\\\": 1}\"", true},
};

START_TEST(test_typed)
{
	json_t *value = NULL;
	int rc = json_body_read(g_typed[_i].json, strlen(g_typed[_i].json), &value, &g_err);

	ck_assert_msg((rc == 0) == g_typed[_i].good, "%s: %d", g_typed[_i].json, rc);
	if (rc == 0)
		assert_json(value, g_typed[_i].json, g_typed[_i].json);
	json_decref(value);
}
END_TEST

START_TEST(test_typed_values)
{
	_cleanup_buf_ struct buf b = BUF_INIT(100);
	_cleanup_json_ json_t *list = NULL;
	const char *text =
		"[{\"__type__\": \"bytes\", \"__value__\": \"h\\u00fc\"}, {\"__type__\": "
		"\"base64\", \"__value__\": \"/wA=\"}, \"plain\", {\"__type__\": "
		"\"datetime\", \"__value__\": \"1970-01-01T00:00:01Z\"}, "
		"\"1970-01-01T00:00:02\", {\"__type__\": \"decimal\", \"__value__\": "
		"\"3.14\"}, {\"__type__\": \"uuid\", \"__value__\": {\"hex\": \"00ff\"}}, 7]";
	usec_t wall = 0;

	ck_assert_int_eq(json_load_python(text, strlen(text), &list, &g_err), 0);
	ck_assert_int_eq(typed_read_bytes(json_array_get(list, 0), &b, &g_err), 0);
	ck_assert_str_eq(b.data, "h\xc3\xbc");
	buf_reset(&b);
	ck_assert_int_eq(typed_read_bytes(json_array_get(list, 1), &b, &g_err), 0);
	ck_assert_uint_eq(b.len, 2);
	ck_assert_int_eq(memcmp(b.data, "\xff\0", 2), 0);
	buf_reset(&b);
	ck_assert_int_eq(typed_read_bytes(json_array_get(list, 2), &b, &g_err), 0);
	ck_assert_str_eq(b.data, "plain");
	ck_assert_int_eq(typed_read_time(json_array_get(list, 3), &wall, &g_err), 0);
	ck_assert_int_eq(wall, USEC_PER_SEC);
	ck_assert_int_eq(typed_read_time(json_array_get(list, 4), &wall, &g_err), 0);
	ck_assert_int_eq(wall, 2 * USEC_PER_SEC);
	ck_assert_str_eq(typed_text(json_array_get(list, 5)), "3.14");
	ck_assert_str_eq(typed_text(json_array_get(list, 6)), "00ff");
	ck_assert_str_eq(typed_text(json_array_get(list, 2)), "plain");
	ck_assert_ptr_null(typed_text(json_array_get(list, 0)));
	ck_assert_ptr_null(typed_text(json_array_get(list, 7)));
	for (size_t i = 0; i < json_array_size(list); i++) {
		if (i > 2)
			ck_assert_int_eq(
				i == 4 ? -ERR_INVALID
				       : typed_read_bytes(json_array_get(list, i), &b, &g_err),
				-ERR_INVALID);
	}
	ck_assert_int_eq(typed_read_time(json_array_get(list, 0), &wall, &g_err), -ERR_INVALID);
	ck_assert_int_eq(typed_read_time(json_array_get(list, 7), &wall, &g_err), -ERR_INVALID);
}
END_TEST

/* Bytes of a good text replaced one by one: read or refused, nothing else. */
START_TEST(test_mutations)
{
	static const char yaml[] = "[[1, &a {x: !!binary aGk=, y: [2026-11-21, *b]}, &b .inf], {k: "
				   "\"\\U0001f331\", ? l : *a}, 0x1_f, 1:30, |\n a\n b\n]";
	_cleanup_buf_ struct buf pack = BUF_INIT(1 << 20);
	const char *text = g_values[_i % (int)ARRAY_LEN(g_values)];
	_cleanup_json_ json_t *value = NULL;
	char copy[sizeof(yaml)];

	memcpy(copy, yaml, sizeof(yaml));
	ck_assert_int_eq(json_load_python(text, strlen(text), &value, &g_err), 0);
	ck_assert_int_eq(msgpack_write(value, &pack, &g_err), 0);
	for (int c = _i; c < 256; c += (int)ARRAY_LEN(g_values)) {
		for (size_t at = 0; at < sizeof(yaml) - 1; at++) {
			json_t *got = NULL;

			copy[at] = (char)c;
			(void)!yaml_read(copy, sizeof(copy) - 1, &got, &g_err);
			json_decref(got);
			copy[at] = yaml[at];
		}
		for (size_t at = 0; at < pack.len; at++) {
			char was = pack.data[at];
			json_t *got = NULL;

			pack.data[at] = (char)c;
			(void)!msgpack_read(pack.data, pack.len, &got, &g_err);
			json_decref(got);
			pack.data[at] = was;
		}
	}
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("body");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, test_yaml, 0, ARRAY_LEN(g_yaml));
	tcase_add_test(t, test_yaml_aliases);
	tcase_add_test(t, test_many_scalars);
	tcase_add_test(t, test_many_values);
	tcase_add_test(t, test_depth);
	tcase_add_loop_test(t, test_both_ways, 0, ARRAY_LEN(g_values));
	tcase_add_loop_test(t, test_typed_in_vain, 0, 5);
	tcase_add_test(t, test_dates_that_yaml_cannot_say);
	tcase_add_test(t, test_long_text);
	tcase_add_loop_test(t, test_bad_msgpack, 0, ARRAY_LEN(g_bad_msgpack));
	tcase_add_test(t, test_unwritable);
	tcase_add_loop_test(t, test_typed, 0, ARRAY_LEN(g_typed));
	tcase_add_test(t, test_typed_values);
	tcase_add_loop_test(t, test_mutations, 0, ARRAY_LEN(g_values));
	return suite_run("body", t);
}
