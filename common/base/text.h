/*
 * text.h: making foreign text fit to be shown on one line. Private to base/.
 */
#ifndef CELERIAC_BASE_TEXT_H
#define CELERIAC_BASE_TEXT_H

#include "base.h"

/*
 * Copies `text` to `out` (`size` bytes, NUL-terminated) with control characters and invalid UTF-8
 * as \xNN; what does not fit is cut between characters and ends in "...". Returns the length
 * written. [any]
 */
size_t text_escape(const char *text, size_t len, char *out, size_t size);

/* True for the characters that text_escape keeps: `n` bytes of valid UTF-8 at `s` that are neither
 * a control character nor one that ends lines or turns text round. */
bool text_printable(const char *s, size_t n);

/* The value of a hexadecimal digit, -1 for anything else. */
static inline int text_hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

#endif
