/*
 * control_match.c: node names by pattern (kombu/matcher.py), in time that no pattern can blow up.
 */
#include <regex.h>
#include <string.h>

#include "bounds.h"
#include "control.h"

#define EXPRESSION_DEPTH  16
#define EXPRESSION_PLUSES 4 /* within each other */

/* One [set] at *p, which is moved behind it; false (and *p unmoved) when it is not closed. */
static bool match_set(const char **p, char c, bool *ret)
{
	const char *at = *p + 1;
	bool negated = *at == '!', found = false;

	at += negated;
	for (const char *first = at; *at != ']' || at == first; at++) {
		if (*at == '\0')
			return false;
		if (at[1] == '-' && at[2] != ']' && at[2] != '\0') {
			found |= at[0] <= c && c <= at[2];
			at += 2;
		} else {
			found |= *at == c;
		}
	}
	*p = at + 1;
	*ret = found != negated;
	return true;
}

/* One character against what stands at *p, other than a star; *p is moved on when it fits. */
static bool match_one(const char **p, char c)
{
	bool fits;

	if (**p == '?') {
		(*p)++;
		return true;
	}
	if (**p == '[' && match_set(p, c, &fits))
		return fits;
	if (**p != c)
		return false;
	(*p)++;
	return true;
}

/* Backing up to the last star alone is enough. */
static bool match_glob(const char *text, const char *pattern)
{
	const char *star = NULL, *resume = NULL;

	while (*text != '\0') {
		const char *p = pattern;

		if (*pattern == '*') {
			star = pattern++;
			resume = text;
		} else if (*pattern != '\0' && match_one(&p, *text)) {
			pattern = p;
			text++;
		} else if (star != NULL) {
			pattern = star + 1;
			text = ++resume;
		} else {
			return false;
		}
	}
	while (*pattern == '*') {
		pattern++;
	}
	return *pattern == '\0';
}

/*
 * What stands before this character of an expression, and how deep each group that is open repeats:
 * regcomp(3) of glibc copies what a plus follows, so that each level doubles its work.
 */
struct expression {
	int pluses[EXPRESSION_DEPTH]; /* by group */
	int depth;		      /* groups that are open */
	int unit;		      /* pluses within what a repeat would follow */
	bool repeated;		      /* it is followed by a repeat already */
};

static bool open_group(struct expression *e)
{
	if (e->depth + 1 >= EXPRESSION_DEPTH)
		return false;
	e->pluses[++e->depth] = 0;
	e->unit = 0;
	e->repeated = false;
	return true;
}

static void end_unit(struct expression *e, int unit)
{
	e->unit = unit;
	e->repeated = false;
	if (unit > e->pluses[e->depth])
		e->pluses[e->depth] = unit;
}

/* As Python has it, only a question mark may follow another repeat. */
static bool repeat(struct expression *e, char c)
{
	if (e->repeated && c != '?')
		return false;
	if (c == '+')
		end_unit(e, e->unit + 1);
	e->repeated = true;
	return e->unit <= EXPRESSION_PLUSES;
}

/* One character, not of a set; false when what it makes could cost without bound. */
static bool follow(struct expression *e, char c)
{
	switch (c) {
	case '(':
		return open_group(e);
	case ')':
		if (e->depth == 0)
			return false;
		e->depth--;
		end_unit(e, e->pluses[e->depth + 1]);
		return true;
	case '*':
	case '+':
	case '?':
		return repeat(e, c);
	default:
		end_unit(e, 0);
		return true;
	}
}

/* The end of a set that begins at `p`, or of the text; NULL when a backslash is in it, which Python
 * and POSIX read differently. */
static const char *set_end(const char *p)
{
	p++;
	p += *p == '^';
	p += *p == ']';
	for (; *p != ']' && *p != '\0'; p++) {
		if (*p == '\\')
			return NULL;
	}
	return p;
}

static bool is_foreign(const char *p, bool escaped)
{
	if (escaped)
		return *p == '\0' || strchr("0123456789ABDZb", *p) != NULL;
	return *p == '{' || (*p == '(' && p[1] == '?');
}

static int refuse(const char *pattern, struct err *err)
{
	return err_set(
		err, ERR_UNSUPPORTED,
		"pattern \"%.64s\": repeat counts, repeats of repeats, groups with ?, open "
		"or deeper "
		"deeper than %d, backslashes in sets, \\b and back references cannot be used",
		pattern, EXPRESSION_DEPTH - 1);
}

/*
 * Python's expression as a POSIX one, from the beginning of the text. What POSIX reads differently,
 * and what can be made to cost without bound, is refused.
 */
static int translate(const char *pattern, struct buf *out, struct err *err)
{
	struct expression e = {0};

	buf_append_str(out, "^(");
	for (const char *p = pattern; *p != '\0'; p++) {
		bool escaped = *p == '\\', set = *p == '[';
		const char *first = p;

		p += escaped;
		if (is_foreign(p, escaped) || !follow(&e, escaped ? 'x' : *p))
			return refuse(pattern, err);
		if (set && (p = set_end(p)) == NULL)
			return refuse(pattern, err);
		if (*p == '\0')
			return err_set(err, ERR_INVALID, "pattern \"%.64s\" is not an expression",
				       pattern);
		if (escaped && *p == 'd')
			buf_append_str(out, "[0-9]");
		else
			buf_append(out, first, (size_t)(p - first) + 1);
	}
	buf_append_char(out, ')');
	return buf_status(out, err);
}

static int match_expression(const char *text, const char *pattern, bool *ret, struct err *err)
{
	_cleanup_buf_ struct buf posix = BUF_INIT(BOUND_PATTERN_BYTES * 8);
	regex_t expression;
	int rc = translate(pattern, &posix, err);

	if (rc < 0)
		return rc;
	if (regcomp(&expression, posix.data, REG_EXTENDED | REG_NOSUB) != 0)
		return err_set(err, ERR_INVALID, "pattern \"%.64s\" is not an expression", pattern);
	*ret = regexec(&expression, text, 0, NULL, 0) == 0;
	regfree(&expression);
	return 0;
}

int control_match(const char *text, const char *pattern, const char *matcher, bool *ret,
		  struct err *err)
{
	if (strlen(pattern) > BOUND_PATTERN_BYTES || strlen(text) > BOUND_PATTERN_BYTES)
		return err_set(err, ERR_TOOBIG, "a pattern has at most %d bytes",
			       BOUND_PATTERN_BYTES);
	if (strcmp(matcher, "pcre") == 0)
		return match_expression(text, pattern, ret, err);
	if (strcmp(matcher, "glob") != 0)
		return err_set(err, ERR_UNSUPPORTED, "No matcher installed for %.40s", matcher);
	*ret = match_glob(text, pattern);
	return 0;
}
