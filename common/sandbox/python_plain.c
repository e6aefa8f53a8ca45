/*
 * Does a Python program load nothing but modules of the standard library? A guess on the cautious
 * side, from its text: what is not an import statement of the plainest form counts as one of a
 * package. Nothing but speed depends on it.
 */
#include "language.h"

#include <string.h>

#include "python_env.h"

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_';
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static size_t blanks(struct slice s)
{
	size_t n = 0;

	while (n < s.len && is_blank(s.data[n]))
		n++;
	return n;
}

static struct slice from(struct slice s, size_t n)
{
	return (struct slice){s.data + n, s.len - n};
}

static size_t word_length(struct slice s)
{
	size_t n = 0;

	while (n < s.len && is_word(s.data[n]))
		n++;
	return n;
}

/* Takes blanks and the word `text`; false, and nothing is taken. */
static bool take_word(struct slice *s, const char *text)
{
	struct slice rest = from(*s, blanks(*s));
	size_t n = word_length(rest);

	if (n != strlen(text) || memcmp(rest.data, text, n) != 0)
		return false;
	*s = from(rest, n);
	return true;
}

/* Takes a name with dots in it; false unless its first part is one of ours. */
static bool take_module(struct slice *s)
{
	struct slice rest = from(*s, blanks(*s));
	char name[32] = " ";
	size_t n = word_length(rest);

	if (n == 0 || n + 3 > sizeof(name))
		return false;
	memcpy(name + 1, rest.data, n);
	name[n + 1] = ' ';
	while (n < rest.len && (is_word(rest.data[n]) || rest.data[n] == '.'))
		n++;
	*s = from(rest, n);
	return strstr(SANDBOX_PYTHON_PLAIN, name) != NULL;
}

/* Is there a word in it that can load something? */
static bool loads(struct slice s)
{
	static const char *const words[] = {"import", "__import__"};
	size_t n;

	for (; s.len > 0; s = from(s, n)) {
		n = word_length(s);
		for (size_t i = 0; i < ARRAY_LEN(words); i++)
			if (n == strlen(words[i]) && memcmp(s.data, words[i], n) == 0)
				return true;
		n += n == 0;
	}
	return false;
}

/* MODULE [as NAME], … up to the end of the line */
static bool is_plain_list(struct slice s)
{
	for (;;) {
		if (!take_module(&s))
			return false;
		if (take_word(&s, "as")) {
			s = from(s, blanks(s));
			s = from(s, word_length(s));
		}
		s = from(s, blanks(s));
		if (s.len == 0 || s.data[0] == '#')
			return true;
		if (s.data[0] != ',')
			return false;
		s = from(s, 1);
	}
}

static bool is_plain_line(struct slice line)
{
	if (!loads(line))
		return true;
	if (take_word(&line, "import"))
		return is_plain_list(line);
	return take_word(&line, "from") && take_module(&line) && take_word(&line, "import") &&
	       !loads(line);
}

bool sandbox_python_is_plain(struct slice code)
{
	while (code.len > 0) {
		size_t n = 0;

		while (n < code.len && code.data[n] != '\n' && code.data[n] != '\r')
			n++;
		if (!is_plain_line((struct slice){code.data, n}))
			return false;
		code = from(code, n < code.len ? n + 1 : n);
	}
	return true;
}
