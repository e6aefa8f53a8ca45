/* The helpers around jansson: numbers, text, repr, strict output. */
#include <math.h>
#include <string.h>

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

/* Python's repr, as Python 3.11 prints it. */
static const struct {
	const char *text, *repr;
} g_repr[] = {
	{"null", "None"},
	{"true", "True"},
	{"false", "False"},
	{"[]", "[]"},
	{"{}", "{}"},
	{"{\"a\": null, \"b\": [1, 2.0], \"c\": NaN}", "{'a': None, 'b': [1, 2.0], 'c': nan}"},
	{"[Infinity, -Infinity, -9223372036854775809]", "[inf, -inf, -9223372036854775809]"},
	{"\"a\"", "'a'"},
	{"\"it's\"", "\"it's\""},
	{"\"say \\\"x\\\"\"", "'say \"x\"'"},
	{"\"it's \\\"x\\\"\"", "'it\\'s \"x\"'"},
	{"\"\\\\ \\n\\r\\t\\u0000\\u001f\\u007f\"", "'\\\\ \\n\\r\\t\\x00\\x1f\\x7f'"},
	{"\"é€😀\"", "'é€😀'"},
	{"\"\\u00a0\\u00ad\\u200b\\u2028\\u3000\\ufeff\"",
	 "'\\xa0\\xad\\u200b\\u2028\\u3000\\ufeff'"},
	{"\"\\ud800\"", "'\\ud800'"},
	{"\"\\udb40\\udc01\"", "'\\U000e0001'"},
	{"\"\\u0001nNaN\"", "'\\x01nNaN'"},
	{"{\"\\u0000\": \"\\u0001\"}", "{'\\x00': '\\x01'}"},
};

START_TEST(test_repr)
{
	_cleanup_json_ json_t *value = load(g_repr[_i].text);
	_cleanup_buf_ struct buf out = BUF_INIT(1000);
	json_repr(value, 1000, &out);
	ck_assert_str_eq(out.data, g_repr[_i].repr);
}
END_TEST

START_TEST(test_repr_cut)
{
	_cleanup_json_ json_t *value = load("{\"k\": [\"aaé€😀\", 1, NaN]}");
	_cleanup_buf_ struct buf whole = BUF_INIT(1000);
	json_repr(value, 1000, &whole);
	for (size_t limit = 0; limit <= whole.len + 2; limit++) {
		_cleanup_buf_ struct buf out = BUF_INIT(limit); /* never more than that */
		struct err err;
		json_repr(value, limit, &out);
		ck_assert_int_eq(buf_status(&out, &err), 0);
		if (limit >= whole.len) {
			ck_assert_str_eq(out.data, whole.data);
			continue;
		}
		ck_assert_uint_gt(out.len + 4, limit);
		size_t dots = limit < 3 ? limit : 3;
		ck_assert_str_eq(out.data + out.len - dots, "..." + 3 - dots);
		ck_assert_mem_eq(out.data, whole.data, out.len - dots);
		for (size_t i = 0; i < out.len; i++)
			ck_assert_msg(((unsigned char)whole.data[out.len - dots] & 0xc0) != 0x80,
				      "cut inside a character at %zu", limit);
	}
}
END_TEST

START_TEST(test_repr_of_long_things)
{
	size_t len = 1 << 20;
	char *text = malloc(len + 1);
	memset(text, _i ? '7' : 'x', len);
	text[len] = '\0';
	if (!_i)
		text[0] = text[len - 1] = '"';
	_cleanup_json_ json_t *value = load(text);
	_cleanup_buf_ struct buf out = BUF_INIT(1024);
	json_repr(value, 1024, &out);
	ck_assert_uint_le(out.len, 1024);
	ck_assert_str_eq(out.data + out.len - 3, "...");
	free(text);
}
END_TEST

static const struct {
	double value;
	const char *text;
} g_reals[] = {
	{0.0, "0.0"},
	{-0.0, "-0.0"},
	{1.0, "1.0"},
	{0.1, "0.1"},
	{100.0, "100.0"},
	{1.0 / 3, "0.3333333333333333"},
	{2.0 / 3, "0.6666666666666666"},
	{0.1 + 0.2, "0.30000000000000004"},
	{1e15, "1000000000000000.0"},
	{1e16, "1e+16"},
	{1e22, "1e+22"},
	{1e100, "1e+100"},
	{0.0001, "0.0001"},
	{0.00001, "1e-05"},
	{1.5e-7, "1.5e-07"},
	{123456789.125, "123456789.125"},
	{5e-324, "5e-324"},
	{2.2250738585072014e-308, "2.2250738585072014e-308"},
	{2.225073858507201e-308, "2.225073858507201e-308"},
	{1.7976931348623157e308, "1.7976931348623157e+308"},
	{9007199254740993.0, "9007199254740992.0"},
	{-1.25, "-1.25"},
	{INFINITY, "inf"},
	{-INFINITY, "-inf"},
};

START_TEST(test_reals)
{
	char out[JSON_REAL_SIZE];
	size_t len = json_real_repr(g_reals[_i].value, out);
	ck_assert_str_eq(out, g_reals[_i].text);
	ck_assert_uint_eq(len, strlen(out));
}
END_TEST

static const struct {
	const char *token, *type, *kept; /* type NULL: refused; kept NULL: a plain integer */
} g_numbers[] = {
	{"0", "int", NULL},
	{"-0", "int", NULL},
	{"-12", "int", NULL},
	{"9223372036854775807", "int", NULL},
	{"-9223372036854775808", "int", NULL},
	{"9223372036854775808", "int", "9223372036854775808"},
	{"-9223372036854775809", "int", "-9223372036854775809"},
	{"NaN", "float", "NaN"},
	{"Infinity", "float", "Infinity"},
	{"-Infinity", "float", "-Infinity"},
	{"", NULL, NULL},
	{"-", NULL, NULL},
	{"+1", NULL, NULL},
	{"01", NULL, NULL},
	{"1.0", NULL, NULL},
	{"nan", NULL, NULL},
	{"-NaN", NULL, NULL},
	{"12345678901234567890x", NULL, NULL},
	{"1\", \"x\": \"", NULL, NULL},
};

START_TEST(test_make_number)
{
	_cleanup_json_ json_t *value = NULL;
	struct err err;
	int r = json_make_number(g_numbers[_i].token, &value, &err);
	if (!g_numbers[_i].type) {
		ck_assert_int_eq(r, -ERR_INVALID);
		return;
	}
	ck_assert_int_eq(r, 0);
	ck_assert_str_eq(json_type_name(value), g_numbers[_i].type);
	ck_assert(json_is_python_number(value) == (g_numbers[_i].kept != NULL));
	if (g_numbers[_i].kept)
		ck_assert_str_eq(json_python_number(value), g_numbers[_i].kept);
	else
		ck_assert_int_eq(json_integer_value(value), strtoll(g_numbers[_i].token, NULL, 10));
}
END_TEST

/* Strings that only look like marks, put there by somebody who knows them. */
static const char *const g_forged[] = {"\x01n1",	"\x01nnan",  "\x01n1, \"x\": 2",
				       "\x01n",		"\x01",	     "\x01n01234567890123456789",
				       "\x01nNaN ",	"\x01nnull", "\x01s\x01uzzzz",
				       "\x01s\x01u0041"};

START_TEST(test_forged_marks_are_text)
{
	_cleanup_json_ json_t *value = json_string(g_forged[_i]);
	_cleanup_buf_ struct buf out = BUF_INIT(100);
	ck_assert(!json_is_python_number(value));
	ck_assert_str_eq(json_type_name(value), "str");
	json_dump_python(value, &out);
	ck_assert_int_eq(out.data[0], '"');
	ck_assert_int_eq(out.data[out.len - 1], '"');
}
END_TEST

/* Of a marked text: an escape that is none, and one of what needs none, are U+0001 and the rest. */
START_TEST(test_forged_escapes)
{
	static const char *const rows[][2] = {{"\x01s\x01uzzzz", "\"\\u0001uzzzz\""},
					      {"\x01s\x01u0041", "\"\\u0001u0041\""},
					      {"\x01s\x01ud800", "\"\\ud800\""}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_json_ json_t *value = json_string(rows[i][0]);
		_cleanup_buf_ struct buf out = BUF_INIT(100);

		json_dump_python(value, &out);
		ck_assert_str_eq(out.data, rows[i][1]);
	}
	/* nobody looked at these bytes */
	_cleanup_json_ json_t *raw = json_stringn_nocheck("a\xff\xc3", 3);
	_cleanup_buf_ struct buf out = BUF_INIT(100);
	json_dump_python(raw, &out);
	ck_assert_str_eq(out.data, "\"a\\ufffd\\ufffd\"");
}
END_TEST

START_TEST(test_type_names)
{
	static const char *const want[][2] = {
		{"{}", "dict"},	  {"[]", "list"},   {"\"\"", "str"},   {"1", "int"},
		{"1.0", "float"}, {"true", "bool"}, {"false", "bool"}, {"null", "NoneType"},
	};
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		_cleanup_json_ json_t *value = load(want[i][0]);
		ck_assert_str_eq(json_type_name(value), want[i][1]);
	}
	ck_assert_str_eq(json_type_name(NULL), "NoneType");
}
END_TEST

START_TEST(test_members)
{
	_cleanup_json_ json_t *o = load("{\"s\": \"x\", \"n\": null, \"i\": 1}");
	_cleanup_json_ json_t *list = load("[1]");
	ck_assert_str_eq(json_member_str(o, "s"), "x");
	ck_assert_ptr_null(json_member_str(o, "n"));
	ck_assert_ptr_null(json_member_str(o, "i"));
	ck_assert_ptr_null(json_member_str(o, "absent"));
	ck_assert_int_eq(json_integer_value(json_member(o, "i")), 1);
	ck_assert_ptr_null(json_member(o, "n"));
	ck_assert_ptr_null(json_member(NULL, "s"));
	ck_assert_ptr_null(json_member(list, "s"));
}
END_TEST

static const struct {
	const char *bytes;
	size_t len;
	bool no_nul;
	const char *dumped;
} g_texts[] = {
	{"", 0, false, "\"\""},
	{"abc", 3, false, "\"abc\""},
	{"a\0b", 3, false, "\"a\\u0000b\""},
	{"a\0b", 3, true, "\"a\\ufffdb\""},
	{"a\xff"
	 "b\xc3",
	 4, false, "\"a\\ufffdb\\ufffd\""},
	{"é", 2, true, "\"\\u00e9\""},
	{"\x01nNaN", 5, false, "\"\\u0001nNaN\""},
	{"\x01s\x01\x01\0\xff", 6, true, "\"\\u0001s\\u0001\\u0001\\ufffd\\ufffd\""},
	{"\x01", 1, false, "\"\\u0001\""},
	{"a\x01nNaN", 6, false, "\"a\\u0001nNaN\""},
};

START_TEST(test_text)
{
	_cleanup_json_ json_t *value =
		json_text(g_texts[_i].bytes, g_texts[_i].len, g_texts[_i].no_nul);
	_cleanup_buf_ struct buf out = BUF_INIT(100), plain = BUF_INIT(100), again = BUF_INIT(100),
				 direct = BUF_INIT(100);
	json_dump_python(value, &out);
	ck_assert_str_eq(out.data, g_texts[_i].dumped);
	if (!g_texts[_i].no_nul) {
		json_dump_python_text(g_texts[_i].bytes, g_texts[_i].len, &direct);
		ck_assert_str_eq(direct.data, g_texts[_i].dumped);
	}
	/* What it says is the same bytes, cleaned; and reading the dump gives the same again. */
	json_text_append(value, &plain);
	_cleanup_json_ json_t *read = load(out.data);
	json_text_append(read, &again);
	ck_assert_uint_eq(plain.len, again.len);
	ck_assert_mem_eq(plain.data, again.data, plain.len);
}
END_TEST

static const struct {
	const char *text, *strict;
} g_strict[] = {
	{"{\"a\": NaN}", "{\"a\": \"NaN\"}"},
	{"[Infinity, -Infinity]", "[\"Infinity\", \"-Infinity\"]"},
	{"[123456789012345678901, -123456789012345678901]",
	 "[123456789012345678901, -123456789012345678901]"},
	{"\"a\\u0000b\\ud800\\ud83d\\ude00\"", "\"a\\ufffdb\\ufffd\\ud83d\\ude00\""},
	{"{\"\\u0000\": \"\\u0001\"}", "{\"\\ufffd\": \"\\u0001\"}"},
};

/* Each character at each place of two words: written as Python does, and read again. */
START_TEST(test_every_character)
{
	static const char named[] = "\"\\\b\t\n\f\r", names[] = "\"\\btnfr";
	for (int c = 1; c < 0x80; c++) {
		for (size_t at = 0; at < 16; at++) {
			_cleanup_buf_ struct buf out = BUF_INIT(64), expected = BUF_INIT(64);
			const char *name = strchr(named, c);
			char text[] = "abcdefghijklmnop";
			text[at] = (char)c;
			buf_appendf(&expected, "\"%.*s", (int)at, text);
			if (name)
				buf_appendf(&expected, "\\%c", names[name - named]);
			else
				buf_appendf(&expected, c < ' ' || c == 0x7f ? "\\u%04x" : "%c", c);
			buf_appendf(&expected, "%s\"", text + at + 1);
			json_dump_python_text(text, 16, &out);
			ck_assert_str_eq(out.data, expected.data);
			_cleanup_json_ json_t *read = load(out.data);
			buf_reset(&out);
			json_dump_python(read, &out);
			ck_assert_str_eq(out.data, expected.data);
		}
	}
}
END_TEST

START_TEST(test_dump_strict)
{
	_cleanup_json_ json_t *value = load(g_strict[_i].text);
	_cleanup_buf_ struct buf out = BUF_INIT(200);
	json_dump_strict(value, &out);
	ck_assert_str_eq(out.data, g_strict[_i].strict);
	/* jansson, left alone, reads it. */
	if (!strstr(out.data, "12345")) {
		_cleanup_json_ json_t *again = json_loads(out.data, JSON_DECODE_ANY, NULL);
		ck_assert_ptr_nonnull(again);
	}
}
END_TEST

START_TEST(test_load_strict)
{
	static const char *const wrong[] = {"NaN", "[Infinity]", "{\"a\": -Infinity}", "[1,]", ""};
	struct err err;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		json_t *value;
		ck_assert_int_eq(json_load_strict(wrong[i], strlen(wrong[i]), &value, &err),
				 -ERR_INVALID);
	}
	/* Docker's uint64, and a hostile peer's mark. */
	_cleanup_json_ json_t *value = NULL;
	static const char text[] = "[18446744073709551615, \"\\u0001nNaN\", \"\\ud800\"]";
	ck_assert_int_eq(json_load_strict(text, strlen(text), &value, &err), 0);
	ck_assert_str_eq(json_python_number(json_array_get(value, 0)), "18446744073709551615");
	ck_assert(!json_is_python_number(json_array_get(value, 1)));
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("json");
	tcase_add_loop_test(t, test_repr, 0, ARRAY_LEN(g_repr));
	tcase_add_test(t, test_repr_cut);
	tcase_add_loop_test(t, test_repr_of_long_things, 0, 2);
	tcase_add_loop_test(t, test_reals, 0, ARRAY_LEN(g_reals));
	tcase_add_loop_test(t, test_make_number, 0, ARRAY_LEN(g_numbers));
	tcase_add_loop_test(t, test_forged_marks_are_text, 0, ARRAY_LEN(g_forged));
	tcase_add_test(t, test_forged_escapes);
	tcase_add_test(t, test_type_names);
	tcase_add_test(t, test_members);
	tcase_add_loop_test(t, test_text, 0, ARRAY_LEN(g_texts));
	tcase_add_test(t, test_every_character);
	tcase_add_loop_test(t, test_dump_strict, 0, ARRAY_LEN(g_strict));
	tcase_add_test(t, test_load_strict);
	return suite_run("json", t);
}
