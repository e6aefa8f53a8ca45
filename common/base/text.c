/*
 * text.c: foreign text on one line. Both the log and error messages go through here, so neither can
 * be forged.
 */
#include "text.h"

#include <string.h>

#include "codec.h"

bool text_printable(const char *s, size_t n)
{
	unsigned char c = (unsigned char)s[0];
	if (n == 0 || c < 0x20 || c == 0x7f)
		return false;
	/* U+0080 to U+009F are terminal controls too. */
	if (n == 2 && c == 0xc2 && (unsigned char)s[1] < 0xa0)
		return false;
	/* U+2028 to U+202E and U+2066 to U+2069 end lines and turn text round. */
	if (n == 3 && c == 0xe2) {
		unsigned char second = (unsigned char)s[1], third = (unsigned char)s[2];
		return !(second == 0x80 && third >= 0xa8 && third <= 0xae) &&
		       !(second == 0x81 && third >= 0xa6 && third <= 0xa9);
	}
	return true;
}

size_t text_escape(const char *text, size_t len, char *out, size_t size)
{
	static const char hex[] = "0123456789abcdef";
	static const char cut[] = "...";
	size_t n = 0;
	size_t fit = 0; /* what may stay if the rest does not fit */
	size_t i = 0;

	if (size == 0)
		return 0;
	while (i < len) {
		char piece[4];
		size_t used = utf8_valid(text + i, len - i);
		size_t add = used;
		if (text_printable(text + i, used)) {
			memcpy(piece, text + i, used);
		} else {
			unsigned char c = (unsigned char)text[i];
			memcpy(piece, "\\x", 2);
			piece[2] = hex[c >> 4];
			piece[3] = hex[c & 15];
			used = 1;
			add = 4;
		}
		if (n + add + 1 > size) {
			size_t dots = size - 1 - fit < 3 ? size - 1 - fit : 3;
			memcpy(out + fit, cut, dots);
			out[fit + dots] = '\0';
			return fit + dots;
		}
		memcpy(out + n, piece, add);
		n += add;
		i += used;
		if (n + sizeof(cut) <= size)
			fit = n;
	}
	out[n] = '\0';
	return n;
}
