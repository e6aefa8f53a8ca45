/*
 * memory_fixture.c: the linker's --wrap sees the calls from our own objects, and we leave out those
 * of xcalloc and xrealloc.
 */
#include "tests/unit/memory_fixture.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdlib.h>

static _Thread_local bool g_certain;   /* of those who abort without */
static atomic_size_t g_asked, g_fails; /* the request that fails, 0 = none */

void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_xcalloc(size_t count, size_t size);
void *__real_xrealloc(void *p, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_xcalloc(size_t count, size_t size);
void *__wrap_xrealloc(void *p, size_t size);
json_t *__real_json_text(const char *data, size_t len, bool no_nul);
json_t *__wrap_json_text(const char *data, size_t len, bool no_nul);

void memory_fail(size_t which)
{
	g_asked = 0;
	g_fails = which;
}

bool memory_has_failed(void)
{
	return g_fails != 0 && g_asked >= g_fails;
}

bool memory_failed(void)
{
	bool failed = memory_has_failed();

	g_fails = 0;
	return failed;
}

void *__wrap_calloc(size_t count, size_t size)
{
	return !g_certain && ++g_asked == g_fails ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return !g_certain && ++g_asked == g_fails ? NULL : __real_realloc(p, size);
}

void *__wrap_xcalloc(size_t count, size_t size)
{
	g_certain = true;
	void *p = __real_xcalloc(count, size);
	g_certain = false;
	return p;
}

void *__wrap_xrealloc(void *old, size_t size)
{
	g_certain = true;
	void *p = __real_xrealloc(old, size);
	g_certain = false;
	return p;
}

/* A string's text is asked for like a fixed size: who makes one has nothing to say without. */
json_t *__wrap_json_text(const char *data, size_t len, bool no_nul)
{
	g_certain = true;
	json_t *text = __real_json_text(data, len, no_nul);
	g_certain = false;
	return text;
}
