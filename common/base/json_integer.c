/*
 * json_integer.c: integers of many digits, and how many they may be.
 */
#include <openssl/bn.h>
#include <string.h>

#include "json.h"

#define BYTES_MAX 1786 /* of JSON_DIGITS_MAX digits, and the sign: a few have one digit more */

int json_check_digits(const char *token, size_t len, struct err *err)
{
	size_t digits = len - (len > 0 && token[0] == '-');

	if (digits <= JSON_DIGITS_MAX)
		return 0;
	return err_set(
		err, ERR_TOOBIG,
		"Exceeds the limit (%d digits) for integer string conversion: value has %zu digits",
		JSON_DIGITS_MAX, digits);
}

/* How many of `size` bytes say more than the sign again. */
static size_t without_signs(const unsigned char *p, size_t size)
{
	while (size > 1 && p[size - 1] == (p[size - 2] & 0x80 ? 0xff : 0))
		size--;
	return size;
}

/* In digits, to be freed by OpenSSL; NULL: no memory. */
static char *digits_of(const unsigned char *p, size_t size)
{
	BIGNUM *value = BN_lebin2bn(p, (int)size, NULL), *above = BN_new();
	bool negative = (p[size - 1] & 0x80) != 0, fine = value != NULL && above != NULL;
	char *digits;

	if (fine && negative)
		fine = BN_set_bit(above, (int)size * 8) == 1 && BN_sub(value, value, above) == 1;
	digits = fine ? BN_bn2dec(value) : NULL;
	BN_free(value);
	BN_free(above);
	return digits;
}

int json_make_integer(const unsigned char *p, size_t size, json_t **ret, struct err *err)
{
	char *digits;
	int rc;

	size = without_signs(p, size);
	if (size > BYTES_MAX)
		return err_set(err, ERR_TOOBIG,
			       "an integer of %zu bytes, which has more than %d digits", size,
			       JSON_DIGITS_MAX);
	if (size == 0)
		return json_make_number("0", ret, err);
	digits = digits_of(p, size);
	if (digits == NULL)
		return err_set(err, ERR_NOMEM, "no memory for an integer of %zu bytes", size);
	rc = json_check_digits(digits, strlen(digits), err);
	if (rc == 0)
		rc = json_make_number(digits, ret, err);
	OPENSSL_free(digits);
	return rc;
}
