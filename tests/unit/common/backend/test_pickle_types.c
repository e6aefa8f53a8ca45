/* Pickles of the classes that are known: what looks like one of their values and is none. */
#include <string.h>

#include "bounds.h"
#include "common/backend/pickle.h"
#include "json.h"
#include "tests/unit/suite.h"

#define P(text) text, sizeof(text) - 1

static const struct {
	const char *data;
	size_t len;
	enum err_code code;
} g_refused[] = {
	{P("\x80\x04\x93."), ERR_INVALID},		       /* a class without a name */
	{P("\x80\x04NN\x93."), ERR_INVALID},		       /* … whose name is None */
	{P("\x80\x03](cdatetime\ndate\ne."), ERR_UNSUPPORTED}, /* a class among a list's values */
	{P("\x80\x03"
	   "cdatetime\ndate\n)R."),
	 ERR_UNSUPPORTED}, /* date() */
	{P("\x80\x03"
	   "cdatetime\ndate\nN\x85R."),
	 ERR_UNSUPPORTED}, /* date(None) */
	{P("\x80\x03"
	   "cdatetime\ndate\nC\x03\x07\xe9\x01\x85R."),
	 ERR_UNSUPPORTED}, /* of three bytes */
	{P("\x80\x03"
	   "cdatetime\ndate\nC\x04\x07\xe9\x0d\x01\x85R."),
	 ERR_UNSUPPORTED}, /* a thirteenth month */
	{P("\x80\x03"
	   "cdatetime\ntime\nC\x06\x18\0\0\0\0\0\x85R."),
	 ERR_UNSUPPORTED}, /* 24:00 */
	{P("\x80\x03"
	   "cdatetime\ntime\nC\x06\x17\0\0\0\0\0N\x86R."),
	 ERR_UNSUPPORTED}, /* a zone that is None */
	{P("\x80\x03"
	   "cdatetime\ntimedelta\nK\0NK\0\x87R."),
	 ERR_UNSUPPORTED}, /* seconds that are None */
	{P("\x80\x03"
	   "cdatetime\ntimedelta\nK\0J\x41\x42\x0f\0K\0\x87R."),
	 ERR_UNSUPPORTED}, /* a million and one */
	{P("\x80\x03"
	   "cdatetime\ntimedelta\nK\x01K\0K\0\x87R."),
	 ERR_UNSUPPORTED}, /* more than an offset */
	{P("\x80\x03"
	   "cdatetime\ntimezone\n)R."),
	 ERR_UNSUPPORTED},
	{P("\x80\x03"
	   "cdecimal\nDecimal\nX\x02\0\0\0"
	   "1.\x85R."),
	 ERR_UNSUPPORTED},
	{P("\x80\x03"
	   "cdecimal\nDecimal\nX\x02\0\0\0"
	   "1E\x85R."),
	 ERR_UNSUPPORTED},
	{P("\x80\x03"
	   "cdecimal\nDecimal\nX\x12\0\0\0"
	   "1E1234567890123456\x85R."),
	 ERR_UNSUPPORTED},
	{P("\x80\x03"
	   "cdecimal\nDecimal\nX\x02\0\0\0"
	   "1x\x85R."),
	 ERR_UNSUPPORTED},
	{P("\x80\x03"
	   "cdecimal\nDecimal\nX\x02\0\0\0"
	   "1\0\x85R."),
	 ERR_UNSUPPORTED}, /* a NUL */
	{P("\x80\x03"
	   "cuuid\nUUID\nX\x02\0\0\0"
	   "0a\x85R."),
	 ERR_UNSUPPORTED},
	{P("\x80\x03"
	   "cuuid\nUUID\nX\x22\0\0\0"
	   "0a8f3f7e2f4c4a5e8c7b1d2e3f405162\0x\x85R."),
	 ERR_UNSUPPORTED},
};

START_TEST(test_refused)
{
	struct slice data = {g_refused[_i].data, g_refused[_i].len};
	json_t *value = NULL;
	struct err err = {0};

	ck_assert_msg(pickle_read(data, &value, &err) == -(int)g_refused[_i].code, "%s", err.msg);
	ck_assert_ptr_null(value);
}
END_TEST

/* What isoformat() and str() would not write is no date and no number: the object that it is. */
static const char *const g_plain[] = {
	"{\"__type__\": \"datetime\", \"__value__\": \"2026-11-28 10:00:00\"}",
	"{\"__type__\": \"datetime\", \"__value__\": \"2026-13-28T10:00:00\"}",
	"{\"__type__\": \"datetime\", \"__value__\": \"2026-11-28T24:00:00\"}",
	"{\"__type__\": \"date\", \"__value__\": \"0000-01-01\"}",
	"{\"__type__\": \"time\", \"__value__\": \"10:00\"}",
	"{\"__type__\": \"decimal\", \"__value__\": \"1.E1\"}",
	"{\"__type__\": \"decimal\", \"__value__\": \"1\\u0000\"}",
	"{\"__type__\": \"datetime\", \"__value__\": \"2026-11-28T10:00:00\\u0000\"}",
	"{\"__type__\": \"date\", \"__value__\": \"2026-11-28\\u0000x\"}",
	"{\"__type__\": \"time\", \"__value__\": \"10:00:00\\u0000\"}",
	"{\"__type__\": \"uuid\", \"__value__\": {\"hex\": "
	"\"0a8f3f7e2f4c4a5e8c7b1d2e3f405162\\u0000\"}}",
};

START_TEST(test_plain)
{
	_cleanup_json_ json_t *value = NULL, *again = NULL;
	_cleanup_buf_ struct buf out = BUF_INIT(1000), text = BUF_INIT(1000);
	struct err err = {0};

	ck_assert_int_eq(json_load_python(g_plain[_i], strlen(g_plain[_i]), &value, &err), 0);
	ck_assert_int_eq(pickle_write(value, &out, &err), 0);
	ck_assert_ptr_nonnull(memmem(out.data, out.len, "__type__", 8));
	ck_assert_int_eq(pickle_read((struct slice){out.data, out.len}, &again, &err), 0);
	json_dump_python(again, &text);
	ck_assert_str_eq(text.data, g_plain[_i]);
}
END_TEST

/* As many digits as Python reads, and no more; test_json_integer.c has those in bytes. */
START_TEST(test_most_digits)
{
	static const char *const signs[] = {"", "-"};

	for (int digits = 4300; digits <= 4301; digits++) {
		_cleanup_buf_ struct buf text = BUF_INIT(8192);
		_cleanup_json_ json_t *value = NULL;
		struct err err = {0};

		buf_append(&text, "\x80\x02L", 3);
		buf_append_str(&text, signs[_i]);
		for (int i = 0; i < digits; i++)
			buf_append_char(&text, '9');
		buf_append_str(&text, "L\n.");
		ck_assert_int_eq(pickle_read((struct slice){text.data, text.len}, &value, &err),
				 digits == 4300 ? 0 : -ERR_TOOBIG);
	}
}
END_TEST

START_TEST(test_too_many_digits)
{
	_cleanup_buf_ struct buf data = BUF_INIT(1 << 20);
	json_t *value = NULL;
	struct err err = {0};

	buf_append(&data, "\x80\x02L", 3);
	for (int i = 0; i < 100000; i++)
		buf_append_char(&data, '1');
	buf_append_str(&data, "L\n.");
	ck_assert_int_eq(pickle_read((struct slice){data.data, data.len}, &value, &err),
			 -ERR_TOOBIG);
	ck_assert_ptr_nonnull(strstr(err.msg, "value has 100000 digits"));
}
END_TEST

/* As the decimal module has no limit of its own. */
START_TEST(test_long_decimal)
{
	_cleanup_buf_ struct buf data = BUF_INIT(1 << 20), again = BUF_INIT(1 << 20);
	_cleanup_json_ json_t *value = NULL;
	struct err err = {0};

	buf_append_str(&data, "\x80\x03"
			      "cdecimal\nDecimal\n(X");
	for (size_t i = 0; i < 4; i++)
		buf_append_char(&data, (char)(100000 >> (8 * i)));
	for (int i = 0; i < 100000; i++)
		buf_append_char(&data, '1');
	buf_append_str(&data, "tR.");
	ck_assert_int_eq(pickle_read((struct slice){data.data, data.len}, &value, &err), 0);
	ck_assert_int_eq(pickle_write(value, &again, &err), 0);
	ck_assert_uint_eq(again.len, data.len);
	ck_assert_mem_eq(again.data, data.data, data.len);
}
END_TEST

/* Of a date as it is, there are four bytes and no spaces between their digits. */
START_TEST(test_spaced_date)
{
	for (size_t len = 8; len <= 100; len += 92) {
		_cleanup_buf_ struct buf data = BUF_INIT(1 << 20);
		_cleanup_json_ json_t *value = NULL;
		struct err err = {0};

		buf_append(&data, P("\x80\x03"
				    "cdatetime\ndate\n}(X\x08\0\0\0__type__X\x06\0\0\0"
				    "base64X\x09\0\0\0__value__X"));
		for (size_t i = 0; i < 4; i++)
			buf_append_char(&data, (char)(len >> (8 * i)));
		buf_append_str(&data, "B+gCHQ==");
		for (size_t i = 8; i < len; i++)
			buf_append_char(&data, ' ');
		buf_append_str(&data, "u\x85R.");
		ck_assert_int_eq(pickle_read((struct slice){data.data, data.len}, &value, &err),
				 len == 8 ? 0 : -ERR_UNSUPPORTED);
	}
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("pickled types");

	tcase_add_loop_test(t, test_refused, 0, ARRAY_LEN(g_refused));
	tcase_add_loop_test(t, test_plain, 0, ARRAY_LEN(g_plain));
	tcase_add_loop_test(t, test_most_digits, 0, 2);
	tcase_add_test(t, test_too_many_digits);
	tcase_add_test(t, test_long_decimal);
	tcase_add_test(t, test_spaced_date);
	return suite_run("pickle_types", t);
}
