/* Pickles: what Python makes of plain data is read, whole; everything else is refused. */
#include <string.h>

#include "bounds.h"
#include "common/backend/pickle.h"
#include "json.h"
#include "mem.h"
#include "tests/unit/suite.h"

static struct err g_err;

static json_t *parse(const char *text)
{
	json_t *value = NULL;

	ck_assert_msg(json_load_python(text, strlen(text), &value, &g_err) == 0, "%s", g_err.msg);
	return value;
}

static int read_bytes(const char *data, size_t len, json_t **ret)
{
	g_err = (struct err){0};
	return pickle_read((struct slice){data, len}, ret, &g_err);
}

static char *dump(const json_t *value)
{
	struct buf out = BUF_INIT(BOUND_RESULT_BYTES);
	char *text;
	size_t len;

	json_dump_python(value, &out);
	ck_assert_int_eq(buf_take(&out, &text, &len, &g_err), 0);
	return text;
}

static const char *const g_values[] = {
	"null",
	"true",
	"false",
	"0",
	"-1",
	"2147483647",
	"-2147483648",
	"2147483648",
	"-9223372036854775808",
	"9223372036854775807",
	"1.5",
	"-0.1",
	"NaN",
	"Infinity",
	"-Infinity",
	"\"\"",
	"\"\\u00e9\\ud83d\\ude00 \\u0000 \\u0001n12\"",
	"[]",
	"{}",
	"[1, [2.5, [null, \"x\"]], {\"a\": {\"b\": [true]}, \"\": \"\", \"\\u00e9\": 1}]",
	"{\"__type__\": \"datetime\", \"__value__\": \"2026-11-28T10:00:00\"}",
	"{\"__type__\": \"datetime\", \"__value__\": "
	"\"0001-01-01T00:00:00.000001-23:59:59.999999\"}",
	"{\"__type__\": \"datetime\", \"__value__\": \"2026-11-28T10:00:00.5\"}",
	"{\"__type__\": \"datetime\", \"__value__\": \"2026-11-28T10:00:00Z\"}",
	"{\"__type__\": \"date\", \"__value__\": \"2024-02-29\"}",
	"{\"__type__\": \"date\", \"__value__\": \"2026-02-29\"}",
	"{\"__type__\": \"time\", \"__value__\": \"10:00:00+05:30\"}",
	"{\"__type__\": \"decimal\", \"__value__\": \"-1.50E+3\"}",
	"{\"__type__\": \"decimal\", \"__value__\": \"NaN\"}",
	"{\"__type__\": \"decimal\", \"__value__\": \"one\"}",
	"{\"__type__\": \"decimal\", \"__value__\": 1}",
	"{\"__type__\": \"uuid\", \"__value__\": {\"hex\": \"0a8f3f7e2f4c4a5e8c7b1d2e3f405162\"}}",
	"{\"__type__\": \"bytes\", \"__value__\": \"a\\u00e9\"}",
	"{\"__type__\": \"base64\", \"__value__\": \"//4=\"}",
	"{\"__type__\": \"base64\", \"__value__\": \"YQ==\"}",
	"[{\"__type__\": \"date\", \"__value__\": \"2024-02-29\"}, {\"a\": {\"__type__\": "
	"\"bytes\", \"__value__\": \"\"}}]",
};

START_TEST(test_round)
{
	_cleanup_json_ json_t *value = parse(g_values[_i]), *again = NULL;
	_cleanup_buf_ struct buf out = BUF_INIT(BOUND_RESULT_BYTES);
	_cleanup_free_ char *text = NULL;

	ck_assert_int_eq(pickle_write(value, &out, &g_err), 0);
	ck_assert_msg(read_bytes(out.data, out.len, &again) == 0, "%s", g_err.msg);
	text = dump(again);
	ck_assert_str_eq(text, g_values[_i]);
	/* cut short at every place */
	for (size_t len = 0; len < out.len; len++) {
		json_t *part = NULL;
		_cleanup_free_ char *copy = xmalloc(len + 1);

		memcpy(copy, out.data, len);
		ck_assert_int_lt(read_bytes(copy, len, &part), 0);
	}
}
END_TEST

/* As Python 3.11 pickles it by default. */
#define P(text) text, sizeof(text) - 1
static const struct {
	const char *data;
	size_t len;
	const char *json;
} g_python[] = {
	/* protocol 4: pickle.dumps({"a": (1, 2), "b": [300, 70000, -1, 2**40, 1.5, True, None]}) */
	{P("\x80\x04\x95\x3c\0\0\0\0\0\0\0}\x94(\x8c\x01"
	   "a\x94K\x01K\x02\x86\x94\x8c\x01"
	   "b\x94]\x94(M,\x01Jp\x11\x01\0J\xff\xff\xff\xff\x8a\x06\0\0\0\0\0\x01G?"
	   "\xf8\0\0\0\0\0\0\x88N"
	   "eu."),
	 "{\"a\": [1, 2], \"b\": [300, 70000, -1, 1099511627776, 1.5, true, null]}"},
	/* protocol 2: x = [1]; [x, x, "s", "s"] with one "s" */
	{P("\x80\x02]q\0(]q\x01K\x01"
	   "ah\x01X\x01\0\0\0sq\x02h\x02"
	   "e."),
	 "[[1], [1], \"s\", \"s\"]"},
	{P("\x80\x02}q\0(K\x01K\x02X\x01\0\0\0aNu."), "{\"1\": 2, \"a\": null}"},
	{P("\x80\x02}X\x01\0\0\0kK\x05s."), "{\"k\": 5}"},
	{P("\x80\x02(K\x01K\x02K\x03K\x04t."), "[1, 2, 3, 4]"},
	{P("\x80\x02)."), "[]"},
	/* protocol 4: a datetime with a zone */
	{P("\x80\x04\x95W\x00\x00\x00\x00\x00\x00\x00\x8c\x08"
	   "datetime\x94\x8c"
	   "\x08"
	   "datetime\x94\x93\x94"
	   "C\x0a\x07\xea\x0b\x1c\x0a\x00\x01\x00\x00"
	   "\x05\x94h\x00\x8c\x08timezone\x94\x93\x94h\x00\x8c\x09timedelta\x94"
	   "\x93\x94K\x00K\x00K\x00\x87\x94R\x94\x85\x94R\x94\x86\x94R\x94."),
	 "{\"__type__\": \"datetime\", \"__value__\": \"2026-11-28T10:00:01.000005+00:00\"}"},
	/* protocol 4: one twice, a date, a time */
	{P("\x80\x04\x95\x91\x00\x00\x00\x00\x00\x00\x00]\x94(\x8c\x08"
	   "datetim"
	   "e\x94\x8c\x08"
	   "datetime\x94\x93\x94"
	   "C\x0a\x07\xea\x02\x1c\x00\x00\x00"
	   "\x00\x00\x00\x94\x85\x94R\x94h\x06h\x01\x8c\x04"
	   "date\x94\x93\x94"
	   "C"
	   "\x04\x07\xe8\x02\x1d\x94\x85\x94R\x94h\x01\x8c\x04time\x94\x93\x94"
	   "C"
	   "\x06\x17;;\x00\x00\x01\x94h\x01\x8c\x08timezone\x94\x93\x94h\x01\x8c"
	   "\x09timedelta\x94\x93\x94J\xff\xff\xff\xffJ(\x04\x01\x00K\x00\x87\x94"
	   "R\x94\x85\x94R\x94\x86\x94R\x94"
	   "e."),
	 "[{\"__type__\": \"datetime\", \"__value__\": \"2026-02-28T00:00:00\"}, {\"__type__\": "
	 "\"datetime\", \"__value__\": \"2026-02-28T00:00:00\"}, {\"__type__\": \"date\", "
	 "\"__value__\": \"2024-02-29\"}, {\"__type__\": \"time\", \"__value__\": "
	 "\"23:59:59.000001-05:30\"}]"},
	/* protocol 4: in the second of two hours */
	{P("\x80\x04\x95*\x00\x00\x00\x00\x00\x00\x00\x8c\x08"
	   "datetime\x94\x8c"
	   "\x08"
	   "datetime\x94\x93\x94"
	   "C\x0a\x07\xea\x8a\x19\x02\x1e\x00\x00\x00"
	   "\x00\x94\x85\x94R\x94."),
	 "{\"__type__\": \"datetime\", \"__value__\": \"2026-10-25T02:30:00\"}"},
	/* protocol 4: a Decimal, bytes */
	{P("\x80\x04\x95/\x00\x00\x00\x00\x00\x00\x00]\x94(\x8c\x07"
	   "decimal\x94"
	   "\x8c\x07"
	   "Decimal\x94\x93\x94\x8c\x04"
	   "1.50\x94\x85\x94R\x94"
	   "C\x01"
	   "a\x94"
	   "C\x02\xff\x00\x94"
	   "e."),
	 "[{\"__type__\": \"decimal\", \"__value__\": \"1.50\"}, {\"__type__\": \"bytes\", "
	 "\"__value__\": \"a\"}, {\"__type__\": \"base64\", \"__value__\": \"/wA=\"}]"},
};

START_TEST(test_python)
{
	_cleanup_json_ json_t *value = NULL;
	_cleanup_free_ char *text = NULL;

	ck_assert_msg(read_bytes(g_python[_i].data, g_python[_i].len, &value) == 0, "%s",
		      g_err.msg);
	text = dump(value);
	ck_assert_str_eq(text, g_python[_i].json);
}
END_TEST

static const struct {
	const char *data;
	size_t len;
	enum err_code code;
} g_refused[] = {
	{P("\x80\x02"
	   "cos\nsystem\n(X\x02\0\0\0idtR."),
	 ERR_UNSUPPORTED},					       /* GLOBAL, REDUCE */
	{P("\x80\x04\x8c\x02os\x8c\x06system\x93."), ERR_UNSUPPORTED}, /* STACK_GLOBAL */
	{P("\x80\x02\x82\x01."), ERR_UNSUPPORTED},		       /* EXT1 */
	{P("\x80\x02Q."), ERR_UNSUPPORTED},			       /* BINPERSID */
	{P("\x80\x04\x8c\x08"
	   "datetime\x8c\x08"
	   "datetime\x93."),
	 ERR_UNSUPPORTED},				      /* a class */
	{P("\x80\x03]cdatetime\ndate\na."), ERR_INVALID},     /* … in a list */
	{P("\x80\x03(cdatetime\ndate\nt."), ERR_UNSUPPORTED}, /* … in a tuple */
	{P("\x80\x03}(X\x01\0\0\0zcdatetime\ndate\nu."), ERR_UNSUPPORTED},
	{P("\x80\x03}(cdatetime\ndate\nNu."), ERR_UNSUPPORTED},
	{P("\x80\x03"
	   "cdatetime\ndatetime\n(C\x02xxtR."),
	 ERR_UNSUPPORTED},
	{P("\x80\x03"
	   "cdatetime\ndate\n(C\x04\x07\xe9\x02\x1dtR."),
	 ERR_UNSUPPORTED}, /* no leap year */
	{P("\x80\x03"
	   "cdatetime\ntimedelta\n(K\0K\x01K\0tR."),
	 ERR_UNSUPPORTED}, /* nothing in JSON */
	{P("\x80\x03"
	   "cdecimal\nDecimal\n(X\x01\0\0\0xtR."),
	 ERR_UNSUPPORTED},
	{P("\x80\x03"
	   "cdecimal\nDecimal\n]R."),
	 ERR_INVALID}, /* a list is no tuple */
	{P("\x80\x03"
	   "cdatetime\ndate"),
	 ERR_INVALID},
	{P("\x80\x03NC\0\x85R."), ERR_INVALID}, /* what is called is no class */
	{P("\x80\x02]q\0h\0a."), ERR_TOOBIG},	/* a list in itself */
	{P("\x80\x02}q\0X\x01\0\0\0aq\1]q\2h\0ash\2a."), ERR_INVALID},
	{P("\x80\x02}q\0X\x01\0\0\0a]q\1h\0as."), ERR_TOOBIG}, /* a dict in a list in it */
	{P("\x80\x02}NK\x01s."), ERR_UNSUPPORTED},	       /* a key that is None */
	{P("\x80\x02}X\x02\0\0\0a\0NsN."), ERR_UNSUPPORTED},   /* a key with a NUL */
	{P("\x80\x02."), ERR_INVALID},			       /* nothing */
	{P("\x80\x02NN."), ERR_INVALID},		       /* two things */
	{P("\x80\x02(."), ERR_INVALID},			       /* a mark */
	{P("\x80\x02N(e."), ERR_INVALID},		       /* into no list */
	{P("\x80\x02)Na."), ERR_INVALID},		       /* into a tuple */
	{P("\x80\x02"
	   "e."),
	 ERR_INVALID},
	{P("\x80\x02}(Nu."), ERR_INVALID}, /* a key without a value */
	{P("\x80\x02h\0."), ERR_INVALID},
	{P("\x80\x02Nq\x07."), ERR_INVALID}, /* beyond the memo */
	{P("\x80\x02X\xff\xff\xff\xff."), ERR_INVALID},
	{P("\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff."), ERR_INVALID},
	{P("(dp0\n."), ERR_INVALID},			  /* protocol 0 */
	{P("\x80\x02}q\0X\x01\0\0\0ah\0s."), ERR_TOOBIG}, /* d["a"] = d */
	{P("\x80\x02]q\0h\0a."), ERR_TOOBIG},
};

START_TEST(test_refused)
{
	json_t *value = NULL;

	ck_assert_msg(read_bytes(g_refused[_i].data, g_refused[_i].len, &value) ==
			      -(int)g_refused[_i].code,
		      "%s", g_err.msg);
	ck_assert_ptr_null(value);
}
END_TEST

/* A list of two of the last list, and so on: a few bytes that would be gigabytes. */
START_TEST(test_bomb)
{
	_cleanup_buf_ struct buf out = BUF_INIT(1 << 20);
	json_t *value = NULL;

	buf_append(&out, "\x80\x02(]q\0", 6);
	for (unsigned char i = 0; i < 60; i++) {
		buf_append(&out, "](h", 3);
		buf_append(&out, &i, 1);
		buf_append_char(&out, 'h');
		buf_append(&out, &i, 1);
		buf_append(&out, "eq", 2);
		buf_append(&out, &(unsigned char){i + 1}, 1);
	}
	buf_append(&out, "t.", 2);
	ck_assert_int_eq(read_bytes(out.data, out.len, &value), -ERR_TOOBIG);
}
END_TEST

/* A chain of lists of the memo, each put into the one before when all are there. */
START_TEST(test_chain)
{
	_cleanup_buf_ struct buf out = BUF_INIT(8 << 20);
	json_t *value = NULL;

	buf_append(&out, "\x80\x02(", 3);
	for (unsigned i = 0; i < 100000; i++) {
		buf_append(&out, "]r", 2);
		buf_append(&out, &i, 4);
	}
	for (unsigned i = 0; i + 1 < 100000; i++) {
		buf_append_char(&out, 'j');
		buf_append(&out, &i, 4);
		buf_append_char(&out, 'j');
		buf_append(&out, &(unsigned){i + 1}, 4);
		buf_append_char(&out, 'a');
	}
	buf_append(&out, "t.", 2);
	ck_assert_int_eq(read_bytes(out.data, out.len, &value), -ERR_TOOBIG);
}
END_TEST

/* One byte each, and a hundred in memory. */
START_TEST(test_many)
{
	size_t len = 2 + BOUND_JSON_VALUES + 1;
	_cleanup_free_ char *text = xmalloc(len);
	json_t *value = NULL;
	struct err err = {0};

	memset(text, '}', len);
	memcpy(text, "\x80\x02", 2);
	ck_assert_int_eq(pickle_read((struct slice){text, len}, &value, &err), -ERR_TOOBIG);
	ck_assert_ptr_nonnull(strstr(err.msg, "more than 1048576 values"));
	/* nor by what the memo gives */
	len = 5 + 2 * (size_t)BOUND_JSON_VALUES;
	_cleanup_free_ char *again = xmalloc(len);
	memcpy(again, "\x80\x02Nq\0", 5);
	for (size_t i = 5; i < len; i += 2)
		memcpy(again + i, "h\0", 2);
	ck_assert_int_eq(pickle_read((struct slice){again, len}, &value, &err), -ERR_TOOBIG);
	ck_assert_ptr_nonnull(strstr(err.msg, "more than 1048576 values"));
}
END_TEST

START_TEST(test_deep)
{
	_cleanup_buf_ struct buf out = BUF_INIT(1 << 20);
	_cleanup_json_ json_t *value = NULL;

	for (size_t depth = BOUND_JSON_DEPTH; depth <= BOUND_JSON_DEPTH + 1; depth++) {
		buf_reset(&out);
		buf_append(&out, "\x80\x02", 2);
		for (size_t i = 0; i < depth; i++)
			buf_append_char(&out, ']');
		for (size_t i = 1; i < depth; i++)
			buf_append_char(&out, 'a');
		buf_append_char(&out, '.');
		ck_assert_int_eq(read_bytes(out.data, out.len, &value),
				 depth > BOUND_JSON_DEPTH ? -ERR_TOOBIG : 0);
	}
}
END_TEST

/* Tuples of one around None, or around an empty list. */
START_TEST(test_deep_tuples)
{
	static const char innermost[] = "N]";
	_cleanup_buf_ struct buf out = BUF_INIT(1 << 20);
	json_t *value = NULL;

	for (size_t i = 0; i < 2; i++) {
		buf_reset(&out);
		buf_append(&out, "\x80\x02", 2);
		buf_append_char(&out, innermost[i]);
		for (size_t depth = 0; depth <= BOUND_JSON_DEPTH; depth++)
			buf_append_char(&out, (char)0x85);
		buf_append_char(&out, '.');
		ck_assert_int_eq(read_bytes(out.data, out.len, &value), -ERR_TOOBIG);
		ck_assert_ptr_nonnull(strstr(g_err.msg, "nested deeper"));
	}
}
END_TEST

/* Bytes of every kind behind the first two: none of it is more than an error. */
START_TEST(test_noise)
{
	unsigned seed = 7;

	for (int round = 0; round < 20000; round++) {
		char data[64] = "\x80\x04";
		static const char ops[] = "().NK]}aesuhqX\x8c\x94\x85\x86\x87t\x95MJG\x88";
		_cleanup_json_ json_t *value = NULL;

		for (size_t i = 2; i < sizeof(data); i++) {
			seed = seed * 1103515245u + 12345u;
			data[i] = (seed >> 20) % 4 ? ops[(seed >> 16) % (sizeof(ops) - 1)]
						   : (char)(seed >> 24) % 4;
		}
		if (read_bytes(data, sizeof(data), &value) < 0)
			ck_assert_int_ne(g_err.code, 0);
	}
}
END_TEST

START_TEST(test_unwritable)
{
	_cleanup_json_ json_t *value = parse("[\"\\ud800\"]");
	_cleanup_buf_ struct buf out = BUF_INIT(100), small = BUF_INIT(10);
	_cleanup_json_ json_t *large = parse("\"0123456789\"");

	ck_assert_int_eq(pickle_write(value, &out, &g_err), -ERR_UNSUPPORTED);
	ck_assert_int_eq(pickle_write(large, &small, &g_err), -ERR_TOOBIG);
}
END_TEST

static void is_written(const json_t *value, const char *json)
{
	_cleanup_free_ char *text = dump(value);

	ck_assert_str_eq(text, json);
}

/* An integer of more than 64 bits goes in its digits, as Python's protocols below 2 do. */
START_TEST(test_big_integers)
{
	_cleanup_json_ json_t *value = parse("[9223372036854775808, -123456789012345678901]"),
			      *back = NULL;
	_cleanup_buf_ struct buf out = BUF_INIT(100);

	ck_assert_int_eq(pickle_write(value, &out, &g_err), 0);
	ck_assert_ptr_nonnull(memmem(out.data, out.len, P("L9223372036854775808L\n")));
	ck_assert_ptr_nonnull(memmem(out.data, out.len, P("L-123456789012345678901L\n")));
	ck_assert_int_eq(read_bytes(out.data, out.len, &back), 0);
	is_written(back, "[9223372036854775808, -123456789012345678901]");
}
END_TEST

/* Of Python's pickle.dumps(…, 2): as many bytes as it takes, the last with the sign. */
START_TEST(test_read_integers)
{
	static const struct {
		const char *pickle;
		size_t len;
		const char *json;
	} rows[] = {
		{P("\x80\x02\x8a\x00."), "0"},
		{P("\x80\x02\x8a\x01\xff."), "-1"},
		{P("\x80\x02\x8a\x02\xff\x00."), "255"},
		{P("\x80\x02\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f."), "9223372036854775807"},
		{P("\x80\x02\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80."), "-9223372036854775808"},
		{P("\x80\x02\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x80\x00."), "9223372036854775808"},
		{P("\x80\x02\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\xff."),
		 "-18446744073709551616"},
		{P("\x80\x02\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01."),
		 "18446744073709551616"},
		{P("\x80\x02L18446744073709551616L\n."), "18446744073709551616"},
		{P("\x80\x02L-5\n."), "-5"},
	};
	static const struct {
		const char *pickle;
		size_t len;
	} bad[] = {{P("\x80\x02L\n.")},	   {P("\x80\x02L12")},	   {P("\x80\x02L1x\n.")},
		   {P("\x80\x02LNaN\n.")}, {P("\x80\x02L1-2\n.")}, {P("\x80\x02\x8a\x02\xff.")}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_json_ json_t *value = NULL;

		ck_assert_msg(read_bytes(rows[i].pickle, rows[i].len, &value) == 0, "%s: %s",
			      rows[i].json, g_err.msg);
		is_written(value, rows[i].json);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		json_t *value = NULL;

		ck_assert_int_eq(read_bytes(bad[i].pickle, bad[i].len, &value), -ERR_INVALID);
	}
}
END_TEST

/* The longest result is the longest pickle. */
START_TEST(test_too_long)
{
	_cleanup_free_ char *text = xcalloc(1, BOUND_RESULT_BYTES + 1);
	json_t *value = NULL;

	text[0] = (char)PICKLE_MARK;
	ck_assert_int_eq(read_bytes(text, BOUND_RESULT_BYTES + 1, &value), -ERR_TOOBIG);
	ck_assert_int_eq(read_bytes(text, BOUND_RESULT_BYTES, &value), -ERR_UNSUPPORTED);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("pickle");

	tcase_set_timeout(c, 60); /* of processors that others have too */
	tcase_add_loop_test(c, test_round, 0, (int)ARRAY_LEN(g_values));
	tcase_add_loop_test(c, test_python, 0, (int)ARRAY_LEN(g_python));
	tcase_add_loop_test(c, test_refused, 0, (int)ARRAY_LEN(g_refused));
	tcase_add_test(c, test_bomb);
	tcase_add_test(c, test_chain);
	tcase_add_test(c, test_many);
	tcase_add_test(c, test_deep);
	tcase_add_test(c, test_deep_tuples);
	tcase_add_test(c, test_noise);
	tcase_add_test(c, test_unwritable);
	tcase_add_test(c, test_big_integers);
	tcase_add_test(c, test_read_integers);
	tcase_add_test(c, test_too_long);
	return suite_run("pickle", c);
}
