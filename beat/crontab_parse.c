/*
 * crontab_parse.c: the fields of a crontab, by Celery's grammar:
 * groups = expr ("," expr)*, expr = ("*" | number ["-" number]) ["/" steps].
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "crontab.h"
#include "mem.h"

#define LINE_BYTES 1024

const char *const crontab_names[CRONTAB_FIELDS] = {"minute", "hour", "day_of_month",
						   "month_of_year", "day_of_week"};

static const struct {
	int least, most;
} g_bounds[CRONTAB_FIELDS] = {{0, 59}, {0, 23}, {1, 31}, {1, 12}, {0, 6}};

/* Celery takes every name in every field. */
static const struct {
	const char *name;
	int value;
} g_words[] = {
	{"sunday", 0},	  {"monday", 1},   {"tuesday", 2},   {"wednesday", 3}, {"thursday", 4},
	{"friday", 5},	  {"saturday", 6}, {"january", 1},   {"february", 2},  {"march", 3},
	{"april", 4},	  {"may", 5},	   {"june", 6},	     {"july", 7},      {"august", 8},
	{"september", 9}, {"october", 10}, {"november", 11}, {"december", 12},
};

/* What one field is read with: its place, and the words of errors. */
struct reader {
	enum crontab_field field;
	const char *at;
	struct err *err;
};

static int wrong(const struct reader *r, const char *what, struct slice token)
{
	return err_set(r->err, ERR_INVALID, "%s: %s \"%.*s\"", crontab_names[r->field], what,
		       (int)(token.len < 64 ? token.len : 64), token.data);
}

static struct slice word(struct reader *r)
{
	struct slice s = {r->at, strcspn(r->at, ",-/*")};

	r->at += s.len;
	return s;
}

static bool read_digits(struct slice s, int *ret)
{
	int value = 0;

	if (s.len == 0 || s.len > 6)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (s.data[i] < '0' || s.data[i] > '9')
			return false;
		value = value * 10 + (s.data[i] - '0');
	}
	*ret = value;
	return true;
}

static bool read_name(struct slice s, int *ret)
{
	for (size_t i = 0; s.len >= 3 && i < ARRAY_LEN(g_words); i++) {
		if (s.len <= strlen(g_words[i].name) &&
		    strncasecmp(s.data, g_words[i].name, s.len) == 0) {
			*ret = g_words[i].value;
			return true;
		}
	}
	return false;
}

/* Python's int() takes blanks around a number: "1, 13". */
static struct slice trim(struct slice s)
{
	while (s.len > 0 && (s.data[0] == ' ' || s.data[0] == '\t')) {
		s.data++;
		s.len--;
	}
	while (s.len > 0 && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t'))
		s.len--;
	return s;
}

static int read_number(struct reader *r, int *ret)
{
	struct slice s = word(r);
	int value = 0;

	if (s.len == 0)
		return wrong(r, "a number is missing at", slice_of(r->at));
	if (!read_digits(trim(s), &value) && !read_name(s, &value))
		return wrong(r, "neither a number nor a name:", s);
	if (value < g_bounds[r->field].least || value > g_bounds[r->field].most)
		return err_set(r->err, ERR_INVALID, "%s: %d is not in %d-%d",
			       crontab_names[r->field], value, g_bounds[r->field].least,
			       g_bounds[r->field].most);
	*ret = value;
	return 0;
}

/* "*", "7" or "mon-fri"; only the first and the second may have steps. */
static int read_range(struct reader *r, int *ret_from, int *ret_to, bool *ret_single)
{
	int rc;

	*ret_single = false;
	*ret_from = g_bounds[r->field].least;
	*ret_to = g_bounds[r->field].most;
	if (*r->at == '*') {
		r->at++;
		return 0;
	}
	rc = read_number(r, ret_from);
	*ret_to = *ret_from;
	*ret_single = *r->at != '-';
	if (rc < 0 || *ret_single)
		return rc;
	r->at++;
	return read_number(r, ret_to);
}

static int read_steps(struct reader *r, int *ret)
{
	struct slice s;

	*ret = 1;
	if (*r->at != '/')
		return 0;
	r->at++;
	s = word(r);
	if (!read_digits(s, ret) || *ret == 0)
		return wrong(r, "steps must be a number above 0, not", s);
	return 0;
}

static int read_expr(struct reader *r, uint64_t *set)
{
	int least = g_bounds[r->field].least, size = g_bounds[r->field].most - least + 1;
	int from, to, steps = 1, count;
	bool single;
	int rc = read_range(r, &from, &to, &single);

	if (rc == 0 && single && *r->at == '/')
		return wrong(r, "steps need a range or a star:", slice_of(r->at));
	if (rc == 0)
		rc = read_steps(r, &steps);
	if (rc < 0)
		return rc;
	if (*r->at != ',' && *r->at != '\0')
		return wrong(r, "nothing may stand at", slice_of(r->at));
	count = (to - from + size) % size; /* around the end where it is before the beginning */
	for (int i = 0; i <= count; i += steps)
		*set |= (uint64_t)1 << (least + (from - least + i) % size);
	return 0;
}

static int read_field(enum crontab_field field, const char *text, uint64_t *ret, struct err *err)
{
	struct reader r = {.field = field, .at = text ? text : "*", .err = err};
	uint64_t set = 0;
	int rc = read_expr(&r, &set);

	while (rc == 0 && *r.at == ',') {
		r.at++;
		rc = read_expr(&r, &set);
	}
	if (rc == 0)
		*ret = set;
	return rc;
}

/* False for the 30th of February. */
static bool can_be(const struct crontab *c)
{
	static const int most[] = {0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int first = __builtin_ctzll(c->sets[CRONTAB_DAY_OF_MONTH]);

	for (int month = 1; month <= 12; month++) {
		if ((c->sets[CRONTAB_MONTH_OF_YEAR] >> month & 1) && first <= most[month])
			return true;
	}
	return false;
}

int crontab_parse(const char *const fields[CRONTAB_FIELDS], struct crontab *ret, struct err *err)
{
	struct crontab c = {0};

	for (int i = 0; i < CRONTAB_FIELDS; i++) {
		int rc = read_field((enum crontab_field)i, fields[i], &c.sets[i], err);

		if (rc < 0)
			return rc;
	}
	if (!can_be(&c))
		return err_set(err, ERR_INVALID,
			       "day_of_month: no month of month_of_year has such a day");
	*ret = c;
	return 0;
}

int crontab_parse_line(const char *line, struct crontab *ret, struct err *err)
{
	_cleanup_free_ char *copy = xstrndup(line, LINE_BYTES);
	const char *fields[CRONTAB_FIELDS];
	char *rest = copy, *field;
	size_t count = 0;

	while ((field = strtok_r(rest, " \t", &rest)) != NULL && count < CRONTAB_FIELDS)
		fields[count++] = field;
	if (field != NULL || count < CRONTAB_FIELDS || strlen(line) > LINE_BYTES)
		return err_set(
			err, ERR_INVALID,
			"a crontab has five fields, minute hour day month weekday, not \"%.64s\"",
			line);
	return crontab_parse(fields, ret, err);
}
