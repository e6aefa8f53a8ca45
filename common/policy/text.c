/*
 * The policy's file.
 */
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "policy.h"

#define WORDS 4

/* Cuts the next word off `*line`, which is changed: words are separated by blanks, or stand in
 * double quotes. NULL at the end or at a comment; *ret_bad when a quote is not closed. */
static char *next_word(char **line, bool *ret_bad)
{
	char *p = *line + strspn(*line, " \t"), *end;

	*line = p;
	if (*p == '\0' || *p == '#')
		return NULL;
	if (*p == '"') {
		end = strchr(p + 1, '"');
		if (end == NULL || (end[1] != '\0' && strchr(" \t#", end[1]) == NULL)) {
			*ret_bad = true;
			return NULL;
		}
		p++;
	} else {
		end = p + strcspn(p, " \t");
	}
	*line = *end ? end + 1 : end;
	*end = '\0';
	return p;
}

static int add_line(struct policy *p, char *line, const char *where, struct err *err)
{
	char *words[WORDS] = {0}, *project = NULL, *note;
	bool bad = false;
	size_t n = 0;

	while (n < WORDS && (words[n] = next_word(&line, &bad)) != NULL)
		n++;
	if (n == WORDS && next_word(&line, &bad) != NULL)
		return err_set(err, ERR_INVALID, "%s: too many words", where);
	if (bad)
		return err_set(err, ERR_INVALID, "%s: a quote that is not closed", where);
	if (n == 0)
		return 0;
	if (n < 3 || (strcmp(words[0], "allow") != 0 && strcmp(words[0], "deny") != 0))
		return err_set(err, ERR_INVALID, "%s: allow or deny, a kind, a pattern", where);
	if (n == WORDS) {
		if (strncmp(words[3], "project=", 8) != 0 || words[3][8] == '\0')
			return err_set(err, ERR_INVALID, "%s: '%.40s' is not project=ID", where,
				       words[3]);
		project = words[3] + 8;
	}
	note = *line == '#' ? line + 1 + strspn(line + 1, " \t") : NULL;
	return policy_add_rule(p, words[1], project, words[2], words[0][0] == 'a', note, where,
			       err);
}

int policy_add_text(struct policy *p, const char *text, size_t len, const char *name,
		    struct err *err)
{
	const char *end = text + len;
	int number = 0;

	while (text < end) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));
		size_t length = stop ? (size_t)(stop - text) : (size_t)(end - text);
		_cleanup_free_ char *line = xstrndup(text, length);
		_cleanup_free_ char *where = xasprintf("%s:%d", name, ++number);
		int rc;

		if (memchr(text, '\0', length))
			return err_set(err, ERR_INVALID, "%s: a NUL", where);
		if (length > 0 && line[length - 1] == '\r')
			line[length - 1] = '\0';
		rc = add_line(p, line, where, err);
		if (rc < 0)
			return rc;
		text += length + 1;
	}
	return 0;
}
