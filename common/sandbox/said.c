/*
 * said.c: the end of an endless text.
 */
#include "said.h"

#include <string.h>

void said_add(struct said *s, const void *data, size_t len)
{
	const unsigned char *bytes = data;

	if (len > SAID_BYTES) {
		bytes += len - SAID_BYTES;
		len = SAID_BYTES;
	}
	if (s->len + len > SAID_BYTES) {
		size_t drop = s->len + len - SAID_BYTES;
		memmove(s->text, s->text + drop, s->len - drop);
		s->len -= drop;
	}
	for (size_t i = 0; i < len; i++) {
		unsigned char c = bytes[i];
		s->text[s->len++] = c == '\n' ? ' ' : c >= 0x20 && c < 0x7f ? (char)c : '?';
	}
	s->text[s->len] = '\0';
}
