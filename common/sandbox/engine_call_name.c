/*
 * engine_call_name.c: what kind of call a request to the engine is, without the names in its path.
 */
#include <stdio.h>
#include <string.h>

#include "engine_internal.h"

#define WORD 24 /* a longer one is a name */

static size_t segment(const char *at)
{
	return strcspn(at, "/?");
}

static bool is_word(const char *at, size_t len)
{
	return len > 0 && len <= WORD && strspn(at, "abcdefghijklmnopqrstuvwxyz_") == len;
}

/* Behind /containers stands a verb of the collection, or the name of one. */
static bool is_of_collection(const char *at, size_t len)
{
	static const char *const verbs[] = {"create", "json", "prune"};

	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		if (strlen(verbs[i]) == len && strncmp(verbs[i], at, len) == 0)
			return true;
	}
	return false;
}

void engine_call_name(const char *method, const char *path, char *ret, size_t size)
{
	const char *first = path + (*path == '/'), *last = first;
	size_t first_len = segment(first), last_len = first_len, depth = 1;

	while (last[last_len] == '/') {
		last += last_len + 1;
		last_len = segment(last);
		depth++;
	}
	if (!is_word(first, first_len))
		snprintf(ret, size, "%s", method);
	else if (is_word(last, last_len) &&
		 (depth > 2 || (depth == 2 && is_of_collection(last, last_len))))
		snprintf(ret, size, "%s %.*s %.*s", method, (int)first_len, first, (int)last_len,
			 last);
	else
		snprintf(ret, size, "%s %.*s", method, (int)first_len, first);
}
