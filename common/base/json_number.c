/*
 * json_number.c: numbers as Python writes them.
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_private.h"

/* Digits (no point, no trailing zeros) and decimal exponent of the shortest form that reads back as
 * `value`. */
static int shortest(double value, char digits[24], int *ret_exp)
{
	char text[40];
	/* Up to 15 digits always survive, except in the denormals, where fewer carry meaning. */
	int first = fabs(value) < DBL_MIN ? 1 : 15;
	for (int precision = first; precision <= 17; precision++) {
		snprintf(text, sizeof(text), "%.*e", precision - 1, value);
		if (!(strtod(text, NULL) < value) && !(strtod(text, NULL) > value))
			break;
	}
	int n = 0;
	const char *p = text;
	for (; *p && *p != 'e'; p++) {
		if (*p >= '0' && *p <= '9')
			digits[n++] = *p;
	}
	*ret_exp = *p ? (int)strtol(p + 1, NULL, 10) : 0;
	while (n > 1 && digits[n - 1] == '0')
		n--;
	digits[n] = '\0';
	return n;
}

size_t json_real_repr(double value, char out[JSON_REAL_SIZE])
{
	if (isnan(value) || isinf(value)) {
		const char *name = isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
		return (size_t)snprintf(out, JSON_REAL_SIZE, "%s", name);
	}
	char digits[24];
	int exponent;
	int n = shortest(value, digits, &exponent);
	size_t at = 0;
	if (signbit(value))
		out[at++] = '-';
	if (exponent < -4 || exponent >= 16) {
		out[at++] = digits[0];
		if (n > 1) {
			out[at++] = '.';
			memcpy(out + at, digits + 1, (size_t)n - 1);
			at += (size_t)n - 1;
		}
		at += (size_t)snprintf(out + at, JSON_REAL_SIZE - at, "e%c%02d",
				       exponent < 0 ? '-' : '+', abs(exponent));
		return at;
	}
	if (exponent < 0) {
		out[at++] = '0';
		out[at++] = '.';
		for (int i = -1; i > exponent; i--)
			out[at++] = '0';
		memcpy(out + at, digits, (size_t)n);
		at += (size_t)n;
	} else {
		for (int i = 0; i <= exponent; i++)
			out[at++] = i < n ? digits[i] : '0';
		out[at++] = '.';
		for (int i = exponent + 1; i < n; i++)
			out[at++] = digits[i];
		if (exponent + 1 >= n)
			out[at++] = '0';
	}
	out[at] = '\0';
	return at;
}

bool json_is_integer_token(const char *s, size_t len)
{
	size_t i = len && s[0] == '-' ? 1 : 0;
	if (i == len || (s[i] == '0' && len > i + 1))
		return false;
	for (; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
	}
	return true;
}

bool json_is_big_integer(const char *s, size_t len)
{
	bool negative = s[0] == '-';
	const char *limit = negative ? "9223372036854775808" : "9223372036854775807";
	s += negative;
	len -= negative;
	return len > 19 || (len == 19 && memcmp(s, limit, 19) > 0);
}
