/*
 * bug.c: the end of a process that is wrong about itself.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base.h"

_Noreturn void bug_at(const char *file, int line, const char *fmt, ...)
{
	char text[512];
	int n = snprintf(text, sizeof(text), "BUG at %s:%d: ", file, line);
	size_t at = n < 0 || (size_t)n >= sizeof(text) ? 0 : (size_t)n;
	va_list ap;
	va_start(ap, fmt);
	n = vsnprintf(text + at, sizeof(text) - at - 1, fmt, ap);
	va_end(ap);
	if (n > 0)
		at += (size_t)n < sizeof(text) - at - 1 ? (size_t)n : sizeof(text) - at - 2;
	text[at++] = '\n';
	if (write(STDERR_FILENO, text, at) < 0)
		abort(); /* nobody to tell */
	abort();
}
