/*
 * json_python.c: one pass over Python's JSON that replaces what jansson refuses by marked strings
 * (json_private.h). Ordinary text is only looked at. Wrong JSON stays wrong: jansson, which sees
 * the result, reports it.
 *
 * A real beyond the range of a double (1e400) is what Python reads it as: Infinity.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "json_private.h"
#include "mem.h"
#include "text.h"

struct scan {
	struct json_scan *job;
	const char *text;
	const char *end;
	const char *copied; /* up to here the text is in job->out */
	size_t values;	    /* that there can be at most, so far: each follows one of [ { , */
};

/* Copies what lies before `token` unchanged; the caller appends what takes its place. */
static void replace_begin(struct scan *s, const char *token)
{
	struct json_scan *job = s->job;
	if (!job->rewritten) {
		job->rewritten = true;
		/* Nothing grows more than sixfold. */
		job->out = BUF_INIT((size_t)(s->end - s->text) * 6 + 64);
	}
	size_t unchanged = (size_t)(token - s->copied);
	size_t before = job->out.len;
	if (job->want_out >= before && job->want_out < before + unchanged)
		job->found_text = (size_t)(s->copied - s->text) + (job->want_out - before);
	buf_append(&job->out, s->copied, unchanged);
}

static void replace_end(struct scan *s, const char *token, const char *token_end)
{
	struct json_scan *job = s->job;
	s->copied = token_end;
	if (job->want_out < job->out.len && job->found_text == SIZE_MAX)
		job->found_text = (size_t)(token - s->text);
}

static const char *skip_space(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
		p++;
	return p;
}

static bool is_key(const struct scan *s, const char *after)
{
	after = skip_space(after, s->end);
	return after < s->end && *after == ':';
}

static int mark_number(struct scan *s, const char *p, const char *token_end, const char *name,
		       struct err *err)
{
	if (is_key(s, token_end))
		return err_set(err, ERR_INVALID, "JSON: a number as key at byte %zu",
			       (size_t)(p - s->text));
	replace_begin(s, p);
	buf_append_str(&s->job->out, "\"\\u0001n");
	if (name)
		buf_append_str(&s->job->out, name);
	else
		buf_append(&s->job->out, p, (size_t)(token_end - p));
	buf_append_char(&s->job->out, '"');
	replace_end(s, p, token_end);
	return 0;
}

static const char *digits(const char *p, const char *end)
{
	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return p;
}

/* The end of "[.digits][e[+-]digits]" at `p`, NULL when it is none. */
static const char *real_end(const char *p, const char *end)
{
	if (p < end && *p == '.') {
		const char *from = ++p;
		p = digits(p, end);
		if (p == from)
			return NULL;
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		const char *from = p;
		p = digits(p, end);
		if (p == from)
			return NULL;
	}
	return p;
}

static bool overflows(const char *p, const char *end)
{
	/* Fewer characters than this cannot pass 1e308. */
	if (end - p < 5)
		return false;
	_cleanup_free_ char *token = xstrndup(p, (size_t)(end - p));
	return isinf(strtod(token, NULL));
}

/* At a digit or '-'. Moves *pp behind the number. */
static int scan_number(struct scan *s, const char **pp, struct err *err)
{
	const char *p = *pp;
	const char *start = p + (*p == '-');
	const char *int_end = digits(start, s->end);
	*pp = int_end == p ? p + 1 : int_end;
	if (int_end == start)
		return 0; /* a lone '-': wrong, or -Infinity, which the caller knows */
	size_t len = (size_t)(int_end - p);
	if (!json_is_integer_token(p, len))
		return 0;
	bool real = int_end < s->end && (*int_end == '.' || *int_end == 'e' || *int_end == 'E');
	if (!real)
		return json_is_big_integer(p, len) ? mark_number(s, p, int_end, NULL, err) : 0;
	const char *end = real_end(int_end, s->end);
	if (!end)
		return 0;
	*pp = end;
	bool long_exponent = memchr(int_end, 'e', (size_t)(end - int_end)) ||
			     memchr(int_end, 'E', (size_t)(end - int_end));
	if ((long_exponent || len > 300) && overflows(p, end))
		return mark_number(s, p, end, *p == '-' ? "-Infinity" : "Infinity", err);
	return 0;
}

/* At 'N', 'I' or '-'. Moves *pp behind the name if it is one. */
static int scan_constant(struct scan *s, const char **pp, struct err *err)
{
	static const char *const names[] = {"NaN", "Infinity", "-Infinity"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		size_t n = strlen(names[i]);
		if ((size_t)(s->end - *pp) < n || memcmp(*pp, names[i], n) != 0)
			continue;
		if (!s->job->constants)
			return err_set(err, ERR_INVALID, "JSON: %s at byte %zu", names[i],
				       (size_t)(*pp - s->text));
		const char *p = *pp;
		*pp += n;
		return mark_number(s, p, p + n, NULL, err);
	}
	(*pp)++;
	return 0;
}

/* The value of \uXXXX at `p` (the backslash), -1 when it is none. */
static int unicode_escape(const char *p, const char *end)
{
	if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
		return -1;
	int v = 0;
	for (int i = 2; i < 6; i++) {
		int d = text_hex(p[i]);
		if (d < 0)
			return -1;
		v = v << 4 | d;
	}
	return v;
}

static bool is_surrogate(int v)
{
	return v >= 0xd800 && v <= 0xdfff;
}

/* Length of the escape at `p`: a pair of surrogates is one. `ret_value` is -1 for a pair and for
 * short escapes. */
static size_t escape_length(const char *p, const char *end, int *ret_value)
{
	int v = unicode_escape(p, end);
	*ret_value = v;
	if (v < 0)
		return end - p < 2 ? 1 : 2;
	if (v >= 0xd800 && v < 0xdc00) {
		int low = unicode_escape(p + 6, end);
		if (low >= 0xdc00 && low <= 0xdfff) {
			*ret_value = -1;
			return 12;
		}
	}
	return 6;
}

/* Writes the string between `p` and `end` (its quotes) in marked form. */
static void mark_string(struct scan *s, const char *p, const char *end, bool key)
{
	struct buf *out = &s->job->out;
	const char *token = p;
	replace_begin(s, token);
	buf_append_str(out, "\"\\u0001s");
	for (p++; p < end;) {
		const char *escape = memchr(p, '\\', (size_t)(end - p));
		const char *plain_end = escape ? escape : end;
		buf_append(out, p, (size_t)(plain_end - p));
		p = plain_end;
		if (!escape)
			break;
		int v;
		size_t n = escape_length(p, end, &v);
		if (v == MARK)
			buf_append_str(out, "\\u0001\\u0001");
		else if (is_surrogate(v))
			buf_appendf(out, "\\u0001u%04x", (unsigned)v);
		else if (v == 0 && key)
			buf_append_str(out, "\\u00010");
		else
			buf_append(out, p, n);
		p += n;
	}
	buf_append_char(out, '"');
	replace_end(s, token, end + 1);
}

/* At the opening quote; returns what follows the closing one. */
static const char *scan_string(struct scan *s, const char *start)
{
	const char *p = start + 1;
	const char *quote = memchr(p, '"', (size_t)(s->end - p));
	bool mark = unicode_escape(p, s->end) == MARK;
	bool has_nul = false;
	while (quote) {
		const char *escape = memchr(p, '\\', (size_t)(quote - p));
		if (!escape)
			break;
		int v;
		p = escape + escape_length(escape, s->end, &v);
		mark |= is_surrogate(v);
		has_nul |= v == 0;
		if (p > quote)
			quote = memchr(p, '"', (size_t)(s->end - p));
	}
	if (!quote)
		return s->end; /* not closed: jansson says so */
	bool key = (mark || has_nul) && is_key(s, quote + 1);
	if (mark || (has_nul && key))
		mark_string(s, start, quote, key);
	return quote + 1;
}

static int count_value(struct scan *s, struct err *err)
{
	if (++s->values > BOUND_JSON_VALUES)
		return err_set(err, ERR_TOOBIG, "JSON of more than %u values", BOUND_JSON_VALUES);
	return 0;
}

static int scan_token(struct scan *s, const char **pp, size_t *depth, struct err *err)
{
	switch (**pp) {
	case '"':
		*pp = scan_string(s, *pp);
		return 0;
	case '{':
	case '[':
		if (++*depth > BOUND_JSON_DEPTH)
			return err_set(err, ERR_TOOBIG, "JSON nested deeper than %d",
				       BOUND_JSON_DEPTH);
		(*pp)++;
		return count_value(s, err);
	case ',':
		(*pp)++;
		return count_value(s, err);
	case '}':
	case ']':
		*depth -= *depth > 0;
		break;
	case '-':
		if (s->end - *pp > 1 && (*pp)[1] == 'I')
			return scan_constant(s, pp, err);
		return scan_number(s, pp, err);
	case 'N':
	case 'I':
		return scan_constant(s, pp, err);
	default:
		if (**pp >= '0' && **pp <= '9')
			return scan_number(s, pp, err);
	}
	(*pp)++;
	return 0;
}

int json_scan(struct json_scan *job, const char *text, size_t len, struct err *err)
{
	struct scan s = {.job = job, .text = text, .end = text + len, .copied = text};
	size_t depth = 0;
	job->rewritten = false;
	job->found_text = SIZE_MAX;
	for (const char *p = text; p < s.end;) {
		int r = scan_token(&s, &p, &depth, err);
		if (r < 0)
			return r;
	}
	if (!job->rewritten)
		return 0;
	replace_begin(&s, s.end);
	replace_end(&s, s.end, s.end);
	return buf_status(&job->out, err);
}
