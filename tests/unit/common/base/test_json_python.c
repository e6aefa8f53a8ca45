/* What Python writes comes back as Python wrote it, and the marks cannot be forged. */
#include <string.h>

#include "bounds.h"
#include "common/base/json_private.h"
#include "json.h"
#include "tests/unit/suite.h"

static json_t *load(const char *text)
{
	json_t *value = NULL;
	struct err err;
	int r = json_load_python(text, strlen(text), &value, &err);
	ck_assert_msg(r == 0, "%s: %s", text, err.msg);
	return value;
}

/* Texts that are dumped as they were read. */
static const char *const g_same[] = {
	"null",
	"true",
	"false",
	"\"\"",
	"[]",
	"{}",
	"0",
	"-1",
	"1.5",
	"[1, [2, {\"a\": []}]]",
	"NaN",
	"Infinity",
	"-Infinity",
	"[NaN, -Infinity]",
	"{\"a\": NaN, \"b\": 1}",
	"9223372036854775807",
	"9223372036854775808",
	"-9223372036854775808",
	"-9223372036854775809",
	"123456789012345678901234567890",
	"0.1",
	"1e+16",
	"1e-05",
	"5e-324",
	"-0.0",
	"1.7976931348623157e+308",
	"123456789012345.6",
	"\"\\u0001\"",
	"\"\\u0001nNaN\"",
	"\"\\u0001n123456789012345678901\"",
	"\"\\u0001s\"",
	"\"\\u0001s\\u0001ud800\"",
	"\"a\\u0001b\"",
	"\"\\u0001\\u0001\"",
	"\"\\ud800\"",
	"\"\\udc00\\ud800\"",
	"\"\\ud83d\\ude00\"",
	"\"x\\ud83d\"",
	"\"\\ud800\\udc00\\uffff\\udbff\\udfff\"",
	"\"\\ud800\\ud83d\\ude00\"",
	"\"\\ud800\\\\udc00\"",
	"\"\\ud800\\u0001\"",
	"\"\\u0000\"",
	"\"a\\u0000\\ud800\"",
	"{\"\\u0000\": 1}",
	"{\"a\\u0000b\": {\"\\u0001\": \"\\u0000\"}}",
	"{\"\\ud800\": 1}",
	"{\"\\u0001nNaN\": \"\\u0001nNaN\"}",
	"{\"\\u0000\\u0001\\ud800\": 1}",
	"\"\\\"\\\\\\n\\r\\t\\b\\f\\u000b\\u007f\\u00e9\\u20ac/\"",
	"{\"b\": 1, \"a\": 2}",
	"\"\\\\\"",
	"[\"\\\\\", NaN]",
	"\"\\\\ud800\"",
};

START_TEST(test_same)
{
	_cleanup_json_ json_t *value = load(g_same[_i]);
	_cleanup_buf_ struct buf out = BUF_INIT(1000);
	json_dump_python(value, &out);
	ck_assert_str_eq(out.data, g_same[_i]);
}
END_TEST

/* Texts that mean something else than they look like: as Python, after loads and dumps. */
static const struct {
	const char *in, *out;
} g_changed[] = {
	{" [ 1 ,2 ]\n", "[1, 2]"},
	{"1E5", "100000.0"},
	{"1e400", "Infinity"},
	{"[1e+400, -1E+999, 1e-999]", "[Infinity, -Infinity, 0.0]"},
	{"-1e400", "-Infinity"},
	{"[1e999]", "[Infinity]"},
	{"1e-400", "0.0"},
	{"-0", "0"},
	{"1.0e2", "100.0"},
	{"123456789012345678.5", "1.2345678901234568e+17"},
	{"{\"a\": 1, \"b\": 2, \"a\": 3}", "{\"a\": 3, \"b\": 2}"},
	{"\"\\uD83D\\uDE00 \\/\"", "\"\\ud83d\\ude00 /\""},
	{"\"é€😀\"", "\"\\u00e9\\u20ac\\ud83d\\ude00\""},
	{"\"\\uDC00\"", "\"\\udc00\""},
	{"[NaN,\"é\"]", "[NaN, \"\\u00e9\"]"},
};

START_TEST(test_changed)
{
	_cleanup_json_ json_t *value = load(g_changed[_i].in);
	_cleanup_buf_ struct buf out = BUF_INIT(1000);
	json_dump_python(value, &out);
	ck_assert_str_eq(out.data, g_changed[_i].out);
}
END_TEST

/* Wrong, and where. */
static const struct {
	const char *text;
	int at; /* -1: no matter */
} g_wrong[] = {
	{"", -1},
	{" ", -1},
	{"[", -1},
	{"[1,]", 4},
	{"{\"a\"}", -1},
	{"{1: 2}", -1},
	{"nan", -1},
	{"NAN", -1},
	{"[NaN", -1},
	{"NaNx", -1},
	{"-NaN", -1},
	{"+1", -1},
	{"Infinit", -1},
	{"-Inf", -1},
	{"1NaN", -1},
	{"NaN NaN", -1},
	{"--1", -1},
	{"{NaN: 1}", 1},
	{"{Infinity : 1}", 1},
	{"{123456789012345678901: 1}", 1},
	{"{1e999: 1}", 1},
	{"01", -1},
	{"0123456789012345678901", -1},
	{"-", -1},
	{"1.", -1},
	{".5", -1},
	{"1e", -1},
	{"1e+", -1},
	{"1.e400", -1},
	{"0x10", -1},
	{"\"abc", -1},
	{"\"\\ud800", -1},
	{"\"\\u12\"", -1},
	{"\"\\x41\"", -1},
	{"\"\n\"", -1},
	{"\"\x01\"", -1},
	{"\"\xff\"", -1},
	{"\"\xed\xa0\x80\"", -1},
	{"[NaN, tru]", 9},
	{"[1] [2]", -1},
	{"{\"a\": \"\\ud800\" 1}", 16},
	{"'a'", -1},
	{"}", -1},
	{"]]]]", -1},
	{"\"", -1},
	{"\"\\", -1},
	{"\"\\\"", -1},
};

START_TEST(test_wrong)
{
	const char *text = g_wrong[_i].text;
	json_t *value = NULL;
	struct err err;
	ck_assert_msg(json_load_python(text, strlen(text), &value, &err) == -ERR_INVALID, "%s",
		      text);
	ck_assert_ptr_null(value);
	const char *at = strstr(err.msg, " at byte ");
	ck_assert_ptr_nonnull(at);
	if (g_wrong[_i].at >= 0)
		ck_assert_int_eq(atoi(at + 9), g_wrong[_i].at);
}
END_TEST

START_TEST(test_errors_do_not_quote)
{
	static const char text[] = "{\"key\": \"v\" hunter2}";
	json_t *value;
	struct err err;
	ck_assert_int_eq(json_load_python(text, strlen(text), &value, &err), -ERR_INVALID);
	ck_assert_ptr_null(strstr(err.msg, "hunter2"));
}
END_TEST

/* The text need not end where the bytes end. */
START_TEST(test_every_prefix)
{
	static const char text[] =
		"{\"a\\ud800\": [NaN, 123456789012345678901, 1e400, \"\\u0001\"]}";
	for (size_t len = 0; len < strlen(text); len++) {
		char *part = malloc(len ? len : 1);
		json_t *value;
		struct err err;
		memcpy(part, text, len);
		ck_assert_int_eq(json_load_python(part, len, &value, &err), -ERR_INVALID);
		free(part);
	}
}
END_TEST

static int load_nested(size_t depth, const char *open, const char *close, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(10 * depth + 10);
	json_t *value;
	for (size_t i = 0; i < depth; i++)
		buf_append_str(&text, open);
	buf_append_str(&text, "1");
	for (size_t i = 0; i < depth; i++)
		buf_append_str(&text, close);
	int r = json_load_python(text.data, text.len, &value, err);
	if (r == 0) {
		_cleanup_buf_ struct buf out = BUF_INIT(10 * depth + 10);
		json_dump_python(value, &out);
		ck_assert_str_eq(out.data, text.data);
		json_decref(value);
	}
	return r;
}

START_TEST(test_depth)
{
	struct err err;
	ck_assert_int_eq(load_nested(BOUND_JSON_DEPTH, "[", "]", &err), 0);
	ck_assert_int_eq(load_nested(BOUND_JSON_DEPTH, "{\"a\": ", "}", &err), 0);
	ck_assert_int_eq(load_nested(BOUND_JSON_DEPTH + 1, "[", "]", &err), -ERR_TOOBIG);
	ck_assert_int_eq(load_nested(1000000, "[", "]", &err), -ERR_TOOBIG);
	/* Brackets in strings do not count. */
	_cleanup_json_ json_t *value = load("\"[[[[\\\"[[[[\"");
	ck_assert_uint_eq(json_string_length(value), 9);
}
END_TEST

static int load_empty_lists(size_t count, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(3 * count + 10);
	json_t *value;
	int r;
	for (size_t i = 0; i < count; i++)
		buf_append_str(&text, i ? ",[]" : "[[]");
	buf_append_str(&text, "]");
	r = json_load_python(text.data, text.len, &value, err);
	if (r == 0)
		json_decref(value);
	return r;
}

/* Three bytes of a message are fifty times as much memory. */
START_TEST(test_count)
{
	struct err err;
	/* Each list counts twice, where it stands and as one that could hold something. */
	ck_assert_int_eq(load_empty_lists(BOUND_JSON_VALUES / 2, &err), 0);
	ck_assert_int_eq(load_empty_lists(BOUND_JSON_VALUES / 2 + 1, &err), -ERR_TOOBIG);
	/* Commas in strings do not count. */
	_cleanup_buf_ struct buf text = BUF_INIT(2 * BOUND_JSON_VALUES + 2);
	buf_append_char(&text, '"');
	for (size_t i = 0; i < 2 * BOUND_JSON_VALUES; i++)
		buf_append_char(&text, ',');
	buf_append_char(&text, '"');
	_cleanup_json_ json_t *value = load(text.data);
	ck_assert_uint_eq(json_string_length(value), 2 * BOUND_JSON_VALUES);
}
END_TEST

START_TEST(test_dump_too_deep)
{
	_cleanup_json_ json_t *value = json_array();
	_cleanup_buf_ struct buf out = BUF_INIT(10000);
	struct err err;
	for (int i = 0; i < BOUND_JSON_DEPTH + 100; i++)
		value = json_pack("[o]", value);
	json_dump_python(value, &out);
	ck_assert_int_eq(buf_status(&out, &err), -ERR_TOOBIG);
}
END_TEST

START_TEST(test_fast_path_copies_nothing)
{
	struct json_scan scan = {.constants = true};
	struct err err;
	static const char text[] = "{\"a\": [1, 2.5, \"x\\n\\u0000\\ud83d\\ude00\", null]}";
	ck_assert_int_eq(json_scan(&scan, text, strlen(text), &err), 0);
	ck_assert(!scan.rewritten);
	ck_assert_int_eq(json_scan(&scan, "[NaN]", 5, &err), 0);
	ck_assert(scan.rewritten);
	ck_assert_str_eq(scan.out.data, "[\"\\u0001nNaN\"]");
	buf_done(&scan.out);
}
END_TEST

/* Every replacement at its largest still fits. */
START_TEST(test_growth)
{
	static const char *const pieces[] = {"\\u0001", "\\ud800", "\\u0000"};
	_cleanup_buf_ struct buf text = BUF_INIT(1 << 20);
	buf_append_str(&text, "{\"\\u0001");
	for (int i = 0; i < 1000; i++)
		buf_append_str(&text, pieces[_i]);
	buf_append_str(&text, "\": [");
	for (int i = 0; i < 1000; i++)
		buf_append_str(&text, i ? ", NaN" : "NaN");
	buf_append_str(&text, "]}");
	_cleanup_json_ json_t *value = load(text.data);
	_cleanup_buf_ struct buf out = BUF_INIT(1 << 20);
	json_dump_python(value, &out);
	ck_assert_str_eq(out.data, text.data);
}
END_TEST

/* Time must not grow with the square: a string of escapes whose end is far away. */
START_TEST(test_long_strings)
{
	size_t len = (size_t)16 << 20;
	char *text = malloc(len);
	for (size_t i = 0; i + 1 < len; i += 2)
		memcpy(text + i, _i ? "\\\"" : "\\n", 2);
	text[0] = '"';
	text[1] = 'x';
	json_t *value = NULL;
	struct err err;
	ck_assert_int_eq(json_load_python(text, len, &value, &err), -ERR_INVALID);
	text[len - 2] = 'x';
	text[len - 1] = '"';
	ck_assert_int_eq(json_load_python(text, len, &value, &err), 0);
	json_decref(value);
	free(text);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("json_python");
	tcase_set_timeout(t, 30);
	tcase_add_loop_test(t, test_same, 0, ARRAY_LEN(g_same));
	tcase_add_loop_test(t, test_changed, 0, ARRAY_LEN(g_changed));
	tcase_add_loop_test(t, test_wrong, 0, ARRAY_LEN(g_wrong));
	tcase_add_test(t, test_errors_do_not_quote);
	tcase_add_test(t, test_every_prefix);
	tcase_add_test(t, test_depth);
	tcase_add_test(t, test_count);
	tcase_add_test(t, test_dump_too_deep);
	tcase_add_test(t, test_fast_path_copies_nothing);
	tcase_add_loop_test(t, test_growth, 0, 3);
	tcase_add_loop_test(t, test_long_strings, 0, 2);
	return suite_run("json_python", t);
}
