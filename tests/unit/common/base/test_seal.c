/* Sealed secrets: what opens, and what does not. */
#include <string.h>

#include "seal.h"
#include "tests/unit/suite.h"

#define KEY_A "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
#define KEY_B "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY="

static struct seal_keys keys(const char *text)
{
	struct seal_keys k;
	struct err err;

	ck_assert_int_eq(seal_keys_parse(text, &k, &err), 0);
	return k;
}

START_TEST(test_round_trip)
{
	struct seal_keys a = keys(KEY_A), b = keys(KEY_B), both = keys(KEY_B "," KEY_A),
			 none = keys("");
	static const char secret[] = "top\0secret \xff";
	_cleanup_buf_ struct buf sealed = BUF_INIT(1000), again = BUF_INIT(1000),
				 open = BUF_INIT(1000);
	struct err err;

	ck_assert_int_eq(seal(&a, "t.c.1", secret, sizeof(secret), &sealed, &err), 0);
	ck_assert_int_eq(seal(&a, "t.c.1", secret, sizeof(secret), &again, &err), 0);
	ck_assert_str_ne(sealed.data, again.data);
	ck_assert(seal_is_sealed(sealed.data));
	ck_assert_int_eq(seal_open(&a, "t.c.1", sealed.data, &open, &err), 0);
	ck_assert_mem_eq(open.data, secret, sizeof(secret));
	buf_reset(&open);
	/* a key that was changed: old rows open, new ones are sealed with the new one */
	ck_assert_int_eq(seal_open(&both, "t.c.1", sealed.data, &open, &err), 0);
	buf_reset(&again);
	ck_assert_int_eq(seal(&both, "t.c.1", "x", 1, &again, &err), 0);
	buf_reset(&open);
	ck_assert_int_eq(seal_open(&b, "t.c.1", again.data, &open, &err), 0);
	/* another key, another place, none */
	ck_assert_int_eq(seal_open(&b, "t.c.1", sealed.data, &open, &err), -ERR_UNSUPPORTED);
	ck_assert_int_eq(seal_open(&a, "t.c.2", sealed.data, &open, &err), -ERR_DENIED);
	ck_assert_int_eq(seal_open(&none, "t.c.1", sealed.data, &open, &err), -ERR_UNSUPPORTED);
	ck_assert_int_eq(seal(&none, "t.c.1", "x", 1, &again, &err), -ERR_UNSUPPORTED);
}
END_TEST

/* Every byte counts, and no error holds any of the secret. */
START_TEST(test_changed)
{
	struct seal_keys a = keys(KEY_A);
	_cleanup_buf_ struct buf sealed = BUF_INIT(1000), open = BUF_INIT(1000);
	struct err err;

	ck_assert_int_eq(seal(&a, "t.c.1", "secret", 6, &sealed, &err), 0);
	for (size_t i = 0; i < sealed.len; i++) {
		char before = sealed.data[i];
		sealed.data[i] = before == 'A' ? 'B' : 'A';
		int r = seal_open(&a, "t.c.1", sealed.data, &open, &err);
		/* the last characters of base64 may mean nothing */
		ck_assert_msg(r < 0 || i + 4 >= sealed.len, "%zu", i);
		ck_assert_ptr_null(strstr(err.msg, "secret "));
		buf_reset(&open);
		sealed.data[i] = before;
	}
	static const char *const bad[] = {"",	     "v1:", "v1:x", "plain", "v2:00000000:AAAA",
					  "v1::AAAA"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_int_lt(seal_open(&a, "t.c.1", bad[i], &open, &err), 0);
}
END_TEST

START_TEST(test_keys)
{
	static const char *const bad[] = {"short", "MDEy", KEY_A ",x", KEY_A "," KEY_B "," KEY_A,
					  "!" KEY_A};
	struct seal_keys k;
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		ck_assert_int_eq(seal_keys_parse(bad[i], &k, &err), -ERR_INVALID);
		ck_assert_ptr_null(strstr(err.msg, "MDEy"));
	}
	ck_assert_uint_eq(keys(NULL).count, 0);
	ck_assert_uint_eq(keys(KEY_A "," KEY_B).count, 2);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("seal");

	tcase_add_test(t, test_round_trip);
	tcase_add_test(t, test_changed);
	tcase_add_test(t, test_keys);
	return suite_run("seal", t);
}
