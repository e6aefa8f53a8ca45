/* Integers from their bytes: as many digits as Python reads, whatever says their sign. */
#include <openssl/bn.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "mem.h"
#include "tests/unit/suite.h"

static struct err g_err;

/* The lowest `size` bytes of `number` in two's complement, the lowest first; to be freed. */
static unsigned char *bytes_of(const char *number, size_t size)
{
	unsigned char *made = xmalloc(size);
	unsigned carry = 1;
	BIGNUM *value = NULL;

	ck_assert_int_ne(BN_dec2bn(&value, number), 0);
	ck_assert_int_eq(BN_bn2lebinpad(value, made, (int)size), (int)size);
	BN_free(value);
	for (size_t i = 0; number[0] == '-' && i < size; i++) {
		carry += (unsigned char)~made[i];
		made[i] = (unsigned char)carry;
		carry >>= 8;
	}
	return made;
}

static int make(const char *number, size_t size, json_t **ret)
{
	_cleanup_free_ unsigned char *bytes = bytes_of(number, size);

	g_err = (struct err){0};
	return json_make_integer(bytes, size, ret, &g_err);
}

static const struct {
	const char *sign;
	size_t size;
} g_forms[] = {{"", 1786}, {"-", 1786}, {"", 1787}, {"-", 1800}, {"", 100000}, {"-", 100000}};

START_TEST(test_longest)
{
	const char *sign = g_forms[_i].sign;
	_cleanup_free_ char *nines = xmalloc(4400), *above = xmalloc(4400);
	size_t at = strlen(sign);
	_cleanup_json_ json_t *value = NULL, *none = NULL;

	memcpy(nines, sign, at + 1);
	memset(nines + at, '9', 4300);
	nines[at + 4300] = '\0';
	ck_assert_msg(make(nines, g_forms[_i].size, &value) == 0, "%s", g_err.msg);
	ck_assert_str_eq(json_python_number(value), nines);
	memcpy(above, sign, at + 1);
	memset(above + at, '0', 4301);
	above[at] = '1';
	above[at + 4301] = '\0';
	ck_assert_int_eq(make(above, g_forms[_i].size, &none), -ERR_TOOBIG);
	ck_assert_str_eq(g_err.msg, "Exceeds the limit (4300 digits) for integer string "
				    "conversion: value has 4301 digits");
	ck_assert_ptr_null(none);
}
END_TEST

/* Those that are so many that nobody counts digits. */
START_TEST(test_too_many_bytes)
{
	_cleanup_free_ unsigned char *bytes = xcalloc(1, 1787);
	json_t *none = NULL;
	struct err err = {0};

	bytes[1786] = 1;
	ck_assert_int_eq(json_make_integer(bytes, 1787, &none, &err), -ERR_TOOBIG);
	ck_assert_str_eq(err.msg, "an integer of 1787 bytes, which has more than 4300 digits");
	bytes[1786] = 0x80;
	ck_assert_int_eq(json_make_integer(bytes, 1787, &none, &err), -ERR_TOOBIG);
}
END_TEST

/* Bytes that only repeat the sign are none of its size. */
START_TEST(test_padded)
{
	static const char *const numbers[] = {"0", "1", "-1", "127", "-128", "128", "-129", "255"};

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		for (size_t size = 2; size <= 3000; size += 1 + size / 2) {
			_cleanup_json_ json_t *value = NULL;

			ck_assert_msg(make(numbers[i], size, &value) == 0, "%s", g_err.msg);
			ck_assert_int_eq(json_integer_value(value), strtoll(numbers[i], NULL, 10));
		}
	}
}
END_TEST

START_TEST(test_no_bytes)
{
	_cleanup_json_ json_t *value = NULL;
	struct err err = {0};

	ck_assert_int_eq(json_make_integer((const unsigned char *)"", 0, &value, &err), 0);
	ck_assert(json_is_integer(value) && json_integer_value(value) == 0);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("json_integer");

	tcase_add_loop_test(t, test_longest, 0, (int)ARRAY_LEN(g_forms));
	tcase_add_test(t, test_too_many_bytes);
	tcase_add_test(t, test_padded);
	tcase_add_test(t, test_no_bytes);
	return suite_run("json_integer", t);
}
