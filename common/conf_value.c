/*
 * conf_value.c: numbers, durations and sizes as operators write them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf.h"

struct unit {
	const char *name;
	double factor;
};

#define KIB 1024.0

static const struct unit g_durations[] = {
	{"", 1e6}, {"s", 1e6}, {"ms", 1e3}, {"us", 1}, {"m", 60e6}, {"h", 3600e6}, {"d", 86400e6},
};
static const struct unit g_sizes[] = {
	{"", 1},
	{"b", 1},
	{"k", KIB},
	{"m", KIB *KIB},
	{"g", KIB *KIB *KIB},
	{"t", KIB *KIB *KIB *KIB},
};

/* Decimal digits with at most one point, then `ret_rest`. */
static bool parse_decimal(const char *text, double *ret, const char **ret_rest)
{
	text += strspn(text, " ");
	size_t len = strspn(text, "0123456789.");
	if (len == 0 || len > 40 || (len == 1 && *text == '.'))
		return false;
	char number[41];
	memcpy(number, text, len);
	number[len] = '\0';
	char *end;
	*ret = strtod(number, &end);
	*ret_rest = text + len + strspn(text + len, " ");
	return *end == '\0';
}

static bool parse_unit(const char *text, const struct unit *units, size_t count, int64_t *ret)
{
	double value;
	const char *rest;
	if (!parse_decimal(text, &value, &rest))
		return false;
	size_t len = strcspn(rest, " ");
	if (rest[len + strspn(rest + len, " ")] != '\0')
		return false;
	for (size_t i = 0; i < count; i++) {
		if (len == strlen(units[i].name) && strncasecmp(rest, units[i].name, len) == 0) {
			value = value * units[i].factor + 0.5;
			if (!(value < 9e18))
				return false;
			*ret = (int64_t)value;
			return true;
		}
	}
	return false;
}

bool conf_parse_duration(const char *text, int64_t *ret)
{
	return parse_unit(text, g_durations, ARRAY_LEN(g_durations), ret);
}

bool conf_parse_size(const char *text, int64_t *ret)
{
	/* "512MiB", "512Mi", "512MB" and "512M" are the same. */
	char plain[64];
	size_t len = strnlen(text, sizeof(plain));
	while (len > 0 && len < sizeof(plain) && text[len - 1] == ' ')
		len--;
	if (len >= sizeof(plain))
		return false;
	memcpy(plain, text, len);
	if (len > 1 && strchr("bB", plain[len - 1]) && strchr("kKmMgGtTiI", plain[len - 2]))
		len--;
	if (len > 1 && strchr("iI", plain[len - 1]) && strchr("kKmMgGtT", plain[len - 2]))
		len--;
	plain[len] = '\0';
	return parse_unit(plain, g_sizes, ARRAY_LEN(g_sizes), ret);
}

bool conf_parse_int(const char *text, int64_t *ret)
{
	text += strspn(text, " ");
	size_t sign = strspn(text, "+-");
	size_t digits = strspn(text + sign, "0123456789");
	if (sign > 1 || digits == 0 || text[sign + digits + strspn(text + sign + digits, " ")])
		return false;
	errno = 0;
	long long value = strtoll(text, NULL, 10);
	*ret = value;
	return errno == 0;
}

bool conf_parse_double(const char *text, double *ret)
{
	const char *rest;
	return parse_decimal(text, ret, &rest) && *rest == '\0';
}

bool conf_parse_bool(const char *text, bool *ret)
{
	static const char *const words[2][5] = {
		{"0", "false", "no", "off", "f"},
		{"1", "true", "yes", "on", "t"},
	};
	for (size_t v = 0; v < 2; v++) {
		for (size_t i = 0; i < ARRAY_LEN(words[v]); i++) {
			if (strcasecmp(text, words[v][i]) == 0) {
				*ret = v == 1;
				return true;
			}
		}
	}
	return false;
}

static bool whole(double value, double unit)
{
	int64_t u = (int64_t)unit;
	return (int64_t)value % u == 0;
}

void conf_show_number(enum conf_type type, double value, struct buf *out)
{
	static const struct unit durations[] = {{"s", 1e6}, {"ms", 1e3}, {"us", 1}};
	static const struct unit sizes[] = {{"TiB", KIB * KIB * KIB * KIB},
					    {"GiB", KIB * KIB * KIB},
					    {"MiB", KIB * KIB},
					    {"KiB", KIB},
					    {"", 1}};
	const struct unit *units = type == CONF_DURATION ? durations : sizes;
	if (type == CONF_DOUBLE) {
		buf_appendf(out, "%.6g", value);
		return;
	}
	if (type != CONF_DURATION && type != CONF_SIZE) {
		buf_appendf(out, "%.0f", value);
		return;
	}
	if (value < 1) {
		buf_append_str(out, "0");
		return;
	}
	while (units->factor > 1 && !whole(value, units->factor))
		units++;
	buf_appendf(out, "%.0f%s", value / units->factor, units->name);
}
