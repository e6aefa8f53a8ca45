/*
 * utf8.c: what is text and what is not.
 */
#include "codec.h"

static bool tail(const char *s, size_t i)
{
	return ((unsigned char)s[i] & 0xc0) == 0x80;
}

size_t utf8_valid(const char *s, size_t len)
{
	if (len == 0)
		return 0;
	unsigned char a = (unsigned char)s[0];
	if (a < 0x80)
		return 1;
	if (len < 2 || a < 0xc2 || a > 0xf4 || !tail(s, 1))
		return 0;
	if (a < 0xe0)
		return 2;
	unsigned char b = (unsigned char)s[1];
	if (len < 3 || !tail(s, 2))
		return 0;
	if (a < 0xf0) {
		if ((a == 0xe0 && b < 0xa0) || (a == 0xed && b >= 0xa0))
			return 0; /* overlong; surrogate */
		return 3;
	}
	if (len < 4 || !tail(s, 3) || (a == 0xf0 && b < 0x90) || (a == 0xf4 && b >= 0x90))
		return 0;
	return 4;
}

bool utf8_has_control(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			return true;
	}
	return false;
}

void utf8_clean(const char *data, size_t len, bool no_nul, struct buf *out)
{
	size_t start = 0;
	size_t i = 0;
	while (i < len) {
		size_t n = utf8_valid(data + i, len - i);
		if (n && !(no_nul && data[i] == '\0')) {
			i += n;
			continue;
		}
		buf_append(out, data + start, i - start);
		buf_append_str(out, "\xef\xbf\xbd");
		start = ++i;
	}
	if (len > start)
		buf_append(out, data + start, len - start);
}
