/*
 * json_integer.c: integers of any size, from their bytes.
 */
#include <openssl/bn.h>
#include <stdlib.h>

#include "json.h"

#define BYTES_MAX 1786 /* of JSON_DIGITS_MAX digits, and the sign */

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

	if (size > BYTES_MAX)
		return err_set(err, ERR_TOOBIG, "an integer of %zu bytes", size);
	if (size == 0)
		return json_make_number("0", ret, err);
	digits = digits_of(p, size);
	if (digits == NULL)
		return err_set(err, ERR_NOMEM, "no memory for an integer of %zu bytes", size);
	rc = json_make_number(digits, ret, err);
	OPENSSL_free(digits);
	return rc;
}
