/*
 * number.c: Python's numbers. See number.h.
 */
#include "number.h"

#include <math.h>
#include <openssl/bn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

void number_done(struct number *n)
{
	BN_free(n->big);
	*n = (struct number){0};
}

static BIGNUM *make_big(const char *digits)
{
	BIGNUM *big = NULL;

	if (BN_dec2bn(&big, digits) == 0)
		BUG("no memory for a number");
	return big;
}

static int read_token(const char *token, struct number *ret, struct err *err)
{
	int rc;

	if (strpbrk(token, "NI") != NULL) {
		*ret = (struct number){.kind = NUMBER_REAL,
				       .real = token[0] == 'N'	 ? NAN
					       : token[0] == '-' ? -INFINITY
								 : INFINITY};
		return 0;
	}
	rc = json_check_digits(token, strlen(token), err);
	if (rc < 0)
		return rc;
	*ret = (struct number){.kind = NUMBER_BIG, .big = make_big(token)};
	return 0;
}

int number_read(const json_t *value, struct number *ret, struct err *err)
{
	const char *token = json_python_number(value);

	if (token != NULL)
		return read_token(token, ret, err);
	if (json_is_integer(value))
		*ret = (struct number){.kind = NUMBER_INT, .integer = json_integer_value(value)};
	else if (json_is_boolean(value))
		*ret = (struct number){.kind = NUMBER_INT, .integer = json_is_true(value)};
	else if (json_is_real(value))
		*ret = (struct number){.kind = NUMBER_REAL, .real = json_real_value(value)};
	else
		return err_set(err, ERR_INVALID, "not a number but %s", json_type_name(value));
	return 0;
}

int number_real(const struct number *n, double *ret, struct err *err)
{
	char *digits;
	double value;

	switch (n->kind) {
	case NUMBER_INT:
		*ret = (double)n->integer;
		return 0;
	case NUMBER_REAL:
		*ret = n->real;
		return 0;
	case NUMBER_BIG:
		break;
	}
	digits = BN_bn2dec(n->big);
	value = strtod(digits, NULL); /* rounds to the nearest, as Python does */
	OPENSSL_free(digits);
	if (isinf(value))
		return err_set(err, ERR_FAILED, "int too large to convert to float");
	*ret = value;
	return 0;
}

static int add_real(struct number *sum, const struct number *x, struct err *err)
{
	double a, b;
	int rc = number_real(sum, &a, err);

	if (rc < 0)
		return rc;
	rc = number_real(x, &b, err);
	if (rc < 0)
		return rc;
	number_done(sum);
	*sum = (struct number){.kind = NUMBER_REAL, .real = a + b};
	return 0;
}

static BIGNUM *as_big(const struct number *n)
{
	char digits[24];

	if (n->kind == NUMBER_BIG)
		return BN_dup(n->big);
	snprintf(digits, sizeof(digits), "%lld", (long long)n->integer);
	return make_big(digits);
}

int number_add(struct number *sum, const struct number *x, struct err *err)
{
	int64_t small;
	BIGNUM *a, *b;

	if (sum->kind == NUMBER_REAL || x->kind == NUMBER_REAL)
		return add_real(sum, x, err);
	if (sum->kind == NUMBER_INT && x->kind == NUMBER_INT &&
	    !__builtin_add_overflow(sum->integer, x->integer, &small)) {
		sum->integer = small;
		return 0;
	}
	a = as_big(sum);
	b = as_big(x);
	if (a == NULL || b == NULL || BN_add(a, a, b) == 0)
		BUG("no memory for a number");
	BN_free(b);
	number_done(sum);
	*sum = (struct number){.kind = NUMBER_BIG, .big = a};
	return 0;
}

static int write_real(double value, json_t **ret, struct err *err)
{
	if (isfinite(value)) {
		*ret = json_real(value);
		return 0;
	}
	return json_make_number(isnan(value) ? "NaN"
				: value > 0  ? "Infinity"
					     : "-Infinity",
				ret, err);
}

int number_write(const struct number *n, json_t **ret, struct err *err)
{
	char *digits;
	int rc;

	switch (n->kind) {
	case NUMBER_INT:
		*ret = json_integer(n->integer);
		return 0;
	case NUMBER_REAL:
		return write_real(n->real, ret, err);
	case NUMBER_BIG:
		break;
	}
	digits = BN_bn2dec(n->big);
	rc = json_check_digits(digits, strlen(digits), err);
	if (rc == 0)
		rc = json_make_number(digits, ret, err);
	OPENSSL_free(digits);
	return rc;
}
