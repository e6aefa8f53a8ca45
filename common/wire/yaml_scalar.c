/*
 * yaml_scalar.c: YAML 1.1's implicit types, by the expressions of PyYAML's Resolver and the
 * conversions of its SafeConstructor: yes and off are booleans, 017 is fifteen, 1:30 is ninety, 1e5
 * is a string.
 */
#include "yaml_scalar.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "json.h"
#include "mem.h"
#include "typed.h"

#define STANDARD_TAG "tag:yaml.org,2002:"
#define DIGITS	     "0123456789"
#define DIGITS_	     DIGITS "_"

/* ---- the expressions; every text here is NUL-terminated and holds no NUL ---- */

static bool one_of(const char *text, const char *const *names)
{
	for (; *names != NULL; names++) {
		if (strcmp(text, *names) == 0)
			return true;
	}
	return false;
}

static const char *const g_true[] = {"yes",  "Yes", "YES", "true", "True",
				     "TRUE", "on",  "On",  "ON",   NULL};
static const char *const g_false[] = {"no",    "No",  "NO",  "false", "False",
				      "FALSE", "off", "Off", "OFF",   NULL};
static const char *const g_null[] = {"", "~", "null", "Null", "NULL", NULL};
static const char *const g_infinity[] = {".inf", ".Inf", ".INF", NULL};
static const char *const g_nan[] = {".nan", ".NaN", ".NAN", NULL};

static const char *skip_sign(const char *p)
{
	return *p == '-' || *p == '+' ? p + 1 : p;
}

/* Behind (:[0-5]?[0-9])+ at `p`, NULL when there is none. */
static const char *sixties(const char *p)
{
	const char *from = p;

	while (*p == ':') {
		size_t n = strspn(p + 1, DIGITS);

		if (n == 0 || n > 2 || (n == 2 && p[1] > '5'))
			return NULL;
		p += 1 + n;
	}
	return p > from ? p : NULL;
}

/* Behind ([eE][-+][0-9]+)? at `p`. */
static const char *exponent(const char *p)
{
	size_t n;

	if ((*p != 'e' && *p != 'E') || (p[1] != '-' && p[1] != '+'))
		return p;
	n = strspn(p + 2, DIGITS);
	return n > 0 ? p + 2 + n : p;
}

static bool is_int(const char *text)
{
	const char *p = skip_sign(text), *after;

	if (p[0] == '0' && p[1] == 'b' && p[2] != '\0')
		return p[2 + strspn(p + 2, "01_")] == '\0';
	if (p[0] == '0' && p[1] == 'x' && p[2] != '\0')
		return p[2 + strspn(p + 2, "0123456789abcdefABCDEF_")] == '\0';
	if (p[0] == '0')
		return p[strspn(p, "01234567_")] == '\0';
	if (*p < '1' || *p > '9')
		return false;
	p += strspn(p, DIGITS_);
	if (*p == '\0')
		return true;
	after = sixties(p);
	return after != NULL && *after == '\0';
}

static bool is_float(const char *text)
{
	const char *p = skip_sign(text), *after;

	if (one_of(p, g_infinity) || one_of(text, g_nan))
		return true;
	if (*text == '.' && p[1] >= '0' && p[1] <= '9')
		return *exponent(p + 1 + strspn(p + 1, DIGITS_)) == '\0';
	if (*p < '0' || *p > '9')
		return false;
	p += strspn(p, DIGITS_);
	after = sixties(p);
	if (after != NULL)
		return *after == '.' && after[1 + strspn(after + 1, DIGITS_)] == '\0';
	return *p == '.' && *exponent(p + 1 + strspn(p + 1, DIGITS_)) == '\0';
}

/* ---- the conversions ---- */

static char *without_underscores(const char *text)
{
	char *copy = xstrdup(text), *to = copy;

	for (const char *p = copy; *p != '\0'; p++) {
		if (*p != '_')
			*to++ = *p;
	}
	*to = '\0';
	return copy;
}

static int int_of_base(const char *digits, int base, bool negative, json_t **ret, struct err *err)
{
	unsigned long long value = 0;

	if (*digits == '\0')
		return err_set(err, ERR_INVALID, "a YAML int without digits");
	for (const char *p = digits; *p != '\0'; p++) {
		char digit[2] = {*p, '\0'};

		if (__builtin_mul_overflow(value, (unsigned long long)base, &value) ||
		    __builtin_add_overflow(value, strtoull(digit, NULL, base), &value) ||
		    value > INT64_MAX)
			return err_set(err, ERR_UNSUPPORTED,
				       "a YAML int of base %d beyond 64 bit is not read", base);
	}
	*ret = json_integer(negative ? -(json_int_t)value : (json_int_t)value);
	return 0;
}

static int sexagesimal(const char *text, double *ret)
{
	double value = 0;

	for (const char *p = text; *p != '\0';) {
		value = value * 60 + strtod(p, NULL);
		p += strcspn(p, ":");
		p += *p == ':';
	}
	*ret = value;
	return value < 9e15;
}

static int int_value(const char *text, json_t **ret, struct err *err)
{
	_cleanup_free_ char *clean = without_underscores(text), *token = NULL;
	bool negative = clean[0] == '-';
	const char *p = skip_sign(clean);
	double sum;

	if (p[0] == '0' && p[1] == 'b')
		return int_of_base(p + 2, 2, negative, ret, err);
	if (p[0] == '0' && p[1] == 'x')
		return int_of_base(p + 2, 16, negative, ret, err);
	if (p[0] == '0')
		return int_of_base(p, 8, negative, ret, err);
	if (strchr(p, ':') != NULL) {
		if (!sexagesimal(p, &sum))
			return err_set(err, ERR_UNSUPPORTED, "a YAML int of base 60 is too large");
		*ret = json_integer((json_int_t)(negative ? -sum : sum));
		return 0;
	}
	token = xasprintf("%s%s", negative ? "-" : "", p);
	return json_make_number(token, ret, err);
}

static int float_value(const char *text, json_t **ret, struct err *err)
{
	_cleanup_free_ char *clean = without_underscores(text);
	bool negative = clean[0] == '-';
	const char *p = skip_sign(clean);
	double value;

	if (strcasecmp(p, ".nan") == 0)
		return json_make_number("NaN", ret, err);
	if (strcasecmp(p, ".inf") == 0)
		value = INFINITY;
	else if (strchr(p, ':') != NULL)
		(void)sexagesimal(p, &value);
	else
		value = strtod(p, NULL);
	if (isinf(value))
		return json_make_number(negative ? "-Infinity" : "Infinity", ret, err);
	*ret = json_real(negative ? -value : value);
	return 0;
}

static int binary_value(const char *text, size_t len, json_t **ret, struct err *err)
{
	_cleanup_buf_ struct buf bytes = BUF_INIT(len);
	json_t *value;
	int rc = base64_decode(text, len, &bytes, err);

	if (rc < 0)
		return err_wrap(err, "YAML binary");
	value = typed_bytes(bytes.data, bytes.len);
	if (value == NULL)
		return err_set(err, ERR_NOMEM, "no memory for %zu bytes", bytes.len);
	*ret = value;
	return 0;
}

int yaml_plain_value(const char *text, size_t len, json_t **ret, struct err *err)
{
	if (strlen(text) != len)
		*ret = json_text(text, len, false);
	else if (one_of(text, g_null))
		*ret = json_null();
	else if (one_of(text, g_true))
		*ret = json_true();
	else if (one_of(text, g_false))
		*ret = json_false();
	else if (is_float(text))
		return float_value(text, ret, err);
	else if (is_int(text))
		return int_value(text, ret, err);
	else if (yaml_is_timestamp(text, len))
		return yaml_timestamp_value(text, len, ret, err);
	else if (strcmp(text, "<<") == 0 || strcmp(text, "=") == 0)
		return err_set(err, ERR_UNSUPPORTED, "YAML's %s is not read", text);
	else
		*ret = json_text(text, len, false);
	return 0;
}

int yaml_tagged_value(const char *tag, const char *text, size_t len, json_t **ret, struct err *err)
{
	const char *name = tag;

	if (strcmp(tag, "!") == 0)
		name = "str";
	else if (strncmp(tag, STANDARD_TAG, strlen(STANDARD_TAG)) == 0)
		name = tag + strlen(STANDARD_TAG);
	if (strcmp(name, "str") == 0)
		*ret = json_text(text, len, false);
	else if (strcmp(name, "null") == 0)
		*ret = json_null();
	else if (strcmp(name, "bool") == 0 && (one_of(text, g_true) || one_of(text, g_false)))
		*ret = json_boolean(one_of(text, g_true));
	else if (strcmp(name, "int") == 0 && is_int(text))
		return int_value(text, ret, err);
	else if (strcmp(name, "float") == 0 && (is_float(text) || is_int(text)))
		return float_value(text, ret, err);
	else if (strcmp(name, "binary") == 0)
		return binary_value(text, len, ret, err);
	else if (strcmp(name, "timestamp") == 0)
		return yaml_timestamp_value(text, len, ret, err);
	else
		return err_set(err, ERR_INVALID, "a YAML value of tag %.60s is not read", tag);
	return 0;
}
