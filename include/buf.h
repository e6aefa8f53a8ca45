/*
 * buf.h: a byte builder with a ceiling.
 *
 * Invariants: `data` is never NULL and data[len] is NUL, so it can be read as a string at any time
 * (it may hold NULs itself). Appending never reports: passing the limit or running out of memory
 * empties the builder and makes it *failed*, later appends do nothing, and buf_take or buf_status
 * says so once. Thread class of everything here: [any], one thread at a time per builder.
 */
#ifndef CELERIAC_BUF_H
#define CELERIAC_BUF_H

#include <stdarg.h>

#include "base.h"
#include "err.h"
#include "mem.h"

struct buf {
	char *data;
	size_t len;
	size_t size;  /* allocated, 0 while data is the shared empty string */
	size_t limit; /* bytes, without the NUL */
	int failed;   /* ERR_TOOBIG or ERR_NOMEM */
};

extern char g_buf_empty[1];
#define BUF_INIT(max) ((struct buf){.data = g_buf_empty, .limit = (max)})

void buf_append(struct buf *b, const void *data, size_t len);
void buf_append_str(struct buf *b, const char *s);
void buf_append_char(struct buf *b, char c);
void buf_append_slice(struct buf *b, struct slice s);
void buf_appendf(struct buf *b, const char *fmt, ...) printf_like(2, 3);
void buf_vappendf(struct buf *b, const char *fmt, va_list ap) printf_like(2, 0);

/* Room for `len` more bytes at data + len, to be counted by buf_added; NULL when failed. */
char *buf_reserve(struct buf *b, size_t len);
void buf_added(struct buf *b, size_t len);

/* Makes it failed by hand: for producers that find out by themselves (ERR_TOOBIG, ERR_NOMEM). */
void buf_fail(struct buf *b, int code);

/* Removes the first `len` bytes. */
void buf_consume(struct buf *b, size_t len);

/* Empties it, keeps the memory and forgets a failure. */
void buf_reset(struct buf *b);

/* 0, or -ERR_TOOBIG / -ERR_NOMEM if an append failed since BUF_INIT or buf_reset. */
int buf_status(const struct buf *b, struct err *err) must_check;

/* Gives the bytes, NUL-terminated, to the caller (free); the builder is empty afterwards, also on
 * failure. `ret_len` may be NULL. */
int buf_take(struct buf *b, char **ret_data, size_t *ret_len, struct err *err) must_check;

/* Frees what it holds. NULL is fine. The builder may be used again. */
void buf_done(struct buf *b);
#define _cleanup_buf_ _cleanup_(buf_done)

#endif
