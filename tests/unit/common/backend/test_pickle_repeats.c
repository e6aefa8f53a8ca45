/* Pickles that say with a few bytes, by the memo, what takes long or much: each is refused in time.
 */
#include <string.h>

#include "bounds.h"
#include "common/backend/pickle.h"
#include "json.h"
#include "tests/unit/suite.h"

#define P(text) text, sizeof(text) - 1
#define MIB	((size_t)1 << 20)

static struct err g_err;

static int read_all(const struct buf *pickle)
{
	_cleanup_json_ json_t *value = NULL;

	g_err = (struct err){0};
	ck_assert_int_eq(pickle->failed, 0);
	return pickle_read((struct slice){pickle->data, pickle->len}, &value, &g_err);
}

static void append_number(struct buf *out, size_t value)
{
	for (size_t i = 0; i < 4; i++)
		buf_append_char(out, (char)(value >> (8 * i)));
}

/* A list: a text of one MiB, the first of the memo, what `first` makes, and `each` some times. */
static const struct {
	const char *first;
	size_t first_len;
	const char *each;
	size_t each_len;
	size_t most; /* times that fit BOUND_RESULT_BYTES */
} g_repeats[] = {
	{P(""), P("h\0"), 64},				     /* the text */
	{P(""), P("}h\0Ns"), 64},			     /* … as a key */
	{P("}h\0Nsq\1"), P("h\1"), 62},			     /* a dict with it */
	{P("}X\1\0\0\0kh\0sq\1"), P("h\1"), 61},	     /* … as a value */
	{P(""), P("cdecimal\nDecimal\nh\0\x85R"), 32},	     /* its digits: walked too */
	{P("h\0"), P("cdecimal\nDecimal\nh\0\x85R"), 31},    /* … no room for these */
	{P("h\0\x85q\1"), P("cdecimal\nDecimal\nh\1R"), 61}, /* … in a tuple */
};

START_TEST(test_repeats)
{
	for (size_t more = 0; more <= 1; more++) {
		_cleanup_buf_ struct buf out = BUF_INIT(2 * MIB);

		buf_append(&out, P("\x80\x02](X"));
		append_number(&out, MIB);
		for (size_t i = 0; i < MIB; i++)
			buf_append_char(&out, '1');
		buf_append(&out, P("q\0"));
		buf_append(&out, g_repeats[_i].first, g_repeats[_i].first_len);
		for (size_t i = 0; i < g_repeats[_i].most + more; i++)
			buf_append(&out, g_repeats[_i].each, g_repeats[_i].each_len);
		buf_append_str(&out, "e.");
		ck_assert_msg(read_all(&out) == (more ? -ERR_TOOBIG : 0), "%s", g_err.msg);
		if (more)
			ck_assert_str_eq(g_err.msg, "a pickle of more than 67108864 bytes of "
						    "text, those that it repeats counted");
	}
}
END_TEST

/* One byte for each place of the memo. */
/* Of 1785 bytes each: hundreds are read, of thousands the digits would take seconds. */
START_TEST(test_integers)
{
	static const struct {
		size_t count;
		int rc;
	} rows[] = {{500, 0}, {5000, -ERR_TOOBIG}};
	unsigned char digits[1785];

	memset(digits, 0x7f, sizeof(digits));
	for (size_t row = 0; row < ARRAY_LEN(rows); row++) {
		_cleanup_buf_ struct buf out = BUF_INIT(16 * MIB);

		buf_append(&out, "\x80\x02](", 4);
		for (size_t i = 0; i < rows[row].count; i++) {
			buf_append_char(&out, '\x8b');
			append_number(&out, sizeof(digits));
			buf_append(&out, digits, sizeof(digits));
		}
		buf_append(&out, "e.", 2);
		ck_assert_msg(read_all(&out) == rows[row].rc, "%s", g_err.msg);
	}
}
END_TEST

START_TEST(test_memo)
{
	_cleanup_buf_ struct buf out = BUF_INIT(2 * MIB);

	buf_append_str(&out, "\x80\x04N");
	for (size_t i = 0; i < BOUND_JSON_VALUES; i++)
		buf_append_char(&out, '\x94');
	buf_append_char(&out, '.');
	ck_assert_msg(read_all(&out) == 0, "%s", g_err.msg);
	out.data[out.len - 1] = '\x94';
	buf_append_char(&out, '.');
	ck_assert_int_eq(read_all(&out), -ERR_TOOBIG);
	ck_assert_ptr_nonnull(strstr(g_err.msg, "more than 1048576 values"));
}
END_TEST

/* A large dict is emptied once, however often the memo has it: the time that a test has is for one
 * that looks at its places each time. */
START_TEST(test_kept_often)
{
	_cleanup_buf_ struct buf out = BUF_INIT(4 * MIB);

	buf_append(&out, P("\x80\x04](}("));
	for (size_t i = 0; i < 300000; i++) {
		buf_append_char(&out, 'J');
		append_number(&out, i);
		buf_append_char(&out, 'N');
	}
	buf_append_char(&out, 'u');
	for (size_t i = 0; i < BOUND_JSON_VALUES; i++)
		buf_append_char(&out, '\x94');
	buf_append(&out, P("h\0e."));
	ck_assert_msg(read_all(&out) == 0, "%s", g_err.msg);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("what pickles repeat");

	tcase_set_timeout(t, 60); /* of processors that others have too */
	tcase_add_loop_test(t, test_repeats, 0, (int)ARRAY_LEN(g_repeats));
	tcase_add_test(t, test_memo);
	tcase_add_test(t, test_integers);
	tcase_add_test(t, test_kept_often);
	return suite_run("pickle_repeats", t);
}
