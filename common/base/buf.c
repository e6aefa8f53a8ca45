/*
 * buf.c: a byte builder with a ceiling; its failure sticks and is asked for once.
 */
#include "buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

#define FIRST_SIZE 64

char g_buf_empty[1]; /* shared by all empty builders, so it is never written */

static void release(struct buf *b)
{
	if (b->size)
		free(b->data);
	b->data = g_buf_empty;
	b->len = 0;
	b->size = 0;
}

void buf_fail(struct buf *b, int code)
{
	release(b);
	if (!b->failed)
		b->failed = code;
}

char *buf_reserve(struct buf *b, size_t len)
{
	if (b->failed)
		return NULL;
	if (len > b->limit || b->len > b->limit - len) {
		buf_fail(b, ERR_TOOBIG);
		return NULL;
	}
	size_t need = b->len + len + 1;
	if (need > b->size) {
		size_t size = b->size ? b->size : FIRST_SIZE;
		while (size < need)
			size = size > SIZE_MAX / 2 ? need : size * 2;
		/* Growing by doubling must not ask for twice what the limit allows. */
		if (size > b->limit && need <= b->limit + 1)
			size = b->limit + 1;
		/* Nobody has half of all addresses: asking would be a fault, not a refusal. */
		char *data = size > PTRDIFF_MAX ? NULL : realloc(b->size ? b->data : NULL, size);
		if (!data) {
			buf_fail(b, ERR_NOMEM);
			return NULL;
		}
		b->data = data;
		b->size = size;
		b->data[b->len] = '\0';
	}
	return b->data + b->len;
}

void buf_added(struct buf *b, size_t len)
{
	if (len == 0)
		return;
	if (b->size == 0 || len >= b->size - b->len)
		BUG("buf_added: %zu bytes were not reserved", len);
	b->len += len;
	b->data[b->len] = '\0';
}

void buf_append(struct buf *b, const void *data, size_t len)
{
	if (len == 0)
		return;
	char *to = buf_reserve(b, len);
	if (!to)
		return;
	memcpy(to, data, len);
	buf_added(b, len);
}

void buf_append_str(struct buf *b, const char *s)
{
	buf_append(b, s, strlen(s));
}

void buf_append_char(struct buf *b, char c)
{
	buf_append(b, &c, 1);
}

void buf_append_slice(struct buf *b, struct slice s)
{
	buf_append(b, s.data, s.len);
}

void buf_vappendf(struct buf *b, const char *fmt, va_list ap)
{
	char small[256];
	va_list again;
	va_copy(again, ap);
	int n = vsnprintf(small, sizeof(small), fmt, ap);
	if (n < 0) {
		buf_fail(b, ERR_TOOBIG);
	} else if ((size_t)n < sizeof(small)) {
		buf_append(b, small, (size_t)n);
	} else {
		char *to = buf_reserve(b, (size_t)n);
		if (to) {
			vsnprintf(to, (size_t)n + 1, fmt, again);
			buf_added(b, (size_t)n);
		}
	}
	va_end(again);
}

void buf_appendf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	buf_vappendf(b, fmt, ap);
	va_end(ap);
}

void buf_consume(struct buf *b, size_t len)
{
	if (len > b->len)
		BUG("buf_consume: %zu of %zu bytes", len, b->len);
	if (len == 0)
		return;
	b->len -= len;
	memmove(b->data, b->data + len, b->len + 1);
}

void buf_reset(struct buf *b)
{
	b->failed = 0;
	b->len = 0;
	if (b->size)
		b->data[0] = '\0';
}

int buf_status(const struct buf *b, struct err *err)
{
	if (!b->failed)
		return 0;
	if (b->failed == ERR_TOOBIG)
		return err_set(err, ERR_TOOBIG, "more than %zu bytes", b->limit);
	return err_set(err, ERR_NOMEM, "no memory for a text of up to %zu bytes", b->limit);
}

int buf_take(struct buf *b, char **ret_data, size_t *ret_len, struct err *err)
{
	int r = buf_status(b, err);
	if (r < 0) {
		buf_reset(b);
		return r;
	}
	if (ret_len != NULL)
		*ret_len = b->len;
	*ret_data = b->size ? b->data : xcalloc(1, 1);
	b->data = g_buf_empty;
	b->len = 0;
	b->size = 0;
	return 0;
}

void buf_done(struct buf *b)
{
	if (!b)
		return;
	release(b);
	b->failed = 0;
}
