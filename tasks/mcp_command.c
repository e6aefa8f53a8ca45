/*
 * mcp_command.c: texts of mcp_servers taken apart. Never given to a shell.
 */
#include <string.h>

#include "bounds.h"
#include "buf.h"
#include "mcp_task.h"
#include "mem.h"

#define COMMAND_BYTES 8192
#define WORDS_MAX     64

/* Strings one after the other, each with its NUL, as a vector in one block. */
static char **as_vector(const struct buf *strings, size_t count)
{
	char **list = xmalloc((count + 1) * sizeof(*list) + strings->len);
	char *text = memcpy(list + count + 1, strings->data, strings->len);

	for (size_t i = 0; i < count; i++) {
		list[i] = text;
		text += strlen(text) + 1;
	}
	list[count] = NULL;
	return list;
}

/* One word from *p on; *p is moved behind it. */
static int take_word(const char **p, struct buf *out, struct err *err)
{
	char quote = '\0';
	const char *s = *p;

	for (; *s && (quote || !strchr(" \t\r\n", *s)); s++) {
		if (quote && *s == quote)
			quote = '\0';
		else if (!quote && (*s == '\'' || *s == '"'))
			quote = *s;
		else if (*s == '\\' && s[1] && quote != '\'')
			buf_append_char(out, *++s);
		else
			buf_append_char(out, *s);
	}
	buf_append_char(out, '\0');
	*p = s;
	return quote ? err_set(err, ERR_INVALID, "command: a quote that is not closed") : 0;
}

int mcp_command_split(const char *text, char ***ret, struct err *err)
{
	_cleanup_buf_ struct buf words = BUF_INIT(COMMAND_BYTES);
	size_t count = 0;

	for (const char *p = text + strspn(text, " \t\r\n"); *p; p += strspn(p, " \t\r\n")) {
		int rc = take_word(&p, &words, err);
		if (rc < 0)
			return rc;
		if (words.failed == ERR_NOMEM)
			return buf_status(&words, err);
		if (++count > WORDS_MAX || words.failed)
			return err_set(err, ERR_TOOBIG, "command: more than %d words or %d bytes",
				       WORDS_MAX, COMMAND_BYTES);
	}
	*ret = as_vector(&words, count);
	return 0;
}

int mcp_lines(const char *text, char ***ret, struct err *err)
{
	_cleanup_buf_ struct buf lines = BUF_INIT(BOUND_ENV_BYTES * 2);
	size_t count = 0;

	while (*text) {
		size_t len = strcspn(text, "\n"), end = len;
		const char *s = text;
		while (end > 0 && strchr(" \t\r", s[end - 1]))
			end--;
		while (end > 0 && strchr(" \t", *s))
			s++, end--;
		if (end > 0) {
			buf_append(&lines, s, end);
			buf_append_char(&lines, '\0');
			count++;
		}
		text += len + (text[len] == '\n');
	}
	if (lines.failed == ERR_NOMEM)
		return buf_status(&lines, err);
	/* more than an engine or a server takes is as if nothing were there */
	*ret = as_vector(&lines, lines.failed ? 0 : count);
	return 0;
}
