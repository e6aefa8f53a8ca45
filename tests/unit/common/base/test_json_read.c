/* Ordinary JSON read in one pass: the same values as jansson's, and nothing said of the rest. */
#include <string.h>

#include "bounds.h"
#include "common/base/json_private.h"
#include "json.h"
#include "tests/unit/suite.h"

static json_t *load(const char *text, size_t len)
{
	return json_loadb(text, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
}

static json_t *ordinary(const char *text, size_t len)
{
	bool found;

	return json_read_ordinary(text, len, "key", &found);
}

static const char *const g_ordinary[] = {
	"null",
	" true\n",
	"\t[ false , -0 , 0 , 7 , -999999999999999999 , 999999999999999999 ]\r",
	"[]",
	"{ }",
	"{\"a\": {\"b\": [[], {}, null]}, \"\": \"\", \"a\": 2}",
	"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0020\\u00e9\\u20aC\\uffff\"",
	"[\"plain\", \"\\nfirst\", \"last\\n\", \"é€😀\", \"\x7f\"]",
	"{\"é\": \"x\"}",
};

START_TEST(test_ordinary)
{
	const char *text = g_ordinary[_i];
	_cleanup_json_ json_t *value = ordinary(text, strlen(text)),
			      *same = load(text, strlen(text));

	ck_assert_msg(value != NULL, "%s", text);
	ck_assert(same != NULL && json_equal(value, same));
	/* Not one byte less is the same. */
	for (size_t len = 0; len + 1 < strlen(text); len++) {
		_cleanup_json_ json_t *less = ordinary(text, len), *other = load(text, len);

		ck_assert(less == NULL || json_equal(less, other));
	}
}
END_TEST

static const char *const g_other[] = {
	"",
	" ",
	"nul",
	"tru",
	"NaN",
	"Infinity",
	"-",
	"-Infinity",
	"01",
	"-00",
	"1.5",
	"1e3",
	"1E3",
	"1000000000000000000",
	"+1",
	"[1",
	"[1,",
	"[1,]",
	"[,1]",
	"[1 2]",
	"[1}",
	"{\"a\"}",
	"{\"a\":}",
	"{\"a\":1,}",
	"{\"a\" 1}",
	"{1: 1}",
	"{\"a\\n\": 1}",
	"\"",
	"\"a",
	"\"\\",
	"\"\\x\"",
	"\"\\u12\"",
	"\"\\u12g4\"",
	"\"\\u0000\"",
	"\"\\u0001\"",
	"\"\\u001f\"",
	"\"\\ud83d\\ude00\"",
	"\"\\udc00\"",
	"\"\n\"",
	"\"\x01\"",
	"\"\xff\"",
	"\"\xed\xa0\x80\"",
	"\"\xc0\x80\"",
	"\"\xe2\x82\"",
	"1 1",
	"[] x",
};

START_TEST(test_other)
{
	ck_assert_msg(ordinary(g_other[_i], strlen(g_other[_i])) == NULL, "%s", g_other[_i]);
}
END_TEST

/* A NUL is no end of a text, and none of an escape. */
START_TEST(test_nul)
{
	ck_assert_ptr_null(ordinary("1\0", 2));
	ck_assert_ptr_null(ordinary("\"\0\"", 3));
	ck_assert_ptr_null(ordinary("\"\\\0\"", 4));
}
END_TEST

/* Wherever a byte is, alone or behind others that come eight at a time. */
START_TEST(test_every_byte_everywhere)
{
	for (size_t at = 0; at < 20; at++) {
		char text[] = "\"aaaaaaaaaaaaaaaaaaaa\"";
		_cleanup_json_ json_t *value = NULL, *same = NULL;

		text[1 + at] = (char)_i;
		value = ordinary(text, strlen(text));
		same = load(text, strlen(text));
		if (_i >= 0x20 && _i < 0x80 && _i != '"' && _i != '\\')
			ck_assert(value != NULL && same != NULL && json_equal(value, same));
		else
			ck_assert_ptr_null(value);
	}
}
END_TEST

static const struct {
	const char *text;
	bool found;
} g_noted[] = {
	{"[\"key\"]", false},
	{"{\"ke\": 1, \"keys\": \"key\", \"\": 2}", false},
	{"{\"key\": 1}", true},
	{"[1, {\"a\": [{\"b\": 1, \"key\": null}]}, {}]", true},
	{"{\"k\\u0065y\": 1}", true}, /* not ordinary: who knows */
	{"[1.5]", true},
};

START_TEST(test_noted)
{
	_cleanup_json_ json_t *value = NULL;
	struct err err;
	bool found = !g_noted[_i].found;

	ck_assert_int_eq(json_load_python_noting(g_noted[_i].text, strlen(g_noted[_i].text), "key",
						 &found, &value, &err),
			 0);
	ck_assert_int_eq(found, g_noted[_i].found);
}
END_TEST

static json_t *nested(size_t depth)
{
	_cleanup_buf_ struct buf text = BUF_INIT(2 * depth);

	for (size_t i = 0; i < depth; i++)
		buf_append_char(&text, '[');
	for (size_t i = 0; i < depth; i++)
		buf_append_char(&text, ']');
	return ordinary(text.data, text.len);
}

/* What is nested deeply is for those who count. */
START_TEST(test_depth)
{
	_cleanup_json_ json_t *value = nested(32);

	ck_assert_ptr_nonnull(value);
	ck_assert_ptr_null(nested(33));
	ck_assert_ptr_null(nested(100000));
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("json_read");

	tcase_add_loop_test(t, test_ordinary, 0, ARRAY_LEN(g_ordinary));
	tcase_add_loop_test(t, test_other, 0, ARRAY_LEN(g_other));
	tcase_add_test(t, test_nul);
	tcase_add_loop_test(t, test_every_byte_everywhere, 0, 256);
	tcase_add_loop_test(t, test_noted, 0, ARRAY_LEN(g_noted));
	tcase_add_test(t, test_depth);
	return suite_run("json_read", t);
}
