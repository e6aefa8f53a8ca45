/*
 * pickle_types.c: datetimes, decimals, UUIDs and bytes between JSON and pickle. Lib/datetime.py
 * (__reduce__), Lib/decimal.py; a UUID by its constructor, as Python's own way is none of a call.
 */
#include "pickle_types.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "mem.h"
#include "typed.h"

#define VALUE_KEY   "__value__"
#define DAY_SECONDS INT64_C(86400)
#define TEXT_SIZE   64

enum { DATETIME, DATE, TIME, DELTA, ZONE, DECIMAL, UUID };
static const struct {
	const char *module, *name;
} g_classes[] = {
	[DATETIME] = {"datetime", "datetime"},
	[DATE] = {"datetime", "date"},
	[TIME] = {"datetime", "time"},
	[DELTA] = {"datetime", "timedelta"},
	[ZONE] = {"datetime", "timezone"},
	[DECIMAL] = {"decimal", "Decimal"},
	[UUID] = {"uuid", "UUID"},
};

static bool is_word(struct slice s, const char *word)
{
	return s.len == strlen(word) && memcmp(s.data, word, s.len) == 0;
}

int pickle_class(struct slice module, struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(g_classes); i++) {
		if (is_word(module, g_classes[i].module) && is_word(name, g_classes[i].name))
			return (int)i;
	}
	return -1;
}

/* ---- dates and times: the bytes that Python pickles, and its isoformat() ---- */

#define DATE_BYTES  4 /* year, the highest byte first, month, day */
#define CLOCK_BYTES 6 /* hour, minute, second, microseconds, the highest byte first */

struct moment {
	unsigned char bytes[DATE_BYTES + CLOCK_BYTES];
	bool has_zone;
	int64_t zone; /* microseconds east */
};

static unsigned microseconds(const unsigned char *clock)
{
	return (unsigned)clock[3] << 16 | (unsigned)clock[4] << 8 | clock[5];
}

static void add(char text[TEXT_SIZE], const char *fmt, ...) printf_like(2, 3);
static void add(char text[TEXT_SIZE], const char *fmt, ...)
{
	size_t len = strlen(text);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text + len, TEXT_SIZE - len, fmt, ap);
	va_end(ap);
}

static void say_zone(int64_t zone, char text[TEXT_SIZE])
{
	int64_t left = zone < 0 ? -zone : zone, second = left / USEC_PER_SEC,
		part = left % USEC_PER_SEC;

	add(text, "%c%02" PRId64 ":%02" PRId64, zone < 0 ? '-' : '+', second / 3600,
	    second / 60 % 60);
	if (second % 60 != 0 || part != 0)
		add(text, ":%02" PRId64, second % 60);
	if (part != 0)
		add(text, ".%06" PRId64, part);
}

static void say(const struct moment *m, int class, char text[TEXT_SIZE])
{
	const unsigned char *b = m->bytes, *clock = b + DATE_BYTES;

	text[0] = '\0';
	if (class != TIME)
		add(text, "%04u-%02u-%02u", (unsigned)b[0] << 8 | b[1], b[2], b[3]);
	if (class == DATE)
		return;
	add(text, "%s%02u:%02u:%02u", class == DATETIME ? "T" : "", clock[0], clock[1], clock[2]);
	if (microseconds(clock) != 0)
		add(text, ".%06u", microseconds(clock));
	if (m->has_zone)
		say_zone(m->zone, text);
}

/* `count` digits as a number of at most `most`, and `before` in front of them unless that is 0. */
static bool number(const char **p, char before, int count, int most, int *ret)
{
	const char *at = *p;
	int value = 0;

	if (before != '\0' && *at++ != before)
		return false;
	for (int i = 0; i < count; i++, at++) {
		if (*at < '0' || *at > '9')
			return false;
		value = value * 10 + (*at - '0');
	}
	*p = at;
	*ret = value;
	return value <= most;
}

static bool read_date(const char **p, unsigned char *b)
{
	static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int year, month, day;

	if (!number(p, '\0', 4, 9999, &year) || !number(p, '-', 2, 12, &month) ||
	    !number(p, '-', 2, 31, &day) || year < 1 || month < 1 || day < 1 ||
	    day > days[month - 1])
		return false;
	if (month == 2 && day == 29 && (year % 4 != 0 || (year % 100 == 0 && year % 400 != 0)))
		return false;
	b[0] = (unsigned char)(year >> 8);
	b[1] = (unsigned char)year;
	b[2] = (unsigned char)month;
	b[3] = (unsigned char)day;
	return true;
}

static bool read_clock(const char **p, unsigned char *b)
{
	int hour, minute, second, part = 0;

	if (!number(p, '\0', 2, 23, &hour) || !number(p, ':', 2, 59, &minute) ||
	    !number(p, ':', 2, 59, &second) || (**p == '.' && !number(p, '.', 6, 999999, &part)))
		return false;
	b[0] = (unsigned char)hour;
	b[1] = (unsigned char)minute;
	b[2] = (unsigned char)second;
	b[3] = (unsigned char)(part >> 16);
	b[4] = (unsigned char)(part >> 8);
	b[5] = (unsigned char)part;
	return true;
}

static bool read_zone(const char **p, struct moment *m)
{
	bool west = **p == '-';
	int hour, minute, second = 0, part = 0;

	if (**p == '\0')
		return true;
	if (!number(p, west ? '-' : '+', 2, 23, &hour) || !number(p, ':', 2, 59, &minute) ||
	    (**p == ':' && !number(p, ':', 2, 59, &second)) ||
	    (**p == '.' && !number(p, '.', 6, 999999, &part)))
		return false;
	m->has_zone = true;
	m->zone = (hour * INT64_C(3600) + minute * INT64_C(60) + second) * USEC_PER_SEC + part;
	m->zone = west ? -m->zone : m->zone;
	return true;
}

/* Of what isoformat() writes, and nothing else. */
static bool read_moment(const char *text, int class, struct moment *ret)
{
	char again[TEXT_SIZE];
	const char *p = text;

	*ret = (struct moment){0};
	if (class != TIME && !read_date(&p, ret->bytes))
		return false;
	if (class == DATETIME && *p++ != 'T')
		return false;
	if (class != DATE && (!read_clock(&p, ret->bytes + DATE_BYTES) || !read_zone(&p, ret)))
		return false;
	say(ret, class, again);
	return strcmp(again, text) == 0;
}

/* ---- what is read ---- */

static int refused(struct err *err)
{
	return err_set(err, ERR_UNSUPPORTED, "a pickle of more than plain data");
}

static json_t *between(const char *type, int64_t value)
{
	return json_pack("{s:s, s:I}", TYPED_KEY, type, VALUE_KEY, (json_int_t)value);
}

static bool is_between(const json_t *value, const char *type, int64_t *ret)
{
	const char *is = json_string_value(json_object_get(value, TYPED_KEY));
	const json_t *number = json_object_get(value, VALUE_KEY);

	*ret = json_integer_value(number);
	return is != NULL && strcmp(is, type) == 0 && json_is_integer(number) &&
	       *ret > -DAY_SECONDS * USEC_PER_SEC && *ret < DAY_SECONDS * USEC_PER_SEC;
}

/* days, seconds, microseconds: of an offset, less than a day. */
static json_t *make_delta(const json_t *args)
{
	int64_t parts[3];

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		const json_t *part = json_array_get(args, i);

		parts[i] = json_integer_value(part);
		if (!json_is_integer(part) || parts[i] < -1000000 || parts[i] > 1000000)
			return NULL;
	}
	if (json_array_size(args) != ARRAY_LEN(parts) || parts[0] < -1 || parts[0] > 0)
		return NULL;
	return between("timedelta", (parts[0] * DAY_SECONDS + parts[1]) * USEC_PER_SEC + parts[2]);
}

static json_t *make_zone(const json_t *args)
{
	int64_t offset;

	return json_array_size(args) == 1 &&
			       is_between(json_array_get(args, 0), "timedelta", &offset)
		       ? between("timezone", offset)
		       : NULL;
}

/* The bytes of a date or time, `len` of them. */
static int take_bytes(const json_t *value, unsigned char *ret, size_t len, struct err *err)
{
	_cleanup_buf_ struct buf raw = BUF_INIT(DATE_BYTES + CLOCK_BYTES);
	enum typed_kind kind = typed_kind(value);
	int rc;

	if ((kind != TYPED_BYTES && kind != TYPED_BASE64) ||
	    json_string_length(json_object_get(value, VALUE_KEY)) > TEXT_SIZE)
		return refused(err);
	rc = typed_read_bytes(value, &raw, err);
	if (rc == -ERR_NOMEM)
		return rc;
	if (rc < 0 || raw.len != len)
		return refused(err);
	memcpy(ret, raw.data, len);
	return 0;
}

static int make_moment(int class, const json_t *args, json_t **ret, struct err *err)
{
	static const char *const names[] = {
		[DATETIME] = "datetime", [DATE] = "date", [TIME] = "time"};
	size_t first = class == TIME ? DATE_BYTES : 0,
	       last = class == DATE ? DATE_BYTES : DATE_BYTES + CLOCK_BYTES,
	       count = json_array_size(args);
	struct moment m = {.has_zone = count == 2}, checked;
	char text[TEXT_SIZE];
	int rc;

	if (count < 1 || count > (class == DATE ? 1 : 2) ||
	    (m.has_zone && !is_between(json_array_get(args, 1), "timezone", &m.zone)))
		return refused(err);
	rc = take_bytes(json_array_get(args, 0), m.bytes + first, last - first, err);
	if (rc < 0)
		return rc;
	/* which of two equal times when clocks go back: isoformat() does not say */
	m.bytes[class == TIME ? DATE_BYTES : 2] &= 0x7f;
	say(&m, class, text);
	if (!read_moment(text, class, &checked))
		return refused(err);
	*ret = json_pack("{s:s, s:s}", TYPED_KEY, names[class], VALUE_KEY, text);
	return 0;
}

/* As str() writes it: digits with a point and an exponent, or a name. However many digits: the
 * limit on those of an int is none of a Decimal. */
static bool is_decimal(const json_t *value)
{
	const char *p = json_string_value(value);
	size_t digits, more;

	if (p == NULL || strlen(p) != json_string_length(value))
		return false;
	p += *p == '-';
	digits = strspn(p, "0123456789");
	if (strcmp(p, "Infinity") == 0 || strcmp(p, "NaN") == 0 || strcmp(p, "sNaN") == 0)
		return true;
	p += digits;
	if (digits == 0)
		return false;
	if (*p == '.') {
		more = strspn(++p, "0123456789");
		if (more == 0)
			return false;
		p += more;
	}
	if (*p == 'E') {
		p++;
		p += *p == '-' || *p == '+';
		more = strspn(p, "0123456789");
		if (more == 0 || more > 15)
			return false;
		p += more;
	}
	return *p == '\0';
}

static bool is_hex(const json_t *value)
{
	return json_string_length(value) == 32 &&
	       strspn(json_string_value(value), "0123456789abcdef") == 32;
}

static int made(json_t *value, json_t **ret, struct err *err)
{
	if (value == NULL)
		return refused(err);
	*ret = value;
	return 0;
}

int pickle_call(int class, const json_t *args, json_t **ret, struct err *err)
{
	json_t *only = json_array_size(args) == 1 ? json_array_get(args, 0) : NULL;

	switch (class) {
	case DELTA:
		return made(make_delta(args), ret, err);
	case ZONE:
		return made(make_zone(args), ret, err);
	case DECIMAL:
		if (!is_decimal(only))
			return refused(err);
		return made(json_pack("{s:s, s:O}", TYPED_KEY, "decimal", VALUE_KEY, only), ret,
			    err);
	case UUID:
		if (!is_hex(only))
			return refused(err);
		return made(json_pack("{s:s, s:{s:O}}", TYPED_KEY, "uuid", VALUE_KEY, "hex", only),
			    ret, err);
	default:
		return make_moment(class, args, ret, err);
	}
}

/* ---- what is written ---- */

static void open_call(int class, struct buf *out)
{
	buf_appendf(out, "c%s\n%s\n(", g_classes[class].module, g_classes[class].name); /* GLOBAL */
}

static void close_call(struct buf *out)
{
	buf_append_str(out, "tR"); /* TUPLE, REDUCE */
}

static void append_number(struct buf *out, char op, size_t value)
{
	buf_append_char(out, op);
	for (size_t i = 0; i < 4; i++)
		buf_append_char(out, (char)(value >> (8 * i)));
}

static void write_zone(int64_t zone, struct buf *out)
{
	int64_t days = zone < 0 ? -1 : 0, left = zone - days * DAY_SECONDS * USEC_PER_SEC;

	open_call(ZONE, out);
	open_call(DELTA, out);
	append_number(out, 'J', (size_t)days); /* BININT */
	append_number(out, 'J', (size_t)(left / USEC_PER_SEC));
	append_number(out, 'J', (size_t)(left % USEC_PER_SEC));
	close_call(out);
	close_call(out);
}

static bool write_moment(int class, const json_t *value, struct buf *out)
{
	const char *text = json_string_value(value);
	struct moment m;
	size_t first = class == TIME ? DATE_BYTES : 0,
	       last = class == DATE ? DATE_BYTES : DATE_BYTES + CLOCK_BYTES;

	if (text == NULL || !read_moment(text, class, &m) ||
	    strlen(text) != json_string_length(value))
		return false;
	open_call(class, out);
	buf_append_char(out, 'C'); /* SHORT_BINBYTES */
	buf_append_char(out, (char)(last - first));
	buf_append(out, m.bytes + first, last - first);
	if (m.has_zone)
		write_zone(m.zone, out);
	close_call(out);
	return true;
}

static bool write_text(int class, const json_t *text, struct buf *out)
{
	open_call(class, out);
	append_number(out, 'X', json_string_length(text)); /* BINUNICODE */
	buf_append(out, json_string_value(text), json_string_length(text));
	close_call(out);
	return true;
}

/* In the one of both forms that kombu writes. */
static bool write_bytes(const json_t *value, struct buf *out)
{
	_cleanup_buf_ struct buf raw = BUF_INIT(out->limit);
	_cleanup_json_ json_t *again = NULL;
	struct err err;

	if (typed_read_bytes(value, &raw, &err) < 0) {
		buf_fail(out, err.code);
		return true;
	}
	again = typed_bytes(raw.data, raw.len);
	if (again == NULL)
		buf_fail(out, ERR_NOMEM);
	else if (!json_equal(again, (json_t *)(uintptr_t)value))
		return false;
	append_number(out, 'B', raw.len); /* BINBYTES */
	buf_append(out, raw.data, raw.len);
	return true;
}

bool pickle_write_typed(const json_t *value, struct buf *out)
{
	const json_t *inside = json_object_get(value, VALUE_KEY);
	const json_t *hex = json_object_get(inside, "hex");

	switch (typed_whole_kind(value)) {
	case TYPED_DATETIME:
		return write_moment(DATETIME, inside, out);
	case TYPED_DATE:
		return write_moment(DATE, inside, out);
	case TYPED_TIME:
		return write_moment(TIME, inside, out);
	case TYPED_DECIMAL:
		return is_decimal(inside) && write_text(DECIMAL, inside, out);
	case TYPED_UUID:
		return json_object_size(inside) == 1 && is_hex(hex) && write_text(UUID, hex, out);
	case TYPED_BYTES:
	case TYPED_BASE64:
		return write_bytes(value, out);
	case TYPED_NONE:
	case TYPED_UNKNOWN:
		break;
	}
	return false;
}
