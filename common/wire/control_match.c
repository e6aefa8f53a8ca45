/*
 * control_match.c: node names by pattern (kombu/matcher.py), in time that no pattern can blow up.
 */
#include <regex.h>
#include <string.h>

#include "bounds.h"
#include "control.h"

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
 * Python's expression as a POSIX one, from the beginning of the text. What POSIX reads differently,
 * and repeat counts and back references, which can be made to cost without bound, are refused.
 */
static int translate(const char *pattern, struct buf *out, struct err *err)
{
	buf_append_str(out, "^(");
	for (const char *p = pattern; *p != '\0'; p++) {
		bool escaped = *p == '\\';
		char c = escaped ? *++p : *p;

		if (c == '\0' || (!escaped && (c == '{' || (c == '(' && p[1] == '?'))) ||
		    (escaped && strchr("0123456789ABDZbd", c) != NULL && c != 'd'))
			return err_set(err, ERR_UNSUPPORTED,
				       "pattern \"%.64s\": repeat counts, groups with ?, \\b and "
				       "back references cannot be used",
				       pattern);
		if (escaped && c == 'd')
			buf_append_str(out, "[0-9]");
		else
			buf_appendf(out, "%s%c", escaped ? "\\" : "", c);
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
