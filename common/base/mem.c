/*
 * mem.c: memory that is there, or a process that is not.
 */
#include "mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *check(void *p, size_t size)
{
	if (!p)
		BUG("out of memory for %zu bytes", size);
	return p;
}

void *xmalloc(size_t size)
{
	return check(malloc(size ? size : 1), size);
}

void *xcalloc(size_t count, size_t size)
{
	return check(calloc(count ? count : 1, size ? size : 1), size);
}

void *xrealloc(void *p, size_t size)
{
	return check(realloc(p, size ? size : 1), size);
}

char *xstrdup(const char *s)
{
	return check(strdup(s), 0);
}

char *xstrndup(const char *s, size_t len)
{
	return check(strndup(s, len), len);
}

char *xmemdup(const void *data, size_t len)
{
	char *copy = xmalloc(len + 1);

	if (len > 0)
		memcpy(copy, data, len);
	copy[len] = '\0';
	return copy;
}

char *xasprintf(const char *fmt, ...)
{
	char *s;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0)
		BUG("out of memory for a string");
	return s;
}

int try_alloc(size_t size, size_t limit, const char *what, void **ret, struct err *err)
{
	if (size > limit)
		return err_set(err, ERR_TOOBIG, "%s: %zu bytes, at most %zu", what, size, limit);
	void *p = calloc(1, size ? size : 1);
	if (!p)
		return err_set(err, ERR_NOMEM, "%s: no memory for %zu bytes", what, size);
	*ret = p;
	return 0;
}

void wipe(void *p, size_t size)
{
	if (size)
		explicit_bzero(p, size);
}

void cleanup_fd_p(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;
		close(*fd);
		errno = saved;
	}
}
