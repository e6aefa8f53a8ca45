/*
 * Replays corpora: an input a line, as C writes bytes; `#` begins a comment. Any crash ends it.
 * Names are those of targets; without any it is all of them. How an input is given is that of the
 * program (replay.h).
 */
#include <errno.h>
#include <stdio.h>

#include "replay.h"

static int digit(int c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Takes the escapes of a line out, in place. Its length, or -1. */
static ssize_t unescape(char *line)
{
	static const char letters[] = "n\nr\rt\t\\\\";
	char *out = line;

	for (const char *p = line; *p; p++) {
		const char *known;

		if (*p != '\\') {
			*out++ = *p;
			continue;
		}
		p++;
		if (*p == 'x' && digit(p[1]) >= 0 && digit(p[2]) >= 0) {
			*out++ = (char)(digit(p[1]) << 4 | digit(p[2]));
			p += 2;
			continue;
		}
		known = *p ? strchr(letters, *p) : NULL;
		if (known == NULL || (known - letters) % 2 != 0)
			return -1;
		*out++ = known[1];
	}
	return out - line;
}

/* Memory of just its size, so that a byte beyond it is found. */
static void run(const struct fuzz_target *t, const char *line, size_t len)
{
	char *input = malloc(len + (len == 0));

	memcpy(input, line, len);
	replay_input(t, (const uint8_t *)input, len);
	free(input);
}

static int replay(const struct fuzz_target *t, FILE *f, size_t *ret_count)
{
	_cleanup_free_ char *line = NULL;
	size_t size = 0, number = 0;
	ssize_t len;

	*ret_count = 0;
	while ((len = getline(&line, &size, f)) >= 0) {
		number++;
		if (len > 0 && line[len - 1] == '\n')
			line[--len] = '\0';
		if (line[0] == '#')
			continue;
		len = unescape(line);
		if (len < 0) {
			fprintf(stderr, "%s:%zu: an escape that is none\n", t->name, number);
			return -1;
		}
		run(t, line, (size_t)len);
		*ret_count += 1;
	}
	return *ret_count > 0 ? 0 : -1;
}

static bool wanted(const char *name, int argc, char **argv)
{
	bool yes = argc == 2;

	for (int i = 2; i < argc; i++)
		yes |= strcmp(argv[i], name) == 0;
	return yes;
}

int main(int argc, char **argv)
{
	int failed = 0;

	for (size_t i = 0; argc > 1 && i < ARRAY_LEN(fuzz_targets); i++) {
		const struct fuzz_target *t = &fuzz_targets[i];
		_cleanup_free_ char *path = xasprintf("%s/%s", argv[1], t->name);
		size_t count = 0;
		FILE *f;

		if (!wanted(t->name, argc, argv))
			continue;
		/* Said first: of what crashes, this is the last line. */
		printf("%s\n", t->name);
		fflush(stdout);
		f = fopen(path, "re");
		if (f == NULL || replay(t, f, &count) < 0)
			failed++, fprintf(stderr, "%s: nothing to replay\n", path);
		if (f)
			fclose(f);
	}
	if (argc < 2)
		fprintf(stderr, "usage: %s DIRECTORY [TARGET…]\n", argv[0]);
	return failed || argc < 2;
}
