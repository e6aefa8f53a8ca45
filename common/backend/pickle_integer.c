/*
 * pickle_integer.c: integers of any size, as Python pickles them.
 */
#include "pickle_integer.h"

#include <openssl/bn.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "mem.h"

#define DIGITS_MAX 4300 /* sys.int_info.default_max_str_digits */
#define BYTES_MAX  1786 /* of so many digits, and the sign */

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

int pickle_integer_of_bytes(const unsigned char *p, size_t size, json_t **ret, struct err *err)
{
	char *digits;
	int rc;

	if (size > BYTES_MAX)
		return err_set(err, ERR_TOOBIG, "a pickled integer of %zu bytes", size);
	if (size == 0)
		return json_make_number("0", ret, err);
	digits = digits_of(p, size);
	if (digits == NULL)
		return err_set(err, ERR_NOMEM, "no memory for an integer of %zu bytes", size);
	rc = json_make_number(digits, ret, err);
	OPENSSL_free(digits);
	return rc;
}

int pickle_integer_of_digits(struct slice line, json_t **ret, struct err *err)
{
	char token[DIGITS_MAX + 3];
	size_t len = line.len;

	if (len > 0 && line.data[len - 1] == 'L')
		len--;
	if (len >= sizeof(token))
		return err_set(err, ERR_TOOBIG, "a pickled integer of %zu digits", len);
	memcpy(token, line.data, len);
	token[len] = '\0';
	if (token[strspn(token, "-0123456789")] != '\0' || strlen(token) != len)
		return err_set(err, ERR_INVALID, "a damaged pickle");
	return json_make_number(token, ret, err);
}
