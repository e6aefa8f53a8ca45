/*
 * plugin_scan.c: a tools.py line by line: classes with bases, and the first level of what stands in
 * them. Strings over several lines are passed over; what is computed is not seen.
 */
#include "plugin_scan.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "base.h"

#define CLASSES_MAX 256 /* that derive from BaseTool, of one file */
#define CLASS_BYTES 64

struct line {
	const char *text; /* without its indentation */
	size_t len, indent;
};

struct scan {
	const char *at, *end;
	char quote; /* of the long string we are in, 0 = none */
	char classes[CLASSES_MAX][CLASS_BYTES];
	size_t class_count;
	bool in_class, in_header, is_tool;
	int brackets;			  /* open in the head */
	size_t class_indent, body_indent; /* body_indent 0 = not known yet */
};

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

static bool next_line(struct scan *s, struct line *ret)
{
	const char *begin = s->at, *end;

	if (begin >= s->end)
		return false;
	end = memchr(begin, '\n', (size_t)(s->end - begin));
	end = end ? end : s->end;
	s->at = end < s->end ? end + 1 : end;
	*ret = (struct line){.text = begin};
	while (ret->text < end && (*ret->text == ' ' || *ret->text == '\t'))
		ret->text++;
	ret->indent = (size_t)(ret->text - begin);
	while (end > ret->text && isspace((unsigned char)end[-1]))
		end--;
	ret->len = (size_t)(end - ret->text);
	return true;
}

/* What the line does to long strings; a comment ends it, short strings are skipped. */
static void follow_quotes(struct scan *s, const struct line *l)
{
	char within = 0;

	for (size_t i = 0; i < l->len; i++) {
		char c = l->text[i];
		bool triple = (c == '"' || c == '\'') && i + 2 < l->len && l->text[i + 1] == c &&
			      l->text[i + 2] == c;

		if (c == '\\' && (s->quote || within)) {
			i++;
		} else if (s->quote) {
			if (triple && c == s->quote) {
				s->quote = 0;
				i += 2;
			}
		} else if (within) {
			within = c == within ? 0 : within;
		} else if (triple) {
			s->quote = c;
			i += 2;
		} else if (c == '"' || c == '\'') {
			within = c;
		} else if (c == '#') {
			return;
		}
	}
}

/* Is `name` one of the words of `text`? */
static bool has_word(const char *text, size_t len, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; n > 0 && i + n <= len; i++)
		if (memcmp(text + i, name, n) == 0 && (i == 0 || !is_word(text[i - 1])) &&
		    (i + n == len || !is_word(text[i + n])))
			return true;
	return false;
}

static bool names_a_tool(const struct scan *s, const char *text, size_t len)
{
	if (has_word(text, len, "BaseTool"))
		return true;
	for (size_t i = 0; i < s->class_count; i++)
		if (s->classes[i][0] && has_word(text, len, s->classes[i]))
			return true;
	return false;
}

/* A part of the head, which may go over several lines: to the colon behind all brackets. */
static void read_header(struct scan *s, const struct line *l, size_t from)
{
	size_t end = from;

	s->in_header = true;
	while (end < l->len && l->text[end] != '#' && s->in_header) {
		s->brackets += (l->text[end] == '(') - (l->text[end] == ')');
		s->in_header = l->text[end] != ':' || s->brackets > 0;
		end++;
	}
	s->is_tool = s->is_tool || names_a_tool(s, l->text + from, end - from);
	if (!s->in_header && s->is_tool && s->class_count < CLASSES_MAX)
		s->class_count++;
}

static void begin_class(struct scan *s, const struct line *l)
{
	size_t from = strlen("class "), n = 0;
	char *name = s->class_count < CLASSES_MAX ? s->classes[s->class_count] : NULL;

	while (from < l->len && is_word(l->text[from])) {
		if (name && n + 1 < CLASS_BYTES)
			name[n++] = l->text[from];
		from++;
	}
	if (name)
		name[n] = '\0';
	s->in_class = true;
	s->is_tool = false;
	s->class_indent = l->indent;
	s->body_indent = 0;
	s->brackets = 0;
	read_header(s, l, from);
}

/* name = "…" or name: str = '…'. Its length, 0 = this is none. */
static size_t assigned_name(const struct line *l, char out[TOOL_NAME_BYTES + 1])
{
	const char *p = l->text, *end = l->text + l->len;
	size_t n = 0;
	char quote;

	if (l->len < 5 || memcmp(p, "name", 4) != 0 || is_word(p[4]))
		return 0;
	p = memchr(p, '=', l->len);
	if (p == NULL)
		return 0;
	for (const char *q = l->text + 4; q < p; q++)
		if (!is_word(*q) && *q != ' ' && *q != ':' && *q != '.' && *q != '[' && *q != ']')
			return 0;
	for (p++; p < end && *p == ' '; p++)
		continue;
	if (p == end || (*p != '"' && *p != '\''))
		return 0;
	for (quote = *p++; p < end && *p != quote && n < TOOL_NAME_BYTES; p++) {
		if (!is_word(*p) && *p != '.' && *p != '-')
			return 0;
		out[n++] = *p;
	}
	out[n] = '\0';
	return p < end && *p == quote ? n : 0;
}

static int read_line(struct scan *s, const struct line *l, plugin_found_fn *found, void *arg,
		     struct err *err)
{
	char name[TOOL_NAME_BYTES + 1];

	if (s->in_header) {
		read_header(s, l, 0);
		return 0;
	}
	if (l->len > 6 && memcmp(l->text, "class ", 6) == 0 &&
	    !(s->in_class && l->indent > s->class_indent)) {
		begin_class(s, l);
		return 0;
	}
	if (s->in_class && l->indent <= s->class_indent)
		s->in_class = false;
	if (!s->in_class || !s->is_tool)
		return 0;
	if (s->body_indent == 0)
		s->body_indent = l->indent;
	if (l->indent != s->body_indent || assigned_name(l, name) == 0)
		return 0;
	return found(arg, name, err);
}

int plugin_scan(const char *text, size_t len, plugin_found_fn *found, void *arg, struct err *err)
{
	struct scan s = {.at = text, .end = text + len};
	struct line l;
	int rc = 0;

	while (rc == 0 && next_line(&s, &l)) {
		bool within = s.quote != 0;

		follow_quotes(&s, &l);
		if (!within && l.len > 0 && l.text[0] != '#')
			rc = read_line(&s, &l, found, arg, err);
	}
	return rc;
}
